"""Where a service is, and the token for it: from arguments, the environment, or the user's file.

Owns what a client may be given. A token is never part of a URL: those stand in logs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import attrs

from pyrepl3.errors import ConfigInvalid

URL_VARIABLE = "PYREPL3_URL"
TOKEN_FILE_VARIABLE = "PYREPL3_TOKEN_FILE"
DEFAULT_URL = "http://127.0.0.1:8765"
PORTS = {"http": 80, "https": 443}
PATH = "/v1/ws"
TOKEN_CHARACTERS = 4096


@attrs.frozen
class ServiceAddress:
    """A service's host, port and prefix, where a proxy gives it one."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    prefix: str = ""

    @property
    def authority(self) -> str:
        """What its Host header says."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == PORTS[self.scheme] else f"{name}:{self.port}"

    @property
    def target(self) -> str:
        """The path of its WebSocket."""
        return self.prefix + PATH

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.prefix}"


def find_address(url: str | None) -> ServiceAddress:
    """That of the argument, of PYREPL3_URL, or of a service on this machine.

    Raises ConfigInvalid.
    """
    if url is None:
        url = os.environ.get(URL_VARIABLE) or DEFAULT_URL
    try:
        parts = urlsplit(url)
        scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
        port = parts.port
    except ValueError as error:
        raise _no_url(str(error)) from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        # Not shown: it may be a secret.
        raise _no_url("it has more than scheme, host, port and path")
    if scheme not in ("http", "https") or not parts.hostname:
        raise _no_url(f"{url!r} has no http or https, or no host")
    known: Literal["http", "https"] = "https" if scheme == "https" else "http"
    prefix = parts.path.rstrip("/").removesuffix(PATH)
    return ServiceAddress(known, parts.hostname, port or PORTS[known], prefix)


def find_token(token: str | None, token_file: str | os.PathLike[str] | None) -> str:
    """That of the argument, of the file, of PYREPL3_TOKEN_FILE, or of the user's own service.

    Raises ConfigInvalid.
    """
    if token is not None:
        return _checked(token.strip(), "the token")
    path = token_file or os.environ.get(TOKEN_FILE_VARIABLE) or default_token_file()
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(TOKEN_CHARACTERS)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _no_token(f"the token file {os.fspath(path)}", why) from error
    return _checked(text.strip(), f"the token file {os.fspath(path)}")


def default_token_file() -> Path:
    """Where `pyrepl3 serve` of this user keeps its token."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "pyrepl3" / "token"


def _checked(token: str, named: str) -> str:
    if not token:
        raise _no_token(named, "it is empty")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise _no_token(named, "it is not one token: a word of ASCII")
    return token


def _no_url(why: str) -> ConfigInvalid:
    return ConfigInvalid(
        what="this is no address of a service",
        why=why,
        how=f"Give one as {DEFAULT_URL}, or set {URL_VARIABLE}",
        details={"field": "url"},
    )


def _no_token(named: str, why: str) -> ConfigInvalid:
    return ConfigInvalid(
        what=f"{named} cannot be used",
        why=why,
        how=f"`pyrepl3 serve` says where its token is: name that file, or set "
        f"{TOKEN_FILE_VARIABLE}",
        details={"field": "token"},
    )
