"""Colours, where they are wanted: on a terminal, unless NO_COLOR is set (https://no-color.org)."""

from __future__ import annotations

import os

from pyrepl3.cli import descriptors


def wants_colour(descriptor: int) -> bool:
    """Whether what is written there may be coloured."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return descriptors.is_terminal(descriptor)


def coloured_traceback(text: str) -> str:
    """A traceback for the standard error."""
    if not wants_colour(descriptors.STDERR):
        return text
    from pygments import highlight  # type: ignore[import-untyped]
    from pygments.formatters import TerminalFormatter  # type: ignore[import-untyped]
    from pygments.lexers import PythonTracebackLexer  # type: ignore[import-untyped]

    coloured: str = highlight(text, PythonTracebackLexer(), TerminalFormatter())
    return coloured
