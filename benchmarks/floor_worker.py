"""The floor's process: ``code.InteractiveInterpreter`` behind a blocking msgpack loop.

Owns nothing but the shortest way from a request to its answer. It has no limits, no interrupt
discipline, no guard against the user's code: that is what makes it the floor. Run by path, as
``python floor_worker.py FD``, so that it imports as little as a bare worker can.
"""

import code
import socket
import sys

import msgpack

READ_BYTES = 65536


class FrameWriter:
    """A ``sys.stdout`` that writes msgpack frames, one a line: seen at once, as the subject's."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.waiting: list[str] = []

    def write(self, text: str) -> int:
        self.waiting.append(text)
        if text.endswith("\n"):
            self.flush()
        return len(text)

    def flush(self) -> None:
        if self.waiting:
            data = "".join(self.waiting)
            self.waiting.clear()
            self.connection.sendall(msgpack.packb({"output": data}))


def serve(connection: socket.socket) -> None:
    """Run what arrives, in order, and answer each with the ``repr`` of its value."""
    interpreter = code.InteractiveInterpreter({"__name__": "__main__"})
    output = FrameWriter(connection)
    sys.stdout = sys.stderr = output
    shown: list[str] = []
    sys.displayhook = lambda value: None if value is None else shown.append(repr(value))
    unpacker = msgpack.Unpacker()
    while data := connection.recv(READ_BYTES):
        unpacker.feed(data)
        for request in unpacker:
            interpreter.runsource(request["code"], "<floor>", request["symbol"])
            output.flush()
            connection.sendall(msgpack.packb({"repr": shown.pop() if shown else ""}))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
