"""Contract tests: a real worker keeps its session through hostile and broken user code."""

import signal
from collections.abc import Iterator

import pytest
from worker_driver import Worker, interpreters, open_worker


@pytest.fixture(scope="module", params=interpreters())
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with open_worker(request.param) as opened:
        yield opened


@pytest.fixture(params=interpreters())
def victim(request: pytest.FixtureRequest) -> Iterator[Worker]:
    """A worker for one test, which may leave it corrupted."""
    with open_worker(request.param) as opened:
        yield opened


REPRS = {
    "raises": ("raise ValueError('no')", "<R object: repr() raised ValueError>"),
    "raises BaseException": ("raise GeneratorExit", "<R object: repr() raised GeneratorExit>"),
    "recurses": ("return repr(self)", "<R object: repr() raised RecursionError>"),
    "is no text": ("return 5", "<R object: repr() raised TypeError>"),
}


@pytest.mark.parametrize(("body", "placeholder"), REPRS.values(), ids=REPRS)
def test_a_broken_repr_becomes_a_placeholder(worker: Worker, body: str, placeholder: str) -> None:
    end = worker.run(f"class R:\n  def __repr__(self): {body}\nR()").end

    assert (end["type"], end["repr"]) == ("result", placeholder)


def test_a_huge_repr_is_cut_with_a_mark(worker: Worker) -> None:
    text = worker.run("list(range(1_000_000))").end["repr"]

    assert len(text) < 300_000
    assert text.endswith("of 7888890 characters]")


def test_a_value_that_would_not_fit_a_message_is_reduced(worker: Worker) -> None:
    end = worker.run("'x' * 50_000_000").end

    assert (end["type"], end["value"], end["has_value"]) == ("result", None, True)
    assert worker.run("1").value == 1


def test_an_error_with_a_huge_message_is_cut(worker: Worker) -> None:
    end = worker.run("raise ValueError('x' * 50_000_000)").end

    assert end["name"] == "ValueError"
    assert len(end["value"]) < 300_000
    assert sum(map(len, end["traceback"])) < 600_000


LIARS = {
    "str raises": "class E(Exception):\n  def __str__(self): raise KeyError\nraise E",
    "str raises BaseException": "class E(Exception):\n  def __str__(s): raise SystemExit\nraise E",
    "str is no text": "class E(Exception):\n  def __str__(self): return 5\nraise E",
    "metaclass lies": "class M(type):\n  @property\n  def __name__(c): raise ValueError\n"
    "  def __getattribute__(c, n): raise ValueError\n"
    "class E(Exception, metaclass=M): pass\nraise E",
    "base exception": "class E(BaseException): pass\nraise E",
    "class lies": "class E(Exception):\n  __class__ = property(lambda s: 1/0)\nraise E",
    "own traceback": "class E(Exception):\n  def __getattribute__(s, n): raise ValueError\nraise E",
}


@pytest.mark.parametrize("code", LIARS.values(), ids=LIARS)
def test_a_lying_exception_is_reported_by_its_true_name(worker: Worker, code: str) -> None:
    end = worker.run(code).end

    assert (end["type"], end["name"], end["code"]) == ("error", "E", None)
    assert end["traceback"]
    assert worker.run("1").value == 1


CORRUPTIONS = {
    "a deleted builtin": "import builtins; del builtins.len, builtins.isinstance, builtins.str",
    "all builtins deleted": "import builtins; vars(builtins).clear()",
    "modules cleared": "import sys; sys.modules.clear()",
    "streams deleted": "import sys; del sys.stdout, sys.stderr, sys.stdin, sys.excepthook",
    "its own dict cleared": "globals().clear()",
    "its module replaced": "import sys; sys.modules['__main__'] = None",
    "signals ignored": "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "traceback patched": "import traceback; vars(traceback).clear()",
    "linecache patched": "import linecache; linecache.cache.clear(); linecache.getline = None",
    "standard descriptors closed": "import os; os.close(1); os.close(2)",
    "recursion limit": "import sys; sys.setrecursionlimit(40)",
}
CORRUPTIONS["json, os and time patched"] = """
import os, posix, time, struct, select, gc
for module in (os, posix, time, struct, select):
    for name in list(vars(module)):
        if not name.startswith('__'): setattr(module, name, None)
"""


@pytest.mark.parametrize("code", CORRUPTIONS.values(), ids=CORRUPTIONS)
def test_a_corrupted_interpreter_still_gets_its_answers(victim: Worker, code: str) -> None:
    victim.run(code)

    assert victim.run("40 + 2").value == 42
    end = victim.run("x = {}\nx['missing']").end
    assert (end["name"], end["code"]) == ("KeyError", None)
    assert any("<cell 3>" in line for line in end["traceback"])


def test_closing_the_protocol_from_inside_is_seen_by_the_service(victim: Worker) -> None:
    victim.execute("import os; os.close(3); print('lost')")

    with pytest.raises(EOFError):
        victim.receive()


def test_the_worker_ends_with_its_service(victim: Worker) -> None:
    victim.socket.shutdown(2)

    assert victim.process.wait(timeout=5) == 0


def test_the_worker_ends_when_its_service_goes_while_it_prints(victim: Worker) -> None:
    victim.execute("while True: print('x')")
    victim.receive()
    victim.socket.shutdown(2)

    assert victim.process.wait(timeout=5) == 0


def test_a_message_that_breaks_the_protocol_breaks_the_runner_loudly(victim: Worker) -> None:
    victim.send(type="execute", execution="e1", number="no number", code=5)

    message = victim.receive()

    assert (message["type"], message["execution"]) == ("error", "e1")
    assert message["code"] in ("RUNNER_BROKEN", None)


def test_a_crash_is_a_crash(victim: Worker) -> None:
    victim.execute("import os, signal; print('last words'); os.kill(os.getpid(), signal.SIGKILL)")

    assert victim.receive()["data"] == b"last words\n"
    with pytest.raises(EOFError):
        victim.receive()
    assert victim.process.wait(timeout=5) == -signal.SIGKILL


def test_what_c_code_and_children_write_comes_by_the_pipes() -> None:
    with open_worker() as worker:
        worker.run("import os; os.write(1, b'raw'); os.system('echo child >&2')")
        out, err = worker.close()

    assert (out, err) == ("raw", "child\n")
