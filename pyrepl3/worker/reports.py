"""What an execution did to the session's names: which are new, which hold something else, which
are gone.

Owns the comparison of the names before and after. Holds nothing alive between the two but numbers,
short texts and modules: an object that the code lets go of is freed as ever. Must not know how an
object is looked at, nor messages beyond the one field.
"""

from _weakref import ref
from typing import Any

from .looks import Eyes, is_short, same_atom
from .values import cut, encodable

MOST_NAMES = 100
"""Of each of the three lists: what more there is, is counted."""
NAME_CHARACTERS = 200

_identity = object.__hash__

Report = dict[str, Any]
Names = dict[str, Any]
_Mark = tuple[Any, str, int | None, Any]
"""Which object it is, by a weak reference or, where it can have none, by its address; its type's
name, its size, and what is inside. Of an atom the atom itself, and nothing else."""
_HELD = ""
"""Instead of a type's name, in the mark of an atom."""


def is_told(name: object) -> bool:
    """Whether it is a name that people gave: not ``_``, ``__name__``, ``_private``."""
    return type(name) is str and name[:1] != "_"


class Look:
    """The names at one moment."""

    __slots__ = ("marks",)

    def __init__(self, names: Names) -> None:
        eyes = Eyes()
        self.marks: dict[str, _Mark] = {}
        # A copy: a finalizer, or another thread, may change them meanwhile.
        for name, value in names.copy().items():
            if is_told(name):
                kind = eyes.kind_of(value)
                if kind.is_atom and (kind.is_number or is_short(value, kind)):
                    self.marks[name] = (value, _HELD, None, None)
                else:
                    who = ref(value) if kind.is_weak else _identity(value)
                    size, inside = eyes.size_of(value, kind), eyes.inside_of(value, kind)
                    self.marks[name] = (who, kind.name, size, inside)


def report_of(before: Look, after: Look, *, is_undone: bool) -> Report:
    """What differs. ``is_undone``: and will be as it was before in a moment."""
    lists = _Lists()
    earlier, now = before.marks, after.marks
    for name, mark in now.items():
        if name in earlier:
            difference = _difference(earlier[name], mark)
            if difference is not None:
                lists.add("changed", name, mark, is_modified=difference)
        else:
            lists.add("added", name, mark)
    for name, mark in earlier.items():
        if name not in now:
            lists.add("removed", name, mark)
    return {**lists.lists, "omitted": lists.omitted, "is_undone": is_undone}


class _Lists:
    """The three lists, within their bounds."""

    def __init__(self) -> None:
        self.lists: dict[str, list[Report]] = {"added": [], "changed": [], "removed": []}
        self.omitted = 0

    def add(self, list_name: str, name: str, mark: _Mark, *, is_modified: bool = False) -> None:
        """One more, which holds what is marked."""
        entries = self.lists[list_name]
        if len(entries) >= MOST_NAMES:
            self.omitted += 1
            return
        value, type_name, size, _ = mark
        if type_name is _HELD:
            eyes = Eyes()
            kind = eyes.kind_of(value)
            type_name, size = kind.name, eyes.size_of(value, kind)
        entry: Report = {
            "name": encodable(cut(name, NAME_CHARACTERS)),
            "type": type_name,
            "size_bytes": size,
        }
        if list_name == "changed":
            entry["is_modified"] = is_modified
        entries.append(entry)


def _difference(before: _Mark, after: _Mark) -> bool | None:
    """None: none is seen. False: it is another object. True: it is the same, modified."""
    who, type_name, size, inside = before
    if type_name is _HELD and after[1] is _HELD:
        return None if same_atom(who, after[0]) else False
    # Not by == : weak references compare what they refer to, by code of the user's. An object has
    # one and the same for as long as we hold it.
    is_same = who is after[0] or (type(who) is type(after[0]) is int and who == after[0])
    if not is_same or _HELD in (type_name, after[1]):
        return False
    if type_name != after[1] or size != after[2]:
        return True
    was_seen = inside is not None and after[3] is not None
    return True if was_seen and inside != after[3] else None
