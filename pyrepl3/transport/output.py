"""Output on its way to one client: pieces merged, bytes made text, limits kept.

Pure: bytes in, events out. Must not know sockets, nor who waits for what.
"""

from __future__ import annotations

import codecs
from codecs import IncrementalDecoder
from typing import Literal

from pyrepl3.events import Gap, Output, Stream

_decoder = codecs.getincrementaldecoder("utf-8")

LAST_OUTPUT_CHARACTERS = 2_000
"""How much of the end of the output is kept, for the report of a death."""


Source = Literal["link", "pipe", "background"]
"""The worker's own messages, its pipes, and its messages while nothing runs."""


class Merger:
    """Joins adjacent pieces of one stream into one text.

    A character that was cut in two is joined within a source, never across.
    """

    __slots__ = ("_decoders", "_pieces", "_source", "_stream")

    def __init__(self) -> None:
        self._decoders: dict[tuple[Stream, Source], IncrementalDecoder] = {}
        self._pieces: list[bytes] = []
        self._stream: Stream = "stdout"
        self._source: Source = "link"

    def belongs(self, stream: Stream, source: Source) -> bool:
        """Whether a piece of this origin can join what is held; if not, `take` that first."""
        return not self._pieces or (stream == self._stream and source == self._source)

    def add(self, stream: Stream, source: Source, data: bytes) -> None:
        """Hold one more piece. It must belong."""
        self._stream = stream
        self._source = source
        self._pieces.append(data)

    def add_more(self, data: bytes) -> None:
        """Hold one more piece of the same origin as the last."""
        self._pieces.append(data)

    def take(self) -> tuple[Stream, str]:
        """The text of what is held, and hold nothing."""
        key = (self._stream, self._source)
        decoder = self._decoders.get(key)
        if decoder is None:
            decoder = self._decoders[key] = _decoder("replace")
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        return self._stream, decoder.decode(data)

    @property
    def source(self) -> Source:
        """Where the held pieces came from."""
        return self._source

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def finish(self) -> list[tuple[Stream, str]]:
        """What is left of characters that never came whole, at the end of an execution."""
        rests = []
        for (stream, _), decoder in self._decoders.items():
            rest = decoder.decode(b"", final=True)
            if rest:
                rests.append((stream, rest))
        return rests


class Allowance:
    """What one execution may still print.

    At the limit one `Gap` says at once that something is left out, a second one at the end how
    much more it was: their sum is what is missing.
    """

    __slots__ = ("_execution", "_left", "_omitted", "_told", "last_output")

    def __init__(self, execution: str, limit_bytes: int | None) -> None:
        self._execution = execution
        self._left = limit_bytes
        self._omitted = 0
        self._told = False
        self.last_output = ""

    def admit(self, stream: Stream, text: str, *, background: bool) -> list[Output | Gap]:
        """The events of a text: all of it, a part and a gap, or nothing."""
        kept = text if self._left is None else self._cut(text)
        events: list[Output | Gap] = []
        if kept:
            events.append(Output(self._execution, stream, kept, background))
            if len(kept) >= LAST_OUTPUT_CHARACTERS:
                self.last_output = kept[-LAST_OUTPUT_CHARACTERS:]
            else:
                self.last_output = (self.last_output + kept)[-LAST_OUTPUT_CHARACTERS:]
        if self._omitted and not self._told:
            self._told = True
            events.append(self._gap())
        return events

    def omit(self, text: str) -> None:
        """Leave a text out, for a client that does not take what there is."""
        self._omitted += _size(text)

    def finish(self) -> list[Gap]:
        """The gap that is still to be told, at the end of the execution."""
        return [self._gap()] if self._omitted else []

    def _cut(self, text: str) -> str:
        assert self._left is not None
        size = _size(text)
        if size <= self._left:
            self._left -= size
            return text
        kept = text.encode("utf-8", "surrogatepass")[: self._left].decode("utf-8", "ignore")
        self._omitted += size - _size(kept)
        self._left = 0
        return kept

    def _gap(self) -> Gap:
        gap = Gap(self._execution, self._omitted)
        self._omitted = 0
        return gap


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


BACKGROUND_BYTES = 64 * 2**10
"""What may be printed between executions, and is told with the next one."""


class Background:
    """Output of threads and tasks while nothing runs: held, up to a bound, for the next client."""

    __slots__ = ("_held", "_last", "_left", "_omitted")

    def __init__(self) -> None:
        self._last = ""
        self._clear()

    def _clear(self) -> None:
        self._held: list[tuple[Stream, str]] = []
        self._left = BACKGROUND_BYTES
        self._omitted = 0

    def hold(self, stream: Stream, text: str) -> None:
        """Hold a text, or count it as left out."""
        if not text:
            return  # a part of a character
        self._last = (self._last + text)[-LAST_OUTPUT_CHARACTERS:]
        size = _size(text)
        if size > self._left:
            self._omitted += size
            return
        self._left -= size
        self._held.append((stream, text))

    def last(self) -> str:
        """The end of it, held or not, for the report of a process that never got ready."""
        return self._last

    def take(self, execution: str) -> list[Output | Gap]:
        """What was held, as events of the execution that begins, and hold nothing."""
        if not self._held and not self._omitted:
            return []
        events: list[Output | Gap] = [
            Output(execution, stream, text, background=True) for stream, text in self._held
        ]
        if self._omitted:
            events.append(Gap(execution, self._omitted))
        self._clear()
        return events
