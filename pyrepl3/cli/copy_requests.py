"""Requests for files of a session, over the standard library's HTTP.

Owns the connection, and what a refusal or a lost connection is to whoever asked. Must not know
files of this machine.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import select
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import attrs

from pyrepl3.errors import BadMessage
from pyrepl3.remote.addresses import ServiceAddress
from pyrepl3.remote.told_errors import as_error, not_connected

SILENT_S = 60.0
"""How long the service may say nothing, or take nothing."""
_SHA_256 = re.compile(r"sha-256=:([A-Za-z0-9+/=]+):")


@attrs.frozen
class Receiving:
    """A file that comes."""

    response: http.client.HTTPResponse
    address: ServiceAddress
    size_bytes: int | None
    sha256: bytes | None

    def pieces(self, size_bytes: int) -> Iterator[bytes]:
        """Raises ServiceUnreachable where it does not come whole."""
        came_bytes = 0
        with _told(self.address):
            while data := self.response.read(size_bytes):
                came_bytes += len(data)
                yield data
            if self.size_bytes is not None and came_bytes < self.size_bytes:
                raise ConnectionResetError(f"the file ended after {came_bytes:,} bytes")


@attrs.define(eq=False)
class FileRequests:
    """One connection to the service. Everything raises PyreplError."""

    address: ServiceAddress
    token: str
    _connection: http.client.HTTPConnection = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        host, port = self.address.host, self.address.port
        if self.address.scheme == "https":
            context = ssl.create_default_context()
            self._connection = http.client.HTTPSConnection(
                host, port, timeout=SILENT_S, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=SILENT_S)

    def put(
        self,
        session: str,
        path: str,
        pieces: Iterable[bytes],
        *,
        size_bytes: int | None = None,
        sha256: bytes | None = None,
    ) -> bytes:
        """Write a file; its checksum, as the service has it. Chunked where no size is known."""
        connection = self._connection
        with _told(self.address):
            self._begin("PUT", session, path)
            if sha256 is not None:
                digest = f"sha-256=:{base64.b64encode(sha256).decode()}:"
                connection.putheader("Repr-Digest", digest)
            if size_bytes is None:
                connection.putheader("Transfer-Encoding", "chunked")
            else:
                connection.putheader("Content-Length", str(size_bytes))
            connection.endheaders()
        self._send(pieces, is_chunked=size_bytes is None)
        with _told(self.address):
            response = connection.getresponse()
            body = response.read()
        self._check(response, body)
        return bytes.fromhex(json.loads(body)["sha256"])

    @contextmanager
    def get(self, session: str, path: str) -> Iterator[Receiving]:
        """Read a file."""
        with _told(self.address):
            self._begin("GET", session, path)
            self._connection.endheaders()
            response = self._connection.getresponse()
        if response.status >= http.client.BAD_REQUEST:
            with _told(self.address):
                body = response.read()
            self._check(response, body)
        if response.headers.get_content_type() != "application/octet-stream":
            raise BadMessage(
                what=f"{session}:{path} is a directory",
                why="one file is copied at a time",
                how="Name a file in it",
            )
        found = _SHA_256.search(response.headers.get("Repr-Digest", ""))
        sha256 = base64.b64decode(found[1]) if found else None
        yield Receiving(response, self.address, response.length, sha256)

    def close(self) -> None:
        """Also in the middle of something."""
        self._connection.close()

    def _begin(self, method: str, session: str, path: str) -> None:
        target = f"{self.address.prefix}/v1/sessions/{quote(session, safe='')}/files"
        connection = self._connection
        # Bytes that are no UTF-8 are such in the path, too.
        below = quote(path.strip("/").encode("utf-8", "surrogateescape"))
        connection.putrequest(method, f"{target}/{below}", skip_host=True)
        connection.putheader("Host", self.address.authority)
        connection.putheader("Authorization", f"Bearer {self.token}")

    def _send(self, pieces: Iterable[bytes], *, is_chunked: bool) -> None:
        """Until all is sent, or the service has answered, which says why no more is wanted."""
        connection = self._connection
        for data in pieces:
            if not self._send_one(b"%x\r\n%b\r\n" % (len(data), data) if is_chunked else data):
                return
            if select.select([connection.sock], [], [], 0)[0]:
                return
        if is_chunked:
            self._send_one(b"0\r\n\r\n")

    def _send_one(self, data: bytes) -> bool:
        try:
            self._connection.send(data)
        except (BrokenPipeError, ConnectionResetError):
            return False  # there may be an answer all the same
        except OSError as error:
            raise not_connected(str(self.address), error) from error
        return True

    def _check(self, response: http.client.HTTPResponse, body: bytes) -> None:
        if response.status < http.client.BAD_REQUEST:
            return
        try:
            fields = json.loads(body)
        except ValueError:
            fields = {}
        if not isinstance(fields, dict):
            fields = {}
        raise as_error({"status": response.status, "title": response.reason, **fields})


@contextmanager
def _told(address: ServiceAddress) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise not_connected(str(address), error) from error
