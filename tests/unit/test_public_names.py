"""Unit tests: what programs may import from pyrepl3, and nothing by accident."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pyrepl3

PUBLIC = [
    "AlreadyAnswered",
    "BadMessage",
    "Client",
    "Code",
    "CodeTooLarge",
    "Completeness",
    "Completion",
    "Config",
    "ConfigInvalid",
    "Display",
    "DroppedEntry",
    "EndpointConfig",
    "Error",
    "Event",
    "Execution",
    "ExecutionFailed",
    "ExecutionNotFound",
    "ForbiddenOrigin",
    "Gap",
    "History",
    "HistoryEntry",
    "HistoryTrimmed",
    "HostingConfig",
    "IdConflict",
    "InputRequested",
    "Inspection",
    "InternalError",
    "InterruptOutcome",
    "JournalConfig",
    "Limits",
    "Logs",
    "MessageTooLarge",
    "MisdirectedHost",
    "NameEntry",
    "NamespaceReport",
    "NoTransaction",
    "NotFound",
    "Output",
    "PoolConfig",
    "PoolDegraded",
    "PoolExhausted",
    "PoolStatistics",
    "PyreplError",
    "QueueFull",
    "RateLimited",
    "RemoteSession",
    "Result",
    "RichResult",
    "ServiceUnreachable",
    "Session",
    "SessionLost",
    "SessionNotFound",
    "ShuttingDown",
    "SnapshotInfo",
    "SnapshotNotFound",
    "SnapshotUnavailable",
    "Started",
    "Statistics",
    "StorageFull",
    "StorageIo",
    "Supervisor",
    "SyncClient",
    "SyncSession",
    "Template",
    "Timeouts",
    "TransactionActive",
    "Unauthorized",
    "Uncovered",
    "UnknownType",
    "UnsupportedVersion",
    "Usage",
    "WorkerSpawnFailed",
    "open_supervisor",
]


def test_these_names_are_public_and_no_others() -> None:
    assert sorted(PUBLIC) == sorted(pyrepl3.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_there_and_is_listed(name: str) -> None:
    assert getattr(pyrepl3, name) is not None
    assert name in dir(pyrepl3)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(pyrepl3.__file__).read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname: f"{statement.module}"
        for block in blocks
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }

    assert sorted(PUBLIC) == sorted(name for name in seen if name)
    assert seen == pyrepl3._HOME_OF


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sessions'"):
        _ = pyrepl3.Sessions


def test_importing_the_package_imports_nothing_else() -> None:
    code = (
        "import sys, pyrepl3; print([m for m in ('trio', 'attrs', 'msgpack') if m in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )

    assert done.stdout.strip() == "[]"
