"""A zygote's process: how it comes to be, from the command line to the loop, and in what it forks.

Owns the setting up of what all workers share. What it does then is `zygote.py`'s.
"""

import os
import socket
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from fcntl import F_DUPFD_CLOEXEC, fcntl
from typing import Any, NoReturn

from . import descriptors, orphans
from .birth import Heritage, die_of_exception, leave_zygote, reseed
from .codec import decode_message, pack
from .limits import apply_limits
from .main import prepare, run_worker
from .zygote import Zygote

CONTROL_OPTION = "--control-fd"
MAX_CONFIGURATION_BYTES = 192 * 1024
"""Below the default socket buffer, which bounds a packet."""
MAX_TRACEBACK_CHARACTERS = 16 * 1024


def main(arguments: Sequence[str]) -> NoReturn:
    """Run a zygote; in the processes that it forks, run a worker."""
    control, null = _open_control(arguments)
    service = _open_parent()
    orphans.become_subreaper()
    configuration, passed, _ = descriptors.receive_packet(control, MAX_CONFIGURATION_BYTES)
    descriptors.close_each(passed)
    if not configuration:
        os._exit(0)
    with descriptors.killed_at_hang_up(control):
        _prepare(control, decode_message(configuration))
    boot = _boot_arguments(sys.argv)
    zygote = Zygote(control, configuration, Heritage(null), boot, service=service)
    passed_to_child = zygote.serve()
    if passed_to_child is None:
        zygote.end()
        os._exit(0)
    _become_worker(zygote, passed_to_child, decode_message(configuration))


def _open_control(arguments: Sequence[str]) -> tuple[socket.socket, int]:
    """The control socket and the null device, both out of the way of the workers' layout."""
    inherited = int(arguments[arguments.index(CONTROL_OPTION) + 1])
    moved = fcntl(inherited, F_DUPFD_CLOEXEC, descriptors.FIRST_UNRESERVED)
    os.close(inherited)
    return socket.socket(fileno=moved), descriptors.reserve_low_descriptors()


def _open_parent() -> int | None:
    """A descriptor that tells when the service is dead; None when it is not ours to watch.

    Its socket alone does not tell: what the service has forked without an exec keeps a copy of it.
    """
    parent = os.getppid()
    try:
        opened = os.pidfd_open(parent)
    except OSError:
        return None
    pidfd = fcntl(opened, F_DUPFD_CLOEXEC, descriptors.FIRST_UNRESERVED)
    os.close(opened)
    # Else it was dead by then, and the number perhaps another's: the socket has to tell.
    if os.getppid() == parent:
        return pidfd
    os.close(pidfd)
    return None


def _boot_arguments(zygote: Sequence[str]) -> list[str]:
    """How an exec start runs boot: as this zygote was run (by an absolute path), in the other role.

    Asks for no working directory: it may have been deleted.
    """
    options = [each for each in zygote if each.startswith("--msgpack-path=")]
    return [zygote[0], "worker", *options]


def _prepare(control: socket.socket, configuration: dict[str, Any]) -> None:
    """Do once what all workers share; on failure tell the service, and end."""
    try:
        if configuration["cwd"] is not None:
            os.chdir(configuration["cwd"])
        if configuration["spawn"] != "exec":
            prepare(
                configuration["preload"],
                configuration["warmup_code"],
                configuration["async_library"],
            )
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:  # user code: whatever it raises, SystemExit too, is its failure
        failed = {
            "type": "zygote_failed",
            "name": type(error).__name__,
            "value": str(error)[:MAX_TRACEBACK_CHARACTERS],
            "traceback": traceback.format_exc()[-MAX_TRACEBACK_CHARACTERS:],
        }
        with suppress(BrokenPipeError, ConnectionResetError):
            descriptors.send_packet(control, pack(failed))
        os._exit(1)


def _become_worker(zygote: Zygote, passed: list[int], configuration: dict[str, Any]) -> NoReturn:
    try:
        leave_zygote(zygote.heritage, passed, inheritable=False)
        descriptors.close_all_from(descriptors.CONTROL_PAGE + 1)
        reseed()
        apply_limits(configuration["limits"])
        run_worker(
            read_fd=descriptors.PROTOCOL,
            write_fd=descriptors.PROTOCOL,
            control_fd=descriptors.CONTROL_PAGE,
        )
    finally:
        die_of_exception()
