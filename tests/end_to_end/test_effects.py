"""End-to-end tests: what an execution tells of names, and of what no roll back undoes."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

import pyrepl3
from pyrepl3 import NameEntry, Uncovered

EXIT = "import os; os._exit(3)"
DRY = {"transaction_policy": "rollback_always"}


@pytest.fixture
async def supervisor() -> AsyncIterator[pyrepl3.Supervisor]:
    config = pyrepl3.Config(
        pool=pyrepl3.PoolConfig(min_idle=0, max_sessions=2),
        templates={
            "python": pyrepl3.Template(),
            "telling": pyrepl3.Template(report_namespace=True),
            "exec": pyrepl3.Template(spawn="exec"),
        },
    )
    async with pyrepl3.open_supervisor(config) as supervisor:
        yield supervisor


@pytest.fixture
async def session(supervisor: pyrepl3.Supervisor, tmp_path: Path) -> AsyncIterator[pyrepl3.Session]:
    async with supervisor.session(cwd=tmp_path) as session:
        yield session


def names(entries: tuple[NameEntry, ...]) -> list[str]:
    return [entry.name for entry in entries]


async def uncovered(session: pyrepl3.Session, code: str, **options: Any) -> list[tuple[str, str]]:
    """What is told of that code, which is not to fail."""
    execution = await session.run(code, **(options or {"guard": True}))
    execution.raise_for_error()
    assert execution.uncovered is not None
    return [(each.kind, each.detail) for each in execution.uncovered]


# --- names --------------------------------------------------------------------------------------


async def test_names_are_told_with_a_result_and_with_an_error(session: pyrepl3.Session) -> None:
    await session.run("x = 1; y = [1]; z = 1")

    done = await session.run("x = 2; y.append(2); new = {}; del z", report_namespace=True)
    failed = await session.run("w = 5; 1 / 0", report_namespace=True)

    assert done.namespace is not None
    assert names(done.namespace.added) == ["new"]
    assert [(each.name, each.is_modified) for each in done.namespace.changed] == [
        ("x", False),
        ("y", True),
    ]
    assert [(each.name, each.type) for each in done.namespace.removed] == [("z", "int")]
    assert done.namespace.added[0].size_bytes == 64
    assert failed.error is not None
    assert failed.namespace == failed.error.namespace
    assert failed.namespace is not None
    assert names(failed.namespace.added) == ["w"]
    assert not failed.namespace.is_undone


async def test_names_are_told_only_where_it_is_asked_for(supervisor: pyrepl3.Supervisor) -> None:
    async with supervisor.session() as session:
        assert (await session.run("x = 1")).namespace is None
    async with supervisor.session(report_namespace=True) as session:
        assert (await session.run("x = 1")).namespace
        assert (await session.run("x = 2", report_namespace=False)).namespace is None
        nothing = (await session.run("x")).namespace
    async with supervisor.session("telling") as session:
        assert (await session.run("x = 1")).namespace
    async with supervisor.session("telling", report_namespace=False) as session:
        assert (await session.run("x = 1")).namespace is None
    assert nothing is not None
    assert not nothing


@pytest.mark.parametrize("wish", [1, "yes"])
async def test_a_wish_that_is_none_is_refused(
    supervisor: pyrepl3.Supervisor, session: pyrepl3.Session, wish: Any
) -> None:
    with pytest.raises(pyrepl3.ConfigInvalid, match="report_namespace"):
        await session.run("1", report_namespace=wish)
    with pytest.raises(pyrepl3.ConfigInvalid, match="report_namespace"):
        async with supervisor.session(report_namespace=wish):
            raise AssertionError("it was taken")


async def test_a_dry_run_tells_what_it_would_have_done(session: pyrepl3.Session) -> None:
    await session.run("x = 1")

    tried = await session.run("x = 2; y = 3", report_namespace=True, **DRY)
    after = await session.run("x", report_namespace=True)

    assert tried.namespace is not None
    assert (names(tried.namespace.added), names(tried.namespace.changed)) == (["y"], ["x"])
    assert tried.namespace.is_undone
    assert after.value == 1
    assert not after.namespace


async def test_of_a_crash_nobody_is_left_to_tell_names(session: pyrepl3.Session) -> None:
    died = await session.run(f"x = 1; {EXIT}", guard=True, report_namespace=True)

    assert died.state == "rolled_back"
    assert died.namespace is None


async def test_code_that_breaks_its_builtins_is_reported_all_the_same(
    session: pyrepl3.Session,
) -> None:
    code = "import builtins, sys; vars(builtins).clear(); sys.modules.clear(); x = 1"

    broken = await session.run(code, report_namespace=True, guard=True)

    assert broken.namespace is not None
    assert "x" in names(broken.namespace.added)
    assert broken.uncovered == ()


async def test_what_nobody_asked_of_is_not_told_with_the_next(session: pyrepl3.Session) -> None:
    await session.run("x = 1", report_namespace=True)
    unasked = await session.run("y = 1")
    after = await session.run("z = 1", report_namespace=True)

    assert unasked.namespace is None
    assert after.namespace is not None
    assert names(after.namespace.added) == ["z"]


async def test_what_a_task_did_in_between_is_told_with_the_next(session: pyrepl3.Session) -> None:
    await session.run(
        "import asyncio\nlate = 1\n"
        "async def later():\n    global late\n    await asyncio.sleep(0.1)\n    late = 2"
    )
    begun = "await asyncio.sleep(0); task = asyncio.ensure_future(later())"
    told = await session.run(begun, report_namespace=True)
    await trio.sleep(0.5)  # to ask whether it is done would be an execution, too
    after = await session.run("pass", report_namespace=True)

    assert told.namespace is not None
    assert not told.namespace.changed
    assert after.namespace is not None
    assert names(after.namespace.changed) == ["late"]


async def test_after_a_roll_back_names_are_compared_with_what_is_back(
    session: pyrepl3.Session,
) -> None:
    await session.run("x = [1]; y = 1", report_namespace=True)
    await session.run("x = [2]; y = 2; z = 2", report_namespace=True, **DRY)
    nothing = await session.run("pass", report_namespace=True)
    await session.run(f"x = [3]; {EXIT}", report_namespace=True, guard=True)
    again = await session.run("y = 3", report_namespace=True)

    assert nothing.namespace == pyrepl3.NamespaceReport()
    assert again.namespace is not None
    assert names(again.namespace.changed) == ["y"]


# --- what no roll back undoes -------------------------------------------------------------------


async def test_nothing_is_told_without_a_snapshot(session: pyrepl3.Session) -> None:
    assert (await session.run("open('x', 'w').close()")).uncovered is None
    assert await uncovered(session, "1 + 1") == []


async def test_files_that_are_written_removed_and_renamed(
    session: pyrepl3.Session, tmp_path: Path
) -> None:
    code = (
        "import os, pathlib\n"
        "open('a', 'w').close()\n"
        "pathlib.Path('b').write_text('b')\n"
        "os.rename('b', 'c')\n"
        "os.remove('c')\n"
        "os.mkdir('d'); os.rmdir('d')\n"
        "os.truncate('a', 5)\n"
        "os.symlink('a', 'e')\n"
        "os.chmod('a', 0o600)\n"
        "for _ in range(3): open(b'a', 'ab').close()\n"
        "open('a').close(); open('/dev/null', 'w').close()\n"
    )

    told = await uncovered(session, code, **DRY)

    assert told == [
        ("file_written", f"{tmp_path}/a"),
        ("file_written", f"{tmp_path}/b"),
        ("file_renamed", f"{tmp_path}/b -> {tmp_path}/c"),
        ("file_removed", f"{tmp_path}/c"),
        ("directory_made", f"{tmp_path}/d"),
        ("directory_removed", f"{tmp_path}/d"),
        ("file_linked", f"{tmp_path}/e"),
        ("file_changed", f"{tmp_path}/a"),
    ]
    assert (tmp_path / "a").stat().st_size == 5


async def test_what_is_named_from_another_directory(
    session: pyrepl3.Session, tmp_path: Path
) -> None:
    (tmp_path / "d" / "inner").mkdir(parents=True)
    (tmp_path / "d" / "inner" / "f").touch()

    told = await uncovered(session, "import shutil; shutil.rmtree('d')")

    assert told == [
        ("file_removed", f"{tmp_path}/d/inner/f"),
        ("directory_removed", f"{tmp_path}/d/inner"),
        ("directory_removed", f"{tmp_path}/d"),
    ]


async def test_a_file_that_was_open_before_and_has_grown(
    session: pyrepl3.Session, tmp_path: Path
) -> None:
    await session.run("f = open('log', 'w')")

    buffered = await uncovered(session, "f.write('x')")
    written = await uncovered(session, "f.flush()")

    assert buffered == []
    assert written == [("file_written", f"{tmp_path}/log")]


async def test_a_file_that_c_code_has_opened(session: pyrepl3.Session, tmp_path: Path) -> None:
    code = "import ctypes\nctypes.CDLL(None).open(b'of_c', 0o101, 0o600)"

    assert await uncovered(session, code) == [("file_written", f"{tmp_path}/of_c")]


async def test_a_database(session: pyrepl3.Session, tmp_path: Path) -> None:
    code = "import sqlite3; sqlite3.connect('data'); sqlite3.connect(':memory:')"

    told = await uncovered(session, code)

    assert ("database_opened", f"{tmp_path}/data") in told
    assert not any("memory" in detail for _, detail in told)


async def test_modules_that_are_imported_write_caches_which_are_not_told(
    session: pyrepl3.Session, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("x = 1")

    told = await uncovered(session, "import sys; sys.path.insert(0, ''); import mine")

    assert told == []


async def test_connections_also_those_that_are_closed_again(session: pyrepl3.Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        host, port = address.split(":")
        code = f"import socket; socket.create_connection(({host!r}, {port})).close()"
        closed = await uncovered(session, code)
        opened = await uncovered(session, code.replace("socket.create", "s = socket.create")[:-8])
        sent = await uncovered(
            session,
            f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ({host!r}, {port}))",
        )

    assert closed == opened == [("socket_connected", address)]
    assert sent == [("datagram_sent", address)]


async def test_child_processes_also_those_that_have_ended(session: pyrepl3.Session) -> None:
    told = await uncovered(session, "import subprocess; _ = subprocess.run(['true', 'a'])")
    left = await uncovered(session, "p = subprocess.Popen(['sleep', '60'])")
    pid = (await session.run("p.pid")).value
    shell = await uncovered(session, "import os; _ = os.system('exit 0')")

    assert told == [("process_started", "true a")]
    assert left[0] == ("process_started", "sleep 60")
    assert left[1][0] == "process_running"
    assert left[1][1].startswith(f"pid {pid}: ")
    assert shell == [("process_started", "exit 0")]


async def test_a_thread_that_goes_on(session: pyrepl3.Session) -> None:
    code = (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,), name='poller', daemon=True).start()"
    )

    assert await uncovered(session, code) == [("thread_running", "poller")]


async def test_executions_of_a_transaction_tell_it_each(
    session: pyrepl3.Session, tmp_path: Path
) -> None:
    await session.begin()
    first = await session.run("open('a', 'w').close()")
    second = await session.run("open('b', 'w').close(); 1 / 0")
    await session.rollback()
    after = await session.run("open('c', 'w').close()")

    assert first.uncovered == (Uncovered("file_written", f"{tmp_path}/a"),)
    assert second.uncovered == (Uncovered("file_written", f"{tmp_path}/b"),)
    assert after.uncovered is None


async def test_a_branch_of_a_session_tells_its_own(
    supervisor: pyrepl3.Supervisor, tmp_path: Path
) -> None:
    async with supervisor.session(cwd=tmp_path, report_namespace=True, guard=True) as session:
        await session.run("x = [1]")
        (branch,) = await session.fork(1)
        told = await branch.run("x.append(2); open('a', 'w').close()")
        died = await branch.run(f"open('b', 'w').close(); {EXIT}")
        other = await session.run("y = 1")

    assert told.namespace is not None
    assert names(told.namespace.changed) == ["x"]
    assert told.uncovered == (Uncovered("file_written", f"{tmp_path}/a"),)
    assert (died.state, died.uncovered) == (
        "rolled_back",
        (Uncovered("file_written", f"{tmp_path}/b"),),
    )
    assert other.namespace is not None
    assert (names(other.namespace.added), names(other.namespace.changed)) == (["y"], [])
    assert other.uncovered == ()


async def test_there_is_a_bound_and_the_rest_is_counted(session: pyrepl3.Session) -> None:
    told = await uncovered(session, "for n in range(60): open(f'f{n}', 'w').close()")

    assert len(told) == 51
    assert told[-1] == ("more", "10")


async def test_what_has_no_descriptor_left_is_told_from_what_was_noted(
    session: pyrepl3.Session, tmp_path: Path
) -> None:
    code = "import os; open('a', 'w').close(); held = []\ntry:\n while 1: held.append(os.dup(0))\n"

    told = await uncovered(session, code + "except OSError: pass")

    assert told == [("file_written", f"{tmp_path}/a")]


async def test_an_endless_loop_of_what_is_noted_is_interrupted(session: pyrepl3.Session) -> None:
    for code in ("while True: id(1)", "while True: open('a', 'w').close()"):
        ended = await session.run(code, timeout_s=0.3, guard=True)

        assert ended.error is not None
        assert (ended.error.code, ended.error.state) == ("EXECUTION_TIMEOUT", "kept")


CRASHES = [
    EXIT,
    "import ctypes; ctypes.string_at(0)",
    "import os; os.kill(os.getpid(), 9)",
    "import os; os.write(3, b'garbage')\nwhile True: pass",
]


@pytest.mark.parametrize("crash", CRASHES)
async def test_of_a_crash_it_is_known_what_python_did_until_then(
    session: pyrepl3.Session, tmp_path: Path, crash: str
) -> None:
    died = await session.run(f"open('a', 'w').close()\n{crash}", guard=True)
    again = await session.run(EXIT, guard=True)
    lost = await session.run(f"open('b', 'w').close()\n{EXIT}")

    assert died.error is not None
    assert died.state == again.state == "rolled_back"
    assert died.uncovered == (Uncovered("file_written", f"{tmp_path}/a"),)
    assert again.uncovered == ()
    assert (lost.state, lost.uncovered) == ("lost", None)


async def test_of_a_crash_what_there_was_no_room_for_is_counted(session: pyrepl3.Session) -> None:
    code = f"for n in range(500): open(f'{'f' * 50}{{n}}', 'w').close()\n{EXIT}"

    died = await session.run(code, guard=True)

    assert died.uncovered is not None
    told = len(died.uncovered) - 1
    assert told > 10
    assert died.uncovered[-1] == Uncovered("more", str(500 - told))


async def test_a_forked_child_notes_nothing(session: pyrepl3.Session, tmp_path: Path) -> None:
    code = (
        "import os\n"
        "if not (pid := os.fork()):\n"
        "    open('of_child', 'w').close(); os._exit(0)\n"
        "os.waitpid(pid, 0)[1]"
    )
    told = await uncovered(session, code)
    died = await session.run(f"{code}\n{EXIT}", guard=True)

    assert (tmp_path / "of_child").exists()
    assert told == [("process_started", "a fork of this one")]
    assert died.uncovered == (Uncovered("process_started", "a fork of this one"),)


async def test_arguments_that_are_none_are_refused_by_who_is_called(
    session: pyrepl3.Session,
) -> None:
    ended = await session.run(
        "class Path:\n def __fspath__(self): raise ZeroDivisionError\nopen(Path(), 'w')", guard=True
    )

    assert ended.error is not None
    assert ended.error.name == "ZeroDivisionError"
    assert ended.uncovered == ()
