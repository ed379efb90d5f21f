"""What is told of an execution or a session whose end was not heard as it should be. Pure."""

from __future__ import annotations

from pyrepl3.errors import Code, InternalError, PyreplError, SessionLost
from pyrepl3.events import Error


def forgotten(execution: str) -> Error:
    """The end of an execution that there is none of to be told."""
    return Error(
        execution=execution,
        name="OutcomeForgotten",
        value="it is over or never ran, and its outcome is forgotten: the service had no room for "
        "all events until they were fetched",
        traceback=[],
        code=Code.OUTPUT_GAP,
        state="unknown",
    )


def event_not_understood(kind: str, error: Exception) -> PyreplError:
    """An event that is not as docs/protocol.md has it."""
    return InternalError(
        what="an event of the session could not be understood",
        why=f"the service sent one of the type {kind!r} that is not as it has to be: {error!r}",
        how="Use a client and a service of the same version",
    )


def gone(why: str) -> SessionLost:
    """Its session has ended."""
    return SessionLost(
        what="the session is gone",
        why=why,
        how="Open a new session; its variables start empty",
    )
