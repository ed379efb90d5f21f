"""End-to-end tests: code that breaks the process around it (rows 23 to 37)."""

from __future__ import annotations

import os
from pathlib import Path

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


async def test_what_a_session_changes_of_its_process_is_its_own(tmp_path: Path) -> None:
    """Row 32. Folder, umask, rlimits, sys.path, environment: of this session, not of the next."""
    look = """if True:
        import os, resource, sys
        mask = os.umask(0); os.umask(mask)
        state = [os.getcwd(), mask, resource.getrlimit(resource.RLIMIT_CPU)[0], len(sys.path),
                 os.environ.get('CHANGED'), os.nice(0)]
    """
    change = f"""if True:
        import os, resource, sys
        os.chdir({str(tmp_path)!r}); os.umask(0o777); sys.path.append('/x'); os.nice(5)
        resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000)); os.environ['CHANGED'] = 'yes'
    """
    async with (
        watched_supervisor(small_config(min_idle=2)) as supervisor,
        supervisor.session() as beside,
    ):
        before = (await beside.run(look + "\nstate")).value
        async with supervisor.session() as session:
            assert (await session.run(change)).error is None
            assert (await session.run(look + "\nstate")).value != before
        assert (await beside.run(look + "\nstate")).value == before
        for _ in range(3):
            async with supervisor.session() as later:
                assert (await later.run(look + "\nstate")).value == before
    assert os.getcwd() != str(tmp_path)


# --- 33 and 34: recursion -----------------------------------------------------------------------

BOMBS = {
    "frames": (
        "import sys; sys.setrecursionlimit(10**9)\ndef f(): held = bytearray(10**6); f()\nf()"
    ),
    "a growing list": "held = []\nwhile True: held.append(bytearray(10**6))",
    "a doubling list": "held = [0]\nwhile True: held = held + held",
    "one allocation": "bytearray(10**12)",
    "text": "text = 'x'\nwhile True: text += text",
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_memory_bomb_gets_a_memory_error_within_its_limit(bomb: str) -> None:
    """Row 33. And row 14, without a cgroup: MemoryError, or a death that is told."""
    config = small_config(limits=pyrepl3.Limits(memory_bytes=128 * 2**20))
    async with watched_supervisor(config) as supervisor, supervisor.session() as session:
        with trio.fail_after(4 * BOUND_S):
            told = await follow(session, BOMBS[bomb])

        if told.error.state == "lost":
            assert told.error.code in ("WORKER_DIED", "RUNNER_BROKEN")
        else:
            assert told.error.name == "MemoryError"
            await session.run("held = text = None")
            await assert_usable(session)


OVERFLOWS = {
    "getattr": ("class A:\n    def __getattr__(self, name): return getattr(self, name)\nA().x"),
    "sort": "def f(_): return sorted([0], key=f)\nf(0)",
    "repr": "held = []\nfor _ in range(10**6): held = [held]\nrepr(held)",
    "destructor": "held = None\nfor _ in range(10**6): held = (held,)\ndel held",
    "json": "import json\nheld = []\nfor _ in range(10**6): held = [held]\njson.dumps(held)",
}


@pytest.mark.parametrize("limit", [1_000, 10**9], ids=["default limit", "limit lifted"])
@pytest.mark.parametrize("overflow", OVERFLOWS)
async def test_an_overflow_of_the_stack_is_an_error_or_a_segfault_that_is_told(
    overflow: str, limit: int
) -> None:
    """Row 34. RecursionError, or WORKER_DIED with SIGSEGV where the code lifted the limit."""
    code = f"import sys; sys.setrecursionlimit({limit})\n{OVERFLOWS[overflow]}"
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        with trio.fail_after(4 * BOUND_S):
            told = await follow(session, code)

        if isinstance(told.terminal, pyrepl3.Result):
            await assert_usable(session)
        elif told.error.state == "lost":
            assert (told.error.code, told.error.details["signal"]) == ("WORKER_DIED", "SIGSEGV")
        else:
            assert told.error.name in ("RecursionError", "MemoryError")
            await assert_usable(session)


# --- 35 to 37: objects that lie -----------------------------------------------------------------

REPRS = {
    "raises": ("raise ValueError('no')", "<Odd object: repr() raised ValueError>"),
    "exits": ("raise SystemExit", "<Odd object: repr() raised SystemExit>"),
    "recurses": ("return repr(self)", "<Odd object: repr() raised RecursionError>"),
    "is no text": ("return 7", "<Odd object: repr() raised TypeError>"),
    "holds surrogates": ("return '\\ud800'", "\\ud800"),
}


@pytest.mark.parametrize("way", REPRS)
async def test_an_odd_repr_becomes_a_placeholder(way: str) -> None:
    """Row 35."""
    body, expected = REPRS[way]
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        told = await follow(session, f"class Odd:\n    def __repr__(self): {body}\nOdd()")

        assert told.result.repr == expected
        assert told.result.data["text/plain"] == expected
        await assert_usable(session)


async def test_a_huge_repr_is_cut_at_a_stated_length() -> None:
    """Row 35."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        told = await follow(session, "'x' * 20_000_000")

        assert len(told.result.repr) < 300_000
        assert "cut" in told.result.repr
        assert "20000002" in told.result.repr


async def test_a_repr_that_hangs_is_interrupted_like_any_code() -> None:
    """Row 35."""
    code = "class Odd:\n    def __repr__(self):\n        while True: pass\nOdd()"
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        with trio.fail_after(BOUND_S):
            told = await follow(session, code, timeout_s=0.3)

        assert (told.error.code, told.error.state) == ("EXECUTION_TIMEOUT", "kept")
        await assert_usable(session)


LIES = {
    "str raises": "class Odd(Exception):\n    def __str__(self): raise ValueError",
    "str is no text": "class Odd(Exception):\n    def __str__(self): return 7",
    "str exits": "class Odd(BaseException):\n    def __str__(self): raise SystemExit",
    "str recurses": "class Odd(Exception):\n    def __str__(self): return str(self)",
    "str is huge": "class Odd(Exception):\n    def __str__(self): return 'x' * 20_000_000",
    "args lie": "class Odd(Exception):\n    args = property(lambda self: 1 / 0)",
    "the class lies": "class Odd(Exception):\n    __class__ = property(lambda self: int)",
    "the metaclass lies": (
        "class Meta(type):\n"
        "    __name__ = property(lambda self: 1 / 0)\n"
        "    __module__ = property(lambda self: 1 / 0)\n"
        "    def __getattribute__(self, name): raise RuntimeError(name)\n"
        "    def __instancecheck__(self, other): raise RuntimeError\n"
        "    def __eq__(self, other): raise RuntimeError\n"
        "    __hash__ = type.__hash__\n"
        "class Odd(Exception, metaclass=Meta): pass"
    ),
    "attributes lie": (
        "class Odd(Exception):\n    def __getattribute__(self, name): raise RuntimeError(name)"
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_an_exception_that_lies_is_told_by_a_guarded_formatter(lie: str) -> None:
    """Row 36. With its class's true name, and a traceback of bounded length."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        with trio.fail_after(BOUND_S):
            told = await follow(session, f"{LIES[lie]}\nraise Odd('what')")

        assert told.error.name == "Odd"
        assert (told.error.code, told.error.state) == (None, "kept")
        assert isinstance(told.error.value, str)
        assert 0 < len("".join(told.error.traceback)) < 10**6
        assert len(told.error.value) < 10**6
        await assert_usable(session)


HANGING_ENDS = {
    "atexit": "import atexit, time; atexit.register(time.sleep, 60)",
    "__del__": (
        "import time\nclass Odd:\n    def __del__(self, sleep=time.sleep): sleep(60)\nodd = Odd()"
    ),
    "atexit that cannot be interrupted": (
        "import atexit, itertools; atexit.register(lambda: sum(itertools.repeat(1)))"
    ),
}


@pytest.mark.parametrize("end", HANGING_ENDS)
async def test_an_end_that_hangs_is_killed_after_the_grace(end: str) -> None:
    """Row 37."""
    async with watched_supervisor() as supervisor:
        async with supervisor.session() as session:
            process = session.pid
            assert (await session.run(HANGING_ENDS[end])).error is None
        with trio.fail_after(BOUND_S):
            await wait_ended(process)


async def test_an_end_that_does_not_hang_runs_to_its_end(tmp_path: Path) -> None:
    """Row 37. The grace is for these."""
    trace = tmp_path / "trace"
    code = f"""if True:
        import atexit
        def note(text):
            with open({str(trace)!r}, 'a') as file: file.write(text)
        class Odd:
            def __del__(self): note('finalised')
        odd = Odd()
        atexit.register(note, 'atexit ')
    """
    async with watched_supervisor() as supervisor:
        async with supervisor.session() as session:
            process = session.pid
            assert (await session.run(code)).error is None
        await wait_ended(process)
    assert trace.read_text() == "atexit finalised"
