"""Unit tests: who imports whom, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PURE = [
    "pyrepl3/cli/effects.py",
    "pyrepl3/cli/endings.py",
    "pyrepl3/cli/named_sessions.py",
    "pyrepl3/cli/remote_arguments.py",
    "pyrepl3/client/editing.py",
    "pyrepl3/client/execution.py",
    "pyrepl3/client/settings.py",
    "pyrepl3/config.py",
    "pyrepl3/config_checks.py",
    "pyrepl3/conformance/tlc_config.py",
    "pyrepl3/conformance/tlc_messages.py",
    "pyrepl3/effects.py",
    "pyrepl3/endpoint/access.py",
    "pyrepl3/endpoint/browser_access.py",
    "pyrepl3/endpoint/browser_requests.py",
    "pyrepl3/endpoint/connection_limits.py",
    "pyrepl3/endpoint/failures.py",
    "pyrepl3/endpoint/problems.py",
    "pyrepl3/errors.py",
    "pyrepl3/events.py",
    "pyrepl3/hosting/executions.py",
    "pyrepl3/hosting/inputs.py",
    "pyrepl3/hosting/refusals.py",
    "pyrepl3/journal/journal_state.py",
    "pyrepl3/pool/breaker.py",
    "pyrepl3/pool/demand.py",
    "pyrepl3/pool/pool_records.py",
    "pyrepl3/pool/pool_state.py",
    "pyrepl3/pool/pool_statistics.py",
    "pyrepl3/pool/refusals.py",
    "pyrepl3/remote/answers.py",
    "pyrepl3/remote/link_state.py",
    "pyrepl3/remote/told_errors.py",
    "pyrepl3/rest/answers.py",
    "pyrepl3/rest/docs_page.py",
    "pyrepl3/rest/openapi.py",
    "pyrepl3/rest/outcomes.py",
    "pyrepl3/rest/parameters.py",
    "pyrepl3/rest/wishes.py",
    "pyrepl3/service_config.py",
    "pyrepl3/session/refusals.py",
    "pyrepl3/session/session_records.py",
    "pyrepl3/session/session_state.py",
    "pyrepl3/telemetry/figures.py",
    "pyrepl3/telemetry/health.py",
    "pyrepl3/telemetry/log_lines.py",
    "pyrepl3/transport/at_risk.py",
    "pyrepl3/transport/output.py",
    "pyrepl3/transport/verdicts.py",
    "pyrepl3/wire/client_codec.py",
    "pyrepl3/wire/client_events.py",
    "pyrepl3/wire/client_requests.py",
    "pyrepl3/wire/frames.py",
    "pyrepl3/wire/worker_messages.py",
    "pyrepl3/wire/worker_reports.py",
    "actors/restart_budget.py",
    "actors/supervision.py",
]
"""Modules that decide: bytes, state and `now` go in, what to do comes out."""

IMPURE = {"trio", "socket", "select", "subprocess", "time", "threading"}
LAYERS = [
    "console",
    "wire",
    "journal",
    "transport",
    "snapshots",
    "session",
    "pool",
    "telemetry",
    "client",
    "hosting",
    "endpoint",
    "rest",
    "remote",
]
"""Lower ones first. Facts and vocabulary (config, errors, events, messages) are below them all."""


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path, *, at_run_time: bool = True) -> Iterator[str]:
    """The full names of the modules that a file imports, relative ones resolved."""
    package = path.relative_to(ROOT).parts[:-1]
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if at_run_time and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped.update(*(ast.walk(child) for child in node.body))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def roots(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path, at_run_time=False)}


def named(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("name", named(sources("actors")))
def test_actors_know_nothing_of_the_service(name: str) -> None:
    assert "pyrepl3" not in roots(ROOT / name)


@pytest.mark.parametrize("name", named(sources("pyrepl3/worker")))
def test_the_workers_files_need_nothing_of_the_service(name: str) -> None:
    """They run in interpreters that have neither it nor its packages."""
    path = ROOT / name
    # The user's own trio, for a template whose top-level await runs on it.
    allowed = {"trio"} if path.name == "trio_guest.py" else set()

    assert not roots(path) & {"trio", "attrs", "attr", "psutil", "tricycle", "actors"} - allowed


@pytest.mark.parametrize("name", named(sources("pyrepl3/worker")))
def test_the_workers_files_import_each_other_relatively(name: str) -> None:
    """They are found under a name of their own there."""
    path = ROOT / name
    statements = list(ast.walk(ast.parse(path.read_text())))
    absolute = [n.module for n in statements if isinstance(n, ast.ImportFrom) and not n.level]

    assert not any(module and module.startswith("pyrepl3") for module in absolute)
    assert all(
        module.startswith(("pyrepl3.worker", "pyrepl3.wire.frames")) or module == "pyrepl3.wire"
        for module in imported(path)
        if module.startswith("pyrepl3")
    )


@pytest.mark.parametrize("name", named(sources("pyrepl3/wire")))
def test_the_wire_is_bytes_alone(name: str) -> None:
    assert roots(ROOT / name) <= {
        "__future__",
        "attrs",
        "collections",
        "enum",
        "json",
        "math",
        "msgpack",
        "msgspec",
        "pyrepl3",
        "struct",
        "typing",
    }


def test_frames_need_the_standard_library_alone() -> None:
    assert roots(ROOT / "pyrepl3/wire/frames.py") <= {"struct", "typing", "__future__"}


@pytest.mark.parametrize("name", PURE)
def test_what_decides_waits_for_nothing_and_reads_no_clock(name: str) -> None:
    assert not roots(ROOT / name) & IMPURE


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_imports_only_those_below_it(layer: str) -> None:
    above = set(LAYERS[LAYERS.index(layer) + 1 :]) | {"supervisor", "conformance", "cli"}
    wrong = [
        f"{path.name} imports {module}"
        for path in sources(f"pyrepl3/{layer}")
        for module in imported(path)
        if module.startswith("pyrepl3.") and module.split(".")[1] in above
    ]

    assert wrong == []


def test_the_shared_vocabulary_imports_no_layer() -> None:
    shared = {
        "config",
        "config_checks",
        "effects",
        "errors",
        "events",
        "messages",
        "service_config",
    }
    for name in shared:
        modules = {
            m.split(".")[1] for m in imported(ROOT / f"pyrepl3/{name}.py") if "pyrepl3." in m
        }

        assert modules <= shared


def test_only_the_command_imports_the_command() -> None:
    package = sources("pyrepl3")
    # `python -m pyrepl3` is the command too.
    outside = [p for p in package if "cli" not in p.parts and p.name != "__main__.py"]
    wrong = [
        path.name
        for path in outside
        if "pyrepl3.cli" in {m[:11] for m in imported(path) if m[11:12] in ("", ".")}
    ]

    assert wrong == []


@pytest.mark.parametrize("name", named(sources("pyrepl3/conformance")))
def test_conformance_is_checked_without_the_service(name: str) -> None:
    """A recording, the names of its actions and the specs are all that it takes."""
    allowed = ("pyrepl3.pool.pool_trace", "pyrepl3.session.session_trace")
    modules = {m for m in imported(ROOT / name) if not m.startswith(allowed)}
    service = {*LAYERS, "supervisor", "cli"}

    assert "trio" not in roots(ROOT / name)
    assert not {m for m in modules if m.startswith("pyrepl3.") and m.split(".")[1] in service}


def test_only_the_command_imports_conformance() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in sources("pyrepl3")
        if not {"cli", "conformance"} & set(path.parts)
        and any(module.startswith("pyrepl3.conformance") for module in imported(path))
    ]

    assert wrong == []
