"""Calling what a user handed us, be it a plain function or an async one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def call(function: Callable[P, T | Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """The function's result, awaited where it is awaitable."""
    result = function(*args, **kwargs)
    if isinstance(result, Awaitable):
        return await result
    return result
