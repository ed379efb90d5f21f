"""Copies of the session's variables, for what is to be undone where the process cannot be copied.

Owns when one is made, and which names it does not cover. Must not know how values are copied, nor
what is undone by it.
"""

from typing import Any

from .copying import Copier, TooLarge
from .interrupts import Interrupts
from .namespace import Namespace


class CopyUnavailable(Exception):
    """The variables cannot be copied as they are; the text says why."""


class Undo:
    """One copy, and the way back to it."""

    def __init__(self, namespace: Namespace, copied: dict[Any, Any], last: object) -> None:
        self.by_reference: list[str] = []
        """The names whose values are no copies, but the values themselves."""
        self._namespace = namespace
        self._copied = copied
        self._last = last

    def restore(self) -> None:
        """Give every name the value that it had. Once."""
        self._namespace.replace(self._copied, self._last)


class Copies:
    """Those of one session."""

    def __init__(self, namespace: Namespace, interrupts: Interrupts) -> None:
        self._namespace = namespace
        self._interrupts = interrupts

    def take(self, most_bytes: int, *, number: int) -> Undo:
        """Copy all the variables, for the job of that number.

        Raises CopyUnavailable, KeyboardInterrupt where the job was interrupted meanwhile.
        """
        copier = Copier(
            self._interrupts, most_bytes, is_called_off=lambda: self._interrupts.calls_off(number)
        )
        try:
            copied = copier.copy_names(self._namespace.names)
        except (TooLarge, MemoryError) as error:
            raise CopyUnavailable(str(error) or "there is no memory for a copy") from None
        undo = Undo(self._namespace, copied, copier.counterpart(self._namespace.last))
        undo.by_reference = copier.by_reference
        return undo
