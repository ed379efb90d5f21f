"""The oracle's books: who holds which session, what was asked and what came of it.

Owns every claim about a world that can be checked while it runs. Keeps its own account, from what
callers see and from what the machine knows, and never asks the pool. An accusation ends nothing:
the world goes on, and the first one is what the seed has found.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import attrs
import trio

from pyrepl3.client.session import Session
from pyrepl3.errors import Code
from pyrepl3.events import Error, Result
from pyrepl3.messages import Lease
from pyrepl3.transport.transport import EXIT_REPORT_S

from .machine import Machine
from .scripts import BREAKS_THE_PROTOCOL, HOLDS_ON, Script

PROMPT_S = 2.5
"""From when an execution should have ended to the end of it: a kill and its report, at most."""


@attrs.define(eq=False)
class Holding:
    """One caller's session, from its hand-over until it is given back."""

    caller: str
    session: Session
    lease: Lease
    tokens: list[str] = attrs.field(factory=list)
    """Of all that was asked of it, and of what of that may spoil the rest."""
    wicked: list[str] = attrs.field(factory=list)
    interrupted: bool = False


@attrs.define(eq=False)
class Operation:
    """One execution, and what its caller knows of it."""

    script: Script
    holding: Holding
    timeout_s: float
    answers_input: bool
    printed: list[str] = attrs.field(factory=list)
    """Its own output, as its caller got it."""
    gap: bool = False
    slow: bool = False
    """Its caller takes its events so slowly that it may pass its deadline over that."""
    asked_at: float = attrs.field(factory=trio.current_time)

    @property
    def others_are_wicked(self) -> bool:
        """Whether something else in its session may befall it."""
        return any(token != self.script.token for token in self.holding.wicked)


@attrs.define(eq=False)
class Books:
    """What is known of one world from outside of the service."""

    machine: Machine
    accusations: list[str] = attrs.field(factory=list)
    holdings: dict[int, Holding] = attrs.field(factory=dict)
    """By the process's id: the claim is that there is never a second one."""
    used: set[int] = attrs.field(factory=set)
    never_ran: list[str] = attrs.field(factory=list)
    """Tokens of what was refused, with the promise that nothing of it ran."""
    ends: dict[str, str] = attrs.field(factory=dict)
    """How each operation ended, by its token."""
    handed_at: dict[int, float] = attrs.field(factory=dict)
    """When each waiter was given its session, by the pool's own record."""
    ending: bool = False
    """The service is being shut down, or its tree is restarting: anything may end at any time."""

    def accuse(self, what: str) -> None:
        """Something is not as it must be."""
        self.machine.log("oracle", f"ACCUSES: {what}")
        self.accusations.append(what)

    # --- sessions -----------------------------------------------------------------------------

    def took(self, caller: str, session: Session) -> Holding:
        """A caller has a session in its hands."""
        holding = Holding(caller, session, session.lease)
        self._hold(holding)
        if self.machine.processes[session.lease.pid].executions:
            self.accuse(f"{session.id} is given to {caller}, and has run something before")
        return holding

    def _hold(self, holding: Holding) -> None:
        lease = holding.lease = holding.session.lease
        self.machine.log(holding.caller, f"has {lease.session}, process {lease.pid}")
        other = self.holdings.get(lease.pid)
        if other is not None:
            self.accuse(f"{lease.session} is given to {holding.caller}, and {other.caller} has it")
        if lease.pid in self.used:
            self.accuse(f"{lease.session} is given to {holding.caller}, and was used before")
        told_at = self._death_told_at(lease.pid)
        if self.handed_at.get(lease.waiter, -1.0) > told_at:
            self.accuse(f"{lease.session} is given to {holding.caller}, and had died at {told_at}")
        self.holdings[lease.pid] = holding

    def _death_told_at(self, pid: int) -> float:
        """When the pool must have heard of that process's death, at the latest."""
        died_at = self.machine.processes[pid].died_at
        return float("inf") if died_at is None else died_at + EXIT_REPORT_S

    def follow(self, holding: Holding) -> None:
        """Its first process may have died unused, and another one be in its place."""
        if holding.session.lease is not holding.lease:
            self.gave_back(holding)
            self._hold(holding)

    def gave_back(self, holding: Holding) -> None:
        """The caller is about to give it back."""
        pid = holding.lease.pid
        if self.holdings.get(pid) is holding:
            del self.holdings[pid]
        if self.machine.processes[pid].executions:
            self.used.add(pid)

    # --- executions -----------------------------------------------------------------------------

    def ended(self, operation: Operation, terminal: Result | Error) -> None:
        """The one end of an execution, as its caller got it."""
        token, script = operation.script.token, operation.script
        self._ends_once(token, f"{type(terminal).__name__} {getattr(terminal, 'code', '')}")
        printed = "".join(operation.printed)
        if not operation.gap and not script.stdout.startswith(printed):
            self.accuse(f"{token} has printed what it did not print: {printed!r}")
        if self._is_calm(operation):
            self._check_calm(operation, terminal, printed)
        elif isinstance(terminal, Result):
            self._check_result(operation, terminal)
        else:
            self._check_code(operation, terminal)

    def raised(self, operation: Operation, error: BaseException, *, refused: bool) -> None:
        """An execution of which its caller got no event at its end."""
        token = operation.script.token
        self._ends_once(token, f"{type(error).__name__}")
        if refused:
            self.never_ran.append(token)
        if self._is_calm(operation) and not isinstance(error, trio.Cancelled):
            code = getattr(error, "code", None)
            if code != Code.QUEUE_FULL:
                self.accuse(f"{token} came to nothing for no reason: {error!r}")

    def _ends_once(self, token: str, how: str) -> None:
        self.machine.log(token, f"ends: {how}")
        if token in self.ends:
            self.accuse(f"{token} ends twice: {self.ends[token]}, then {how}")
        self.ends[token] = how

    def _is_calm(self, operation: Operation) -> bool:
        """Whether nothing stood in its way, so that it had to come out as its script says."""
        holding = operation.holding
        script = operation.script
        if holding.interrupted or operation.slow or operation.others_are_wicked or self.ending:
            return False
        ends = script.seconds < operation.timeout_s and not script.does(HOLDS_ON - {"ignore"})
        return ends and holding.session.pid not in self.machine.bad

    def _check_calm(self, operation: Operation, terminal: Result | Error, printed: str) -> None:
        expected = operation.script.outcome(answered=operation.answers_input)
        found = "Result" if isinstance(terminal, Result) else terminal.name
        token = operation.script.token
        if found != expected:
            self.accuse(f"{token} ends as {found}, and its script as {expected}: {terminal}")
        elif isinstance(terminal, Result):
            self._check_result(operation, terminal)
            if not operation.gap and printed != operation.script.stdout:
                self.accuse(f"{token} has lost output: {printed!r}")
        took_s = trio.current_time() - operation.asked_at
        holding = operation.holding
        alone = holding.tokens == [token] and holding.session.lease is holding.lease
        if alone and took_s > operation.script.seconds + PROMPT_S:
            self.accuse(f"{token} ends as late as after {took_s} s")

    def _check_result(self, operation: Operation, result: Result) -> None:
        token = operation.script.token
        if result.value != token:
            self.accuse(f"{token} has the result of {result.value}")
        if self.machine.ran.count(token) != 1:
            self.accuse(f"{token} has a result, and ran {self.machine.ran.count(token)} times")

    def _check_code(self, operation: Operation, error: Error) -> None:
        check = _REASONS.get(error.code)
        if check is None:
            self.accuse(f"{operation.script.token} ends with the code {error.code}")
        elif not check(self, operation, error):
            self.accuse(f"{operation.script.token} ends with {error.code} for no reason: {error}")

    # --- the end --------------------------------------------------------------------------------

    def close(self) -> None:
        """What must hold when everything is over."""
        for token in set(self.machine.ran):
            if self.machine.ran.count(token) > 1:
                self.accuse(f"{token} ran {self.machine.ran.count(token)} times")
        for token in self.never_ran:
            if token in self.machine.ran:
                self.accuse(f"{token} was refused, and ran")
        if self.holdings:
            self.accuse(f"sessions are held by {[h.caller for h in self.holdings.values()]}")


def _may_be_interrupted(books: Books, operation: Operation, _: Error) -> bool:
    return operation.holding.interrupted or books.ending


def _process_has_died_so(books: Books, operation: Operation, error: Error) -> bool:
    """Its process is dead, of what is told: an exit status or a signal."""
    exit_ = books.machine.exits.get(operation.holding.session.pid)
    if exit_ is None:
        return False
    number = signal.SIGKILL if exit_.zygote_died else exit_.signal
    name = None if number is None else signal.Signals(number).name
    return (error.details["exit_status"], error.details["signal"]) == (exit_.status, name)


def _something_broke_the_protocol(books: Books, operation: Operation, _: Error) -> bool:
    holding = operation.holding
    script_did = operation.script.does(BREAKS_THE_PROTOCOL)
    bad = holding.session.pid in books.machine.bad
    return script_did or operation.others_are_wicked or bad


_BREAKS = frozenset({"break"})
_REASONS: dict[str | None, Callable[[Books, Operation, Error], bool]] = {
    None: lambda books, operation, error: True,
    Code.STDIN_UNAVAILABLE: lambda books, operation, error: operation.script.wants_input,
    Code.INTERRUPTED: _may_be_interrupted,
    Code.EXECUTION_TIMEOUT: lambda books, operation, error: operation.timeout_s < float("inf"),
    Code.WORKER_DIED: _process_has_died_so,
    Code.PROTOCOL_VIOLATION: _something_broke_the_protocol,
    Code.RUNNER_BROKEN: lambda books, operation, error: operation.script.does(_BREAKS),
    Code.SESSION_LOST: lambda books, operation, error: True,
}
"""What must be so for an execution to end with each code."""
