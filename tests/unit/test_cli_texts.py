"""Unit tests: what the command says about itself is so."""

from __future__ import annotations

from pyrepl3.cli.texts import SESSION_HELP
from pyrepl3.config import Limits


def test_the_deadline_of_code_in_a_session_is_told_as_it_is() -> None:
    assert f": {Limits().execution_timeout_s:g} seconds, unless" in SESSION_HELP
