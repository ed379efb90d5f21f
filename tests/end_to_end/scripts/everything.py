"""A program that does a little of everything a script may do; its output is deterministic.

It is run by python and by ``pyrepl3 run``, and both must print the same bytes and end with the
same exit status. It reads its input, and uses asyncio, threads, subprocesses, multiprocessing,
numpy (where it is installed), files, signals, pickles and exit handlers.
"""

import argparse
import asyncio
import atexit
import collections
import concurrent.futures
import contextlib
import csv
import dataclasses
import enum
import functools
import io
import itertools
import json
import multiprocessing
import os
import pickle
import queue
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

try:
    import numpy
except ImportError:
    numpy = None

COUNT = 5


class Colour(enum.Enum):
    """Something to pickle by name, from ``__main__``."""

    RED = 1
    GREEN = 2


@dataclasses.dataclass(order=True)
class Item:
    """Something with an order."""

    price: float
    name: str = dataclasses.field(compare=False)
    tags: list[str] = dataclasses.field(default_factory=list, compare=False)


class Farewell:
    """Says when it is finalized, which is at the very end."""

    def __del__(self):
        print("finalized:", self.__class__.__name__)


def section(title):
    """A headline."""
    print(f"== {title} ".ljust(60, "="))


def show_surroundings():
    section("surroundings")
    print("name:", __name__)
    print("file:", os.path.basename(__file__), os.path.isabs(__file__))
    print("argv:", [os.path.basename(sys.argv[0]), *sys.argv[1:]])
    print("path:", os.path.samefile(sys.path[0], Path(__file__).parent))
    print("main:", sys.modules["__main__"].__dict__ is globals())
    print("package:", __package__, "spec:", __spec__, "doc:", __doc__.splitlines()[0])
    print("loader:", type(__loader__).__name__)
    print("cwd:", Path.cwd() == Path(os.environ["EXPECTED_CWD"]))
    print("environment:", len(os.environ), sorted(name for name in os.environ if "THR" in name))
    print("streams:", sys.stdin.name, sys.stdout.name, sys.stderr.name)
    print("modes:", sys.stdin.mode, sys.stdout.mode, sys.stdout.encoding, sys.stdout.errors)
    print("terminals:", sys.stdin.isatty(), sys.stdout.isatty(), sys.stderr.isatty())
    print("descriptors:", sys.stdin.fileno(), sys.stdout.fileno(), sys.stderr.fileno())
    print("interrupt handler:", signal.getsignal(signal.SIGTERM))


def read_some_input():
    section("input")
    name = input("name? ")
    print(f"hello {name!r}")
    print("line:", repr(sys.stdin.readline()))
    print("next:", repr(next(sys.stdin)))
    print("characters:", repr(sys.stdin.read(4)))
    print("rest of the line:", repr(sys.stdin.readline()))
    print("bytes of the rest:", len(sys.stdin.buffer.read()))
    print("at the end:", repr(sys.stdin.read()))
    try:
        input()
    except EOFError as error:
        print("EOFError:", error)


@functools.cache
def fibonacci(n):
    """The n-th number of Fibonacci."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def compute():
    section("computing")
    small = itertools.takewhile(lambda n: n < 10_000, map(fibonacci, itertools.count()))
    print(fibonacci(90), sum(small))
    items = [Item(3.5, "tea", ["hot"]), Item(1.25, "água"), Item(9.0, "日本酒", ["hot", "cold"])]
    for item in sorted(items):
        print(f"{item.name:>6} {item.price:8.3f} {','.join(item.tags) or '-'}")
    print(collections.Counter("abracadabra").most_common(2))
    print(json.dumps([dataclasses.asdict(item) for item in items], ensure_ascii=False))
    print(pickle.loads(pickle.dumps((Colour.GREEN, max(items)))))
    print("😀 é \u2028 \x00 tab\tend".encode())


def is_main_thread():
    """Whether this is where the program began."""
    return threading.current_thread() is threading.main_thread()


async def worker(number, results):
    """One of several tasks."""
    await asyncio.sleep(0.001 * (COUNT - number))
    results.append(number)
    return number * number


async def run_tasks():
    results = []
    squares = await asyncio.gather(*(worker(number, results) for number in range(COUNT)))
    print("squares:", squares, "ended:", sorted(results))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "print(input()[::-1])", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    out, _ = await process.communicate(b"desserts\n")
    print("asyncio subprocess:", out, process.returncode)
    try:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(10)
    except TimeoutError:
        print("timed out")
    print("in a thread:", await asyncio.to_thread(is_main_thread))


def use_threads():
    section("threads")
    letters = queue.Queue()
    threads = [threading.Thread(target=letters.put, args=(letter,)) for letter in "threads"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("".join(sorted(letters.get() for _ in threads)))
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        print(list(pool.map(lambda n: n**3, range(COUNT))))
    print("main thread:", is_main_thread(), threading.active_count())


def use_processes():
    section("subprocesses")
    code = "import sys; sys.exit(len(sys.stdin.read()))"
    done = subprocess.run([sys.executable, "-c", code], input=b"12345")
    print("status:", done.returncode)
    sys.stdout.flush()
    subprocess.run(["echo", "straight to the standard output"], check=True)
    subprocess.run(["sh", "-c", "echo to the standard error >&2"], check=True)
    print(subprocess.check_output(["sort", "-r"], input="a\nc\nb\n", text=True).split())
    print("system:", os.waitstatus_to_exitcode(os.system("exit 3")))
    child = os.fork()
    if child == 0:
        os._exit(7)
    print("fork:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def square(number):
    """Runs in processes of a pool, where it is found in ``__main__``."""
    return number * number


def put_colour(results, colour):
    """Runs in a process started anew, which imports this file."""
    results.put((colour, __name__))


def use_multiprocessing():
    section("multiprocessing")
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(square, range(COUNT)))
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        print(sorted(pool.map(square, range(COUNT))))
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=put_colour, args=(results, Colour.RED))
    process.start()
    print(results.get())
    process.join()
    print("ended with", process.exitcode)


def use_numpy():
    section("numpy")
    if numpy is None:
        print("not installed")
        return
    matrix = numpy.arange(16, dtype=float).reshape(4, 4)
    print(matrix @ matrix.T)
    print(numpy.linalg.matrix_rank(matrix), matrix.mean(axis=0))
    print(numpy.random.default_rng(7).integers(0, 9, 5))


def use_files_and_sockets():
    section("files and sockets")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("a", 1), ("b,c", 2)])
        print(path.read_bytes())
        with contextlib.closing(sqlite3.connect(Path(folder, "base"))) as base:
            base.execute("create table t (n int)")
            base.executemany("insert into t values (?)", [(n,) for n in range(COUNT)])
            print(base.execute("select sum(n), max(n) from t").fetchone())
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"ping")
        print(right.recv(10))


def use_signals():
    section("signals")
    previous = signal.signal(signal.SIGALRM, lambda number, frame: print("alarm", number))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    signal.pause()
    signal.signal(signal.SIGALRM, previous)
    try:
        signal.raise_signal(signal.SIGINT)
        time.sleep(1)
    except KeyboardInterrupt:
        print("interrupted by itself")


def fail_and_recover():
    section("errors")
    try:
        {}["missing"]
    except KeyError:
        lines = traceback.format_exc().splitlines()
        print(lines[0], lines[2].strip(), lines[-1], sep=" | ")
    try:
        raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])
    except* ValueError as group:
        print(repr(group))
    except* TypeError as group:
        print(repr(group))
    parser = argparse.ArgumentParser(prog="everything", add_help=False)
    with contextlib.redirect_stderr(io.StringIO()) as captured:
        try:
            parser.parse_args(["--nonsense"])
        except SystemExit as error:
            print(error.code, captured.getvalue().splitlines()[-1])


def main():
    print("café", "line without its end", sep=" | ", end="")
    print("", flush=True)
    sys.stdout.buffer.write("bytes in their place: ÿ\n".encode())
    sys.stdout.flush()
    atexit.register(print, "exit handler: first in, last out")
    atexit.register(lambda: print("exit handler:", threading.current_thread().name))
    show_surroundings()
    read_some_input()
    compute()
    section("asyncio")
    asyncio.run(run_tasks())
    use_threads()
    use_processes()
    use_multiprocessing()
    use_numpy()
    use_files_and_sockets()
    use_signals()
    fail_and_recover()
    threading.Thread(target=lambda: (time.sleep(0.2), print("a thread that outlives main"))).start()
    print("end of main")
    return 42


if __name__ == "__main__":
    farewell = Farewell()
    sys.exit(main())
