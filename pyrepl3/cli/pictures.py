"""Pictures, which a terminal cannot draw: saved as files, their paths told.

Owns the folder. It is made with the REPL, private to its user, and stays when it holds anything.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress

import attrs

from pyrepl3.cli import standard_output
from pyrepl3.events import Display, MimeBundle

SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
    "application/pdf": ".pdf",
}
_TEXT = frozenset({"image/svg+xml"})


@attrs.define(eq=False)
class Pictures:
    """The pictures of one REPL."""

    folder: str
    _count: int = 0

    @classmethod
    @contextmanager
    def open(cls) -> Generator[Pictures]:
        """A folder for the length of the block; it stays where pictures are in it."""
        folder = tempfile.mkdtemp(prefix="pyrepl3-")
        try:
            yield cls(folder)
        finally:
            with suppress(OSError):
                os.rmdir(folder)

    async def show(self, display: Display) -> None:
        """Save the picture of a display, or write its plain text where it has none."""
        if await self.save(display.data):
            return
        text = display.data.get("text/plain")
        if isinstance(text, str):
            await standard_output.write("stdout", text + "\n")

    async def save(self, data: MimeBundle) -> bool:
        """Save the first picture of a bundle and tell its path. False when it has none."""
        mime = next((each for each in SUFFIXES if isinstance(data.get(each), str)), None)
        if mime is None:
            return False
        self._count += 1
        path = os.path.join(self.folder, f"picture-{self._count}{SUFFIXES[mime]}")
        try:
            _write_picture(path, mime, data[mime])
        except (OSError, binascii.Error) as error:
            await standard_output.write("stderr", f"[a picture could not be saved: {error}]\n")
            return True
        await standard_output.write("stdout", f"[picture saved: {path}]\n")
        return True


def _write_picture(path: str, mime: str, content: str) -> None:
    with open(path, "wb") as file:
        file.write(content.encode() if mime in _TEXT else base64.b64decode(content))
