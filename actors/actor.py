"""What an actor is: an object with one public ``run``, whose started value is its address.

Owns the Protocol alone. Must not know any actor, nor how actors are supervised.

An actor keeps its state to itself and changes it only between two messages::

    @attrs.define(eq=False)
    class Counter:
        total: int = 0

        async def run(self, *, task_status: trio.TaskStatus[Address[Message]]) -> None:
            address, inbox = open_mailbox(0)
            with address, inbox:
                task_status.started(address)
                async for message in inbox:
                    match message:
                        case Add(amount):
                            self.total += amount
                        case Total(reply):
                            reply.answer(self.total)

``await nursery.start(Counter().run)`` then returns the address. Closing the address is how such an
actor is asked to end: the loop ends when the messages sent so far have been handled. No base class
and no registry stand between the actor and trio, so a test runs it in a plain nursery.
"""

from typing import Protocol, TypeVar

import trio

A_co = TypeVar("A_co", covariant=True)


class Actor(Protocol[A_co]):
    """Anything that runs as one supervised task and is reached by its address, an ``A_co``."""

    async def run(self, *, task_status: trio.TaskStatus[A_co]) -> None:
        """Serve until asked to end, or cancelled.

        Calls ``task_status.started(address)`` once messages can be sent. What it raises before
        that is a failed start, what it raises after is a crash.
        """
