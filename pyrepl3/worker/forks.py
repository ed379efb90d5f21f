"""Children that user code forks: they are no worker, and must not speak as one.

Owns what is undone in such a child. Must not know executions.
"""

import os
from faulthandler import unregister
from posix import _exit, close
from signal import SIGUSR1
from typing import NoReturn

from .interrupts import Interrupts
from .link import Link
from .snapshots import Snapshots
from .streams import Output
from .tracebacks import exit_status, print_exception
from .values import is_a, safe_str

_register_at_fork = os.register_at_fork


def disown_children(
    *,
    output: Output,
    link: Link,
    interrupts: Interrupts,
    snapshots: Snapshots,
) -> None:
    """From now on a child forked by a worker writes to 1 and 2, and holds none of its link."""

    def become_an_ordinary_process() -> None:
        descriptors = link.descriptors
        if not descriptors or snapshots.is_forking:
            return  # forked by the zygote, or a snapshot: it is to become a worker
        link.descriptors = ()
        output.detach()
        link.close()
        interrupts.abandon()
        # The stacks would be written to whatever gets the closed descriptor's number.
        unregister(SIGUSR1)
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
    if error is not None:
        status = exit_status(error)
        if not is_a(error, SystemExit):
            print_exception(error)
        elif status == 1 and not is_a(error.args[0], int):
            # What a script's sys.exit("why") says.
            output.stderr.write(safe_str(error) + "\n")
    output.flush()
    _exit(status)
