"""Every error code, and the exceptions that carry them.

Owns the one list of codes (protocol.md 4) with what each means on every surface. A user's own
exception is none of these: it is the `Error` event of its execution.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs


class Code(enum.StrEnum):
    """The stable names; what each means stands in :data:`CODES`."""

    @staticmethod
    def _generate_next_value_(name: str, *_: object) -> str:
        return name

    BAD_MESSAGE = enum.auto()
    UNKNOWN_TYPE = enum.auto()
    UNSUPPORTED_VERSION = enum.auto()
    MESSAGE_TOO_LARGE = enum.auto()
    CODE_TOO_LARGE = enum.auto()
    ID_CONFLICT = enum.auto()
    QUEUE_FULL = enum.auto()
    ALREADY_ANSWERED = enum.auto()
    UNAUTHORIZED = enum.auto()
    FORBIDDEN_ORIGIN = enum.auto()
    MISDIRECTED_HOST = enum.auto()
    RATE_LIMITED = enum.auto()
    NOT_FOUND = enum.auto()
    SESSION_NOT_FOUND = enum.auto()
    SESSION_LOST = enum.auto()
    EXECUTION_NOT_FOUND = enum.auto()
    STDIN_UNAVAILABLE = enum.auto()
    EXECUTION_TIMEOUT = enum.auto()
    INTERRUPTED = enum.auto()
    WORKER_DIED = enum.auto()
    WORKER_SPAWN_FAILED = enum.auto()
    PROTOCOL_VIOLATION = enum.auto()
    RUNNER_BROKEN = enum.auto()
    TRANSACTION_ACTIVE = enum.auto()
    NO_TRANSACTION = enum.auto()
    SNAPSHOT_UNAVAILABLE = enum.auto()
    SNAPSHOT_NOT_FOUND = enum.auto()
    POOL_EXHAUSTED = enum.auto()
    POOL_DEGRADED = enum.auto()
    SHUTTING_DOWN = enum.auto()
    SERVICE_UNREACHABLE = enum.auto()
    STORAGE_FULL = enum.auto()
    STORAGE_IO = enum.auto()
    OUTPUT_GAP = enum.auto()
    CONFIG_INVALID = enum.auto()
    INTERNAL_ERROR = enum.auto()


@attrs.frozen
class CodeInfo:
    """What a code means: its HTTP status, how a WebSocket tells it, whether a retry may help."""

    http_status: int
    websocket: str
    retryable: bool
    meaning: str


_ANSWER = "answers the request"
_EVENT = "ends the execution"

CODES: Mapping[Code, CodeInfo] = {
    Code.BAD_MESSAGE: CodeInfo(400, _ANSWER, False, "the message is not as it has to be"),
    Code.UNKNOWN_TYPE: CodeInfo(400, _ANSWER, False, "there is no request of this type"),
    Code.UNSUPPORTED_VERSION: CodeInfo(
        400, _ANSWER, False, "this version of the protocol is not spoken"
    ),
    Code.MESSAGE_TOO_LARGE: CodeInfo(
        413, "closes the connection, with 1009", False, "the message is over the limit in bytes"
    ),
    Code.CODE_TOO_LARGE: CodeInfo(413, _ANSWER, False, "the code is over the limit in bytes"),
    Code.ID_CONFLICT: CodeInfo(409, _ANSWER, False, "this id is that of another execution"),
    Code.QUEUE_FULL: CodeInfo(429, _ANSWER, True, "too many executions wait in this session"),
    Code.ALREADY_ANSWERED: CodeInfo(409, _ANSWER, False, "this input request has its answer"),
    Code.UNAUTHORIZED: CodeInfo(
        401, "refuses the upgrade", False, "there is no token, or not a known one"
    ),
    Code.FORBIDDEN_ORIGIN: CodeInfo(
        403, "refuses the upgrade", False, "a page of that origin may not come in"
    ),
    Code.MISDIRECTED_HOST: CodeInfo(
        421, "refuses the upgrade", False, "the service does not go by that name"
    ),
    Code.RATE_LIMITED: CodeInfo(
        429,
        "refuses the upgrade, or the request",
        True,
        "too many attempts to come in, or too many sessions of one client",
    ),
    Code.NOT_FOUND: CodeInfo(404, "refuses the upgrade", False, "there is nothing at this address"),
    Code.SESSION_NOT_FOUND: CodeInfo(404, _ANSWER, False, "there is no such session"),
    Code.SESSION_LOST: CodeInfo(410, _ANSWER, False, "the session is gone, and its state with it"),
    Code.EXECUTION_NOT_FOUND: CodeInfo(404, _ANSWER, False, "no such execution is under way"),
    Code.STDIN_UNAVAILABLE: CodeInfo(200, _EVENT, False, "input() where nobody can answer"),
    Code.EXECUTION_TIMEOUT: CodeInfo(200, _EVENT, False, "the execution passed its deadline"),
    Code.INTERRUPTED: CodeInfo(200, _EVENT, False, "the execution was interrupted on request"),
    Code.WORKER_DIED: CodeInfo(200, _EVENT, False, "the session's process ended"),
    Code.WORKER_SPAWN_FAILED: CodeInfo(503, _ANSWER, True, "a session's process did not start"),
    Code.PROTOCOL_VIOLATION: CodeInfo(200, _EVENT, False, "the process broke the protocol"),
    Code.RUNNER_BROKEN: CodeInfo(200, _EVENT, False, "the code broke the runner around it"),
    Code.TRANSACTION_ACTIVE: CodeInfo(
        409, _ANSWER, False, "a transaction is open in this session already"
    ),
    Code.NO_TRANSACTION: CodeInfo(409, _ANSWER, False, "no transaction is open in this session"),
    Code.SNAPSHOT_UNAVAILABLE: CodeInfo(
        409, _ANSWER, False, "the session's process cannot be copied as it is"
    ),
    Code.SNAPSHOT_NOT_FOUND: CodeInfo(404, _ANSWER, False, "there is no snapshot of this name"),
    Code.POOL_EXHAUSTED: CodeInfo(503, _ANSWER, True, "no session came free in time"),
    Code.POOL_DEGRADED: CodeInfo(503, _ANSWER, True, "sessions of this template fail to start"),
    Code.SHUTTING_DOWN: CodeInfo(503, _ANSWER, True, "the service is ending"),
    Code.SERVICE_UNREACHABLE: CodeInfo(
        503, "told by the client, not by the service", True, "no connection could be made"
    ),
    Code.STORAGE_FULL: CodeInfo(507, "over REST only", True, "there is no room on the disk"),
    Code.STORAGE_IO: CodeInfo(500, "over REST only", False, "the disk failed"),
    Code.OUTPUT_GAP: CodeInfo(
        200,
        "an event between others; a client's word for a forgotten end",
        False,
        "output was left out here, or an execution's end with it",
    ),
    Code.CONFIG_INVALID: CodeInfo(400, _ANSWER, False, "a setting cannot be as it is"),
    Code.INTERNAL_ERROR: CodeInfo(500, _ANSWER, False, "a bug in PyREPL3"),
}


class PyreplError(Exception):
    """A request that could not be taken.

    ``what`` went wrong, ``why`` it happened, ``how`` to fix it; ``details`` is JSON-safe.
    """

    code: ClassVar[Code] = Code.INTERNAL_ERROR

    def __init__(
        self, *, what: str, why: str, how: str, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(what, why, how)
        self.what = what
        self.why = why
        self.how = how
        self.details: Mapping[str, Any] = dict(details or {})

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return CODES[self.code].retryable

    def __str__(self) -> str:
        return f"[{self.code}] {self.what}: {self.why}. {self.how}"


class BadMessage(PyreplError):
    """Raised by what is no message at all, or one whose fields are not as they have to be."""

    code = Code.BAD_MESSAGE


class UnknownType(PyreplError):
    """Raised by a message of a type that this version of the protocol does not have."""

    code = Code.UNKNOWN_TYPE


class MessageTooLarge(PyreplError):
    """Raised by a body, or a file, that is over its bound; nothing came of it."""

    code = Code.MESSAGE_TOO_LARGE


class CodeTooLarge(PyreplError):
    """Raised before anything is sent: the session is untouched."""

    code = Code.CODE_TOO_LARGE


class IdConflict(PyreplError):
    """Raised by an execution's id that was used before, for another request. Nothing runs."""

    code = Code.ID_CONFLICT


class QueueFull(PyreplError):
    """Raised when a session already has its limit of waiting executions; nothing was queued."""

    code = Code.QUEUE_FULL


class AlreadyAnswered(PyreplError):
    """Raised by the second answer to one input request; the first stands."""

    code = Code.ALREADY_ANSWERED


class Unauthorized(PyreplError):
    """Raised to whoever has no token that is known; nothing else was looked at."""

    code = Code.UNAUTHORIZED


class ForbiddenOrigin(PyreplError):
    """Raised to pages of origins that are neither the service's own nor allowed."""

    code = Code.FORBIDDEN_ORIGIN


class MisdirectedHost(PyreplError):
    """Raised where a request asks for a host that this service is not."""

    code = Code.MISDIRECTED_HOST


class UnsupportedVersion(PyreplError):
    """Raised where client and service have no version of the protocol in common."""

    code = Code.UNSUPPORTED_VERSION


class RateLimited(PyreplError):
    """Raised to a peer that failed to come in too often, or asks for more than it may have."""

    code = Code.RATE_LIMITED


class NotFound(PyreplError):
    """Raised by a request for a path that the service does not have."""

    code = Code.NOT_FOUND


class SessionNotFound(PyreplError):
    """Raised where there is no session of that id, or none of this principal.

    Compare SessionLost: there was one, and its process has ended.
    """

    code = Code.SESSION_NOT_FOUND


class SessionLost(PyreplError):
    """Raised by requests to a session whose process has ended, or that was closed.

    An execution that was under way when the process ended does not raise this: it ends with
    the code WORKER_DIED (or PROTOCOL_VIOLATION, RUNNER_BROKEN).
    """

    code = Code.SESSION_LOST


class ExecutionNotFound(PyreplError):
    """Raised by a request about an execution that is neither queued nor running.

    Or that is not remembered, where one that has ended would do.
    """

    code = Code.EXECUTION_NOT_FOUND


class WorkerSpawnFailed(PyreplError):
    """Raised when a session's process could not be started: not found, refused, died early."""

    code = Code.WORKER_SPAWN_FAILED


class TransactionActive(PyreplError):
    """Raised where a transaction is begun within another one, or undone by halves: they do not
    nest."""

    code = Code.TRANSACTION_ACTIVE


class NoTransaction(PyreplError):
    """Raised where there is nothing to commit or to go back to.

    Also where the transaction was rolled back meanwhile, as the session's process had died in it.
    """

    code = Code.NO_TRANSACTION


class SnapshotUnavailable(PyreplError):
    """Raised where a session's process cannot be copied: other threads run in it, say.

    The session goes on as it was.
    """

    code = Code.SNAPSHOT_UNAVAILABLE


class SnapshotNotFound(PyreplError):
    """Raised where no snapshot has this name, or its process has ended since."""

    code = Code.SNAPSHOT_NOT_FOUND


class PoolExhausted(PyreplError):
    """Raised when no session came free before the acquisition's deadline.

    The service is fine, only busy; compare PoolDegraded.
    """

    code = Code.POOL_EXHAUSTED


class PoolDegraded(PyreplError):
    """Raised at once while a template's breaker is open: its sessions fail to start.

    Running sessions and other templates go on; compare PoolExhausted.
    """

    code = Code.POOL_DEGRADED


class ShuttingDown(PyreplError):
    """Raised to callers that still wait for a session when the supervisor ends."""

    code = Code.SHUTTING_DOWN


class ServiceUnreachable(PyreplError):
    """Raised by a client that has no connection to its service, and could not make one in time."""

    code = Code.SERVICE_UNREACHABLE


class StorageFull(PyreplError):
    """Raised where a disk has no room, or a quota is used up; what was there before is unchanged.

    Compare StorageIo: the disk itself, or its permissions.
    """

    code = Code.STORAGE_FULL


class StorageIo(PyreplError):
    """Raised where a disk fails, or may not be used."""

    code = Code.STORAGE_IO


class ConfigInvalid(PyreplError, ValueError):
    """Raised by a configuration that cannot work, when it is made."""

    code = Code.CONFIG_INVALID


class InternalError(PyreplError):
    """Raised where PyREPL3 itself failed; the cause is chained."""

    code = Code.INTERNAL_ERROR


class ExecutionFailed(Exception):
    """Raised by ``Execution.raise_for_error()``, and by nothing else.

    ``error`` is the execution's error, with ``name``, ``value``, ``traceback``, ``code`` and
    ``state``.
    """

    def __init__(self, error: Any) -> None:
        super().__init__(f"{error.name}: {error.value}" if error.value else error.name)
        self.error = error

    def __str__(self) -> str:
        return "\n".join(["".join(self.error.traceback) or self.args[0]])
