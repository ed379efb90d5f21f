"""One client on a WebSocket: what it asks, what it is answered, and its sessions' events.

Owns the conversation of protocol.md 2. It waits for its client and, in tasks of their own, for
what was asked; no session waits for it. Must not know HTTP, nor how its principal was found.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import attrs
import trio
from trio_websocket import WebSocketConnection

from actors import Address, Gone
from pyrepl3 import __version__
from pyrepl3.config import Config
from pyrepl3.endpoint.access import Principal
from pyrepl3.endpoint.attachment import Attachment
from pyrepl3.endpoint.client_requests import VERSION, ClientRequests, Fields, Finish
from pyrepl3.endpoint.outbox import Outbox
from pyrepl3.endpoint.problems import error_fields
from pyrepl3.endpoint.web_socket import (
    MESSAGE_BYTES,
    Closed,
    drop,
    send_frames,
    send_frames_nowait,
)
from pyrepl3.errors import BadMessage, PyreplError
from pyrepl3.hosting import refusals
from pyrepl3.hosting.hosting_messages import HostMessage, Opened
from pyrepl3.journal.journal_state import Entry, Stretch
from pyrepl3.telemetry.notes import bound
from pyrepl3.telemetry.observing import (
    ConnectionEnded,
    ConnectionOpened,
    Observers,
    RequestRefused,
)
from pyrepl3.wire import client_requests as wire
from pyrepl3.wire.client_codec import (
    Format,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
)

STRIKES = 10
"""Messages that are none, before the connection is closed: it is not a client of ours."""
IN_FLIGHT = 4096
"""Requests of one connection that may wait for their answers; beyond it none are read."""
POLICY_VIOLATION = 1008
GOING_AWAY = 1001
CLOSE_S = 2.0
"""For the closing handshake; a client that is slow in that too is left."""


@attrs.define(eq=False)
class ClientConnection:
    """An accepted WebSocket, and what its client follows."""

    socket: WebSocketConnection
    format: Format
    principal: Principal
    host: Address[HostMessage]
    config: Config
    observers: Observers = attrs.field(factory=Observers)
    peer: str | None = None
    """Its address, for logs."""
    _attachments: dict[str, Attachment] = attrs.field(factory=dict, init=False)
    _all_is_sent: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when the last of those ends; made anew for whoever waits then."""
    _outbox: Outbox = attrs.field(init=False)
    _is_over: bool = attrs.field(default=False, init=False)
    """Whether nothing more is begun or told."""
    _strikes: int = attrs.field(default=0, init=False)
    _in_flight: trio.Semaphore = attrs.field(factory=lambda: trio.Semaphore(IN_FLIGHT), init=False)

    def __attrs_post_init__(self) -> None:
        self._outbox = Outbox(
            partial(send_frames, self.socket),
            self.config.endpoint.slow_client_s,
            partial(send_frames_nowait, self.socket),
        )

    async def run(self) -> None:
        """Talk until the client has gone, is too slow, or says nothing that can be understood."""
        with bound(principal=self.principal.name, peer=self.peer):
            await self._talk()

    async def _talk(self) -> None:
        reason: tuple[int, str] | None = None
        began_at = trio.current_time()
        self.observers.notice(ConnectionOpened(principal=self.principal.name, peer=self.peer))
        try:
            async with trio.open_nursery() as nursery:
                requests = ClientRequests(
                    self.principal,
                    self.host,
                    welcome=self._welcome,
                    attach=lambda opened, since: self._attach(opened, since, nursery),
                    detach=self._detach,
                    join=lambda opened: self._join(opened, nursery),
                    leave=self._leave,
                )
                try:
                    await self._converse(requests, nursery)
                finally:
                    self._is_over = True
                reason = (POLICY_VIOLATION, f"BAD_MESSAGE, {STRIKES} times")
                nursery.cancel_scope.cancel()
        except* Closed:
            reason = None
        except* trio.TooSlowError:
            reason = (POLICY_VIOLATION, "SLOW_CLIENT")
        finally:
            self._outbox.close()
            self._attachments.clear()
            self._all_is_sent.set()
            self.observers.notice(
                ConnectionEnded(
                    principal=self.principal.name,
                    peer=self.peer,
                    reason=None if reason is None else reason[1],
                    duration_s=trio.current_time() - began_at,
                )
            )
        if reason is not None:
            await self.close(*reason)

    async def _converse(self, requests: ClientRequests, nursery: trio.Nursery) -> None:
        """Until too much of what the client says cannot be understood. Raises Closed."""
        self._post(self._welcome())
        nursery.start_soon(self._outbox.run)
        nursery.start_soon(self._watch)
        while self._strikes < STRIKES:
            await self._outbox.wait_room()
            await self._take(await self.socket.get_message(), requests, nursery)
        await self._outbox.wait_sent()

    async def wait_sent(self) -> None:
        """Until nothing is sent any more of what it follows: all those sessions have ended."""
        while self._attachments:
            if self._all_is_sent.is_set():
                self._all_is_sent = trio.Event()
            await self._all_is_sent.wait()
        await self._outbox.wait_sent()
        await trio.lowlevel.checkpoint()

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye, if the client listens."""
        if self._outbox.is_torn:
            await drop(self.socket)
            return
        with trio.move_on_after(CLOSE_S):
            await self.socket.aclose(code, reason)

    async def _watch(self) -> None:
        """A client that does not answer a ping has gone: one half of a TCP connection may look
        alive for ever. Raises TooSlowError."""
        endpoint = self.config.endpoint
        while True:
            await trio.sleep(endpoint.ping_every_s)
            with trio.fail_after(endpoint.pong_within_s):
                await self.socket.ping()

    # --- requests -------------------------------------------------------------------------------

    async def _take(
        self, message: str | bytes, requests: ClientRequests, nursery: trio.Nursery
    ) -> None:
        fields: dict[str, Any] = {}
        try:
            fields = decode_json(message) if isinstance(message, str) else decode_msgpack(message)
            request = wire.read_request(fields)
        except PyreplError as error:
            if isinstance(error, BadMessage):
                self._strikes += 1
            self._post(self._refused(wire.id_of(fields), error))
            return
        try:
            self._in_flight.acquire_nowait()
        except trio.WouldBlock:
            await self._in_flight.acquire()
        with bound(request=request.id):
            await self._begin(request, requests, nursery)

    async def _begin(
        self, request: wire.Request, requests: ClientRequests, nursery: trio.Nursery
    ) -> None:
        try:
            if isinstance(request, wire.Execute):
                await requests.execute(request, partial(self._answer, request.id))
            else:
                finish = await requests.begin(request)
                nursery.start_soon(self._finish, request, finish)
        except PyreplError as error:
            self._in_flight.release()
            self._post(self._refused(request.id, error))
        except Gone:
            self._in_flight.release()
            self._post(self._refused(request.id, refusals.service_ending()))

    async def _finish(self, request: wire.Request, finish: Finish) -> None:
        try:
            fields = await finish()
        except (PyreplError, Gone) as error:
            failure = error
            self._answer(request.id, lambda: _raised(failure))
        else:
            self._answer(request.id, lambda: fields)

    def _answer(self, request: str | int, give: Callable[[], Fields]) -> None:
        """What a request came to. Called in whatever task has it, maybe after this one's end."""
        if self._is_over:
            return
        try:
            told: Fields = {**give(), "reply_to": request}
        except PyreplError as error:
            told = self._refused(request, error)
        except Gone:
            told = self._refused(request, refusals.session_over("gone"))
        self._in_flight.release()
        self._post(told, can_wait=told["type"] == "accepted")

    def _refused(self, request: str | int | None, error: PyreplError) -> Fields:
        """What is told instead of an answer. ``reply_to`` is null where the request had no id."""
        self.observers.notice(
            RequestRefused(code=error.code, principal=self.principal.name, request=request)
        )
        return {"type": "refused", "reply_to": request, **error_fields(error)}

    # --- events ---------------------------------------------------------------------------------

    def _attach(self, opened: Opened, since: int, nursery: trio.Nursery) -> None:
        attachment = self._attachments.get(opened.session)
        if attachment is not None and not attachment.is_over:
            attachment.reach_back(since)
        else:
            self._start(self._attachment(opened, since), nursery)

    async def _join(self, opened: Opened, nursery: trio.Nursery) -> None:
        attachment = self._attachments.get(opened.session)
        if attachment is None or attachment.is_over:
            attachment = self._attachment(opened, 0, is_held=True)
            self._start(attachment, nursery)
        await attachment.told.wait()

    def _attachment(self, opened: Opened, since: int, *, is_held: bool = False) -> Attachment:
        return Attachment(
            opened,
            since,
            self._send_entry,
            self._send_gap,
            send_nowait=self._send_entry_nowait,
            is_held=is_held,
        )

    def _leave(self, session: str) -> None:
        attachment = self._attachments.get(session)
        if attachment is not None and attachment.is_held:
            self._detach(session)

    def _start(self, attachment: Attachment, nursery: trio.Nursery) -> None:
        self._attachments[attachment.opened.session] = attachment
        nursery.start_soon(self._follow, attachment)

    def _detach(self, session: str) -> None:
        attachment = self._forget(session)
        if attachment is not None:
            attachment.scope.cancel()

    async def _follow(self, attachment: Attachment) -> None:
        await attachment.run()
        session = attachment.opened.session
        if self._attachments.get(session) is attachment:  # not detached: the session has ended
            self._forget(session)

    def _forget(self, session: str) -> Attachment | None:
        attachment = self._attachments.pop(session, None)
        if not self._attachments:
            self._all_is_sent.set()
        return attachment

    async def _send_entry(self, entry: Entry) -> None:
        frame: str | bytes = entry.body
        if self.format is Format.JSON:
            frame = encode_json(decode_msgpack(entry.body))
        await self._outbox.wait_room()
        self._outbox.post(frame, can_wait=entry.can_wait)

    def _send_entry_nowait(self, entry: Entry) -> bool:
        """Called by whoever tells the event, who is not to be kept by more than this."""
        if self.format is not Format.MSGPACK or not self._outbox.has_room:
            return False
        self._outbox.post(entry.body, can_wait=entry.can_wait)
        return True

    async def _send_gap(self, session: str, gap: Stretch) -> None:
        await self._outbox.wait_room()
        self._post(
            {
                "type": "gap",
                "session": session,
                "from_seq": gap.first,
                "to_seq": gap.last,
                "bytes": gap.bytes,
            }
        )

    # --- the way out ----------------------------------------------------------------------------

    def _post(self, fields: Fields, *, can_wait: bool = False) -> None:
        encode = encode_msgpack if self.format is Format.MSGPACK else encode_json
        self._outbox.post(encode(fields), can_wait=can_wait)

    def _welcome(self) -> Fields:
        return {
            "type": "welcome",
            "version": VERSION,
            "server": f"pyrepl3/{__version__}",
            "capabilities": {
                "templates": sorted(self.config.templates),
                "formats": [each.value for each in Format],
                "isolation": "process",
            },
            "limits": {
                "message_bytes": MESSAGE_BYTES,
                "requests_in_flight": IN_FLIGHT,
                "journal_bytes": self.config.hosting.journal.disk_bytes,
                "idle_timeout_s": self.config.hosting.idle_timeout_s,
                "retention_s": self.config.hosting.retention_s,
                "slow_client_s": self.config.endpoint.slow_client_s,
            },
        }


def _raised(error: Exception) -> NoReturn:
    raise error
