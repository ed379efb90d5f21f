"""End-to-end tests: the Python interface, feature by feature (protocol.md, 5)."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

import pyrepl3
from pyrepl3.serving import open_endpoint

from .faults.oracle import assert_usable, eventually, follow, small_config, watched_supervisor
from .websocket_driver import TOKEN, TOKENS

BOUND_S = 10.0

both_spawns = pytest.mark.parametrize("spawn", ["fork", "exec"])
both_faces = pytest.mark.parametrize("face", ["embedded", "remote"])


@asynccontextmanager
async def faced(face: str) -> AsyncIterator[pyrepl3.Supervisor | pyrepl3.Client]:
    """A service, as a program has it that runs it, or one that reaches it over the network."""
    config = attrs.evolve(small_config(), endpoint=pyrepl3.EndpointConfig(port=0))
    async with watched_supervisor(config) as supervisor:
        if face == "embedded":
            yield supervisor
            return
        async with (
            open_endpoint(supervisor, TOKENS) as served,
            pyrepl3.Client(served.url, TOKEN) as client,
        ):
            yield client


# --- what an execution is -----------------------------------------------------------------------


@both_spawns
async def test_an_execution_has_a_value_a_text_results_logs_and_figures(spawn: str) -> None:
    """All of its fields at once."""
    async with (
        watched_supervisor(small_config(spawn=spawn)) as supervisor,
        supervisor.session() as session,
    ):
        execution = await session.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\n42")

        assert (execution.value, execution.text) == (42, "42")
        assert (execution.logs.stdout, execution.logs.stderr) == ("out\n", "err\n")
        assert [result.data for result in execution.results] == [{"text/plain": "42"}]
        assert execution.results[0].is_value
        assert execution.error is None
        assert execution.omitted_bytes == 0
        assert execution.id.startswith(session.id)
        assert execution.execution_count == 1
        assert execution.duration_s is not None
        assert 0 < execution.duration_s < BOUND_S
        assert execution.usage is not None
        assert execution.usage.max_rss_bytes > 2**20
        execution.raise_for_error()
        assert (await session.run("_")).execution_count == 2


VALUES = {
    "1": 1,
    "1.5": 1.5,
    "'text'": "text",
    "True": True,
    "[1, 'a', None]": [1, "a", None],
    "(1, 2)": [1, 2],
    "{'a': {'b': [1]}}": {"a": {"b": [1]}},
    "{1: 2}": None,
    "2 ** 100": None,
    "float('nan')": None,
    "object": None,
    "b'bytes'": None,
}


@both_faces
async def test_a_value_is_there_where_it_is_json_safe(face: str) -> None:
    """And a text in any case."""
    async with faced(face) as service, service.session() as session:
        for code, value in VALUES.items():
            execution = await session.run(code)
            assert execution.value == value, code
            assert execution.text == repr(eval(code))
        for code in ("None", "x = 1", "", "if True: 1", "def f(): pass"):
            execution = await session.run(code)
            assert (execution.value, execution.text, execution.results) == (None, None, [])


@both_faces
async def test_variables_functions_and_imports_stay_for_the_next_execution(face: str) -> None:
    """And the last value, as ``_``."""
    async with faced(face) as service, service.session() as session:
        await session.run("import math\nx = 20\ndef double(y): return 2 * y")
        assert (await session.run("double(x) + math.floor(2.5)")).value == 42
        assert (await session.run("_ + 1")).value == 43
        silent = await session.run("y = 5; y", silent=True)
        assert (silent.text, silent.results) == (None, [])
        assert (await session.run("_")).value == 43
        assert (await session.run("__name__")).value == "__main__"


@both_faces
async def test_an_exception_has_a_name_a_value_and_the_cells_own_traceback(face: str) -> None:
    """None of the runner's lines, and the source of the cells before it."""
    async with faced(face) as service, service.session() as session:
        await session.run("def fail():\n    raise ValueError('why')")
        execution = await session.run("print('before')\nfail()", filename="mine.py")

        error = execution.error
        assert error is not None
        assert (error.name, error.value, error.code, error.state) == (
            "ValueError",
            "why",
            None,
            "kept",
        )
        assert execution.logs.stdout == "before\n"
        text = "".join(error.traceback)
        assert text.startswith("Traceback (most recent call last):\n")
        assert text.endswith("ValueError: why\n")
        assert 'File "mine.py", line 2' in text
        assert "raise ValueError('why')" in text
        assert "pyrepl3" not in text
        with pytest.raises(pyrepl3.ExecutionFailed) as caught:
            execution.raise_for_error()
        assert caught.value.error is error
        assert "ValueError: why" in str(caught.value)


# --- streams and callbacks ----------------------------------------------------------------------


@both_faces
async def test_a_stream_tells_everything_in_its_order(face: str) -> None:
    """Started, output of both streams, a display, a question, more output, the result."""
    code = """if True:
        import sys
        print('one')
        print('two', file=sys.stderr)
        display('shown')
        name = input('who? ')
        print('hello', name)
    """
    async with faced(face) as service, service.session() as session:
        seen: list[object] = []
        async with session.stream(code + "\nname") as events:
            async for event in events:
                match event:
                    case pyrepl3.Output():
                        seen.append((event.stream, event.data))
                    case pyrepl3.Display():
                        seen.append(event.data["text/plain"])
                    case pyrepl3.InputRequested():
                        seen.append((event.prompt, event.password))
                        await event.respond("Ada")
                    case pyrepl3.Result():
                        seen.append(event.value)
                    case _:
                        seen.append(type(event).__name__)

        assert seen == [
            "Started",
            ("stdout", "one\n"),
            ("stderr", "two\n"),
            "'shown'",
            ("who? ", False),
            ("stdout", "hello Ada\n"),
            "Ada",
        ]


@both_faces
async def test_a_question_takes_one_answer(face: str) -> None:
    """The second is refused, and the first counts."""
    async with faced(face) as service, service.session() as session:
        async with session.stream("input()") as events:
            async for event in events:
                if isinstance(event, pyrepl3.InputRequested):
                    await event.respond("first")
                    with pytest.raises(pyrepl3.AlreadyAnswered):
                        await event.respond("second")
        assert isinstance(event, pyrepl3.Result)
        assert event.value == "first"


@both_faces
async def test_questions_are_answered_by_plain_and_by_async_functions(face: str) -> None:
    """`input`, `getpass` and reads of `sys.stdin`; None and EOFError end the input."""

    async def answer_later(prompt: str) -> str:
        await trio.lowlevel.checkpoint()
        return prompt.upper()

    def refuse(prompt: str) -> str:
        raise EOFError

    async with faced(face) as service, service.session() as session:
        assert (await session.run("input('a')", on_input=lambda prompt: prompt * 2)).value == "aa"
        assert (await session.run("input('a')", on_input=answer_later)).value == "A"
        code = "import getpass, sys; getpass.getpass('p') + sys.stdin.readline()"
        assert (await session.run(code, on_input=lambda prompt: prompt or "line")).value == (
            "pline\n"
        )
        for end in (refuse, lambda prompt: None):
            execution = await session.run("input()", on_input=end)
            assert execution.error is not None
            assert (execution.error.name, execution.error.code) == ("EOFError", None)


@both_faces
async def test_output_and_displays_are_told_while_the_code_runs(face: str) -> None:
    """To plain and to async functions."""
    told: list[str] = []

    async def show(display: pyrepl3.Display) -> None:
        await trio.lowlevel.checkpoint()
        told.append(display.data["text/plain"])

    code = """if True:
        print('first')
        handle = display('shown', display_id='d')
        handle.update('changed')
        go_on = input()
    """
    async with faced(face) as service, service.session() as session:
        execution = await session.run(
            code,
            on_output=lambda output: told.append(output.data),
            on_display=show,
            on_input=lambda prompt: told.append("asked") or "",
        )

        assert told == ["first\n", "'shown'", "'changed'", "asked"]
        assert [result.text for result in execution.results] == ["'changed'"]


async def test_an_exception_of_a_callback_leaves_run_as_it_is_and_interrupts_the_code() -> None:
    """The session goes on."""

    class Odd(Exception):
        pass

    def fail(output: pyrepl3.Output) -> None:
        raise Odd

    async with watched_supervisor() as supervisor, supervisor.session() as session:
        with trio.fail_after(BOUND_S), pytest.raises(Odd):
            await session.run("print('x')\nwhile True: pass", on_output=fail)
        await assert_usable(session)


# --- interrupts and cancellation ----------------------------------------------------------------


@both_faces
async def test_an_interrupt_says_what_came_of_it(face: str) -> None:
    """While code runs, by its id, and when nothing runs."""
    async with faced(face) as service, service.session() as session:
        assert (await session.interrupt()).by == "nothing"
        with pytest.raises(pyrepl3.ExecutionNotFound):
            await session.interrupt("no-such-execution")
        await session.run("kept = 1")
        async with session.stream("print('up')\nwhile True: pass") as events:
            async for event in events:
                if isinstance(event, pyrepl3.Output):
                    with trio.fail_after(BOUND_S):
                        outcome = await session.interrupt(event.execution)
                    assert (outcome.state, outcome.by) == ("kept", "signal")
        assert isinstance(event, pyrepl3.Error)
        assert (event.name, event.code, event.state) == ("KeyboardInterrupt", "INTERRUPTED", "kept")
        assert (await session.run("kept")).value == 1


async def test_an_interrupt_of_what_waits_drops_it_and_leaves_what_runs() -> None:
    """Nothing of it runs."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        async with session.stream("ran = input()") as running:
            assert isinstance(await anext(running), pyrepl3.Started)
            dropped: list[pyrepl3.Execution] = []

            async def wait() -> None:
                dropped.append(await session.run("ran = 'dropped'"))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                await trio.testing.wait_all_tasks_blocked()
                await session.interrupt(f"{session.id}.2")
            async for event in running:
                if isinstance(event, pyrepl3.InputRequested):
                    await event.respond("the first")
        assert dropped[0].error is not None
        assert (dropped[0].error.code, dropped[0].error.state) == ("INTERRUPTED", "kept")
        assert (await session.run("ran")).value == "the first"


async def answer_never(prompt: str) -> str:
    """A client who has gone for coffee."""
    await trio.sleep_forever()
    return prompt


@both_spawns
async def test_a_cancelled_run_interrupts_its_code_and_keeps_the_session(spawn: str) -> None:
    """The next execution need not wait for what was given up."""
    async with (
        watched_supervisor(small_config(spawn=spawn)) as supervisor,
        supervisor.session() as session,
    ):
        await session.run("kept = 1")
        for code in ("while True: pass", "import time; time.sleep(60)", "input()"):
            with trio.move_on_after(0.1) as scope:
                await session.run(code, on_input=answer_never)
            assert scope.cancelled_caught
            with trio.fail_after(BOUND_S):
                assert (await session.run("kept")).value == 1


async def test_leaving_a_stream_early_interrupts_its_code() -> None:
    """By a break, by an exception, and without a single event."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        async with session.stream("while True: print('x')") as events:
            async for _ in events:
                break
        with trio.fail_after(BOUND_S):
            await assert_usable(session)
        with pytest.raises(ZeroDivisionError):
            async with session.stream("while True: pass"):
                raise ZeroDivisionError
        with trio.fail_after(BOUND_S):
            await assert_usable(session)


@both_faces
async def test_no_interrupt_reaches_the_execution_after_its_own(face: str) -> None:
    """Interrupts at moments of chance, around the ends of short executions."""
    async with faced(face) as service, service.session() as session:
        for _ in range(100):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(session.run, "for _ in range(1000): pass")
                nursery.start_soon(session.interrupt)
            assert (await session.run("'untouched'")).value == "untouched"


# --- sessions of their own kind -----------------------------------------------------------------


async def test_a_session_has_its_own_folder_variables_and_limits(tmp_path: Path) -> None:
    """Given when it is leased."""
    config = small_config()
    limits = pyrepl3.Limits(
        memory_bytes=200 * 2**20, open_files=32, output_bytes=10, code_bytes=100
    )
    async with (
        watched_supervisor(config) as supervisor,
        supervisor.session(cwd=str(tmp_path), env={"WHO": "Ada"}, limits=limits) as session,
    ):
        execution = await session.run("import os; [os.getcwd(), os.environ['WHO']]")
        assert execution.value == [str(tmp_path), "Ada"]
        code = (
            "import resource as r; [r.getrlimit(r.RLIMIT_DATA)[0], r.getrlimit(r.RLIMIT_NOFILE)[0]]"
        )
        assert (await session.run(code)).value == [200 * 2**20, 32]
        printed = await session.run("print('x' * 100)")
        assert (printed.logs.stdout, printed.omitted_bytes) == ("x" * 10, 91)
        with pytest.raises(pyrepl3.CodeTooLarge):
            await session.run("#" * 101)
        execution = await session.run("bytearray(300 * 2**20)")
        assert execution.error is not None
        assert execution.error.name == "MemoryError"


async def test_impossible_settings_are_refused_with_the_reason() -> None:
    """Before or after the lease; the pool loses nothing by it."""
    async with watched_supervisor() as supervisor:
        for settings in (
            {"cwd": "/no/such/folder"},
            {"env": {"A=B": "c"}},
            {"env": {"A": 1}},
            {"limits": pyrepl3.Limits(memory_bytes=2**40)},
            {"limits": pyrepl3.Limits(memory_bytes=None)},
            {"limits": pyrepl3.Limits(open_files=10**6)},
            {"acquire_timeout_s": -1.0},
            {"acquire_timeout_s": math.nan},
            {"template": "no such template"},
        ):
            with pytest.raises(pyrepl3.ConfigInvalid) as caught:
                async with supervisor.session(**settings):
                    pytest.fail(f"{settings} was taken")
            assert caught.value.what
            assert caught.value.why
            assert caught.value.how
        async with supervisor.session() as session:
            for timeout_s in (0, -1, math.nan):
                with pytest.raises(pyrepl3.ConfigInvalid):
                    await session.run("1", timeout_s=timeout_s)
            await assert_usable(session)


@both_faces
async def test_the_services_environment_is_not_the_sessions(
    face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets stay in the service; the allow-list and the template's own come through."""
    monkeypatch.setenv("MY_SECRET_TOKEN", "secret")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    async with faced(face) as service, service.session() as session:
        execution = await session.run("import os; dict(os.environ)")
        assert "secret" not in str(execution.value)
        assert execution.value["LC_ALL"] == "C.UTF-8"
        assert execution.value["PATH"] == os.environ["PATH"]
        assert not [
            name for name in execution.value if name.startswith("PYREPL") and "TEST" not in name
        ]
        environ = await session.run("open('/proc/self/environ').read()")
        assert "secret" not in environ.value


@both_spawns
async def test_a_template_preloads_warms_up_and_sets_its_folder_and_variables(
    spawn: str, tmp_path: Path
) -> None:
    """Each session starts from there, and each by itself."""
    (tmp_path / "mine.py").write_text("count = 0\n")
    template = pyrepl3.Template(
        spawn=spawn,
        preload=("decimal",),
        warmup_code="import sys; answer = 42; ready = []",
        env={"MODE": "test"},
        cwd=str(tmp_path),
    )
    config = small_config(min_idle=2, templates={"python": template})
    async with watched_supervisor(config) as supervisor:
        for _ in range(2):
            async with supervisor.session() as session:
                await session.run("import os; preloaded = 'decimal' in sys.modules")
                code = "[preloaded, answer, os.environ['MODE'], os.getcwd(), ready]"
                execution = await session.run(code)
                assert execution.value == [True, 42, "test", str(tmp_path), []], execution.error
                assert (await session.run("ready.append(1); import mine; mine.count")).value == 0


async def test_statistics_count_hits_and_misses_and_are_frozen() -> None:
    """And `repr` of a session names it."""
    async with watched_supervisor(small_config(min_idle=1)) as supervisor:
        await eventually(lambda: supervisor.statistics().pool.idle == 1)
        async with supervisor.session() as session:
            assert session.lease.warm
            assert session.template == "python"
            assert session.id in repr(session)
            assert str(session.pid) in repr(session)
            statistics = supervisor.statistics()
            assert statistics.pool.leased == 1
            assert (statistics.pool.hits, statistics.pool.misses) == (1, 0)
            assert statistics.pool.hit_rate == 1.0
            with pytest.raises(AttributeError):
                statistics.pool.hits = 2  # type: ignore[misc]
        assert supervisor.statistics().pool.leased == 0


# --- outside of trio ------------------------------------------------------------------------------


def test_a_program_of_asyncio_is_told_that_trio_must_run() -> None:
    async def main() -> None:
        async with pyrepl3.open_supervisor():
            pass

    with pytest.raises(RuntimeError, match=r"trio\.run"):
        asyncio.run(main())


# --- for editors --------------------------------------------------------------------------------


@both_faces
async def test_editors_are_told_what_could_stand_at_the_cursor_and_what_it_is(face: str) -> None:
    """Completions, inspections, completeness; they see the session's own names."""
    async with faced(face) as service, service.session() as session:
        await session.run("def greet(name):\n    '''Say hello.'''\nvariable = 1")
        completion = await session.complete("x = vari")
        assert "variable" in completion.matches
        assert (completion.cursor_start, completion.cursor_end) == (4, 8)
        assert "upper" in "".join((await session.complete("str.upp")).matches)
        assert (await session.complete("greet", 0)).cursor_end == 0
        inspection = await session.inspect("greet(")
        assert inspection.found
        assert "Say hello." in inspection.text
        assert "name" in inspection.text
        assert not (await session.inspect("nothing_of_that_name")).found
        assert (await session.is_complete("x = 1")).status == "complete"
        incomplete = await session.is_complete("if True:")
        assert (incomplete.status, incomplete.indent) == ("incomplete", "    ")
        assert (await session.is_complete("x = )")).status == "invalid"


UNHELPFUL = """if True:
    import time
    class Raises:
        def __dir__(self): raise ValueError("no")
        @property
        def __signature__(self): raise SystemExit(3)
        def __call__(self): pass
    class Hangs:
        def __dir__(self): time.sleep(60)
    class Waits:
        @property
        def __class__(self): time.sleep(60)
    raises, hangs, waits = Raises(), Hangs(), Waits()
"""


@both_faces
async def test_editors_get_an_empty_answer_where_the_users_code_raises_or_hangs(face: str) -> None:
    async with faced(face) as service, service.session() as session:
        (await session.run(UNHELPFUL)).raise_for_error()
        assert (await session.complete("raises.")).matches == ()
        with pytest.raises(pyrepl3.InternalError, match="SystemExit"):
            await session.inspect("raises(")
        for hung in ("waits.", "hangs."):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(session.complete, hung)
                await trio.sleep(0.2)
                outcome = await session.interrupt()
        assert (outcome.state, outcome.by, outcome.execution) == ("kept", "signal", None)
        assert (await session.run("1")).value == 1
        own = await session.run("import signal; signal.raise_signal(signal.SIGINT)")
        assert own.error is not None
        assert own.error.name == "KeyboardInterrupt"


# --- what a script can do -----------------------------------------------------------------------


async def test_background_tasks_go_on_between_executions(tmp_path: Path) -> None:
    """What they print is told with the next execution."""
    done = tmp_path / "done"
    code = f"""if True:
        import asyncio
        async def work():
            await asyncio.sleep(0.02)
            print('from the task')
            open({str(done)!r}, 'w').close()
            return 'done'
        task = asyncio.get_event_loop().create_task(work())
        await asyncio.sleep(0)
    """
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        await session.run(code)
        await eventually(done.exists)
        told = await follow(session, "await task")

        assert told.result.value == "done"
        assert [event for event in told.events if isinstance(event, pyrepl3.Output)] == [
            pyrepl3.Output(told.terminal.execution, "stdout", "from the task\n", background=True)
        ]


@both_faces
async def test_asyncio_run_and_top_level_await_live_side_by_side(face: str) -> None:
    """The code object's flags decide."""
    async with faced(face) as service, service.session() as session:
        await session.run("import asyncio\nasync def work(): return 7")
        for code in ("await work()", "asyncio.run(work())", "[await work() for _ in range(1)][0]"):
            assert (await session.run(code)).value == 7
        assert (await session.run("async with asyncio.timeout(1): x = await work()\nx")).value == 7


async def test_trio_runs_top_level_awaits_where_the_template_says_so() -> None:
    """By its guest mode or however: `await trio.sleep` works, and is interrupted."""
    template = pyrepl3.Template(async_library="trio")
    config = small_config(templates={"python": template})
    async with watched_supervisor(config) as supervisor, supervisor.session() as session:
        execution = await session.run("import trio\nawait trio.sleep(0.01)\n'slept'")
        assert execution.value == "slept", execution.error
        with trio.fail_after(BOUND_S):
            execution = await session.run("await trio.sleep(60)", timeout_s=0.2)
        assert execution.error is not None
        assert (execution.error.code, execution.error.state) == ("EXECUTION_TIMEOUT", "kept")
        assert (await session.run("await trio.sleep(0)\n1")).value == 1


@both_spawns
async def test_classes_and_functions_of_a_cell_can_be_pickled_and_multiprocessed(
    spawn: str,
) -> None:
    """They belong to ``__main__``, as in a script."""
    code = """if True:
        import multiprocessing, pickle
        class Point:
            def __init__(self, x): self.x = x
            def __eq__(self, other): return self.x == other.x
        def square(x): return x * x
    """
    config = small_config(spawn=spawn, limits=pyrepl3.Limits(open_files=256, memory_bytes=None))
    async with watched_supervisor(config) as supervisor, supervisor.session() as session:
        await session.run(code)
        assert (await session.run("pickle.loads(pickle.dumps(Point(1))) == Point(1)")).value is True
        pooled = """if True:
            with multiprocessing.get_context('fork').Pool(2) as pool:
                squares = pool.map(square, [1, 2, 3])
        """
        with trio.fail_after(BOUND_S):
            execution = await session.run(pooled + "\nsquares")
        assert execution.value == [1, 4, 9], execution.error


async def test_child_processes_print_to_the_execution_they_belong_to() -> None:
    """All of it before the result."""
    code = "import subprocess, sys; n = subprocess.run([sys.executable, '-c', 'print(1); 1/0'])"
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        told = await follow(session, code)
        assert told.text() == "1\n"
        assert "ZeroDivisionError" in told.text("stderr")


@both_faces
async def test_objects_show_themselves_as_in_jupyter(face: str) -> None:
    """By `_repr_html_` and its kin."""
    code = """if True:
        class Shown:
            def __repr__(self): return 'plain'
            def _repr_html_(self): return '<b>rich</b>'
            def _repr_png_(self): return b'png'
            def _repr_markdown_(self): raise ValueError
    """
    async with faced(face) as service, service.session() as session:
        execution = await session.run(code + "\ndisplay(Shown())\nShown()")
        data = {"text/plain": "plain", "text/html": "<b>rich</b>", "image/png": "cG5n"}
        assert [result.data for result in execution.results] == [data, data]
        assert [result.is_value for result in execution.results] == [False, True]


@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed"
)
async def test_figures_of_matplotlib_arrive_as_pictures() -> None:
    """Without a line of set-up."""
    limits = pyrepl3.Limits(memory_bytes=2**30, execution_timeout_s=60)
    async with (
        watched_supervisor(small_config(limits=limits)) as supervisor,
        supervisor.session() as session,
    ):
        execution = await session.run(
            "import matplotlib.pyplot as plt\nlines = plt.plot([1, 2, 3])\nplt.show()"
        )
        assert execution.error is None, "".join(execution.error.traceback)
        pictures = [result for result in execution.results if "image/png" in result.data]
        assert len(pictures) == 1
        assert pictures[0].data["image/png"].startswith("iVBOR")
