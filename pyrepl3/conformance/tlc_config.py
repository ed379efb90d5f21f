"""What a configuration file of TLC names.

Owns as much of its grammar as that takes; TLC itself says what is wrong with one. Pure.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Set

import attrs

_COMMENT = re.compile(r"\\\*[^\n]*|\(\*.*?\*\)", re.DOTALL)
_SYNONYMS = {
    "CONSTANT": "CONSTANTS",
    "INVARIANT": "INVARIANTS",
    "PROPERTY": "PROPERTIES",
    "CONSTRAINT": "CONSTRAINTS",
    "ACTION_CONSTRAINT": "ACTION_CONSTRAINTS",
}
_KEYWORDS = {
    *(*_SYNONYMS, *_SYNONYMS.values()),
    *("SPECIFICATION", "INIT", "NEXT", "VIEW", "SYMMETRY", "ALIAS", "CHECK_DEADLOCK"),
}


@attrs.frozen
class ModelConfig:
    """The definitions of the module that a configuration names, by what they are to TLC."""

    specification: str | None
    invariants: tuple[str, ...]
    properties: tuple[str, ...]
    others: tuple[str, ...]
    """Constraints, symmetry, view, alias, initial predicate and next-state relation."""


def read_config(text: str) -> ModelConfig:
    """Read the text of a ``.cfg`` file."""
    named: defaultdict[str, list[str]] = defaultdict(list)
    for keyword, words in _sections(text):
        named[keyword] += words
    invariants = tuple(named.pop("INVARIANTS", ()))
    properties = tuple(named.pop("PROPERTIES", ()))
    specification = "".join(named.pop("SPECIFICATION", ())) or None
    for unnamed in ("CONSTANTS", "CHECK_DEADLOCK"):
        named.pop(unnamed, None)
    others = tuple(name for names in named.values() for name in names)
    return ModelConfig(specification, invariants, properties, others)


def with_one_property(text: str, name: str) -> str:
    """The configuration, with no other property but this one."""
    return f"{_without(text, {'PROPERTIES'})}PROPERTIES {name}\n"


def without_checks(text: str) -> str:
    """The configuration, with nothing to check but for deadlocks."""
    return _without(text, {"INVARIANTS", "PROPERTIES"})


def _without(text: str, keywords: Set[str]) -> str:
    kept = [[keyword, *words] for keyword, words in _sections(text) if keyword not in keywords]
    return "".join(f"{' '.join(words)}\n" for words in kept)


def _sections(text: str) -> list[tuple[str, list[str]]]:
    """Each keyword, in its longer spelling, and the words up to the next one."""
    sections: list[tuple[str, list[str]]] = []
    for word in _COMMENT.sub(" ", text).split():
        if word in _KEYWORDS:
            sections.append((_SYNONYMS.get(word, word), []))
        elif sections:
            sections[-1][1].append(word)
    return sections
