"""`python -m tests.end_to_end.cut_storm`: clients at work while their connections are cut.

Owns the storm: `pyrepl3 serve` in a process of its own, a proxy before it that cuts at random
moments and bytes, and clients of all three kinds. What it is held to is in `storm_books.py`.
Exit status 0: each execution had one outcome, ran once, and all that it printed came in order;
1: one did not; 2: wrong arguments.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import anyio
import attrs
import trio

import pyrepl3

from .cutting_proxy import CuttingProxy, cutting_proxy
from .serve_driver import Serving, serving
from .storm_books import Books, Piece, random_piece

CUT_EVERY_S = 0.1
"""On average, one of the connections that there are."""
CUTS_AT_BYTES = 0.04
"""How likely each piece that passes is cut in its middle."""
PIECES_A_SESSION = 12
AT_ONCE = 3
BOUND_S = 90.0
"""For one execution, with all the cuts on its way, before it counts as one without an outcome."""
SETTLE_S = 30.0
PROGRESS_EVERY_S = 30.0
KINDS = ("trio", "trio", "asyncio", "asyncio", "sync", "sync")


@attrs.define(eq=False)
class Storm:
    """What all clients share. Threads append to the books, one at a time under Python's lock."""

    url: str
    token: str
    ran: Path
    ends_at: float
    """By `time.monotonic`, which all threads and loops have alike."""
    books: Books = attrs.field(factory=Books)
    first_attempts_cut: int = 0
    """Connections that were cut before a client was ever let in: it is told, and tries again."""

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.ends_at

    def note(self, piece: Piece, execution: pyrepl3.Execution) -> None:
        """What came of it."""
        count = execution.value
        error = execution.error
        if error is not None:
            count = f"{error.name}: {error.value} ({error.code})"
            if piece.ending == "exception" and error.name == "ValueError" and error.code is None:
                count = int(error.value)
        self.books.told(
            piece,
            count=count,
            stdout=execution.logs.stdout,
            omitted_bytes=execution.omitted_bytes,
        )


@attrs.define(eq=False)
class StormClient:
    """One client, which opens one session after the other."""

    storm: Storm
    name: str
    random: Random
    _sessions: int = 0
    _pieces: int = 0

    # --- with async, on trio and asyncio --------------------------------------------------------

    async def run(self) -> None:
        while self.storm.goes_on:
            try:
                await self._connected()
            except pyrepl3.ServiceUnreachable:
                self.storm.first_attempts_cut += 1
            except Exception as error:
                self._unexpected(error)

    async def _connected(self) -> None:
        async with pyrepl3.Client(self.storm.url, self.storm.token) as client:
            while self.storm.goes_on:
                try:
                    async with client.session() as session:
                        await self._use(session)
                except Exception as error:
                    self._unexpected(error)

    async def _use(self, session: Any) -> None:
        """One at a time, and several at once."""
        while batch := self._next_batch():
            async with anyio.create_task_group() as group:
                for piece in batch:
                    self.storm.books.ask(piece)
                    group.start_soon(self._ask, session, piece)

    async def _ask(self, session: Any, piece: Piece) -> None:
        try:
            with anyio.fail_after(BOUND_S):
                execution = await session.run(
                    piece.code(str(self.storm.ran)), on_input=piece.answer
                )
        except Exception as error:
            self.storm.books.failed(piece, repr(error))
        else:
            self.storm.note(piece, execution)

    # --- without ---------------------------------------------------------------------------------

    def run_sync(self) -> None:
        while self.storm.goes_on:
            try:
                with pyrepl3.SyncClient(self.storm.url, self.storm.token) as client:
                    while self.storm.goes_on:
                        with client.session() as session:
                            self._use_sync(session)
            except pyrepl3.ServiceUnreachable:
                self.storm.first_attempts_cut += 1
            except Exception as error:
                self._unexpected(error)

    def _use_sync(self, session: pyrepl3.SyncSession) -> None:
        while batch := self._next_batch():
            for piece in batch:
                self.storm.books.ask(piece)
                try:
                    execution = session.run(piece.code(str(self.storm.ran)), on_input=piece.answer)
                except Exception as error:
                    self.storm.books.failed(piece, repr(error))
                else:
                    self.storm.note(piece, execution)

    # --- what they do ---------------------------------------------------------------------------

    def _next_batch(self) -> list[Piece]:
        """Of the session that is open; empty where another one is to be opened, or none."""
        if not self.storm.goes_on or self._pieces >= PIECES_A_SESSION:
            self._sessions += 1
            self._pieces = 0
            return []
        batch = []
        for _ in range(self.random.choice((1, AT_ONCE))):
            self._pieces += 1
            session = f"{self.name}.{self._sessions}"
            batch.append(random_piece(self.random, f"{session}.{self._pieces}", session))
        return batch

    def _unexpected(self, error: Exception) -> None:
        self.storm.books.faults.append(f"{self.name}: {error!r}")
        self._sessions += 1
        self._pieces = 0


# --- the weather ----------------------------------------------------------------------------------


async def cut_at_moments(proxy: CuttingProxy, random: Random) -> None:
    """One connection at a time, now this one, now that one."""
    while True:
        await trio.sleep(random.expovariate(1 / CUT_EVERY_S))
        if scopes := proxy.scopes:
            proxy.cut_one(random.choice(scopes))


async def report(storm: Storm, proxy: CuttingProxy) -> None:
    """A line now and then, for whoever waits for it."""
    began = time.monotonic()
    while True:
        await trio.sleep(PROGRESS_EVERY_S)
        books = storm.books
        print(
            f"after {time.monotonic() - began:.0f} s: {books.asked} executions, "
            f"{proxy.cut} cuts, {len(books.faults)} faults",
            flush=True,
        )


async def run_storm(storm: Storm, port: int, random: Random) -> CuttingProxy:
    """To its end, with the proxy's figures."""

    def at_bytes(_: bytes) -> bool:
        return random.random() < CUTS_AT_BYTES

    async with cutting_proxy(
        port,
        at_bytes,
        cuts_requests=at_bytes,
        passes=lambda data: random.randrange(len(data)),
        resets=lambda: random.random() < 0.5,
    ) as proxy:
        storm.url = proxy.url
        async with trio.open_nursery() as weather:
            weather.start_soon(cut_at_moments, proxy, random)
            weather.start_soon(report, storm, proxy)
            async with trio.open_nursery() as nursery:
                for number, kind in enumerate(KINDS):
                    client = StormClient(storm, f"{kind}{number}", Random(random.random()))
                    if kind == "trio":
                        nursery.start_soon(client.run)
                    elif kind == "asyncio":
                        main = partial(anyio.run, client.run, backend="asyncio")
                        nursery.start_soon(trio.to_thread.run_sync, main)
                    else:
                        nursery.start_soon(trio.to_thread.run_sync, client.run_sync)
            weather.cancel_scope.cancel()
    await check_left(storm, port)
    return proxy


async def check_left(storm: Storm, port: int) -> None:
    """Every session was closed, also where its client's goodbye was cut."""
    async with pyrepl3.Client(f"http://127.0.0.1:{port}", storm.token) as client:
        with trio.move_on_after(SETTLE_S):
            while left := _open(await client.list_sessions()):
                pass  # asking again takes its time
        if left:
            storm.books.faults.append(f"{len(left)} sessions are open at the end: {left[:5]}")


def _open(sessions: list[Any]) -> list[str]:
    return [each["session"] for each in sessions if each["standing"] == "open"]


# --- the program ----------------------------------------------------------------------------------


@attrs.frozen
class Held:
    """A storm that is over."""

    summary: str
    faults: list[str]
    executions: int
    cuts: int


def hold(service: Serving, folder: Path, seconds: float, seed: int) -> Held:
    """A storm of so many seconds."""
    ran = folder / "ran"
    ran.touch()
    storm = Storm("", service.token, ran, time.monotonic() + seconds)
    proxy = trio.run(run_storm, storm, service.served.port, Random(seed))
    status, said = service.end()
    books = storm.books
    books.close(ran=ran.read_text().split())
    if status != 0 or "Traceback" in said:
        books.faults.append(f"the service ended with {status}: {said[-2000:]}")
    summary = (
        f"{seconds:.0f} s, seed {seed}: {books.asked} executions of {len(KINDS)} clients in "
        f"{books.sessions} sessions over {proxy.connections} connections, {proxy.cut} cut "
        f"({storm.first_attempts_cut} before the client was ever let in); "
        f"{books.outcomes} outcomes, {books.lines} lines printed, {len(books.faults)} faults"
    )
    return Held(summary, books.faults, books.asked, proxy.cut)


def main(arguments: Sequence[str]) -> int:
    """Do as the arguments say; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.end_to_end.cut_storm",
        description="Has clients run code on a service while a proxy cuts their connections, and "
        "checks that each execution had one outcome, ran once, and lost no output.",
    )
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N", help="how long (10)")
    parser.add_argument(
        "--seed", type=int, default=None, metavar="N", help="of chance; the moments still vary"
    )
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else Random().randrange(2**31)
    with tempfile.TemporaryDirectory(prefix="cut-storm-") as folder:
        path = Path(folder)
        with serving(path, "--max-sessions", "20") as service:
            held = hold(service, path, options.minutes * 60, seed)
    for fault in held.faults[:100]:
        print(f"FAULT {fault}")
    print(held.summary)
    return 1 if held.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
