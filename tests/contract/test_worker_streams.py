"""Contract tests: what a real worker prints arrives whole, in order, in bounded messages."""

from collections.abc import Iterator

import pytest
from worker_driver import Worker, interpreters, open_worker

MAX_OUTPUT_FRAME_BYTES = 64 * 2**10


@pytest.fixture(scope="module", params=interpreters())
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with open_worker(request.param) as opened:
        yield opened


def test_a_line_a_carriage_return_and_a_flush_each_end_a_message(worker: Worker) -> None:
    code = (
        "print('a', end=''); print('b'); print('1', end='\\r'); print('c', end='', flush=True); 0"
    )

    parts = [each["data"] for each in worker.run(code).of("output")]

    assert parts == [b"ab\n", b"1\r", b"c"]


def test_text_and_bytes_and_both_streams_keep_their_order(worker: Worker) -> None:
    code = """
import sys
for n in range(3):
    sys.stdout.write(f'o{n} ')
    sys.stdout.buffer.write(f'b{n} '.encode())
    sys.stderr.write(f'e{n}\\n')
"""

    parts = [(each["stream"][3:], each["data"]) for each in worker.run(code).of("output")]

    assert parts == [
        ("out", b"o0 b0 "), ("err", b"e0\n"), ("out", b"o1 b1 "), ("err", b"e1\n"),
        ("out", b"o2 b2 "), ("err", b"e2\n"),
    ]  # fmt: skip


def test_a_long_line_is_cut_between_characters_into_bounded_messages(worker: Worker) -> None:
    execution = worker.run("print('häß→😀' * 100_000)")

    parts = [each["data"] for each in execution.of("output")]
    assert max(map(len, parts)) < MAX_OUTPUT_FRAME_BYTES
    assert "".join(part.decode() for part in parts) == "häß→😀" * 100_000 + "\n"


def test_a_hundred_thousand_lines_arrive_complete(worker: Worker) -> None:
    execution = worker.run("for i in range(100_000): print(i)")

    assert execution.text() == "".join(f"{n}\n" for n in range(100_000))


def test_lone_surrogates_become_escapes(worker: Worker) -> None:
    assert worker.run("print('a\\ud800b')").text() == "a\\ud800b\n"
    assert worker.run("'a\\ud800b'").end["repr"] == "'a\\ud800b'"


def test_the_streams_look_like_text_files(worker: Worker) -> None:
    code = """
import io, sys
out = sys.stdout
out.reconfigure(line_buffering=True)
[isinstance(out, io.TextIOBase), out.encoding, out.errors, out.fileno(), sys.stderr.fileno(),
 out.isatty(), out.writable(), out.readable(), out.closed, out.name, out.mode]
"""

    assert worker.run(code).value == [
        True, "utf-8", "backslashreplace", 1, 2, False, True, False, False, "<stdout>", "w",
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", ["b'x'", "1", "None"])
def test_a_text_stream_refuses_what_is_no_text(worker: Worker, wrong: str) -> None:
    assert worker.run(f"import sys; sys.stdout.write({wrong})").end["name"] == "TypeError"


def test_a_replaced_stdout_is_honoured_and_can_be_restored(worker: Worker) -> None:
    code = """
import contextlib, io, sys
with contextlib.redirect_stdout(io.StringIO()) as held:
    print('held')
sys.stdout = None
print('nowhere')
sys.stdout = sys.__stdout__
sys.stdout.close()
print('seen')
held.getvalue()
"""

    execution = worker.run(code)

    assert (execution.text(), execution.value) == ("seen\n", "held\n")


def test_threads_may_print_at_any_time(worker: Worker) -> None:
    code = """
import threading
def work(name):
    for n in range(500): print(f'{name}{n}\\n', end='')
threads = [threading.Thread(target=work, args=(name,)) for name in 'abcd']
for t in threads: t.start()
for t in threads: t.join()
"""

    lines = worker.run(code).text().split()

    assert sorted(lines) == sorted(f"{name}{n}" for name in "abcd" for n in range(500))


def test_what_is_printed_between_executions_belongs_to_none(worker: Worker) -> None:
    code = """
import threading
gate = threading.Event()
def late():
    gate.wait(); import time; time.sleep(0.05); print('late')
threading.Thread(target=late).start()
gate.set()
"""
    worker.run(code)

    message = worker.receive()

    assert (message["execution"], message["data"]) == (None, b"late\n")


def test_a_finalizer_that_prints_in_the_midst_of_a_print_loses_nothing(worker: Worker) -> None:
    code = """
import gc
class Noisy:
    def __del__(self): print('bye')
def make():
    one = Noisy(); one.cycle = one
gc.set_threshold(5)
for n in range(2000):
    make(); print('line')
gc.set_threshold(700, 10, 10); gc.collect()
"""

    text = worker.run(code).text()

    assert (text.count("line"), text.count("bye"), text.count("\n")) == (2000, 2000, 4000)


def test_a_forked_child_prints_to_the_pipes_and_never_to_the_link() -> None:
    code = """
import os, sys
print('before', end='')
for way in ('falls out', 'raises', 'exits'):
    if not (pid := os.fork()):
        print('child ' + way)
        if way == 'raises': raise RuntimeError('in the child')
        if way == 'exits': sys.exit('says why')
        break
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    with open_worker() as worker:
        execution = worker.run(code)
        assert worker.run("1 + 1").value == 2
        out, err = worker.close()

    assert execution.text() == "before0\n1\n1\n"
    assert out == "child falls out\nchild raises\nchild exits\n"
    assert "RuntimeError: in the child" in err
    assert err.endswith("says why\n")
    assert "pyrepl3" not in err


def test_a_forked_child_holds_no_descriptor_of_the_session(worker: Worker) -> None:
    code = """
import os
if not (pid := os.fork()):
    held = 0
    for fd in (3, 4):
        try: os.fstat(fd); held += 1
        except OSError: pass
    try: input()
    except EOFError: held += 10
    os._exit(held)
os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""

    assert worker.run(code, "an answer that is not asked for").value == 10


def test_child_programs_inherit_nothing_of_the_link(worker: Worker) -> None:
    worker.run("import os, tempfile; listing = tempfile.mktemp()")
    worker.run("os.system(f'ls /proc/self/fd > {listing}')")

    assert worker.run("sorted(set(open(listing).read().split()) & {'3', '4'})").value in ([], ["3"])
