"""The console's files as HTTP has them: bytes, types, and the headers that hold the page in check.

Pure but for reading what the package itself brings, once. Owns which path is which file, and the
two policies: the page loads nothing but these files and speaks to nobody but this service; a frame
for HTML that code has made runs its scripts, and reaches neither the page, nor its cookie, nor any
network. Must not know how anything is sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

import attrs

INDEX = "index.html"
FRAME = "frame.html"
PREFIX = "/console/"
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

PAGE_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data: blob:",
        "frame-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
)
FRAME_POLICY = "; ".join(
    [
        "sandbox allow-scripts",  # also where somebody opens it by itself
        "default-src 'none'",
        "script-src 'unsafe-inline' 'unsafe-eval' data: blob:",
        "style-src 'unsafe-inline' data:",
        "img-src data: blob:",
        "font-src data:",
        "media-src data: blob:",
        "frame-ancestors 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
)
"""A frame given by srcdoc, blob: or data: has the policy of the page that makes it, under which no
script of its own could run. So it is a file, with a policy of its own."""


@attrs.frozen
class StaticFile:
    """A file, ready to be sent."""

    body: bytes = attrs.field(repr=False)
    content_type: str
    etag: str
    policy: str

    @property
    def headers(self) -> Mapping[str, str]:
        """All that it is sent with, but for what the connection adds."""
        return {
            "Content-Type": self.content_type,
            "ETag": self.etag,
            # Asked for again each time, and answered by 304: an update is seen at once.
            "Cache-Control": "no-cache",
            "Content-Security-Policy": self.policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
        }

    def is_known_to(self, if_none_match: str | None) -> bool:
        """Whether who sent that `If-None-Match` has it already."""
        tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
        return self.etag in tags or "*" in tags


def find(path: str) -> StaticFile | None:
    """What is at that path: the page at `/`, what it loads under `/console/`."""
    if path == "/":
        return _files()[INDEX]
    if not path.startswith(PREFIX):
        return None
    name = path.removeprefix(PREFIX)
    return None if name == INDEX else _files().get(name)


@cache
def _files() -> Mapping[str, StaticFile]:
    folder = resources.files("pyrepl3.console") / "static"
    files = {
        entry.name: _file(entry.name, entry.read_bytes())
        for entry in folder.iterdir()
        if entry.name.rpartition(".")[2] in TYPES
    }
    return MappingProxyType(files)


def _file(name: str, body: bytes) -> StaticFile:
    return StaticFile(
        body=body,
        content_type=TYPES[name.rpartition(".")[2]],
        etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        policy=FRAME_POLICY if name == FRAME else PAGE_POLICY,
    )
