"""Parts that a plain install leaves out, and what is said where one of them is wanted.

Must not know what any of them does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyrepl3.errors import ConfigInvalid

OURS = frozenset({"pyrepl3", "actors"})


def install(extra: str) -> str:
    """The command that adds it."""
    return f"python -m pip install 'pyrepl3[{extra}]', or '.[{extra}]' in a clone"


@contextmanager
def extra_needed(extra: str, *, what: str) -> Iterator[None]:
    """Around the imports of that extra. Raises ConfigInvalid where it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OURS:
            raise
        raise ConfigInvalid(
            what=f"{what} is not installed",
            why=f"it needs the module {error.name}, which a plain install leaves out",
            how=install(extra),
            details={"field": "extra", "value": extra},
        ) from error
