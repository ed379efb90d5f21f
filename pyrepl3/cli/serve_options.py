"""What is wrong with a configuration, in the words of the command line that made it.

Pure. Owns which option of `pyrepl3 serve` stands for which setting. Must not know what any of them
does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pyrepl3.errors import ConfigInvalid

OPTIONS = {
    "EndpointConfig.host": "--host",
    "EndpointConfig.port": "--port",
    "EndpointConfig.tls_cert": "--tls-cert",
    "EndpointConfig.tls_key": "--tls-key",
    "EndpointConfig.insecure_bind": "--insecure-bind",
    "EndpointConfig.allowed_hosts": "--allow-host",
    "EndpointConfig.allowed_origins": "--allow-origin",
    "PoolConfig.min_idle": "--min-idle",
    "PoolConfig.max_sessions": "--max-sessions",
    "Config.record_trace": "--record-trace",
}
_BY_NAME = {field.partition(".")[2]: option for field, option in OPTIONS.items()}
_NAMES = re.compile(rf"\b({'|'.join(name for name in _BY_NAME if '_' in name)})\b")
"""Those that are no word of a sentence, as ``host`` is."""


@contextmanager
def told_by_options() -> Iterator[None]:
    """Around what is made of the command line. Raises ConfigInvalid, as `in_options` has it."""
    try:
        yield
    except ConfigInvalid as error:
        raise in_options(error) from error


def in_options(error: ConfigInvalid) -> ConfigInvalid:
    """The same, of an option; an error that is of none stays as it is."""
    field = error.details.get("field")
    option = OPTIONS.get(field) if isinstance(field, str) else None
    if field is None or option is None:
        return error
    what = error.what.replace(f"{field}=None is not possible", f"{option} is missing")
    return ConfigInvalid(
        what=what.replace(f"{field}=", f"{option} "),
        why=_NAMES.sub(_option, error.why),
        how=_NAMES.sub(_option, error.how),
        details=error.details,
    )


def _option(found: re.Match[str]) -> str:
    return _BY_NAME[found[0]]
