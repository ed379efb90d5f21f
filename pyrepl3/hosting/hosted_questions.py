"""What a hosted session is asked that takes its time: each is answered by a task of its own.

Owns how the leased session is asked, and what is answered. Must not know mailboxes.
"""

from __future__ import annotations

from pyrepl3.client.session import Session
from pyrepl3.errors import PyreplError
from pyrepl3.hosting import refusals
from pyrepl3.hosting.hosting_messages import Edit, InterruptHosted, Respond
from pyrepl3.hosting.inputs import Inputs
from pyrepl3.wire import client_requests as wire


async def respond(inputs: Inputs, message: Respond) -> None:
    """The line for one input request."""
    with message.reply as reply:
        number, line = message.input, message.data
        asked = inputs.waiting(number)
        try:
            if asked is not None:
                await asked.respond(line)
                inputs.took(number, line)
            elif not (message.again and inputs.was_given(number, line)):
                raise refusals.no_input(number, answered=inputs.is_answered(number))
        except PyreplError as error:
            reply.fail(error)
        else:
            reply.answer(None)


async def interrupt(session: Session, message: InterruptHosted) -> None:
    """End what runs, or one execution, by the ladder."""
    with message.reply as reply:
        execution = message.execution
        try:
            outcome = await session.interrupt(execution, grace_s=message.grace_s)
        except PyreplError as error:
            reply.fail(error)
            return
        reply.answer((execution or outcome.execution, outcome))


async def edit(session: Session, message: Edit) -> None:
    """A question of an editor, in order with executions."""
    with message.reply as reply:
        request = message.request
        try:
            if isinstance(request, wire.Complete):
                reply.answer(await session.complete(request.code, request.cursor_pos))
            elif isinstance(request, wire.Inspect):
                reply.answer(await session.inspect(request.code, request.cursor_pos))
            else:
                reply.answer(await session.is_complete(request.code))
        except PyreplError as error:
            reply.fail(error)
