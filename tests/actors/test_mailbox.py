"""Unit tests: mailboxes, replies and asking, in a real trio run."""

import gc
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    ActorGone,
    AlreadyAnswered,
    Answer,
    NoReply,
    Outcome,
    Reply,
    ask,
    close_mailbox,
    open_mailbox,
    open_reply,
    receive_more,
    reply_to,
)
from actors.testing import cancel_at_each_checkpoint


def open_number_reply() -> tuple[Reply[int], Answer[int]]:
    return open_reply()


@pytest.mark.parametrize("capacity", [float("inf"), -1, 1.5, float("nan"), "1", None])
def test_a_mailbox_without_a_whole_bound_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="whole number"):
        open_mailbox(capacity)


async def test_a_mailbox_holds_as_many_messages_as_it_was_opened_for() -> None:
    address, inbox = open_mailbox(2)
    address.send_nowait("one")
    address.send_nowait("two")

    with pytest.raises(trio.WouldBlock):
        address.send_nowait("three")
    assert await inbox.receive() == "one"


async def test_what_has_come_already_is_taken_without_waiting() -> None:
    address, inbox = open_mailbox(2)
    address.send_nowait("one")
    address.send_nowait("two")

    assert await inbox.receive() == "one"
    assert receive_more(inbox) == "two"
    assert receive_more(inbox) is None
    address.close()
    assert receive_more(inbox) is None


async def test_closing_a_mailbox_refuses_what_was_sent_but_not_taken() -> None:
    refused: list[str] = []
    address, inbox = open_mailbox(1)
    address.send_nowait("buffered")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(address.send, "from a waiting sender")
        await wait_all_tasks_blocked()
        close_mailbox(inbox, refused.append)

    assert refused == ["buffered", "from a waiting sender"]
    with pytest.raises(trio.BrokenResourceError):
        address.send_nowait("late")


def test_closing_a_mailbox_closes_it_even_if_a_refusal_fails() -> None:
    address, inbox = open_mailbox(1)
    address.send_nowait("no number")

    with pytest.raises(ValueError, match="invalid literal"):
        close_mailbox(inbox, int)
    with pytest.raises(trio.BrokenResourceError):
        address.send_nowait("late")


async def test_an_answer_given_before_the_wait_is_kept() -> None:
    reply, answer = open_number_reply()

    assert reply.answer(7)
    assert await answer.wait() == 7


async def test_an_answer_given_during_the_wait_ends_it() -> None:
    reply, answer = open_number_reply()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def asker() -> None:
            assert await answer.wait() == 7

        await wait_all_tasks_blocked()
        assert reply.answer(7)


async def test_a_failed_reply_raises_at_the_asker() -> None:
    reply, answer = open_number_reply()

    assert reply.fail(KeyError("lost"))
    with pytest.raises(KeyError, match="lost"):
        await answer.wait()


async def test_a_closed_reply_is_no_reply() -> None:
    reply, answer = open_number_reply()
    reply.close()
    reply.close()

    with pytest.raises(NoReply) as caught:
        await answer.wait()
    assert isinstance(caught.value.__cause__, trio.EndOfChannel)
    with pytest.raises(NoReply):
        answer.take_nowait()


def test_taking_does_not_wait() -> None:
    reply, answer = open_number_reply()
    with pytest.raises(trio.WouldBlock):
        answer.take_nowait()
    reply.answer(7)

    assert answer.take_nowait() == 7


@pytest.mark.parametrize(
    "use", [lambda r: r.answer(1), lambda r: r.fail(KeyError()), lambda r: r.close()]
)
def test_a_used_reply_takes_no_second_answer(use: Callable[[Reply[int]], object]) -> None:
    reply, _ = open_number_reply()
    use(reply)

    with pytest.raises(AlreadyAnswered):
        reply.answer(2)
    with pytest.raises(AlreadyAnswered):
        reply.fail(KeyError())


def test_answering_an_asker_that_has_gone_is_false() -> None:
    reply, answer = open_number_reply()
    answer.close()

    assert not reply.answer(7)
    with pytest.raises(AlreadyAnswered):
        reply.answer(7)


async def test_a_reply_left_unanswered_by_its_block_is_closed() -> None:
    reply, answer = open_number_reply()
    with pytest.raises(ZeroDivisionError), reply:
        reply.answer(1 // 0)

    with pytest.raises(NoReply):
        await answer.wait()


async def test_a_reply_answered_in_its_block_keeps_its_answer() -> None:
    reply, answer = open_number_reply()
    with reply:
        reply.answer(7)

    assert await answer.wait() == 7


async def test_a_dropped_reply_is_no_reply(autojump_clock: MockClock) -> None:
    reply, answer = open_number_reply()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def asker() -> None:
            with pytest.raises(NoReply):
                await answer.wait()

        await wait_all_tasks_blocked()
        del reply
        gc.collect()


def test_a_reply_dropped_outside_of_trio_is_harmless() -> None:
    reply, _ = open_number_reply()
    del reply
    gc.collect()


async def test_asking_returns_the_answer() -> None:
    address, inbox = open_mailbox(0)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def actor() -> None:
            async for number, reply in inbox:
                reply.answer(number + 1)

        assert await ask(address, lambda reply: (7, reply)) == 8
        address.close()


async def test_asking_a_closed_mailbox_says_that_the_actor_is_gone() -> None:
    address, inbox = open_mailbox(0)
    inbox.close()
    with pytest.raises(ActorGone) as caught:
        await ask(address, lambda reply: reply)
    assert isinstance(caught.value.__cause__, trio.BrokenResourceError)

    address.close()
    with pytest.raises(ActorGone) as caught:
        await ask(address, lambda reply: reply)
    assert isinstance(caught.value.__cause__, trio.ClosedResourceError)


async def test_an_actor_that_dies_with_the_request_in_its_mailbox_leaves_no_asker_waiting(
    autojump_clock: MockClock,
) -> None:
    address, inbox = open_mailbox(1)
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def asker() -> None:
                with pytest.raises(NoReply):
                    await ask(address, lambda reply: reply)

            await wait_all_tasks_blocked()
            inbox.close()


async def test_an_actor_that_dies_before_it_takes_the_request_is_gone() -> None:
    address, inbox = open_mailbox(0)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def asker() -> None:
            with pytest.raises(ActorGone):
                await ask(address, lambda reply: reply)

        await wait_all_tasks_blocked()
        inbox.close()


async def test_a_broken_resource_that_the_actor_answers_with_is_not_taken_for_a_gone_actor() -> (
    None
):
    address, inbox = open_mailbox(1)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def actor() -> None:
            (await inbox.receive()).fail(trio.BrokenResourceError("the actor's own"))

        with pytest.raises(trio.BrokenResourceError, match="the actor's own"):
            await ask(address, lambda reply: reply)


async def test_a_message_that_cannot_be_made_leaves_the_mailbox_alone() -> None:
    address, inbox = open_mailbox(1)

    with pytest.raises(ZeroDivisionError):
        await ask(address, lambda reply: 1 // 0)
    assert inbox.statistics().current_buffer_used == 0


@pytest.mark.parametrize("capacity", [0, 1])
@pytest.mark.parametrize("eager", [True, False], ids=["at once", "a while later"])
async def test_wherever_an_asker_is_cancelled_an_accepted_answer_has_exactly_one_end(
    capacity: int, eager: bool, autojump_clock: MockClock
) -> None:
    accepted: list[int] = []
    returned: list[int] = []
    abandoned: list[int] = []
    address, inbox = open_mailbox(capacity)

    async def actor() -> None:
        number = 0
        async for reply in inbox:
            if not eager:
                await trio.sleep(1)
            number += 1
            if reply.answer(number):
                accepted.append(number)

    async def asker() -> int:
        return await ask(address, lambda reply: reply, on_abandoned=abandoned.append)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor)
        async for run in cancel_at_each_checkpoint(asker):
            if not run.cancelled and run.value is not None:
                returned.append(run.value)
            await wait_all_tasks_blocked()

            assert accepted == sorted(returned + abandoned)
        address.close()

    assert returned
    assert abandoned or not eager


async def test_an_answer_that_comes_before_the_cancelled_asker_could_take_it_is_abandoned() -> None:
    abandoned: list[str] = []
    scope = trio.CancelScope()
    address, inbox = open_mailbox(0)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def asker() -> None:
            with scope:
                await ask(address, lambda reply: reply, on_abandoned=abandoned.append)

        await wait_all_tasks_blocked()
        reply = inbox.receive_nowait()  # the asker's send has succeeded, but it has not yet run
        assert reply.answer("lease")
        scope.cancel()

    assert scope.cancelled_caught
    assert abandoned == ["lease"]


async def test_an_abandoned_failure_is_nobodys() -> None:
    abandoned: list[str] = []
    scope = trio.CancelScope()
    address, inbox = open_mailbox(0)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def asker() -> None:
            with scope:
                await ask(address, lambda reply: reply, on_abandoned=abandoned.append)

        await wait_all_tasks_blocked()
        assert inbox.receive_nowait().fail(KeyError())
        scope.cancel()

    assert scope.cancelled_caught
    assert abandoned == []


async def test_waiting_for_an_answer_can_be_cancelled_without_losing_it() -> None:
    answers = [open_number_reply() for _ in range(10)]
    waiting = iter(answers)

    async def wait() -> int:
        reply, answer = next(waiting)
        reply.answer(7)
        return await answer.wait()

    runs = [run async for run in cancel_at_each_checkpoint(wait)]

    for (_, answer), run in zip(answers, runs, strict=False):
        if run.cancelled:
            assert answer.take_nowait() == 7
        else:
            assert run.value == 7


def test_an_answer_can_go_to_a_function_in_the_moment_it_is_given() -> None:
    outcomes: list[Outcome[str]] = []
    reply: Reply[str] = reply_to(outcomes.append)

    took = reply.answer("yes")

    assert took
    assert [outcome.unwrap() for outcome in outcomes] == ["yes"]


def test_a_function_is_told_of_a_failure_and_of_a_reply_that_is_closed() -> None:
    outcomes: list[Outcome[str]] = []
    failed: Reply[str] = reply_to(outcomes.append)
    closed: Reply[str] = reply_to(outcomes.append)

    failed.fail(ValueError("no"))
    with closed:
        pass
    closed.close()

    first, second = outcomes
    with pytest.raises(ValueError, match="no"):
        first.unwrap()
    with pytest.raises(NoReply):
        second.unwrap()


def test_a_function_is_told_once_and_a_second_answer_is_an_error() -> None:
    outcomes: list[Outcome[str]] = []
    given: Reply[str] = reply_to(outcomes.append)
    with given as reply:
        reply.answer("yes")
        with pytest.raises(AlreadyAnswered):
            reply.answer("no")

    assert len(outcomes) == 1


async def test_a_function_is_told_of_a_reply_that_was_dropped() -> None:
    outcomes: list[Outcome[str]] = []
    reply_to(outcomes.append)
    gc.collect()
    await wait_all_tasks_blocked()

    (outcome,) = outcomes
    with pytest.raises(NoReply):
        outcome.unwrap()
