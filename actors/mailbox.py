"""Mailboxes, and how to ask an actor for one answer.

Owns the bound on every mailbox, the one-shot reply, and the translation of trio's channel errors
into this layer's. Must not know what messages mean, nor who reads a mailbox.

An address is a plain :class:`trio.MemorySendChannel`, so telling costs what trio's channels cost.
Asking is telling a message that carries a :class:`Reply`::

    size = await ask(address, lambda reply: CountFiles(path, reply))

The reply has room for its one answer, so answering never waits: an actor cannot be held up by
whoever asked it. (Shape from OTP's ``gen_server:call`` and Rust's ``tokio::sync::oneshot``.)
"""

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Generic, NoReturn, Protocol, TypeAlias, TypeVar

import attrs
import trio

from .errors import ActorGone, AlreadyAnswered, NoReply

M = TypeVar("M")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Address: TypeAlias = trio.MemorySendChannel[M]
"""Where messages of type M are sent."""

Inbox: TypeAlias = trio.MemoryReceiveChannel[M]
"""Where the actor itself takes them from."""

ANSWERS_A_REPLY = 1
"""A reply has room for the one answer it may get, so that giving it never blocks."""


def open_mailbox(
    capacity: int,
) -> tuple[trio.MemorySendChannel[M], trio.MemoryReceiveChannel[M]]:
    """An (address, inbox) pair with room for ``capacity`` messages; 0 hands over directly.

    Raises ValueError for a capacity that is negative, infinite or no whole number: a mailbox
    without a bound hides an actor that cannot keep up until memory runs out.
    """
    whole: object = capacity  # a type checker sees an int; callers without one may not
    if not isinstance(whole, int) or capacity < 0:
        raise ValueError(f"a mailbox's capacity must be a whole number >= 0, not {capacity!r}")
    return trio.open_memory_channel[M](capacity)


def receive_more(inbox: Inbox[M]) -> M | None:
    """A message that has come already, or None: for an actor that takes several in one turn.

    A turn costs a task switch, however little is done in it. Take no more than the mailbox holds
    before the next ``await inbox.receive()``, which lets others run, and which is the one to say
    that nothing can come any more.
    """
    try:
        return inbox.receive_nowait()
    except (trio.WouldBlock, trio.EndOfChannel):
        return None


def close_mailbox(inbox: Inbox[M], refuse: Callable[[M], object]) -> None:
    """Close an inbox; ``refuse`` first gets every message that was sent but not taken.

    That is where their replies are closed. Later sends raise BrokenResourceError. Never waits.
    """
    with inbox:
        while True:
            try:
                message = inbox.receive_nowait()
            except (trio.WouldBlock, trio.EndOfChannel):
                return
            refuse(message)


@attrs.frozen(eq=False)
class _Value(Generic[T]):
    value: T

    def unwrap(self) -> T:
        return self.value


@attrs.frozen(eq=False)
class _Failure:
    error: Exception

    def unwrap(self) -> NoReturn:
        raise self.error


class Outcome(Protocol[T_co]):
    """An answer, a failure, or that there is none."""

    def unwrap(self) -> T_co:
        """The answer; raises what the reply was failed with, or NoReply."""


class Reply(Generic[T]):
    """The answering end of one request: use it once, from any task, without waiting.

    As a context manager it closes itself if the block leaves it unanswered. A reply that is
    dropped is closed by the garbage collector, so no asker waits for an actor that crashed with
    the request in its hands; close it where you can, as that is sooner.
    """

    __slots__ = ("_channel", "_used")

    def __init__(
        self, channel: "trio.MemorySendChannel[_Value[T] | _Failure] | _Function[T]"
    ) -> None:
        self._channel = channel
        self._used = False

    def answer(self, value: T) -> bool:
        """Give the answer. False when the asker has gone: what ``value`` holds is still yours.

        Raises AlreadyAnswered when this reply was answered, failed or closed before.
        """
        return self._settle(_Value(value))

    def fail(self, error: Exception) -> bool:
        """Have ``error`` raised at the asker instead. Returns and raises as :meth:`answer`."""
        return self._settle(_Failure(error))

    def close(self) -> None:
        """Answer nothing: the asker gets NoReply. No effect once answered, failed or closed."""
        self._used = True
        self._channel.close()

    def _settle(self, outcome: _Value[T] | _Failure) -> bool:
        if self._used:
            raise AlreadyAnswered
        self._used = True
        with self._channel:
            try:
                self._channel.send_nowait(outcome)
            except trio.BrokenResourceError:
                return False
        return True

    def __enter__(self) -> "Reply[T]":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # A collector runs at any moment, so the run loop is asked to close it at a safe one.
        # Outside of trio, or in a run that is over, nobody waits for it.
        if not self._used:
            with suppress(RuntimeError):
                trio.lowlevel.current_trio_token().run_sync_soon(self._channel.close)


class _Function(Generic[T]):
    """What a reply has instead of a channel, where its answer goes to a function."""

    __slots__ = ("_on_answer",)

    def __init__(self, on_answer: "Callable[[Outcome[T]], object]") -> None:
        self._on_answer: Callable[[Outcome[T]], object] | None = on_answer

    def send_nowait(self, outcome: "_Value[T] | _Failure") -> None:
        on_answer, self._on_answer = self._on_answer, None
        assert on_answer is not None  # a reply is used once
        on_answer(outcome)

    def close(self) -> None:
        if self._on_answer is not None:
            self.send_nowait(_Failure(NoReply()))

    def __enter__(self) -> "_Function[T]":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Answer(Generic[T]):
    """The asking end of one request."""

    __slots__ = ("_channel",)

    def __init__(self, channel: trio.MemoryReceiveChannel[_Value[T] | _Failure]) -> None:
        self._channel = channel

    async def wait(self) -> T:
        """Wait for the answer and take it.

        Raises what the reply was failed with, or NoReply when it was closed. Cancelled means that
        the answer was *not* taken; it may be there by now.
        """
        try:
            outcome = await self._channel.receive()
        except trio.EndOfChannel as end:
            raise NoReply from end
        return outcome.unwrap()

    def take_nowait(self) -> T:
        """Take the answer if it is there. Raises trio.WouldBlock if not, else as :meth:`wait`."""
        try:
            outcome = self._channel.receive_nowait()
        except trio.EndOfChannel as end:
            raise NoReply from end
        return outcome.unwrap()

    def close(self) -> None:
        """Stop asking: from now on ``Reply.answer`` returns False."""
        self._channel.close()

    def abandon(self, on_abandoned: Callable[[T], object] | None) -> None:
        """Close, and give a value that was answered but never taken to ``on_abandoned``."""
        try:
            outcome = self._channel.receive_nowait()
        except (trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            outcome = None
        self.close()
        if isinstance(outcome, _Value) and on_abandoned is not None:
            on_abandoned(outcome.value)


def open_reply() -> tuple[Reply[T], Answer[T]]:
    """The two ends of one request: the reply goes into the message, the answer stays here."""
    send, receive = trio.open_memory_channel[_Value[T] | _Failure](ANSWERS_A_REPLY)
    return Reply(send), Answer(receive)


def reply_to(on_answer: "Callable[[Outcome[T]], object]") -> Reply[T]:
    """A reply whose answer is given to a function, by whoever answers, at once.

    Where the answer is only passed on, this spares a task that waits for it. ``on_answer`` is
    called once, with what has ``unwrap()``: it gives the value, and raises as :meth:`Answer.wait`
    does. It runs in the actor's own task, so it must neither wait nor raise.
    """
    return Reply(_Function(on_answer))


async def ask(
    address: Address[M],
    make_message: Callable[[Reply[T]], M],
    *,
    on_abandoned: Callable[[T], None] | None = None,
) -> T:
    """Send ``make_message(reply)`` to ``address``, wait for the answer and return it.

    A value that ``Reply.answer`` accepted (it returned True) comes to exactly one of two ends: it
    is returned from here, or, when the caller was cancelled first, ``on_abandoned(value)`` is
    called, synchronously, so that what the value carries can be given back.

    Raises ActorGone when the mailbox is closed, NoReply when the reply was closed or dropped
    unanswered, and whatever the reply was failed with.
    """
    reply: Reply[T]
    answer: Answer[T]
    reply, answer = open_reply()
    try:
        message = make_message(reply)
        del reply  # only the message may keep it alive: see Reply.__del__
        try:
            await address.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ActorGone from error
        del message
        return await answer.wait()
    except BaseException:
        answer.abandon(on_abandoned)
        raise
