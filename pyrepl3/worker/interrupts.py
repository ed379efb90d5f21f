"""Signals: which ones count, and where in the program they may strike.

Owns the SIGINT handler, the control page's two words, and every handler that user code installs.
The rule: *a handler never runs in the middle of the runtime's own work.* Python runs handlers
between any two bytecodes, so one that raises could lose the count that ``os.write`` returned and
corrupt the link. The handler therefore looks at the interrupted stack: the nearest frame of the
runtime (known by the private builtins that boot gives its modules) says whether user code runs
above it (`runs_user_code`), whether it only waits (`waits`), or whether it must not be disturbed;
then the signal is put off until that work is done. Must not know executions beyond their number.

``signal.signal`` and ``signal.getsignal`` are wrapped, so that user handlers obey the same rule.
A user's SIGINT handler is honoured and stays, as in any script; SIG_DFL and the default handler
mean the session's own, which raises KeyboardInterrupt.
"""

import _signal
import signal
import sys
from _thread import get_ident
from collections import deque
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])

_OUR_BUILTINS = globals()["__builtins__"]
_ENTRIES: set[CodeType] = set()
_WAITS: set[CodeType] = set()

_getframe = sys._getframe
_c_signal = _signal.signal
_c_getsignal = _signal.getsignal
_SIGINT = int(signal.SIGINT)

BUSY, WAITING, USER = range(3)
"""Where a signal found the main thread: in the runtime's own work, idle, or in user code."""


def runs_user_code(function: _Function) -> _Function:
    """Mark a function that only calls user code: a signal may raise in it and above it."""
    _ENTRIES.add(function.__code__)
    return function


def waits(function: _Function) -> _Function:
    """Mark a function that only waits, and has nothing to lose when a handler raises in it."""
    _WAITS.add(function.__code__)
    return function


@runs_user_code
def call_user(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call what may run user code; an interrupt that strikes in it raises out of it."""
    return function(*arguments)


def place_of(frame: FrameType | None) -> int:
    """Where the main thread is, seen from its innermost frame."""
    waiting = False
    while frame is not None:
        if frame.f_builtins is _OUR_BUILTINS:
            code = frame.f_code
            if code in _ENTRIES:
                return USER
            if code in _WAITS:
                waiting = True
            elif not waiting:
                return BUSY
        frame = frame.f_back
    return WAITING if waiting else BUSY


def _forget(error: BaseException) -> None:
    """Used until there is a stream to report on."""


class Interrupts:
    """The signal state of this process. ``pending`` is true while a signal is put off."""

    def __init__(self) -> None:
        self.pending = False
        self.current = 0
        """The number of the execution that runs, 0 between executions."""
        self.came_from_service = False
        """Whether the service interrupted the running execution."""
        self.cancel: Callable[[FrameType], bool] | None = None
        """Set while an event loop runs a cell: takes an interrupt by cancelling the cell."""
        self.report: Callable[[BaseException], None] = _forget
        """Told of what a user's handler raised between executions."""
        self._last = 0
        self._heard = 0
        """The last number on the page whose signal has come: it follows the page, maybe late."""
        self._words: Any = [0, 0]
        self._put_off: deque[int] = deque()
        self._user_handlers: dict[int, Any] = {}
        self._main_thread = 0
        self._handler = self._on_signal

    def install(self, words: Any) -> None:
        """Take over signal handling in this process. ``words``: the control page, as integers."""
        self._words = words
        self.current = self._last = self._heard = 0
        self._main_thread = get_ident()
        _c_signal(_SIGINT, self._handler)

    def begin(self, number: int) -> bool:
        """An execution begins. False when its interrupt was there before it."""
        if _c_getsignal(_SIGINT) != self._handler:
            # Set past the wrapper, by C code or by a name bound before it: adopt it.
            self._adopt(_SIGINT, _c_getsignal(_SIGINT))
        self.came_from_service = False
        self.current = self._last = number
        if self._words[0] == number:
            self._words[1] = number
            self.came_from_service = True
            return False
        return True

    def calls_off(self, number: int) -> bool:
        """Whether the service has interrupted the job of that number, which has not begun."""
        return bool(self._words[0] == number)

    def pass_over(self, number: int) -> None:
        """The job of that number, which is no execution, is over: its interrupt strikes nothing."""
        self._last = number
        if self._words[0] == number:
            self._words[1] = number

    def end(self) -> None:
        """The execution is over; an interrupt that was put off until now was for it alone."""
        self.current = 0
        if self.pending:
            others = [number for number in self._put_off if number != _SIGINT]
            self._put_off = deque(others)
            self.pending = bool(others)

    def deliver(self) -> None:
        """Run what was put off, now that the runtime's own work is done. Main thread only."""
        if get_ident() != self._main_thread:
            return
        frame = _getframe(1)
        own = frame.f_code in _WAITS or frame.f_code in _ENTRIES
        place = place_of(frame if own else frame.f_back)
        if place == BUSY:
            return
        while self._put_off:
            number = self._put_off.popleft()
            self.pending = bool(self._put_off)
            self._run(place, number, frame)
        self.pending = False

    def adopt_process(self) -> None:
        """After a take-over: what was on the page was for the process that has died."""
        self.current = 0
        self._put_off.clear()
        self.pending = False
        self.cancel = None
        self._heard = self._words[0]
        self._words[1] = self._words[0]

    def abandon(self) -> None:
        """In a forked child: SIGINT means what it means in any script, and the page is not ours."""
        self._words = [0, 0]
        self._put_off.clear()
        self.pending = False
        self.cancel = None
        self._main_thread = get_ident()
        handler = self._user_handlers.get(_SIGINT)
        _c_signal(_SIGINT, _signal.default_int_handler if handler is None else handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == _SIGINT and not self._is_meant(frame):
            return
        place = place_of(frame)
        if place == BUSY:
            self._put_off.append(number)
            self.pending = True
        elif place == USER or number != _SIGINT:
            self._run(place, number, frame)

    def _is_meant(self, frame: FrameType | None) -> bool:
        """The control page's rule. An interrupt is used up once, and never by another execution."""
        words = self._words
        target = words[0]
        late = self._heard != target
        self._heard = target
        if target == 0 or (target == words[1] and not late):
            return self.current != 0
        if target == words[1]:
            # `begin` has taken it from the page; another execution may run by now.
            return False
        if target == self.current:
            words[1] = target
            self.came_from_service = True
            return True
        if self.current == 0 and target > self._last and place_of(frame) == USER:
            # A background task keeps the execution from beginning; it will end at once itself.
            return True
        words[1] = target
        return False

    def _run(self, place: int, number: int, frame: FrameType | None) -> None:
        if place == USER:
            self._handle(number, frame)
            return
        try:
            call_user(self._handle, number, frame)
        except BaseException as error:
            # Between executions nobody can catch it: it must not end the worker.
            self.report(error)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        handler = self._user_handlers.get(number)
        if handler is not None:
            if callable(handler):
                call_user(handler, number, frame)
        elif number == _SIGINT:
            if self.cancel is not None and frame is not None and self.cancel(frame):
                return
            raise KeyboardInterrupt

    def _adopt(self, number: int, handler: Any) -> None:
        """Keep a user's handler, and put ours in its place where ours has to decide when."""
        if number == _SIGINT and handler in (signal.SIG_DFL, _signal.default_int_handler):
            handler = self._handler
        if handler == self._handler:
            self._user_handlers.pop(number, None)
            _c_signal(number, self._handler)
        elif callable(handler) or number == _SIGINT:
            _c_signal(number, self._handler)
            self._user_handlers[number] = handler
        else:
            # An int: the C function knows SIG_IGN and SIG_DFL by identity, not as enum members.
            _c_signal(number, int(handler))
            self._user_handlers.pop(number, None)

    def wrap_signal_module(self) -> None:
        """From now on user handlers are kept here, and run where they may."""
        original_signal, original_getsignal = signal.signal, signal.getsignal

        def wrapped_signal(signalnum: Any, handler: Any) -> Any:
            previous = wrapped_getsignal(signalnum)
            if not callable(handler):
                # Refuses what is no handler at all, with Python's own words.
                handler = signal.Handlers(handler)
            self._adopt(int(signalnum), handler)
            return previous

        def wrapped_getsignal(signalnum: Any) -> Any:
            handler = self._user_handlers.get(int(signalnum))
            return original_getsignal(signalnum) if handler is None else handler

        wrapped_signal.__doc__ = original_signal.__doc__
        wrapped_getsignal.__doc__ = original_getsignal.__doc__
        signal.signal = wrapped_signal
        signal.getsignal = wrapped_getsignal
