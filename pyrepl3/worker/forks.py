"""Children that user code forks: they are no worker, and must not speak as one.

Owns what is undone in such a child. Must not know executions.
"""

import os
from collections.abc import Callable
from posix import _exit, close
from typing import NoReturn

from .interrupts import Interrupts
from .link import Link
from .streams import Output
from .tracebacks import print_exception

_register_at_fork = os.register_at_fork


def disown_children(
    *,
    output: Output,
    link: Link,
    interrupts: Interrupts,
    descriptors: tuple[int, ...],
    before_close: Callable[[], None],
) -> None:
    """From now on a forked child writes to 1 and 2, and holds none of the descriptors."""

    def become_an_ordinary_process() -> None:
        output.detach()
        link.close()
        interrupts.abandon()
        before_close()
        for descriptor in descriptors:
            try:
                close(descriptor)
            except OSError:
                # User code closed it before the fork.
                continue

    _register_at_fork(after_in_child=become_an_ordinary_process)


def leave_forked_child(output: Output, error: BaseException | None) -> NoReturn:
    """A forked child came to the end of the cell: it ends as a script's child would."""
    status = 0
    if isinstance(error, SystemExit):
        argument = error.code
        status = 0 if argument is None else argument & 0xFF if isinstance(argument, int) else 1
        if status == 1 and not isinstance(argument, int):
            print_exception(error)
    elif error is not None:
        print_exception(error)
        status = 1
    output.flush()
    _exit(status)

