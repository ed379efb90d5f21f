"""End-to-end tests: code that breaks the process around it (rows 23 to 31)."""

from __future__ import annotations

import psutil
import pytest
import trio

import pyrepl3

from .oracle import (
    Told,
    assert_lost,
    assert_usable,
    eventually,
    follow,
    small_config,
    wait_ended,
    watched_supervisor,
)

BOUND_S = 5.0

FRAME = """if True:
    import msgpack, os
    def send(message, descriptor=3):
        body = msgpack.packb(message, use_bin_type=True)
        os.write(descriptor, len(body).to_bytes(4, 'big') + body)
    def result(execution):
        return dict(
            type='result', execution=execution, value=666, has_value=True, repr='666', data={},
            metadata={}, execution_count=1, duration_s=0.0, usage=dict(cpu_s=0, max_rss_bytes=0),
        )
"""


async def run_beside_another(code: str, *, before: str = "") -> Told:
    """Run code in one session while another works; the other must not notice."""
    async with (
        watched_supervisor() as supervisor,
        supervisor.session() as other,
        supervisor.session() as session,
    ):
        await other.run("kept = 1")
        if before:
            assert (await session.run(before)).error is None
        with trio.fail_after(BOUND_S):
            told = await follow(session, code)
        if isinstance(told.terminal, pyrepl3.Error) and told.terminal.state == "lost":
            await assert_lost(session)
        else:
            await assert_usable(session)
        assert (await other.run("kept")).value == 1
    return told


def assert_violation(told: Told) -> None:
    """It was killed for breaking the protocol, and the error says how it did."""
    assert (told.error.code, told.error.state) == ("PROTOCOL_VIOLATION", "lost")
    assert told.error.name == "ProtocolViolation"
    assert told.error.value


# --- 23 to 25: the protocol descriptor ----------------------------------------------------------

GARBAGE = {
    "a length beyond the limit": "os.write(3, b'\\xff' * 100)",
    "no msgpack": "os.write(3, (5).to_bytes(4, 'big') + b'\\xc1\\xc1\\xc1\\xc1\\xc1')",
    "no map": "send([1, 2, 3])",
    "no type": "send({'execution': 'x'})",
    "an unknown type": "send({'type': 'nonsense'})",
    "a second ready": (
        "send(dict(type='ready', protocol=[1], language='python', version='3', pid=1,"
        " capabilities=[]))"
    ),
    "a field of the wrong type": "send({'type': 'output', 'execution': 7, 'data': 'text'})",
    "too deep": "send({'type': 'display', 'data': eval('[' * 70 + ']' * 70)})",
    "an answer to no question": "send(dict(type='configured', id=1))",
    "input that is not allowed": (
        "send(dict(type='input', input='1', execution='other', prompt='', password=False))"
    ),
}


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_on_the_protocol_descriptor_ends_that_session_alone(garbage: str) -> None:
    """Row 23."""
    told = await run_beside_another(
        f"print('before')\n{GARBAGE[garbage]}\nimport time; time.sleep(60)", before=FRAME
    )

    assert_violation(told)
    assert told.text() == "before\n"


FORGERIES = {
    "of another session": "send(result('s1.1'))",
    "of an earlier request": "send(result(session + '.1'))",
    "of a later request": "send(result(session + '.99'))",
    "of its own, twice": "send(result(session + '.3')); send(result(session + '.3'))",
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forged_result_ends_its_session_and_touches_no_other(forgery: str) -> None:
    """Row 24."""
    async with (
        watched_supervisor() as supervisor,
        supervisor.session() as other,
        supervisor.session() as session,
        trio.open_nursery() as nursery,
    ):
        executions: list[pyrepl3.Execution] = []

        async def wait_beside() -> None:
            executions.append(await other.run("import time; time.sleep(0.5); 'true'"))

        nursery.start_soon(wait_beside)
        await session.run(f"session = {session.id!r}")
        await session.run(FRAME)
        with trio.fail_after(BOUND_S):
            told = await follow(session, FORGERIES[forgery] + "\nimport time; time.sleep(60)")
            if isinstance(told.terminal, pyrepl3.Result):
                # Its own process may claim what it likes of itself, once.
                assert told.terminal.execution == f"{session.id}.3"
            else:
                assert_violation(told)
            await eventually(lambda: not psutil.pid_exists(session.pid))
        await assert_lost(session)
        await eventually(lambda: executions)
        assert executions[0].value == "true"


CLOSED = {
    "closed": "os.close(3)",
    "replaced by a file": "os.dup2(os.open(os.devnull, os.O_RDWR), 3)",
    "replaced by a pipe": "os.dup2(os.pipe()[1], 3)",
    "replaced by a closed pipe": "r, w = os.pipe(); os.close(r); os.dup2(w, 3); os.close(w)",
    "shut down": "import socket; socket.socket(fileno=3).shutdown(socket.SHUT_RDWR)",
    "all descriptors closed": "os.closerange(0, 256)",
}


@pytest.mark.parametrize("how", CLOSED)
async def test_a_protocol_descriptor_that_is_closed_or_replaced_ends_the_session(how: str) -> None:
    """Row 25. Also when the code goes on for ever."""
    told = await run_beside_another(
        f"import os; print('before')\n{CLOSED[how]}\nimport time; time.sleep(60)"
    )

    assert_violation(told)
    assert told.text() == "before\n"


# --- 26 to 29: streams, builtins, modules -------------------------------------------------------


async def test_closed_descriptors_1_and_2_end_their_output_and_not_the_execution() -> None:
    """Row 26. What Python itself prints does not go by them."""
    code = "import os; os.close(1); os.close(2); os.system('echo gone'); print('by the link'); 7"
    told = await run_beside_another(code)

    assert told.result.value == 7
    assert told.text() == "by the link\n"


async def test_a_replaced_stdout_is_honoured_and_can_be_restored() -> None:
    """Row 27."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        await session.run("import io, sys; sys.stdout = io.StringIO(); print('kept inside')")
        inside = await session.run("print('more'); sys.stdout.getvalue()")
        assert inside.logs.stdout == ""
        assert inside.value == "kept inside\nmore\n"
        execution = await session.run("sys.stdout = None; sys.stderr = None; print('nowhere'); 5")
        assert (execution.value, execution.logs.stdout) == (5, "")
        failed = await session.run("1 / 0")
        assert failed.error is not None
        assert failed.error.name == "ZeroDivisionError"
        restored = await session.run("sys.stdout = sys.__stdout__; print('back')")
        assert restored.logs.stdout == "back\n"


async def test_a_closed_or_deleted_stdout_costs_its_own_output_only() -> None:
    """Row 27."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        await session.run("import sys; sys.stdout.close()")
        await assert_usable(session)
        await session.run("del sys.stdout")
        await assert_usable(session)
        restored = await session.run("sys.stdout = sys.__stdout__; print('back')")
        assert restored.logs.stdout == "back\n"


WRECKS = {
    "builtins deleted": (
        "import builtins\nfor name in list(vars(builtins)): delattr(builtins, name)"
    ),
    "builtins replaced": (
        "import builtins\n"
        "for name in ('len', 'isinstance', 'type', 'str', 'repr', 'print', 'open', 'getattr'):\n"
        "    setattr(builtins, name, None)"
    ),
    "modules cleared": "import sys; sys.modules.clear()",
    "main deleted": "import sys; del sys.modules['__main__']",
    "globals cleared": "globals().clear()",
    "the import system broken": "import sys; sys.meta_path.clear(); sys.path_hooks.clear()",
    "the runtime's modules gutted": (
        "import sys\n"
        "for name in [name for name in sys.modules if name.startswith('_pyrepl3')]:\n"
        "    vars(sys.modules[name]).clear()"
    ),
}


@pytest.mark.parametrize("wreck", WRECKS)
async def test_a_wrecked_interpreter_still_answers_or_says_that_it_is_broken(wreck: str) -> None:
    """Row 28."""
    async with (
        watched_supervisor() as supervisor,
        supervisor.session() as session,
    ):
        with trio.fail_after(BOUND_S):
            first = await follow(session, WRECKS[wreck])
            if is_lost(first):
                return
            second = await follow(session, "1 + 1")
            if is_lost(second):
                return
        assert second.result.value == 2
        with trio.fail_after(BOUND_S):
            failed = await follow(session, "1 / 0")
        assert is_lost(failed) or failed.error.name == "ZeroDivisionError"


def is_lost(told: Told) -> bool:
    """Whether the session ended there, for a reason that the catalogue allows."""
    if isinstance(told.terminal, pyrepl3.Error) and told.terminal.state == "lost":
        assert told.terminal.code in ("RUNNER_BROKEN", "WORKER_DIED")
        return True
    return False


async def test_a_runner_that_cannot_go_on_says_so_and_its_session_is_lost() -> None:
    """Row 28. Here the code takes the runner's own way of reporting a failure away from it."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        with trio.fail_after(BOUND_S):
            told = await follow(
                session,
                "import sys\n"
                "print('before')\n"
                "sys.modules['_pyrepl3.worker.runner'].Runner._failure = None\n"
                "1 / 0",
            )

        assert (told.error.name, told.error.code) == ("RunnerBroken", "RUNNER_BROKEN")
        assert told.error.state == "lost"
        await assert_lost(session)


async def test_builtins_and_modules_that_are_gone_do_not_break_the_runner() -> None:
    """Row 28. These two it must survive: the runner's names were bound before."""
    for wreck in ("builtins deleted", "modules cleared"):
        async with watched_supervisor() as supervisor, supervisor.session() as session:
            await session.run(WRECKS[wreck])
            assert (await session.run("1 + 1")).value == 2


async def test_patched_modules_do_not_reach_the_framing() -> None:
    """Row 29. json, os, time, struct, select, socket and msgpack."""
    code = """if True:
        import json, os, time, struct, select, socket, signal, traceback, io
        def broken(*args, **kwargs):
            raise RuntimeError('patched')
        for module in (json, os, time, struct, select, socket, traceback, io):
            for name in list(vars(module)):
                if callable(getattr(module, name)) and not name.startswith('_'):
                    setattr(module, name, broken)
        print('patched')
    """
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        told = await follow(session, code)
        assert told.text() == "patched\n"
        assert told.result is told.terminal
        told = await follow(session, "print('and'); input")
        assert told.text() == "and\n"
        failed = await follow(session, "1 / 0")
        assert failed.error.name == "ZeroDivisionError"
        await assert_usable(session)


# --- 30 to 32: processes ------------------------------------------------------------------------


async def test_a_forked_child_never_speaks_for_its_parent() -> None:
    """Row 30. It prints, fails, asks and returns; the one result is the parent's."""
    fork = """if True:
        import os
        pid = os.fork()
        if pid == 0:
            print('from the child')
        else:
            os.waitpid(pid, 0)
    """
    ends = (
        "'child' if pid == 0 else 'parent'",
        "1 / 0 if pid == 0 else 'parent'",
        "exit(3) if pid == 0 else 'parent'",
        "input() if pid == 0 else 'parent'",
        "display('shown') if pid == 0 else 'parent'",
    )
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        for end in ends:
            with trio.fail_after(BOUND_S):
                told = await follow(session, f"{fork}\n{end}")

            assert told.result.value == "parent"
            assert "from the child" in told.text()
            assert not [each for each in told.events if isinstance(each, pyrepl3.Display)]


async def test_forked_children_that_go_on_do_not_disturb_the_next_executions() -> None:
    """Row 30. They even write to where the protocol was."""
    code = """if True:
        import os, time
        for _ in range(3):
            if os.fork() == 0:
                try:
                    for number in range(3, 32):
                        try: os.write(number, b'garbage')
                        except OSError: pass
                    time.sleep(60)
                finally:
                    os._exit(0)
    """
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        with trio.fail_after(BOUND_S):
            assert (await follow(session, code)).result
            for number in range(5):
                assert (await follow(session, f"{number}")).result.value == number


DAEMON = """if True:
    import os, sys, time
    def daemonise():
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(writing, str(os.getpid()).encode())
                time.sleep(60)
            os._exit(0)
        os.wait()
        return int(os.read(reading, 100))
    daemon = daemonise()
"""


async def test_a_daemon_that_holds_the_pipes_holds_up_nothing_and_dies_with_its_session() -> None:
    """Row 31. While the session lives the daemon does, too."""
    async with watched_supervisor() as supervisor:
        async with supervisor.session() as session:
            with trio.fail_after(BOUND_S):
                assert (await follow(session, DAEMON)).result
                daemon = (await session.run("daemon")).value
            assert psutil.pid_exists(daemon)
        with trio.fail_after(BOUND_S):
            await wait_ended(daemon)


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 9)"])
async def test_a_death_is_told_at_once_though_a_daemon_holds_the_pipes(end: str) -> None:
    """Row 31. The death is known by pidfd, not by the pipes' end; the tree is killed."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        with trio.fail_after(BOUND_S):
            told = await follow(session, f"{DAEMON}\nprint(daemon)\n{end}")

            assert told.error.code == "WORKER_DIED"
            await wait_ended(int(told.text()))


async def test_a_daemon_that_floods_the_pipes_does_not_hold_up_a_death() -> None:
    """Row 31. Draining them is bounded."""
    code = DAEMON.replace("time.sleep(60)", "exec('while True: os.write(1, b\"x\" * 9999)')")
    config = small_config(limits=pyrepl3.Limits(output_bytes=1_000_000))
    async with watched_supervisor(config) as supervisor, supervisor.session() as session:
        with trio.fail_after(BOUND_S):
            told = await follow(session, f"{code}\ntime.sleep(0.1)\nos._exit(3)")

        assert told.error.code == "WORKER_DIED"
        assert len(told.text()) <= 1_000_000
