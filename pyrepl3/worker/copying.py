"""Copying variables: all of them with one memory of what is copied, so that aliases survive.

Owns the size limit, what is kept by reference, and that a value which cannot be copied leaves no
half of itself in the copies of others. Must not know sessions. User code runs here, in
``__deepcopy__``, ``__reduce_ex__`` and the like, only through ``call_user``.
"""

import sys
from collections.abc import Callable
from copy import deepcopy
from types import MethodDescriptorType, ModuleType
from typing import Any

from .interrupts import Interrupts, call_user
from .values import cut, encodable, is_a

MOST_NAMES = 1000
"""Of those kept by reference that are told: a message has its bounds."""
NAME_CHARACTERS = 200

_sizeof = sys.getsizeof
_plain_sizeof = object.__sizeof__
_mro_of = type.__dict__["__mro__"].__get__
_attributes_of = type.__dict__["__dict__"].__get__


class TooLarge(Exception):
    """It would take more than the limit; the text names both."""


class _Uncopyable(Exception):
    """Its copying has failed, by whatever its own code or that of its parts did."""


class Copier:
    """Makes one copy. ``is_called_off``: whether the service wants it no more."""

    def __init__(
        self, interrupts: Interrupts, most_bytes: int, *, is_called_off: Callable[[], bool]
    ) -> None:
        self._memo = _Memo(interrupts, most_bytes, is_called_off)
        self._most_bytes = most_bytes
        self._is_called_off = is_called_off
        self.by_reference: list[str] = []
        """The names of what could not be copied."""

    def copy_names(self, names: dict[Any, Any]) -> dict[Any, Any]:
        """The same names, with copies of their values.

        Raises TooLarge, MemoryError, KeyboardInterrupt where it is called off.
        """
        items = list(names.items())
        # Before the first byte of a large array is copied.
        at_once = sum(self._memo.size_of(value) for _, value in items if not _is_shared(value))
        self._memo.check_size(at_once)
        copied = dict(items)
        for name, value in items:
            if _is_shared(value) or (type(name) is str and name == "__builtins__"):
                continue
            try:
                copied[name] = self._copy(value)
            except _Uncopyable:
                self._note(name)
        return copied

    def counterpart(self, value: object) -> object:
        """What stands for that value among the copies: its copy, or itself."""
        return self._memo.get(id(value), value)

    def _copy(self, value: object) -> object:
        if self._is_called_off():
            raise KeyboardInterrupt
        memo = self._memo
        mark = memo.mark()
        try:
            return call_user(deepcopy, value, memo)
        except (TooLarge, MemoryError):
            raise
        except BaseException as error:
            if is_a(error, KeyboardInterrupt) and self._is_called_off():
                raise
            memo.forget_from(mark)
            raise _Uncopyable from None

    def _note(self, name: object) -> None:
        if len(self.by_reference) < MOST_NAMES:
            text = name if type(name) is str else "a name that is no text"
            self.by_reference.append(encodable(cut(text, NAME_CHARACTERS)))


class _Memo(dict[int, Any]):
    """What `deepcopy` remembers by: it counts, and is called off, object by object."""

    def __init__(
        self, interrupts: Interrupts, most_bytes: int, is_called_off: Callable[[], bool]
    ) -> None:
        # What is shared by all, wherever it is met: `deepcopy` refuses modules.
        super().__init__((id(module), module) for module in list(sys.modules.values()))
        self._interrupts = interrupts
        self._most_bytes = most_bytes
        self._is_called_off = is_called_off
        self._copied_bytes = 0
        self._last = 0, 0
        self._sizers: dict[type, Callable[[Any], int]] = {}
        # `deepcopy` keeps alive in it whatever it has copied.
        self._originals: list[Any] = []
        super().__setitem__(id(self), self._originals)

    def __setitem__(self, key: int, copied: Any) -> None:
        super().__setitem__(key, copied)
        self._count(key, copied)
        if self._is_called_off():
            raise KeyboardInterrupt
        if self._interrupts.pending:
            # It was put off while this ran, and the next object's copying may take long.
            self._interrupts.deliver()

    def _count(self, key: int, copied: Any) -> None:
        """Most objects come twice, before and behind what is in them. What has nothing in it, as
        an array, comes twice in a row, with all its bytes; others come empty at first."""
        size_bytes = self.size_of(copied)
        last_key, last_bytes = self._last
        self._copied_bytes += size_bytes - (last_bytes if key == last_key else 0)
        self._last = key, size_bytes
        self.check_size(self._copied_bytes)

    def check_size(self, size_bytes: int) -> None:
        """Raises TooLarge."""
        if size_bytes > self._most_bytes:
            raise TooLarge(
                f"a copy of its variables would take {size_bytes} bytes or more, and may take "
                f"{self._most_bytes}"
            )

    def size_of(self, value: object) -> int:
        """As `sys.getsizeof`, but for classes with a ``__sizeof__`` in Python, whose code may do
        anything: of these it is what their instance takes without it."""
        kind = type(value)
        sizer = self._sizers.get(kind)
        if sizer is None:
            sizer = self._sizers[kind] = _sizer_of(kind)
        try:
            return sizer(value)
        except Exception:  # a class of C code, of which nothing is known
            return _plain_sizeof(value)

    def mark(self) -> tuple[int, int, int]:
        """Where it stands, for `forget_from`."""
        return len(self), len(self._originals), self._copied_bytes

    def forget_from(self, mark: tuple[int, int, int]) -> None:
        """What was remembered since is half a copy, perhaps."""
        length, originals, self._copied_bytes = mark
        self._last = 0, 0
        while len(self) > length:
            self.popitem()
        del self._originals[originals:]


def _sizer_of(kind: type) -> Callable[[Any], int]:
    for base in _mro_of(kind):
        own = _attributes_of(base).get("__sizeof__")
        if own is not None:
            return _sizeof if type(own) is MethodDescriptorType else _plain_sizeof
    return _plain_sizeof


def _is_shared(value: object) -> bool:
    """Whether it is kept by reference silently: modules and classes, as functions are too."""
    return is_a(value, ModuleType) or is_a(value, type)
