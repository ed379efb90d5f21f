"""End-to-end tests: undoing and redoing at the prompt of a service's session, on a terminal."""

from __future__ import annotations

from pathlib import Path

from .serve_driver import Serving
from .test_command_connect import Open, open_terminal, say, service

__all__ = ["open_terminal", "service"]


def test_it_is_as_in_an_own_session_and_cells_of_others_go_by_their_ids(
    service: Serving, open_terminal: Open, tmp_path: Path
) -> None:
    say(service, tmp_path, "session", "create", "--name", "mine")
    terminal = open_terminal("--connect", service.served.url, "--session", "mine")
    terminal.wait_prompt()
    assert "no history is kept" in terminal.enter("%undo")
    assert "from here on 5" in terminal.enter("%history 5")
    terminal.enter("word = 'one'")
    say(service, tmp_path, "exec", "mine", "-c", "word = 'two'")
    undone = say(service, tmp_path, "session", "undo", "mine").strip()
    assert f"{undone} (undone)" in terminal.enter("%history")
    assert f"[there again: {undone}]" in terminal.enter("%redo")
    assert f"[undone: {undone}]" in terminal.enter("%undo 1")
    assert "[undone: cell 1: word = 'one']" in terminal.enter("%undo")
    assert "NameError" in terminal.enter("word")


def test_what_is_undone_is_the_sessions_whoever_ran_it(
    service: Serving, open_terminal: Open, tmp_path: Path
) -> None:
    say(service, tmp_path, "session", "create", "--name", "mine")
    say(service, tmp_path, "session", "history", "mine", "--keep", "3")
    terminal = open_terminal("--connect", service.served.url, "--session", "mine")
    terminal.wait_prompt()
    terminal.enter("word = 'one'")
    terminal.enter("word = 'two'")
    say(service, tmp_path, "session", "undo", "mine")
    assert "\n'oneone'" in terminal.enter("word * 2")
    assert "nothing to redo" in terminal.enter("%redo")
