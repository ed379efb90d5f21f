"""What can be seen of an object from outside, without running any code of the user's.

Owns which functions are trusted with a user's object: those of built-in types, and those that C
code has put into a class (slots' methods and descriptors). ``__sizeof__``, ``nbytes``, ``__len__``,
``__eq__`` and properties that are written in Python are never called: they may lie, raise or hang.
Must not know names, nor executions.
"""

import sys
from collections import deque
from collections.abc import Callable
from types import (
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from .values import cut, encodable, true_name

LOOKED_INTO = 32
"""The most elements, keys or attributes of one object that are looked at, one level deep."""
LOOKED_AT = 4_000
"""Of all objects in one look: what comes after that is known by its size alone."""
SAMPLED = 64
"""Items of an array, evenly spread: to read all of a large one takes milliseconds."""
SHORT = 1024
"""The longest text that is compared as a whole."""
TYPE_CHARACTERS = 200

_mro_of = type.__dict__["__mro__"].__get__
_dict_of = type.__dict__["__dict__"].__get__
_weak_offset_of = type.__dict__["__weakrefoffset__"].__get__
_identity = object.__hash__
"""As ``id`` tells them apart, without the audit event that each call of that raises."""
_getsizeof = sys.getsizeof
_NUMBERS = frozenset({int, float, complex, bool, type(None)})
_TEXTS = frozenset({str, bytes})
_DESCRIPTORS = (GetSetDescriptorType, MemberDescriptorType)

Inside = Any
"""What an object holds, as far as it was looked at. To be compared; None: it was not looked at."""


class Kind:
    """One class, as its objects are looked at."""

    __slots__ = ("inside", "is_atom", "is_number", "is_weak", "name", "nbytes", "tells_size")

    def __init__(self, kind: type) -> None:
        self.name = encodable(cut(true_name(kind), TYPE_CHARACTERS))
        self.is_number = kind in _NUMBERS
        self.is_atom = self.is_number or kind in _TEXTS or kind is ModuleType
        """Whether to hold one keeps nothing else alive, and nothing notices."""
        self.is_weak = not self.is_atom and bool(_weak_offset_of(kind))
        self.tells_size = type(_found(kind, "__sizeof__")) is MethodDescriptorType
        self.nbytes: Callable[[Any], Any] | None = _reader(kind, "nbytes")
        self.inside = _inside_of(kind)
        if _is_frame(kind):
            self.nbytes, self.inside = _frame_bytes, _frame_samples


class Eyes:
    """One look at many objects. Remembers their classes, so it is not to be kept."""

    def __init__(self) -> None:
        self._kinds: dict[type, Kind] = {}
        self._left = LOOKED_AT

    def kind_of(self, value: object) -> Kind:
        """Its class."""
        kind = type(value)
        known = self._kinds.get(kind)
        if known is None:
            known = self._kinds[kind] = Kind(kind)
        return known

    def size_of(self, value: object, kind: Kind) -> int | None:
        """Its own bytes, of an array with its data; None where only Python code could tell."""
        try:
            if kind.nbytes is not None:
                size = kind.nbytes(value)
                if type(size) is int and size >= 0:
                    return size
            return _getsizeof(value) if kind.tells_size else None
        except Exception:
            return None  # C code may refuse, too: a memoryview that is released

    def inside_of(self, value: object, kind: Kind) -> Inside:
        """What it holds, one level deep, in a form that keeps none of it alive."""
        if kind.inside is None or self._left <= 0:
            return None
        try:
            inside, count = kind.inside(value)
        except Exception:
            return None  # another thread changes it meanwhile, say
        self._left -= count
        return inside


def same_atom(one: object, other: object) -> bool:
    """Whether two atoms are the same object, or equal: nobody could tell them apart then."""
    return one is other or (
        type(one) is type(other) and type(one) is not ModuleType and bool(one == other)
    )


def is_short(value: Any, kind: Kind) -> bool:
    """Whether an atom is small enough to be held and compared as a whole."""
    return kind.is_number or type(value) is ModuleType or len(value) <= SHORT


def _found(kind: type, name: str) -> Any:
    """What objects of that class find by a name in it; never asks its metaclass."""
    for each in _mro_of(kind):
        names = _dict_of(each)
        if name in names:
            return names[name]
    return None


def _reader(kind: type, name: str) -> Callable[[Any], Any] | None:
    """What reads that attribute by C code alone; None where it cannot be had so."""
    descriptor = _found(kind, name)
    return descriptor.__get__ if type(descriptor) in _DESCRIPTORS else None


def read(value: object, name: str) -> Any:
    """That attribute, by C code alone. Raises TypeError where it cannot be had so."""
    reader = _reader(type(value), name)
    if reader is None:
        raise TypeError(f"its {name} are given by Python code")
    return reader(value)


# --- what is inside -----------------------------------------------------------------------------


def _inside_of(kind: type) -> Callable[[Any], tuple[Inside, int]] | None:
    mro = _mro_of(kind)
    for base in mro:
        look = _CONTAINERS.get(base)
        if look is not None:
            return look
    if type in mro:
        return lambda value: _entries(_dict_of(value))
    if kind in _TEXTS:
        return _ends
    nbytes = _dict_of(kind).get("nbytes")
    if kind is bytearray or (type(nbytes) is GetSetDescriptorType and _is_buffer(kind)):
        return _sample
    attributes = _found(kind, "__dict__")
    if type(attributes) is GetSetDescriptorType and kind is not ModuleType:
        return lambda value: _attributes(attributes.__get__(value))
    return None


def _is_buffer(kind: type) -> bool:
    return kind is not memoryview and type(_found(kind, "__buffer__")) in (
        WrapperDescriptorType,
        type(None),  # Python 3.11 does not tell, and lets no Python code give one
    )


def _element(value: Any) -> Any:
    """It, told apart from others: by its value where that is cheap, else by its identity."""
    kind = type(value)
    if kind in _NUMBERS:
        return value
    if kind in _TEXTS and len(value) <= SHORT:
        return hash(value)
    return _identity(value)


def _row(get_length: Any, get_items: Any) -> Callable[[Any], tuple[Inside, int]]:
    def look(value: Any) -> tuple[Inside, int]:
        length = get_length(value)
        if length > LOOKED_INTO:
            return length, 1
        return (length, *map(_element, get_items(value))), length

    return look


def _entries(names: Any) -> tuple[Inside, int]:
    """Of a dict, or of a class's read-only view of its own."""
    length = len(names)
    if length > LOOKED_INTO:
        return length, 1
    inside: list[Any] = [length]
    for key, value in names.items():
        inside += (_element(key), _element(value))
    return tuple(inside), length


def _dict_entries(value: Any) -> tuple[Inside, int]:
    length = dict.__len__(value)
    if length > LOOKED_INTO:
        return length, 1
    inside: list[Any] = [length]
    for key, each in dict.items(value):
        inside += (_element(key), _element(each))
    return tuple(inside), length


def _attributes(names: Any) -> tuple[Inside, int]:
    return _dict_entries(names) if type(names) is dict else (None, 0)


def _ends(value: Any) -> tuple[Inside, int]:
    """Of a long text, which is another object in any case where it differs."""
    return (len(value), hash(value[:SAMPLED]), hash(value[-SAMPLED:])), 1


def _sample(value: Any) -> tuple[Inside, int]:
    with memoryview(value) as view:
        if not view.c_contiguous or not view.nbytes:
            return (view.shape, view.format), 1
        with view.cast("B") as raw, raw.cast(view.format) as flat:  # type: ignore[call-overload]
            step = max(1, len(flat) // SAMPLED)
            return (view.shape, view.format, flat[::step].tobytes()), 1


# --- frames of pandas, whose own attributes are Python code: their blocks are not ----------------


def _is_frame(kind: type) -> bool:
    # By its name: who takes that for a class of their own has it read in the same harmless way.
    for each in _mro_of(kind):
        if true_name(each) == "NDFrame":
            module = _dict_of(each).get("__module__")
            return type(module) is str and module == "pandas.core.generic"
    return False


def _blocks_of(frame: Any) -> list[Any]:
    """The arrays of its columns. Raises TypeError where they are not as they are known to be."""
    manager = read(frame, "__dict__")["_mgr"]
    return [read(block, "values") for block in read(manager, "blocks")]


def _frame_bytes(frame: Any) -> int:
    return sum(read(array, "nbytes") for array in _blocks_of(frame))


def _frame_samples(frame: Any) -> tuple[Inside, int]:
    arrays = _blocks_of(frame)
    if len(arrays) > LOOKED_INTO:
        return tuple(map(_identity, arrays)), 1
    samples = [
        _sample(each)[0] if _inside_of(type(each)) is _sample else _identity(each)
        for each in arrays
    ]
    return tuple(samples), len(arrays)


_CONTAINERS: dict[type, Callable[[Any], tuple[Inside, int]]] = {
    dict: _dict_entries,
    list: _row(list.__len__, list.__iter__),
    tuple: _row(tuple.__len__, tuple.__iter__),
    set: _row(set.__len__, set.__iter__),
    frozenset: _row(frozenset.__len__, frozenset.__iter__),
    deque: _row(deque.__len__, deque.__iter__),
}
