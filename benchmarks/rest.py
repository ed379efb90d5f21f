"""The row of REST: an execution over a connection that is kept alive.

Owns the plainest client there is: h11 over a blocking socket. A service that has no REST API
answers 404, and the row says so.
"""

from __future__ import annotations

import json
import socket
import time
from contextlib import AsyncExitStack, closing
from typing import Any

import h11

from benchmarks.bench import (
    MILLISECONDS,
    Bench,
    Experiment,
    Measured,
    Turn,
    as_samples,
    blocking,
    expect,
    interleave,
)
from benchmarks.echo import echo_connection, timed_echo
from benchmarks.metrics import Samples, Spec, Target
from benchmarks.service import Service, serving

BATCH = 50
WARM_UP = 50
READ_BYTES = 2**16
ANSWER_LIMIT_S = 30.0
NOT_FOUND = 404
CREATED, OK = 201, 200

EXECUTION = Spec(
    "rest_execution",
    "ms",
    "POST …/executions of 1+1 over a connection that is kept alive, until its answer is there",
    Target(p50=1),
)


class RestClient:
    """One connection."""

    def __init__(self, service: Service) -> None:
        self.stream = socket.create_connection(("127.0.0.1", service.port), ANSWER_LIMIT_S)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.state = h11.Connection(h11.CLIENT)
        self.headers = [
            ("Host", f"127.0.0.1:{service.port}"),
            ("Authorization", f"Bearer {service.token}"),
            ("Content-Type", "application/json"),
        ]

    def close(self) -> None:
        """End the connection."""
        self.stream.close()

    def post(self, path: str, fields: Any) -> tuple[int, Any]:
        """The status, and the JSON of the answer."""
        body = json.dumps(fields).encode()
        headers = [*self.headers, ("Content-Length", str(len(body)))]
        request = h11.Request(method="POST", target=path, headers=headers)
        events = (request, h11.Data(data=body), h11.EndOfMessage())
        self.stream.sendall(b"".join(self.state.send(event) or b"" for event in events))
        status, answer = 0, b""
        while True:
            event = self.state.next_event()
            if event is h11.NEED_DATA:
                self.state.receive_data(self.stream.recv(READ_BYTES))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                answer += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
        if self.state.our_state is h11.DONE and self.state.their_state is h11.DONE:
            self.state.start_next_cycle()
        return status, json.loads(answer)


async def measure_execution(bench: Bench) -> Measured:
    """Beside the echo of a WebSocket, as the floor of the network."""
    if not bench.subject:
        return {EXECUTION.name: Samples()}
    async with AsyncExitStack() as stack:
        client = stack.enter_context(closing(RestClient(stack.enter_context(serving()))))
        status, opened = client.post("/v1/sessions", {})
        if status == NOT_FOUND:
            return {EXECUTION.name: Samples(note="skipped: the service has no REST API (404)")}
        expect(status == CREATED, f"POST /v1/sessions was answered {status}: {opened}")
        path = f"/v1/sessions/{opened['session']}/executions"

        def once() -> float:
            started = time.perf_counter()
            status, told = client.post(path, {"code": "1+1"})
            elapsed = time.perf_counter() - started
            expect(status == OK and told["repr"] == "2", f"1+1 was answered {status}: {told}")
            return elapsed * MILLISECONDS

        socket = await stack.enter_async_context(echo_connection())
        turns = [
            Turn("subject", blocking(once), BATCH),
            Turn("floor", lambda: timed_echo(socket), BATCH),
        ]
        measured = await interleave(turns, rounds=bench.repeat(20, 6), warm_up=WARM_UP)
    return {EXECUTION.name: as_samples(measured, warm_up=WARM_UP)}


EXPERIMENTS = (Experiment(specs=(EXECUTION,), measure=measure_execution),)
