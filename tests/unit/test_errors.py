"""Unit tests: every code means something, has somebody who gives it, and is told well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import pyrepl3
from pyrepl3 import errors
from pyrepl3.errors import CODES, Code, ExecutionFailed, PyreplError
from pyrepl3.events import Error


def exceptions() -> Iterator[type[PyreplError]]:
    waiting = [PyreplError]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        if kind is not PyreplError and kind.__module__.startswith("pyrepl3."):
            yield kind


def of(kind: type[PyreplError]) -> PyreplError:
    return kind(what="the thing failed", why="it was tried", how="Do not try", details={"n": 1})


@pytest.mark.parametrize("code", Code)
def test_every_code_has_its_meaning(code: Code) -> None:
    info = CODES[code]

    assert code.value == code.name == str(code)
    assert info.http_status in range(200, 600)
    assert info.websocket
    assert info.meaning


def test_no_meaning_is_without_its_code() -> None:
    assert set(Code) == set(CODES)


def test_what_may_be_tried_again_has_a_status_that_says_so() -> None:
    assert {429, 503, 507} == {info.http_status for info in CODES.values() if info.retryable}


def test_each_exception_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in exceptions()]

    assert sorted(set(codes)) == sorted(codes)
    assert all("code" in vars(kind) for kind in exceptions())


def test_each_exception_is_named_as_its_code() -> None:
    expected = {kind.code.replace("_", "").lower() for kind in exceptions()}

    assert expected == {kind.__name__.lower() for kind in exceptions()}


def test_no_code_is_dead() -> None:
    """Each is that of an exception, or is given to an `Error` somewhere."""
    package = Path(pyrepl3.__file__).parent
    source = "".join(
        path.read_text() for path in package.rglob("*.py") if path != Path(errors.__file__)
    )
    raised = {kind.code for kind in exceptions()}
    given = {code for code in Code if f"Code.{code}" in source or f'"{code}"' in source}

    assert set(Code) == raised | given


@pytest.mark.parametrize("kind", list(exceptions()))
def test_each_exception_can_be_imported_from_the_top(kind: type[PyreplError]) -> None:
    assert kind is getattr(pyrepl3, kind.__name__)


@pytest.mark.parametrize("kind", list(exceptions()))
def test_an_error_tells_what_why_and_how(kind: type[PyreplError]) -> None:
    error = of(kind)

    assert f"[{kind.code}] the thing failed: it was tried. Do not try" == str(error)
    assert error.details == {"n": 1}
    assert CODES[kind.code].retryable is error.retryable


def test_an_impossible_setting_is_a_value_error_too() -> None:
    assert isinstance(of(errors.ConfigInvalid), ValueError)


def test_details_are_a_copy() -> None:
    details = {"n": 1}
    error = errors.QueueFull(what="w", why="y", how="h", details=details)
    details["n"] = 2

    assert error.details == {"n": 1}


def execution_error(value: str, traceback: list[str]) -> Error:
    return Error("e", "ValueError", value, traceback, None, "kept")


def test_a_failed_execution_shows_its_traceback() -> None:
    error = execution_error("bad", ["Traceback:\n", "ValueError: bad\n"])
    failed = ExecutionFailed(error)

    assert str(failed) == "Traceback:\nValueError: bad\n"
    assert error is failed.error


@pytest.mark.parametrize(("value", "expected"), [("bad", "ValueError: bad"), ("", "ValueError")])
def test_a_failed_execution_without_a_traceback_shows_its_name(value: str, expected: str) -> None:
    assert expected == str(ExecutionFailed(execution_error(value, [])))


def test_a_failed_execution_is_no_refused_request() -> None:
    assert not issubclass(ExecutionFailed, PyreplError)
