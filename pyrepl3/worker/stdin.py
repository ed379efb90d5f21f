"""``input()``, ``getpass`` and ``sys.stdin``: questions to the client, answered in place.

Owns the `input` messages and the wait for their answers. Must not know what asks. Where the
execution may not ask, or none runs, the asker gets an EOFError that is marked as refused.
"""

import builtins
import getpass
import io
import sys
from _thread import allocate_lock, get_ident
from collections import deque
from time import sleep
from typing import Any

from .interrupts import Interrupts, call_user, waits
from .link import Link
from .streams import Output
from .values import encodable

THREAD_TURN_MS = 20
"""How long a thread that asked reads the link before another reader gets its turn."""


class Questions:
    """The questions of one process. Messages that are no answers wait in ``backlog``."""

    def __init__(self, output: Output, interrupts: Interrupts) -> None:
        self.backlog: deque[dict[str, Any]] = deque()
        self.refusal: EOFError | None = None
        """The last EOFError that was raised because asking was not allowed."""
        self.reading = allocate_lock()
        self._output = output
        self._interrupts = interrupts
        self._execution: str | None = None
        self._asked = 0
        self._answers: dict[str, str | None] = {}
        self._open: set[str] = set()
        self._main_thread = get_ident()

    def forget(self) -> None:
        """What was asked, and read meanwhile, is another session's."""
        self.backlog.clear()
        self._answers.clear()
        self._open.clear()

    def begin(self, execution: str, *, allow_input: bool) -> None:
        """From now on questions belong to this execution, where it may ask."""
        self._execution = execution if allow_input else None
        self._main_thread = get_ident()
        self.refusal = None

    def end(self) -> None:
        """No more questions; a thread that still waits for an answer gets the end of file."""
        self._execution = None

    def adopt_process(self) -> None:
        """After a take-over: what was read ahead was sent to the process that has died."""
        self.backlog.clear()

    def take(self, message: dict[str, Any]) -> None:
        """An answer that the main loop read: some thread waits for it."""
        if message["input"] in self._open:
            self._answers[message["input"]] = message["data"]

    def ask(self, prompt: str, *, password: bool = False) -> str | None:
        """The client's line without its newline, or None for the end of file.

        Raises EOFError where asking is not allowed, KeyboardInterrupt when interrupted.
        """
        output = self._output
        output.flush()
        link, execution = output.link, self._execution
        if link is None:
            return None
        if execution is None:
            self.refusal = EOFError("no client can answer input() here")
            raise self.refusal
        self._asked += 1
        question = f"{execution}/{self._asked}"
        self._open.add(question)
        try:
            link.send(
                {
                    "type": "input",
                    "input": question,
                    "execution": execution,
                    "prompt": encodable(prompt),
                    "password": password,
                }
            )
            if get_ident() == self._main_thread:
                return self._wait_in_main_thread(link, question)
            return self._wait_in_thread(link, question, execution)
        finally:
            self._open.discard(question)

    def _wait_in_main_thread(self, link: Link, question: str) -> str | None:
        while question not in self._answers:
            if self.reading.acquire(blocking=False):
                try:
                    self._receive(link)
                finally:
                    self.reading.release()
            else:
                self._let_others_read()
        return self._answers.pop(question)

    def _wait_in_thread(self, link: Link, question: str, execution: str) -> str | None:
        while question not in self._answers:
            if self._execution != execution:
                return None
            if self.reading.acquire(blocking=False):
                try:
                    if link.is_readable(THREAD_TURN_MS):
                        self._receive(link)
                finally:
                    self.reading.release()
            self._let_others_read()
        return self._answers.pop(question)

    def _receive(self, link: Link) -> None:
        message = link.receive()
        if message["type"] == "input_response":
            self.take(message)
            return
        self.backlog.append(message)
        if message["type"] == "shutdown":
            # Nobody will answer any more.
            self._execution = None
            raise EOFError("the session is shutting down")

    @waits
    def _let_others_read(self) -> None:
        if self._interrupts.pending:
            self._interrupts.deliver()
        sleep(0.001)


class RawStdin(io.RawIOBase):
    """Bytes of the client's lines, at most one line a read."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._rest = b""

    def next_line(self, prompt: str, *, password: bool = False) -> str | None:
        """A line for ``input()``: what an earlier answer left over comes first."""
        if self._rest:
            line, _, self._rest = self._rest.partition(b"\n")
            return line.decode("utf-8", "surrogatepass")
        answer = self._questions.ask(prompt, password=password)
        return None if answer is None else answer.removesuffix("\n")

    def readinto(self, buffer: Any, /) -> int:
        if not self._rest:
            answer = self._questions.ask("")
            if answer is None:
                return 0
            self._rest = answer.removesuffix("\n").encode("utf-8", "surrogatepass") + b"\n"
        end = min(self._rest.index(b"\n") + 1 if b"\n" in self._rest else len(self._rest),
                  len(buffer))  # fmt: skip
        buffer[:end] = self._rest[:end]
        self._rest = self._rest[end:]
        return end

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 0

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        """Stays open: a session's standard input outlives ``sys.stdin.close()``."""


class SessionStdin(io.TextIOWrapper):
    """``sys.stdin``: every read that finds nothing asks the client for a line."""

    def __init__(self, raw: RawStdin) -> None:
        super().__init__(io.BufferedReader(raw), encoding="utf-8", errors="surrogateescape")

    @property
    def name(self) -> str:
        return "<stdin>"

    @property
    def mode(self) -> str:
        return "r"

    def close(self) -> None:
        """Stays open: so that ``quit()`` and libraries cannot end a session's input for good."""


def install_stdin(questions: Questions) -> None:
    """Put ``sys.stdin``, ``input`` and ``getpass.getpass`` of the session in place."""
    raw = RawStdin(questions)
    session_stdin = SessionStdin(raw)
    original_input = builtins.input

    def session_input(prompt: object = "", /) -> str:
        """Read a line from the client. The end of file raises EOFError."""
        if sys.stdin is not session_stdin:
            answer: str = call_user(original_input, prompt)
        else:
            line = raw.next_line(call_user(str, prompt))
            if line is None:
                raise EOFError("EOF when reading a line")
            answer = line
        return answer

    def session_getpass(prompt: str = "Password: ", stream: Any = None, **options: Any) -> str:
        """Ask the client for a password, which it does not show."""
        line = raw.next_line(call_user(str, prompt), password=True)
        if line is None:
            raise EOFError("EOF when reading a line")
        return line

    session_input.__name__ = session_input.__qualname__ = "input"
    session_getpass.__name__ = session_getpass.__qualname__ = "getpass"
    builtins.input = session_input
    getpass.getpass = session_getpass
    sys.stdin = sys.__stdin__ = session_stdin  # type: ignore[misc]
