"""Routes of files in the directory that a session was started in: streamed up and down."""

from __future__ import annotations

import base64
import re
from contextlib import aclosing
from functools import partial
from typing import Any

import attrs
import trio
from litestar import Response, delete, get, put

from pyrepl3.endpoint.asgi import Receive, Scope, Send
from pyrepl3.errors import BadMessage
from pyrepl3.rest import answers, files
from pyrepl3.rest.call import Call, Streamed, answered, too_large
from pyrepl3.rest.parameters import FilePath, SessionPath

TAGS = ["files"]
DIGEST_HEADERS = ("repr-digest", "content-digest")
"""RFC 9530: `sha-256=:BASE64:`."""
_SHA_256 = re.compile(r"(?:^|,)\s*sha-256=([^,;]*)")
CLOSE_S = 10.0

in_thread = trio.to_thread.run_sync


@attrs.define(eq=False)
class Download:
    """A file as a response: an ASGI application, so that it is read as it is sent."""

    file: files.OpenFile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = [
                (b"content-type", b"application/octet-stream"),
                (b"content-length", str(self.file.size_bytes).encode()),
                (b"repr-digest", digest_header(self.file.sha256).encode()),
                (b"etag", f'"{self.file.sha256.hex()}"'.encode()),
                (b"cache-control", b"no-store"),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            offset = 0
            while offset < self.file.size_bytes:
                data = await in_thread(self.file.read, offset)
                if not data:
                    return  # it was cut off: so is the response, which its client notices
                offset += len(data)
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self.file.close()


@get("/sessions/{session:str}/files", tags=TAGS)
async def list_files(request: Call, session: SessionPath) -> Response[answers.Directory]:
    """List the session's directory."""
    opened = await request.find(session)
    found = await in_thread(files.look, opened.directory, "")
    assert isinstance(found, answers.Directory)
    return answered(attrs.asdict(found))


@get("/sessions/{session:str}/files/{path:path}", tags=TAGS, opt={"download": True})
async def read_file(request: Call, session: SessionPath, path: FilePath) -> Response[Any]:
    """Read a file, or list a directory."""
    opened = await request.find(session)
    found = await in_thread(files.look, opened.directory, path)
    if isinstance(found, answers.Directory):
        return answered(attrs.asdict(found))
    return Streamed(Download(found))


@put(
    "/sessions/{session:str}/files/{path:path}",
    status_code=201,
    tags=TAGS,
    opt={"upload": True},
)
async def write_file(
    request: Call, session: SessionPath, path: FilePath
) -> Response[answers.StoredFile]:
    """Write a file. It is there when it is whole, and as before until then."""
    opened = await request.find(session)
    expected = expected_digest(request)
    most = request.service.config.endpoint.upload_bytes
    request.check_length(most)
    upload = await in_thread(files.begin_upload, opened.directory, path)
    try:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                if upload.size_bytes + len(chunk) > most:
                    raise too_large(most)
                await in_thread(upload.write, chunk)
        if expected is not None and upload.sha256 != expected:
            raise BadMessage(
                what="the file was not written",
                why="its checksum is not the one that came with it",
                how="Send it again",
                details={"sha256": upload.sha256.hex()},
            )
        stored = await in_thread(upload.finish)
    finally:
        with trio.CancelScope(deadline=trio.current_time() + CLOSE_S, shield=True):
            await in_thread(upload.close)  # noqa: ASYNC102  # shielded and bounded
    headers = {"Repr-Digest": digest_header(upload.sha256)}
    return answered(attrs.asdict(stored), status=201, headers=headers)


@delete("/sessions/{session:str}/files/{path:path}", status_code=204, tags=TAGS)
async def remove_file(request: Call, session: SessionPath, path: FilePath) -> None:
    """Remove a file, or an empty directory."""
    opened = await request.find(session)
    await in_thread(partial(files.remove, opened.directory, path))


def digest_header(sha256: bytes) -> str:
    """As RFC 9530 has it."""
    return f"sha-256=:{base64.b64encode(sha256).decode()}:"


def expected_digest(request: Call) -> bytes | None:
    """The checksum that a client gave with a body; None: none that is known here.

    Raises BadMessage.
    """
    for name in DIGEST_HEADERS:
        found = _SHA_256.search(request.headers.get(name, ""))
        if found is None:
            continue
        try:
            quoted = found[1].strip()
            if quoted[:1] != ":" or quoted[-1:] != ":" or len(quoted) < 2:
                raise ValueError("it does not stand between colons")
            return base64.b64decode(quoted[1:-1], validate=True)
        except ValueError as error:
            raise BadMessage(
                what=f"{name} has no checksum",
                why=f"what is there is no Base64 between colons: {error}",
                how="Send sha-256=:BASE64:",
            ) from None
    return None


ROUTES = [list_files, read_file, write_file, remove_file]
