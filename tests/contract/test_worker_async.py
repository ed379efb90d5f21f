"""Contract tests: top-level await in a real worker, on one loop that lasts."""

from collections.abc import Iterator

import pytest
from worker_driver import Worker, interpreters, open_worker


@pytest.fixture(scope="module", params=interpreters())
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with open_worker(request.param) as opened:
        yield opened


CELLS = {
    "await": ("import asyncio\nx = 1\nawait asyncio.sleep(0, 'done')", "done"),
    "async for": (
        "async def count():\n  for n in range(3): yield n\n"
        "seen = []\nasync for n in count(): seen.append(n)\nseen",
        [0, 1, 2],
    ),
    "async with": ("import asyncio\nasync with asyncio.Lock() as lock: x = 7\nx", 7),
    "comprehension": ("[n async for n in count()]", [0, 1, 2]),
    "value after await": ("await asyncio.sleep(0)\n'last'", "last"),
}


@pytest.mark.parametrize(("code", "expected"), CELLS.values(), ids=CELLS)
def test_asynchronous_code_runs_at_top_level(worker: Worker, code: str, expected: object) -> None:
    worker.run(CELLS["async for"][0])

    assert worker.run(code).value == expected


def test_asyncio_run_works_in_a_plain_cell_and_the_loop_lasts(worker: Worker) -> None:
    worker.run("import asyncio")
    worker.run("before = asyncio.get_running_loop(); await asyncio.sleep(0)")

    assert worker.run("asyncio.run(asyncio.sleep(0, 'own loop'))").value == "own loop"
    assert worker.run("await asyncio.sleep(0)\nasyncio.get_running_loop() is before").value is True


def test_background_tasks_go_on_between_executions(worker: Worker) -> None:
    code = """
import asyncio
async def tick():
    for n in range(3):
        await asyncio.sleep(0.01); print('tick', n)
task = asyncio.create_task(tick())
await asyncio.sleep(0)
"""
    worker.run(code)

    messages = [worker.receive() for _ in range(3)]

    assert [each["execution"] for each in messages] == [None] * 3
    assert [each["data"] for each in messages] == [b"tick 0\n", b"tick 1\n", b"tick 2\n"]
    assert worker.run("task.done()").value is True


def test_an_exception_in_a_coroutine_shows_the_users_frames_alone(worker: Worker) -> None:
    worker.run("async def fail():\n    raise LookupError('deep')")

    text = worker.run("await fail()").traceback

    assert "    await fail()\n" in text
    assert "raise LookupError('deep')" in text
    assert "asyncio" not in text
    assert "pyrepl3" not in text


def test_a_cancelled_error_of_the_users_own_keeps_its_name(worker: Worker) -> None:
    assert (
        worker.run("import asyncio\nraise asyncio.CancelledError").end["name"] == "CancelledError"
    )
    end = worker.run("asyncio.current_task().cancel()\nawait asyncio.sleep(1)").end
    assert end["name"] == "CancelledError"


def test_an_exit_in_a_coroutine_is_an_exit(worker: Worker) -> None:
    end = worker.run("await asyncio.sleep(0)\nexit(4)").end

    assert (end["name"], end["exit_status"]) == ("SystemExit", 4)
    assert worker.run("await asyncio.sleep(0, 5)").value == 5


def test_an_exit_in_a_background_task_ends_nothing(worker: Worker) -> None:
    worker.run(
        "async def leave(): raise SystemExit(1)\n"
        "t = asyncio.create_task(leave()); await asyncio.sleep(0.01)"
    )

    assert worker.run("'alive'").value == "alive"


def test_a_closed_loop_is_replaced(worker: Worker) -> None:
    worker.run("loop = asyncio.get_running_loop(); await asyncio.sleep(0)")
    worker.run("loop.close()")

    assert worker.run("await asyncio.sleep(0, 'new')").value == "new"


def test_asyncio_is_not_imported_before_it_is_needed() -> None:
    with open_worker() as worker:
        heavy = "['asyncio', 'inspect', 'matplotlib', 'subprocess', 'trio']"
        assert worker.run(f"import sys; [n for n in {heavy} if n in sys.modules]").value == []


@pytest.fixture(scope="module")
def trio_worker() -> Iterator[Worker]:
    with open_worker(async_library="trio") as opened:
        yield opened


def test_trio_runs_at_top_level_when_it_was_asked_for(trio_worker: Worker) -> None:
    assert trio_worker.run("import trio\nawait trio.sleep(0.01)\n'trio'").value == "trio"
    assert trio_worker.run(
        "with trio.move_on_after(0.01) as s: await trio.sleep(9)\ns.cancelled_caught"
    ).value
    assert "pyrepl3" not in trio_worker.run("await trio.sleep(0)\n1/0").traceback
    assert trio_worker.run("1 + 1").value == 2


def test_trio_background_tasks_go_on_between_executions(trio_worker: Worker) -> None:
    trio_worker.run(
        "import trio\nasync def later():\n  await trio.sleep(0.02); print('later')\n"
        "trio.lowlevel.spawn_system_task(later); await trio.sleep(0)"
    )

    assert trio_worker.receive()["data"] == b"later\n"


@pytest.mark.parametrize("body", ["await trio.sleep(60)", "while True: pass"])
def test_an_interrupt_ends_a_trio_cell_and_keeps_the_run(trio_worker: Worker, body: str) -> None:
    trio_worker.execute(f"import trio\nawait trio.sleep(0)\nprint('go')\n{body}")
    trio_worker.receive()
    if "sleep(60)" in body:
        trio_worker.wait_until_asleep()
    trio_worker.interrupt()

    end = trio_worker.finish().end
    assert (end["name"], end["code"]) == ("KeyboardInterrupt", "INTERRUPTED")
    assert trio_worker.run("await trio.sleep(0)\n'kept'").value == "kept"
