"""Where tokens are kept: files that their owner alone can read.

Owns making, reading and refusing them. A token is 256 bits of chance; it is never an argument, a
variable of the environment or a line of a log. A file holds one token, or several principals as
TOML:

    [principals.ada]
    token = "..."
    role = "admin"          # or "user", which is the default
    max_sessions = 10       # left out: as many as the pool has
    max_connections = 20    # left out: EndpointConfig.max_connections_per_principal
"""

from __future__ import annotations

import os
import secrets
import stat
import tomllib
from pathlib import Path
from typing import Any

from pyrepl3.endpoint.access import Principal
from pyrepl3.errors import ConfigInvalid

TOKEN_BYTES = 32
LEAST_CHARACTERS = 32
"""Of a token that somebody chose: shorter ones can be guessed."""
FILE_BYTES = 2**20
OWNER_ONLY = 0o600
OTHERS = 0o077
QUOTAS = ("max_sessions", "max_connections")
"""Of a principal; each is a field of `Principal`."""
OWNER = Principal(name="owner", role="admin")
"""Whose a file's only token is."""

Pairs = list[tuple[str, Principal]]


def default_path() -> Path:
    """Of this user's token: where the XDG base directories have state."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "pyrepl3" / "token"


def read_or_make(path: Path | None = None) -> tuple[Pairs, bool]:
    """The tokens in that file, and whether it was made just now, with a new one.

    None: the user's own, whose directory is made, too. That of a path which somebody named has to
    be there: where it is not, the path may be a slip. Raises ConfigInvalid.
    """
    is_own = path is None
    path = path or default_path()
    try:
        if is_own:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY)
    except FileExistsError:
        return read(path), False
    except FileNotFoundError as error:
        how = "Make its directory, or name another file"
        raise _invalid(path, f"there is no directory {path.parent}", how) from error
    except OSError as error:
        raise _invalid(path, error.strerror or str(error), "Name another file") from error
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, OWNER_ONLY)  # whatever the umask
        file.write(token + "\n")
    return [(token, OWNER)], True


def read(path: Path) -> Pairs:
    """The tokens in that file, with whose they are.

    Raises ConfigInvalid, also for one that others than its owner can read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _invalid(path, error.strerror or str(error), "Name the token's file") from error
    return read_descriptor(descriptor, path)


def read_descriptor(descriptor: int, path: Path | None = None) -> Pairs:
    """The tokens that can be read from that descriptor, which is closed then. Raises as `read`."""
    try:
        if path is not None:
            _check_state(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    try:
        with os.fdopen(descriptor, "rb") as file:
            text = file.read(FILE_BYTES + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(path, str(error), "Put one token into it, as text") from error
    if len(text) > FILE_BYTES:
        raise _invalid(path, "it is too long", "Put one token into it, or TOML")
    return parse(text, path)


def parse(text: str, path: Path | None = None) -> Pairs:
    """One token alone, or the principals of a TOML file. Raises ConfigInvalid."""
    alone = text.strip()
    if "\n" not in alone and "=" not in alone.rstrip("="):
        return [(_checked(path, alone), OWNER)]
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _invalid(path, f"it is not TOML: {error}", "Put one token into it, or TOML") from None
    principals = content.get("principals")
    if not isinstance(principals, dict) or not principals:
        raise _invalid(path, "it has no [principals.NAME]", "Add one, with its token")
    pairs = [_principal(path, name, fields) for name, fields in principals.items()]
    if len({token for token, _ in pairs}) < len(pairs):
        raise _invalid(path, "two principals have the same token", "Give each one of its own")
    return pairs


def _principal(path: Path | None, name: str, fields: Any) -> tuple[str, Principal]:
    where = f"[principals.{name}]"
    if not isinstance(fields, dict) or not isinstance(fields.get("token"), str):
        raise _invalid(path, f"{where} has no token", 'Add token = "..."')
    if unknown := fields.keys() - {"token", "role", *QUOTAS}:
        raise _invalid(
            path,
            f"{where} has a {min(unknown)!r}, which means nothing",
            f"token, role, {' and '.join(QUOTAS)} may be there",
        )
    role = fields.get("role", "user")
    if role not in ("user", "admin"):
        raise _invalid(path, f"{where} has the role {role!r}", "Give user or admin")
    quotas = {quota: fields.get(quota) for quota in QUOTAS}
    for quota, most in quotas.items():
        if most is not None and (type(most) is not int or most < 1):
            raise _invalid(path, f"{where} has {quota} = {most!r}", "Give a whole number from 1")
    return _checked(path, fields["token"]), Principal(name=name, role=role, **quotas)


def _checked(path: Path | None, token: str) -> str:
    if len(token) < LEAST_CHARACTERS:
        raise _invalid(
            path,
            f"a token in it has fewer than {LEAST_CHARACTERS} characters",
            "Let `python -c 'import secrets; print(secrets.token_urlsafe())'` make one",
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise _invalid(path, "a token in it is no single word of ASCII", "Make another one")
    return token


def _check_state(path: Path, state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise _invalid(path, "it is not a regular file", "Name a file")
    if state.st_mode & OTHERS:
        mode = stat.S_IMODE(state.st_mode)
        raise _invalid(path, f"others may use it too: its mode is {mode:03o}", f"chmod 600 {path}")


def _invalid(path: Path | None, why: str, how: str) -> ConfigInvalid:
    named = "the descriptor for the token" if path is None else f"the token file {path}"
    return ConfigInvalid(
        what=f"{named} cannot be used",
        why=why,
        how=how,
        details={"field": "token", "value": None if path is None else str(path)},
    )
