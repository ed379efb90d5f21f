"""How things end here: ask, wait for a bounded time, cancel.

Owns the two shapes that every orderly end is made of: the end of one task
(:func:`ask_then_cancel`), and the end of a body that background services serve
(:func:`open_body_nursery`). Must not know of actors, supervisors or restarts.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from enum import Enum

import tricycle
import trio


class Ending(Enum):
    """How a task ended, or did not, when it was asked to."""

    ENDED = "ended"
    """By itself, within the time it was given."""
    CANCELLED = "cancelled"
    """Only once it was cancelled."""
    OVERDUE = "overdue"
    """It runs on, cancelled: it shields itself, or it swallows Cancelled. Trio cannot end it."""


async def ask_then_cancel(
    *,
    ask: Callable[[], object] | None,
    ended: trio.Event,
    scope: trio.CancelScope,
    shutdown_s: float,
) -> Ending:
    """End the task that runs inside ``scope`` and sets ``ended`` as its last act.

    Calls ``ask()``, gives the task ``shutdown_s`` seconds to end by itself, then cancels
    ``scope`` and gives it as long again to clean up. A task that cannot be asked (``ask`` is None)
    is cancelled at once. Takes at most ``2 * shutdown_s`` seconds, and within them is shielded
    from the caller's cancellation, as it mostly runs because of one. When ``ask`` itself raises,
    the task is cancelled at once, and the exception is raised when the time for that is over.
    """
    try:
        if ask is not None and not ended.is_set():
            ask()
            with trio.CancelScope(deadline=trio.current_time() + shutdown_s, shield=True):
                await ended.wait()
    finally:
        by_itself = ended.is_set()
        if not by_itself:
            scope.cancel()
        with trio.CancelScope(deadline=trio.current_time() + shutdown_s, shield=True):
            await ended.wait()
    await trio.lowlevel.cancel_shielded_checkpoint()
    if by_itself:
        return Ending.ENDED
    return Ending.CANCELLED if ended.is_set() else Ending.OVERDUE


@asynccontextmanager
async def open_body_nursery() -> AsyncGenerator[trio.Nursery, None]:
    """A nursery for services that live as long as the block's body, and whose body comes first.

    - The services outlive the body: when an outer scope is cancelled, or a service crashes, only
      the body is cancelled at first, and its clean-up can still use them. When the body has ended,
      however it did, they are cancelled. (That part is tricycle's service nursery. A service that
      is begun with ``nursery.start`` is protected from ``started()`` on.)
    - The body's exception stays itself: if every service is fine, the very object that the body
      raised leaves the block, in no ExceptionGroup, so ``except ValueError`` around it works.
      Cancelled keeps trio's meaning, whichever scope it belongs to.
    - If a service crashed, an ExceptionGroup leaves the block, with the services' exceptions and
      the body's own if it has one.

    The motive: an API such as ``async with open_pool() as pool`` runs background tasks that its
    user never asked for, and they should not change what the user's own exceptions look like.
    """
    body_error: BaseException | None = None
    group: BaseExceptionGroup[BaseException]
    try:
        async with tricycle.open_service_nursery() as nursery:
            try:
                yield nursery
            except BaseException as error:
                body_error = error
                raise
            finally:
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as caught:
        group = caught
    else:
        return
    # Outside of the except block, lest the group become the context of its own member.
    try:
        raise _what_leaves(group, body_error)
    finally:
        del group, body_error  # a frame in its own exception's traceback is a garbage cycle


def _what_leaves(
    group: BaseExceptionGroup[BaseException], body_error: BaseException | None
) -> BaseException:
    """The body's own error if the nursery's group has no other, else the group.

    Leaves are compared, since a scope that takes its Cancelled out of a group rebuilds it.
    """
    if body_error is None:
        return group
    raised, of_body = _leaves(group), _leaves(body_error)
    if any(leaf not in of_body and not isinstance(leaf, trio.Cancelled) for leaf in raised):
        return group
    if isinstance(body_error, BaseExceptionGroup) and not all(leaf in raised for leaf in of_body):
        # The missing ones are Cancelled, and the nursery's own scope has caught them.
        return body_error.split(trio.Cancelled)[1] or body_error
    return body_error


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for member in error.exceptions for leaf in _leaves(member)]
    return [error]
