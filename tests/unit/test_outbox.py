"""Unit tests: what a connection tells goes out in order, together, and to who takes it in time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from actors.testing import cancel_at_each_checkpoint
from pyrepl3.endpoint.outbox import FINISH_S, PATIENCE_S, WRITE_BYTES, Frame, Outbox, Written

SLOW_CLIENT_S = 30.0


@attrs.define(eq=False)
class Client:
    """What was written to it, and when; takes nothing while it ``is_full``."""

    writes: list[list[Frame]] = attrs.field(factory=list)
    times: list[float] = attrs.field(factory=list)
    is_full: bool = False
    has_room: trio.Event = attrs.field(factory=trio.Event)

    async def write(self, frames: Sequence[Frame]) -> None:
        if self.is_full:
            await self.has_room.wait()
        await trio.lowlevel.checkpoint()
        self.writes.append(list(frames))
        self.times.append(trio.current_time())


@asynccontextmanager
async def written_to(client: Client) -> AsyncIterator[Outbox]:
    outbox = Outbox(client.write, SLOW_CLIENT_S)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run)
        yield outbox
        nursery.cancel_scope.cancel()


async def test_what_is_told_in_one_moment_goes_out_in_one_write_and_in_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = Client()
    async with written_to(client) as outbox:
        outbox.post(b"a", can_wait=True)
        outbox.post(b"b")
        outbox.post(b"c", can_wait=True)
        await outbox.wait_sent()

    assert client.writes == [[b"a", b"b", b"c"]]


async def test_what_can_wait_goes_with_what_comes_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = Client()
    async with written_to(client) as outbox:
        began = trio.current_time()
        outbox.post(b"accepted", can_wait=True)
        await trio.sleep(PATIENCE_S / 2)
        outbox.post(b"result")
        await trio.sleep(1)

    assert client.writes == [[b"accepted", b"result"]]
    assert client.times == [began + PATIENCE_S / 2]


async def test_what_can_wait_does_not_wait_for_longer_than_a_moment(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = Client()
    async with written_to(client) as outbox:
        began = trio.current_time()
        for _ in range(2):
            outbox.post(b"started", can_wait=True)
            await trio.sleep(1)

    assert client.writes == [[b"started"], [b"started"]]
    assert client.times == [began + PATIENCE_S, began + 1 + PATIENCE_S]


async def test_a_write_is_bounded_but_for_one_message_that_is_larger(
    autojump_clock: trio.testing.MockClock,
) -> None:
    half, whole = b"h" * (WRITE_BYTES // 2), b"w" * (WRITE_BYTES + 1)
    client = Client()
    async with written_to(client) as outbox:
        for frame in (half, half, half, whole, half):
            outbox.post(frame)
        await outbox.wait_sent()

    assert client.writes == [[half, half], [half], [whole], [half]]


async def test_who_posts_much_waits_for_a_client_that_takes_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = Client(is_full=True)
    async with written_to(client) as outbox:
        await outbox.wait_room()  # there is: this does not wait
        outbox.post(b"x" * WRITE_BYTES)
        await trio.testing.wait_all_tasks_blocked()
        outbox.post(b"y" * WRITE_BYTES)
        with trio.move_on_after(1) as too_long:
            await outbox.wait_room()
        client.has_room.set()
        await outbox.wait_room()
        await outbox.wait_sent()

    assert too_long.cancelled_caught
    assert [len(frames) for frames in client.writes] == [1, 1]


async def test_a_client_that_takes_nothing_for_too_long_is_told_of(
    autojump_clock: trio.testing.MockClock,
) -> None:
    outbox = Outbox(Client(is_full=True).write, SLOW_CLIENT_S)
    began = trio.current_time()
    outbox.post(b"x")

    with pytest.RaisesGroup(trio.TooSlowError):
        await outbox.run()

    assert trio.current_time() == began + SLOW_CLIENT_S + FINISH_S
    assert outbox.is_torn


async def test_a_client_that_takes_it_a_little_too_late_is_told_of_behind_whole_messages(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = Client(is_full=True)
    outbox = Outbox(client.write, SLOW_CLIENT_S)
    outbox.post(b"x")

    with pytest.RaisesGroup(trio.TooSlowError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.run)
            await trio.sleep(SLOW_CLIENT_S + FINISH_S / 2)
            client.has_room.set()

    assert client.writes == [[b"x"]]
    assert not outbox.is_torn


@pytest.mark.parametrize("is_taken", [True, False])
async def test_what_is_being_written_when_it_ends_is_written_whole_if_that_is_soon(
    is_taken: bool, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(is_full=True)
    outbox = Outbox(client.write, SLOW_CLIENT_S)
    outbox.post(b"x")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run)
        await trio.testing.wait_all_tasks_blocked()
        outbox.post(b"y")
        ended = trio.current_time()
        nursery.cancel_scope.cancel()
        if is_taken:
            client.has_room.set()

    assert client.writes == ([[b"x"]] if is_taken else [])
    assert outbox.is_torn is not is_taken
    assert trio.current_time() == (ended if is_taken else ended + FINISH_S)


async def test_who_waits_is_let_go_when_nothing_is_sent_any_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = Client(is_full=True)
    async with written_to(client) as outbox, trio.open_nursery() as nursery:
        outbox.post(b"x" * WRITE_BYTES)
        outbox.post(b"y" * WRITE_BYTES)
        nursery.start_soon(outbox.wait_room)
        nursery.start_soon(outbox.wait_sent)
        await trio.testing.wait_all_tasks_blocked()
        outbox.close()
        outbox.post(b"z")

    assert client.writes == []


@pytest.mark.parametrize("waits_for", [Outbox.wait_room, Outbox.wait_sent])
async def test_wherever_one_is_cancelled_who_waits_the_others_are_told_all(
    waits_for: Callable[[Outbox], Awaitable[None]], autojump_clock: trio.testing.MockClock
) -> None:
    client = Client()
    async with written_to(client) as outbox:
        posted: list[Frame] = []

        async def post_and_wait() -> None:
            posted.append(b"%d" % len(posted) + b"x" * WRITE_BYTES)
            outbox.post(posted[-1])
            await waits_for(outbox)

        async for _ in cancel_at_each_checkpoint(post_and_wait):
            await outbox.wait_sent()

    assert [frame for frames in client.writes for frame in frames] == posted
    assert len(posted) > 1


async def test_wherever_its_writer_is_cancelled_nothing_is_written_twice(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = Client()
    posted: list[Frame] = [b"%d" % number * (WRITE_BYTES // 2) for number in range(3)]

    async def write_all() -> None:
        client.writes.clear()
        outbox = Outbox(client.write, SLOW_CLIENT_S)
        for frame in posted:
            outbox.post(frame)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.run)
            await outbox.wait_sent()
            nursery.cancel_scope.cancel()

    async for _ in cancel_at_each_checkpoint(write_all):
        written = [frame for frames in client.writes for frame in frames]
        assert written == posted[: len(written)]


# --- without waiting ------------------------------------------------------------------------------


@attrs.define(eq=False)
class QuickClient(Client):
    """Takes what it is sent without a wait, or a part of it, or nothing."""

    takes: Written = Written.ALL
    at_once: list[list[Frame]] = attrs.field(factory=list)

    def write_nowait(self, frames: Sequence[Frame]) -> Written:
        if self.takes is not Written.NOTHING:
            self.at_once.append(list(frames))
        return self.takes


@asynccontextmanager
async def quickly_written_to(client: QuickClient) -> AsyncIterator[Outbox]:
    outbox = Outbox(client.write, SLOW_CLIENT_S, client.write_nowait)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run)
        await trio.testing.wait_all_tasks_blocked()
        yield outbox
        nursery.cancel_scope.cancel()


async def test_what_cannot_wait_is_written_where_it_is_told_with_what_waited(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = QuickClient()
    async with quickly_written_to(client) as outbox:
        outbox.post(b"accepted", can_wait=True)
        outbox.post(b"result")
        assert client.at_once == [[b"accepted", b"result"]]
        assert outbox.has_room
        await outbox.wait_sent()
        await trio.sleep(1)

    assert client.writes == []


async def test_what_waited_alone_is_written_by_the_task(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = QuickClient()
    async with quickly_written_to(client) as outbox:
        outbox.post(b"result")
        outbox.post(b"started", can_wait=True)
        await trio.sleep(PATIENCE_S)
        await outbox.wait_sent()

    assert (client.at_once, client.writes) == ([[b"result"]], [[b"started"]])


async def test_what_was_written_in_part_is_finished_before_anything_else(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = QuickClient(takes=Written.A_PART)
    async with quickly_written_to(client) as outbox:
        outbox.post(b"a")
        outbox.post(b"b")  # must not be written at once: half of that before it is out
        assert client.at_once == [[b"a"]]
        await outbox.wait_sent()
        assert client.writes == [[b"b"]]
        outbox.post(b"c")
        assert client.at_once == [[b"a"], [b"c"]]
        await outbox.wait_sent()
        assert client.writes == [[b"b"], []]


async def test_nothing_is_written_at_once_behind_what_the_task_has_to_write(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = QuickClient(takes=Written.NOTHING)
    async with quickly_written_to(client) as outbox:
        outbox.post(b"a")
        client.takes = Written.ALL
        outbox.post(b"b")
        await outbox.wait_sent()
        outbox.post(b"c")

    assert (client.writes, client.at_once) == ([[b"a", b"b"]], [[b"c"]])


async def test_a_rest_that_the_client_does_not_take_in_time_is_the_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = QuickClient(takes=Written.A_PART, is_full=True)
    with pytest.RaisesGroup(trio.TooSlowError, allow_unwrapped=True, flatten_subgroups=True):
        async with quickly_written_to(client) as outbox:
            outbox.post(b"a")
            await trio.sleep(SLOW_CLIENT_S + 2 * FINISH_S)
    assert outbox.is_torn


async def test_who_waits_for_nothing_does_not_keep_the_task_awake(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = QuickClient()
    async with quickly_written_to(client) as outbox:
        await outbox.wait_sent()
        await trio.sleep(1)  # comes to its end only where nobody spins
        outbox.post(b"a")

    assert client.at_once == [[b"a"]]


async def test_who_waits_until_all_is_sent_hears_of_what_was_written_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = QuickClient(is_full=True)
    async with quickly_written_to(client) as outbox, trio.open_nursery() as nursery:
        outbox.post(b"a", can_wait=True)
        nursery.start_soon(outbox.wait_sent)
        await trio.sleep(PATIENCE_S / 4)
        outbox.post(b"b", can_wait=True)
        client.has_room.set()
        await trio.sleep(PATIENCE_S / 4)  # it waits for "b" now
        outbox.post(b"c")
        nursery.cancel_scope.deadline = trio.current_time() + 1

    assert (client.writes, client.at_once) == ([[b"a"]], [[b"b", b"c"]])
    assert not nursery.cancel_scope.cancelled_caught
