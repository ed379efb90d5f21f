"""The actor layer by itself: a weather station whose sensor crashes now and then.

Nothing here knows of sessions. Three actors under one supervisor: a thermometer ticks, a log keeps
what it measured and answers questions, a watchdog rings when nothing was measured for a while.
The sensor's cable is loose, so it crashes; its supervisor starts it again, and the log, which
depends on nothing, keeps what it has. Run it with::

    python examples/actors_alone.py
"""

import logging
import statistics
from collections.abc import Iterator
from itertools import count

import attrs
import trio

import actors
from actors import Address, Alarm, Backoff, ChildSpec, Reply, RestartIntensity, Supervisor

TICK_S = 0.02
SILENCE_S = 0.15
RESTART_AFTER_S = 0.25
MEASUREMENTS_WAITING = 4
"""A log that is this far behind makes the sensor wait: measurements are never dropped."""


@attrs.frozen
class Measured:
    celsius: float


@attrs.frozen
class Summarize:
    """Answered once there are ``at_least`` so many measurements; nobody polls."""

    at_least: int
    reply: Reply[str]


LogMessage = Measured | Summarize


class LooseCable(Exception):
    """The sensor does not answer."""


@attrs.define(eq=False)
class Log:
    """Keeps measurements and answers questions about them; watches for silence."""

    watchdog: Alarm
    measurements: list[float] = attrs.field(factory=list)
    questions: list[Summarize] = attrs.field(factory=list)
    address: Address[LogMessage] | None = None

    async def run(self, *, task_status: trio.TaskStatus[Address[LogMessage]]) -> None:
        self.address, inbox = actors.open_mailbox(MEASUREMENTS_WAITING)
        with self.address, inbox:
            task_status.started(self.address)
            try:
                async for message in inbox:
                    self.take(message)
            finally:
                for question in self.questions:
                    question.reply.close()

    def take(self, message: LogMessage) -> None:
        match message:
            case Measured(celsius):
                self.measurements.append(celsius)
                self.watchdog.set(trio.current_time() + SILENCE_S)
            case Summarize():
                self.questions.append(message)
        count = len(self.measurements)
        for question in [one for one in self.questions if one.at_least <= count]:
            self.questions.remove(question)
            mean = statistics.mean(self.measurements)
            question.reply.answer(f"{count} measurements, mean {mean:.1f} C")

    def stop(self) -> None:
        """Let it handle what it has been sent, then end."""
        print("log: closing")
        if self.address is not None:
            self.address.close()


@attrs.define(eq=False)
class Thermometer:
    """Measures at each tick; the cable comes loose at every seventh one."""

    log: Address[LogMessage]
    ticks: Iterator[int]

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        print("thermometer: started")
        task_status.started()
        for tick in self.ticks:
            await trio.sleep(TICK_S)
            if tick % 7 == 0:
                raise LooseCable(f"at tick {tick}")
            await self.log.send(Measured(20 + tick % 5))


async def warn() -> None:
    """What the watchdog does."""
    print("watchdog: nothing measured for a while")
    await trio.lowlevel.checkpoint()


def make_station() -> Supervisor:
    watchdog = Alarm(warn)
    log = Log(watchdog)
    ticks = count(1)

    async def run_thermometer(*, task_status: trio.TaskStatus[None]) -> None:
        # A new one at each start, as each may find the log at a new address.
        await Thermometer(station.address("log"), ticks).run(task_status=task_status)

    station = Supervisor(
        [
            ChildSpec("watchdog", watchdog.run),
            ChildSpec("log", log.run, stop=log.stop),
            ChildSpec("thermometer", run_thermometer),
        ],
        strategy=actors.Strategy.REST_FOR_ONE,
        intensity=RestartIntensity(restarts=3, period_s=10.0),
        backoff=Backoff(initial_s=RESTART_AFTER_S, factor=1.0, jitter=0.0),
        name="station",
    )
    return station


async def main() -> None:
    station = make_station()
    async with trio.open_nursery() as nursery:
        await nursery.start(station.run)
        log = station.address("log")
        summary: str = await actors.ask(log, lambda reply: Summarize(14, reply))
        print("log:", summary)
        print("restarts:", dict(station.statistics().restarts))
        station.stop()
    print("the end")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    trio.run(main)
