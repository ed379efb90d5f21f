"""Unit tests: the actor layer's public names, and that it stands alone."""

import ast
import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

import actors
import actors.testing

PACKAGE = Path(actors.__file__).parent
ALLOWED_BESIDES_THE_STANDARD_LIBRARY = {"attrs", "trio", "tricycle"}

NAMES = {
    "Actor",
    "ActorError",
    "ActorGone",
    "Address",
    "Alarm",
    "AlarmStatistics",
    "AlreadyAnswered",
    "AlreadyRunning",
    "Answer",
    "Backoff",
    "ChildNotRunning",
    "ChildOverdue",
    "ChildSpec",
    "Ending",
    "GaveUp",
    "Gone",
    "Inbox",
    "Misuse",
    "NO_BACKOFF",
    "NeverStarted",
    "NoReply",
    "Outcome",
    "Reply",
    "Restart",
    "RestartIntensity",
    "RestartIntensityExceeded",
    "StartChild",
    "Strategy",
    "Supervisor",
    "SupervisorStatistics",
    "UnknownChild",
    "ask",
    "ask_then_cancel",
    "close_mailbox",
    "open_body_nursery",
    "open_mailbox",
    "open_reply",
    "receive_more",
    "reply_to",
}

NAMES_FOR_TESTS = {
    "AT_MOST_MOMENTS",
    "CancelledRun",
    "CrashingActor",
    "Moment",
    "PlannedCrash",
    "Recorder",
    "TooManyMoments",
    "assert_no_tasks_left",
    "cancel_at_each_checkpoint",
}


def public_names(module: ModuleType) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }


def imported_by(file: Path) -> set[str]:
    """The first parts of the names of all modules outside the package that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).split(".")[0])
    return found


def test_the_package_has_exactly_these_public_names() -> None:
    assert public_names(actors) == NAMES


def test_the_helpers_for_tests_are_exactly_these() -> None:
    own = {
        name
        for name in public_names(actors.testing)
        if getattr(vars(actors.testing)[name], "__module__", "actors.testing") == "actors.testing"
        and name != "T"
    }

    assert own == NAMES_FOR_TESTS


def test_every_public_name_is_exported_as_itself() -> None:
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            assert all(alias.asname == alias.name for alias in node.names)


@pytest.mark.parametrize("file", sorted(PACKAGE.glob("*.py")), ids=lambda file: file.stem)
def test_each_module_imports_nothing_of_any_product(file: Path) -> None:
    allowed = ALLOWED_BESIDES_THE_STANDARD_LIBRARY | set(sys.stdlib_module_names)

    assert imported_by(file) <= allowed


@pytest.mark.parametrize("name", ["restart_budget", "supervision", "errors"])
def test_the_pure_modules_do_not_know_trio(name: str) -> None:
    imported = imported_by(PACKAGE / f"{name}.py")

    assert not imported & {"trio", "tricycle", "time", "random"}


@pytest.mark.parametrize("file", sorted(PACKAGE.glob("*.py")), ids=lambda file: file.stem)
def test_each_module_and_each_public_thing_says_what_it_is(file: Path) -> None:
    tree = ast.parse(file.read_text())
    things = [tree] + [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
    ]

    assert [thing for thing in things if not ast.get_docstring(thing)] == []


def test_every_error_has_a_code_of_its_own() -> None:
    errors = importlib.import_module("actors.errors")
    codes = [
        thing.code
        for thing in vars(errors).values()
        if isinstance(thing, type) and issubclass(thing, actors.ActorError)
    ]

    assert len(set(codes)) == len(codes)
