"""Checks of configured values: what each must be, and what is said where it is not.

Pure. Owns the words and the bounds that several settings share. Must not know any one setting.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import attrs

from pyrepl3.errors import ConfigInvalid


def invalid(name: str, value: object, why: str, how: str) -> ConfigInvalid:
    """The refusal of one value."""
    return ConfigInvalid(
        what=f"{name}={value!r} is not possible",
        why=why,
        how=how,
        details={"field": name, "value": repr(value)},
    )


GREATEST_COUNT = 2**31 - 1
"""Of anything that is counted: more is a slip, and the model checker's numbers end there."""


def check_number(name: str, value: object, *, minimum: float, whole: bool) -> None:
    """A finite number of at least ``minimum``. Raises ConfigInvalid."""
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        kind = "a whole number" if whole else "a number"
        raise invalid(name, value, f"it must be {kind}", f"Give {kind} of at least {minimum}")
    if math.isnan(value) or math.isinf(value):
        raise invalid(name, value, "it must be finite", "Give a finite number")
    if value < minimum:
        raise invalid(name, value, f"the least is {minimum}", f"Give {minimum} or more")


def number(
    minimum: float,
    *,
    whole: bool = False,
    optional: bool = False,
    maximum: float = math.inf,
) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    """A validator for a finite number of at least ``minimum``; None passes where optional."""

    def validate(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is None and optional:
            return
        name = f"{type(instance).__name__}.{attribute.name}"
        check_number(name, value, minimum=minimum, whole=whole)
        assert isinstance(value, int | float)
        if value > maximum:
            raise invalid(name, value, f"the most is {maximum}", f"Give {maximum} or less")

    return validate


count = number(1, whole=True, maximum=GREATEST_COUNT)
byte_count = number(1, whole=True)
count_or_none = number(1, whole=True, optional=True)
seconds = number(0.001)


def lowered(value: Any) -> Any:
    """A tuple of names in lower case; what is something else is for the validator."""
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(name.lower() if isinstance(name, str) else name for name in value)
    return value


def host_name(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """A name of a machine, or an address."""
    if not isinstance(value, str) or not value:
        name = f"{type(instance).__name__}.{attribute.name}"
        raise invalid(name, value, "it must be a name or an address", 'Give one, as "127.0.0.1"')


def truth(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """True or False, and nothing that only passes for it."""
    if not isinstance(value, bool):
        name = f"{type(instance).__name__}.{attribute.name}"
        raise invalid(name, value, "it must be True or False", "Give one of these")


def names(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Some names, none of them empty."""
    if isinstance(value, tuple) and all(isinstance(name, str) and name for name in value):
        return
    name = f"{type(instance).__name__}.{attribute.name}"
    raise invalid(name, value, "it must be a list of names", 'Give a list, as ["example.org"]')


def path_text(value: Any) -> Any:
    """A `Path` as the string it stands for; what is none is left for the check."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def check_path(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """A path, be there a file or not; None is none."""
    if value is None:
        return
    name = f"{type(instance).__name__}.{attribute.name}"
    if not isinstance(value, str):
        raise invalid(name, value, "a path is a string or a Path", "Give one of these")
    if not value or "\0" in value:
        raise invalid(name, value, "no file can have this path", "Change it")


def instance_of(
    kind: type[Any], *, optional: bool = False
) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    """A validator for a part that has a class of its own."""

    def validate(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not (isinstance(value, kind) or (optional and value is None)):
            name = f"{type(instance).__name__}.{attribute.name}"
            made = f"pyrepl3.{kind.__name__}(...)"
            raise invalid(name, value, f"it must be a {made}", f"Give {made}")

    return validate


def one_of(*choices: str) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    """A validator for a choice of some words."""

    def validate(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in choices:
            name = f"{type(instance).__name__}.{attribute.name}"
            raise invalid(
                name,
                value,
                "there is no such choice",
                f"Choose one of {', '.join(map(str, choices))}",
            )

    return validate
