"""The lines of earlier prompts: a file that its user alone can read.

Owns where it is (XDG state directory) and that losing it never loses the prompt.
"""

from __future__ import annotations

import os
from pathlib import Path

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from pyrepl3.cli import descriptors

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


def history_path() -> Path:
    """``$XDG_STATE_HOME/pyrepl3/history``; a relative XDG_STATE_HOME counts as unset, by its
    specification."""
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return base / "pyrepl3" / "history"


class PrivateHistory(FileHistory):
    """A history whose file may become unwritable at any time."""

    def store_string(self, string: str) -> None:
        try:
            super().store_string(string)
        except OSError:
            return  # a full disk costs the history's new lines, and not the prompt


def open_history() -> History:
    """The history; in memory where there can be no file, which is said."""
    try:
        path = history_path()
        path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            os.fchmod(descriptor, PRIVATE_FILE)
        finally:
            os.close(descriptor)
    except (OSError, RuntimeError) as error:
        descriptors.say(f"pyrepl3: lines are not kept this time: {error}\n")
        return InMemoryHistory()
    return PrivateHistory(str(path))
