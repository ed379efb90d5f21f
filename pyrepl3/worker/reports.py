"""What an execution did to the session's names: which are new, which hold something else, which
are gone.

Owns the comparison of the names before and after. Holds nothing alive between the two but numbers,
short texts and modules: an object that the code lets go of is freed as ever. Must not know how an
object is looked at, nor messages beyond the one field.
"""

from _weakref import ref
from typing import Any

from .looks import Eyes, Kind, is_short, same_atom
from .values import cut, encodable

MOST_NAMES = 100
"""Of each of the three lists: what more there is, is counted."""
NAME_CHARACTERS = 200

_identity = object.__hash__

Report = dict[str, Any]
Names = dict[str, Any]
_Mark = tuple[Any, ...]


def is_told(name: object) -> bool:
    """Whether it is a name that people gave: not ``_``, ``__name__``, ``_private``."""
    return type(name) is str and name[:1] != "_"


class Before:
    """The names as they are when an execution begins; ``report`` tells what became of them."""

    def __init__(self, names: Names) -> None:
        eyes = Eyes()
        self._held: Names = {}
        self._marks: dict[str, _Mark] = {}
        # A copy: a finalizer, or another thread, may change them meanwhile.
        for name, value in names.copy().items():
            if is_told(name):
                kind = eyes.kind_of(value)
                if kind.is_atom and (kind.is_number or is_short(value, kind)):
                    self._held[name] = value
                else:
                    self._marks[name] = _mark(value, kind, eyes)

    def report(self, names: Names, *, is_undone: bool) -> Report:
        """What differs now. ``is_undone``: and is as it was before in a moment."""
        eyes = Eyes()
        lists = _Lists()
        now = names.copy()
        held, marks = self._held, self._marks
        for name, value in now.items():
            if name in held:
                if value is held[name] or same_atom(held[name], value):
                    continue
                lists.add("changed", name, value, eyes, is_modified=False)
            elif name in marks:
                difference = _difference(marks[name], value, eyes)
                if difference is not None:
                    lists.add("changed", name, value, eyes, is_modified=difference)
            elif is_told(name):
                lists.add("added", name, value, eyes, is_modified=False)
        for name in [each for each in held if each not in now]:
            lists.add("removed", name, held[name], eyes, is_modified=False)
        for name in [each for each in marks if each not in now]:
            _, kind, size, _ = marks[name]
            lists.add_entry("removed", name, kind.name, size, is_modified=False)
        return {**lists.lists, "omitted": lists.omitted, "is_undone": is_undone}


class _Lists:
    """The three lists, within their bounds."""

    def __init__(self) -> None:
        self.lists: dict[str, list[Report]] = {"added": [], "changed": [], "removed": []}
        self.omitted = 0

    def add(self, list_name: str, name: str, value: Any, eyes: Eyes, *, is_modified: bool) -> None:
        kind = eyes.kind_of(value)
        # Told of a hundred at most: not asked for those that are only counted.
        size = None
        if len(self.lists[list_name]) < MOST_NAMES:
            size = eyes.size_of(value, kind)
        self.add_entry(list_name, name, kind.name, size, is_modified=is_modified)

    def add_entry(
        self, list_name: str, name: str, kind: str, size: int | None, *, is_modified: bool
    ) -> None:
        entries = self.lists[list_name]
        if len(entries) >= MOST_NAMES:
            self.omitted += 1
            return
        entry: Report = {
            "name": encodable(cut(name, NAME_CHARACTERS)),
            "type": kind,
            "size_bytes": size,
        }
        if list_name == "changed":
            entry["is_modified"] = is_modified
        entries.append(entry)


def _mark(value: Any, kind: Kind, eyes: Eyes) -> _Mark:
    who = ref(value) if kind.is_weak else _identity(value)
    return who, kind, eyes.size_of(value, kind), eyes.inside_of(value, kind)


def _difference(mark: _Mark, value: Any, eyes: Eyes) -> bool | None:
    """None: none is seen. False: it is another object. True: it is the same, modified."""
    who, kind_before, size_before, inside_before = mark
    same = who() is value if kind_before.is_weak else who == _identity(value)
    if not same:
        return False
    kind = eyes.kind_of(value)
    if kind.name != kind_before.name or eyes.size_of(value, kind) != size_before:
        return True
    inside = eyes.inside_of(value, kind)
    return True if None not in (inside, inside_before) and inside != inside_before else None
