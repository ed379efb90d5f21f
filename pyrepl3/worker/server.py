"""The worker's loop: one message after the other, each answered before the next is read.

Owns the dispatch of messages. Must not know how code is run, only that a runner does it.
"""

import os
from collections.abc import Callable
from importlib import import_module
from posix import _exit
from typing import Any, NoReturn

from ..wire.frames import FrameTooLarge
from .copies import Copies
from .descriptors import close_each
from .effects import Effects
from .history import History
from .interrupts import Interrupts
from .limits import apply_limits
from .link import Link, LinkEnded
from .loops import Loops
from .namespace import Namespace
from .refusals import Refusal
from .runner import Runner
from .shutdown import shut_down
from .snapshots import Snapshots
from .stdin import Questions
from .streams import Output
from .transactions import Transactions
from .values import encodable, safe_str, true_name

RUNNER_BROKEN_STATUS = 70
"""EX_SOFTWARE of sysexits.h: the runner itself failed."""

COPY_ENDS_MS = 50
"""For a copy of this process that was killed."""

Message = dict[str, Any]

_chdir, _getcwd, _environ = os.chdir, os.getcwd, os.environ


class Server:
    """Serves one session over its link."""

    def __init__(
        self,
        *,
        link: Link,
        runner: Runner,
        questions: Questions,
        loops: Loops,
        namespace: Namespace,
        output: Output,
        snapshots: Snapshots,
        copies: Copies,
        interrupts: Interrupts,
        detach: Callable[[], None],
        attach: Callable[[int, int, int | None], None],
        effects: Effects,
    ) -> None:
        """``detach`` and ``attach``: how this process leaves its session, and begins another."""
        self._detach, self._attach = detach, attach
        self._link = link
        self._runner = runner
        self._questions = questions
        self._loops = loops
        self._namespace = namespace
        self._output = output
        self._snapshots = snapshots
        self._effects = effects
        self._copies = copies
        self._interrupts = interrupts
        self._transactions = Transactions(snapshots, copies)
        self._handlers = {
            "execute": self._execute,
            "configure": self._configure,
            "begin": self._begin,
            "commit": self._commit,
            "rollback": self._roll_back,
            "keep_history": self._keep_history,
            "history": self._tell_history,
            "undo": self._undo,
            "branch": self._branch,
            "redo": self._redo,
            "input_response": questions.take,
            "complete": self._assist,
            "inspect": self._assist,
            "is_complete": self._assist,
            "shutdown": self._shut_down,
        }

    def serve(self) -> NoReturn:
        """Until the service closes the link or asks to shut down."""
        try:
            while True:
                self._handle(self._next())
        except LinkEnded:
            self._transactions.end()
            _exit(0)
        except BaseException as error:
            self._give_up(None, error)

    def _next(self) -> Message:
        backlog = self._questions.backlog
        if backlog:
            return backlog.popleft()
        if self._snapshots.huge_pages.is_due:
            self._move_memory()
        self._loops.wait_for_message()
        with self._questions.reading:
            return backlog.popleft() if backlog else self._link.receive()

    def _move_memory(self) -> None:
        """While nothing is asked; not beside a copy, which would keep the old place as its own."""
        pages, snapshots = self._snapshots.huge_pages, self._snapshots
        if self._transactions.history.is_kept or snapshots.opened is not None:
            return
        # The last copy takes some time to end: it has as many pages.
        for _ in range(COPY_ENDS_MS):
            if not pages.is_due or self._link.is_readable(1 if snapshots.has_copies else 0):
                return
            if not snapshots.has_copies:
                pages.move_some()

    def _handle(self, message: Message) -> None:
        number = message.get("number", message.get("id"))
        if type(number) is int:
            self._snapshots.note_begun(number)
        handler = self._handlers.get(message.get("type", ""))
        if handler is not None:
            session = self._transactions
            handler(message)
            # Not in a session that was forked in it: there the number is of none of its jobs.
            if type(number) is int and "id" in message and session is self._transactions:
                self._interrupts.pass_over(number)
        elif "id" in message:
            self._fail(message, ValueError(f"unknown type {message.get('type')!r}"))

    def _execute(self, request: Message) -> None:
        try:
            answer = self._answer(request)
            if answer is None:
                return  # by another process, from which this one has taken over
            try:
                self._link.send(answer)
            except FrameTooLarge:
                self._link.send(_reduced(answer))
            if answer["state"] == "rolled_back" and not answer.get("in_place"):
                _exit(0)
            self._transactions.leave(request, answer)
            self._runner.finish()
        except BaseException as error:
            self._give_up(request, error)

    def _answer(self, request: Message) -> Message | None:
        count = self._runner.count + (not request.get("silent"))
        try:
            if not self._transactions.enter(request, count):
                return None
        except Refusal as refusal:
            return self._runner.refuse(request, refusal.code, str(refusal))
        self._effects.begin(request)
        answer = self._runner.execute(request)
        dropped = self._transactions.judge(request, answer)
        if dropped:
            self._link.send(
                {"type": "trimmed", "execution": request["execution"], "dropped": dropped}
            )
        self._effects.tell(answer)
        self._transactions.restore(answer)
        return answer

    def _begin(self, request: Message) -> None:
        try:
            if self._transactions.begin(request, self._runner.count):
                answer = {"type": "begun", "id": request["id"]}
                if self._transactions.by_reference is not None:
                    answer["by_reference"] = self._transactions.by_reference
                self._link.send(answer)
        except Refusal as refusal:
            self._refuse(request, refusal)

    def _commit(self, request: Message) -> None:
        """The message is what commits: from then on nobody goes back."""
        try:
            self._transactions.check_open(request.get("tag"))
        except Refusal as refusal:
            self._refuse(request, refusal)
        else:
            self._transactions.prepare_commit()
            self._link.send({"type": "committed", "id": request["id"]})
            self._transactions.commit()

    def _roll_back(self, request: Message) -> None:
        """Where there is a snapshot the service has it take over when this process has ended."""
        try:
            self._transactions.check_open(request.get("tag"))
        except Refusal as refusal:
            self._refuse(request, refusal)
            return
        in_place = self._transactions.roll_back()
        self._link.send({"type": "rolled_back", "id": request["id"], "in_place": in_place})
        if not in_place:
            _exit(0)

    def _keep_history(self, request: Message) -> None:
        dropped = self._transactions.history.set_bounds(request["count"], request["bytes"])
        told = {"count": request["count"], "dropped": dropped}
        self._link.send({"type": "keeping", "id": request["id"], **told})

    def _tell_history(self, request: Message) -> None:
        entries = self._transactions.history.entries()
        self._link.send({"type": "history", "id": request["id"], **entries})

    def _undo(self, request: Message) -> None:
        self._go(request, "undone", lambda history: history.undo(request["to"]))

    def _redo(self, request: Message) -> None:
        self._go(request, "redone", lambda history: history.redo())

    def _go(self, request: Message, told: str, go: Callable[[History], str | None]) -> None:
        """As a roll back, to a snapshot that was taken earlier, or is of what was undone."""
        try:
            self._transactions.check_none_open()
            execution = go(self._transactions.history)
        except Refusal as refusal:
            self._refuse(request, refusal)
        else:
            if execution is None:
                return  # this is the copy, and has taken over: it was answered then
            self._link.send({"type": told, "id": request["id"], "execution": execution})
            _exit(0)

    def _branch(self, request: Message) -> None:
        """Become the original of a copy from which sessions are forked; in those, go on."""
        passed = self._link.take_passed()
        try:
            self._transactions.check_none_open()
            branches = import_module(".branches", __package__)
            copy = branches.grow_zygote(
                self._snapshots, passed, detach=self._detach, attach=self._begin_session
            )
        except Refusal as refusal:
            self._refuse(request, refusal)
        except (OSError, ImportError) as error:  # too many descriptors are open to load it
            self._refuse(request, Refusal("SNAPSHOT_UNAVAILABLE", safe_str(error)))
        else:
            if not copy:
                return
            self._link.send({"type": "branched", "id": request["id"], "pid": copy})
            # Until it is spared it would end with this process, and what comes next may end that.
            branches.wait_until_spared(passed)
        close_each(passed)

    def _begin_session(self, read_fd: int, write_fd: int, control_fd: int | None) -> None:
        """This process was forked from a copy of the session that it served."""
        self._transactions.history.leave()
        self._transactions = Transactions(self._snapshots, self._copies)
        self._loops.adopt_session()
        self._attach(read_fd, write_fd, control_fd)

    def _refuse(self, request: Message, refusal: Refusal) -> None:
        self._link.send(
            {"type": "failed", "id": request["id"], "name": refusal.code, "value": str(refusal)}
        )

    def _give_up(self, request: Message | None, error: BaseException) -> NoReturn:
        """The runner itself failed: say so where that is possible, and end."""
        value = f"{true_name(type(error))}: {safe_str(error)}"
        if request is not None:
            self._link.send(
                {
                    "type": "error",
                    "execution": request["execution"],
                    "name": "RunnerBroken",
                    "value": value,
                    "traceback": [],
                    "code": "RUNNER_BROKEN",
                    "state": "kept",
                    "exit_status": None,
                    "execution_count": request.get("number", 0),
                    "duration_s": 0.0,
                    "usage": {"cpu_s": 0.0, "max_rss_bytes": 0},
                }
            )
        os.write(2, f"the worker's runner failed: {value}\n".encode("utf-8", "replace"))
        _exit(RUNNER_BROKEN_STATUS)

    def _configure(self, request: Message) -> None:
        """All of it or nothing: what can fail comes first, and the folder is put back."""
        before = None
        try:
            if request.get("cwd") is not None:
                before = _getcwd()
                _chdir(request["cwd"])
            apply_limits(request.get("limits") or {})
            _environ.update(request.get("env") or {})
        except (OSError, ValueError, TypeError) as error:
            if before is not None:
                _chdir(before)
            self._fail(request, error)
            return
        self._link.send({"type": "configured", "id": request["id"]})

    def _assist(self, request: Message) -> None:
        """Editors' questions. Loaded with the first of them: most sessions never ask."""
        try:
            completion = import_module(".completion", __package__)
            try:
                if self._interrupts.calls_off(request["id"]):
                    raise KeyboardInterrupt
                answer = completion.answer(request, self._namespace.names)
            except KeyboardInterrupt:
                answer = completion.nothing(request)
            answer["id"] = request["id"]
            self._link.send(answer)
        except BaseException as error:
            # Looks at the user's objects, so anything may come out of them.
            self._fail(request, error)

    def _fail(self, request: Message, error: BaseException) -> None:
        self._link.send(
            {
                "type": "failed",
                "id": request["id"],
                "name": true_name(type(error)),
                "value": encodable(safe_str(error)),
            }
        )

    def _shut_down(self, request: Message) -> NoReturn:
        self._transactions.end()
        shut_down(self._namespace, self._output)


def _reduced(answer: Message) -> Message:
    """A terminal message that fits a frame in any case."""
    reduced = dict(answer)
    if answer["type"] == "result":
        text = answer["repr"][:10_000]
        note = " [the value and its representations are too large for one message]"
        reduced.update(value=None, repr=text, data={"text/plain": text + note}, metadata={})
    else:
        reduced.update(value=answer["value"][:10_000], traceback=answer["traceback"][-20:])
    return reduced
