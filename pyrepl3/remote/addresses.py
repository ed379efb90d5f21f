"""Where a service is, and the token for it: from arguments, the environment, or the user's file.

Owns what a client may be given. A token is never part of a URL: those stand in logs.
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import attrs

from pyrepl3.errors import ConfigInvalid

URL_VARIABLE = "PYREPL3_URL"
TOKEN_FILE_VARIABLE = "PYREPL3_TOKEN_FILE"
DEFAULT_URL = "http://127.0.0.1:8765"
PORTS = {"http": 80, "https": 443}
PATH = "/v1/ws"
TOKEN_CHARACTERS = 4096
OTHERS = 0o077
"""What a token's file may let nobody but its owner do."""
NAME_IT = f"`pyrepl3 serve` says where its token is: name that file, or set {TOKEN_FILE_VARIABLE}"


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
    if any(sign in url for sign in "@?#"):
        # Not shown: it may be a secret.
        raise _no_url("it has more than scheme, host, port and path")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _no_url(str(error)) from None
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    if scheme not in ("http", "https") or not parts.hostname:
        raise _no_url(f"{url!r} has no http or https, or no host")
    known: Literal["http", "https"] = "https" if scheme == "https" else "http"
    prefix = parts.path.rstrip("/").removesuffix(PATH)
    if not _is_sendable(prefix) or not parts.hostname.isprintable() or " " in parts.hostname:
        raise _no_url("its host or its path has signs that none can have: write them as %20")
    return ServiceAddress(known, parts.hostname, _port_of(parts, PORTS[known]), prefix)


def _port_of(parts: SplitResult, usual: int) -> int:
    """Raises ConfigInvalid."""
    try:
        port = usual if parts.port is None else parts.port
    except ValueError:
        port = 0
    if port == 0:
        # Not shown: it may be a password, with the host forgotten.
        raise _no_url("its port is no number from 1 to 65535")
    return port


def _is_sendable(word: str) -> bool:
    """Whether it can stand in the first line of a request."""
    return word.isascii() and word.isprintable() and " " not in word


def find_token(token: str | None, token_file: str | os.PathLike[str] | None) -> str:
    """That of the argument, of the file, of PYREPL3_TOKEN_FILE, or of the user's own service.

    Raises ConfigInvalid, also for a file that others than its owner can read, as the service does.
    """
    if token is not None:
        return _checked(token.strip(), "the token")
    named = token_file or os.environ.get(TOKEN_FILE_VARIABLE)
    path = named or default_token_file()
    try:
        with open(path, encoding="utf-8") as file:
            _check_mode(path, os.fstat(file.fileno()))
            text = file.read(TOKEN_CHARACTERS)
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError) and not named:
            raise _no_token_yet(path) from error
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _no_token(f"the token file {os.fspath(path)}", why) from error
    return _checked(text.strip(), f"the token file {os.fspath(path)}")


def default_token_file() -> Path:
    """Where `pyrepl3 serve` of this user keeps its token."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "pyrepl3" / "token"


def _check_mode(path: str | os.PathLike[str], state: os.stat_result) -> None:
    """Raises ConfigInvalid. A pipe is for who was given it."""
    if stat.S_ISREG(state.st_mode) and state.st_mode & OTHERS:
        why = f"others may use it too: its mode is {stat.S_IMODE(state.st_mode):03o}"
        how = f"chmod 600 {shlex.quote(os.fspath(path))}"
        raise _no_token(f"the token file {os.fspath(path)}", why, how)


def _checked(token: str, named: str) -> str:
    if not token:
        raise _no_token(named, "it is empty")
    if not _is_sendable(token):
        raise _no_token(named, "it is not one token: a word of ASCII")
    return token


def _no_url(why: str) -> ConfigInvalid:
    return ConfigInvalid(
        what="this is no address of a service",
        why=why,
        how=f"Give one as {DEFAULT_URL}, or set {URL_VARIABLE}",
        details={"field": "url"},
    )


def _no_token(named: str, why: str, how: str = NAME_IT) -> ConfigInvalid:
    return ConfigInvalid(
        what=f"{named} cannot be used",
        why=why,
        how=how,
        details={"field": "token"},
    )


def _no_token_yet(path: str | os.PathLike[str]) -> ConfigInvalid:
    return ConfigInvalid(
        what="there is no token yet",
        why=f"`pyrepl3 serve` of this user makes one when it is first started, and "
        f"{os.fspath(path)} is not there",
        how=f"Start it first: pyrepl3 serve. For a service of another user or machine, name a file "
        f"with its token, or set {TOKEN_FILE_VARIABLE}",
        details={"field": "token"},
    )
