"""The session's module: ``__main__``, and what a session finds in its builtins.

Owns ``sys.modules["__main__"]``, the names ``_``, ``__`` and ``___``, and ``exit``/``quit``.
Must not know messages.
"""

import builtins
import sys
from types import ModuleType
from typing import Any, NoReturn


class Namespace:
    """A fresh ``__main__``, so that pickle and multiprocessing see cells as a script."""

    def __init__(self) -> None:
        self.module = ModuleType("__main__")
        self.names: dict[str, Any] = vars(self.module)
        self.names["__builtins__"] = builtins
        self.names["__annotations__"] = {}
        self._last: object = None
        self._replaced_main = sys.modules.get("__main__")
        sys.modules["__main__"] = self.module
        sys.argv = [""]

    def prepare(self) -> None:
        """Before a cell. Without ``__builtins__``, it would be given the runtime's own copy."""
        if "__builtins__" not in self.names:
            self.names["__builtins__"] = builtins

    def remember(self, value: object) -> None:
        """Make a cell's value ``_``; a name ``_`` of the user's own is left alone."""
        names = self.names
        if "_" in names and names["_"] is not self._last:
            return
        if "__" in names:
            names["___"] = names["__"]
        if "_" in names:
            names["__"] = names["_"]
        names["_"] = self._last = value

    @property
    def last(self) -> object:
        """The value that `_` was given last."""
        return self._last

    def replace(self, names: dict[Any, Any], last: object) -> None:
        """Have these names and no others, in the dict that functions know as their globals."""
        before = dict(self.names)
        self.names.clear()
        self.names.update(names)
        self._last = last
        # What nobody has any more ends here, and not while the names are half of each.
        before.clear()

    def clear(self) -> None:
        """Let go of every object of the session, so that its finalizers run."""
        self._last = None
        names = [name for name in self.names if name != "__builtins__"]
        for name in reversed(names):
            self.names.pop(name, None)


class Quitter:
    """``exit`` and ``quit``: end the execution, not the session, and leave its stdin open."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Use {self.name}() to end this execution; the session stays."

    def __call__(self, code: object = None) -> NoReturn:
        raise SystemExit(code)


def install_quitters() -> None:
    """Replace those of ``site``, which close ``sys.stdin``."""
    for name in ("exit", "quit"):
        setattr(builtins, name, Quitter(name))
