"""Puts one attribute in the place of another for the length of a block.

Owns the putting back. Must not know what is replaced, nor why.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Within the block, ``owner.name`` is ``value``. Raises AttributeError where there is none."""
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)
