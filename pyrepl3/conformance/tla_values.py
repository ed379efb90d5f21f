"""Python's plain values as TLA+ writes them.

Pure: owns the notation. Must not know what the values mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

NOTHING = '"none"'
"""None, in a language that has no such value: the specs compare with this string."""

CHUNK = 500
"""Elements that one definition holds: TLC's parser nests, and a long sequence in one expression
exhausts its stack."""


def tla(value: object) -> str:
    """The TLA+ expression for a str, int, bool, None, list, tuple, frozenset, or dict with names.

    Raises TypeError for anything else: a float, above all, has no counterpart.
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        return _record(value)
    if isinstance(value, frozenset):
        return "{" + ", ".join(sorted(map(tla, value))) + "}"
    if isinstance(value, list | tuple):
        return "<<" + ", ".join(map(tla, value)) + ">>"
    raise TypeError(f"TLA+ has no value for a {type(value).__name__}: {value!r}")


def definitions(name: str, values: Sequence[object]) -> str:
    """Define ``name`` as the sequence of these values, in parts that the parser can take."""
    parts = [f"{name}_{index}" for index in range(-(-len(values) // CHUNK))]
    lines: list[str] = []
    for index, part in enumerate(parts):
        chunk = values[index * CHUNK : (index + 1) * CHUNK]
        lines.append(f"{part} == <<\n" + ",\n".join(map(tla, chunk)) + ">>")
    lines.append(f"{name} == " + (_joined(parts) or "<<>>"))
    return "\n".join(lines) + "\n"


def _joined(parts: Iterable[str]) -> str:
    return " \\o ".join(parts)


def _quoted(text: str) -> str:
    """A string literal. TLA+ knows few escapes, so whatever is not plain ASCII is told by code."""
    plain = (
        character
        if " " <= character <= "~" and character not in '"\\?'
        else f"?{ord(character):x}?"
        for character in text
    )
    return '"' + "".join(plain) + '"'


def _record(fields: Mapping[object, object]) -> str:
    """A record, its fields in the order of their names, so that equal ones are written equally."""
    if not fields:
        raise TypeError("TLA+ has no empty record")
    names = sorted(map(str, fields))
    return "[" + ", ".join(f"{name} |-> {tla(fields[name])}" for name in names) + "]"
