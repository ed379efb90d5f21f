"""A worker process, from its start to its end.

Owns the two steps of a start, which the zygote and an exec start share: `prepare` once (in the
zygote, before it forks), then `run_worker` in the process that serves a session. Must not know
how a process was made.
"""

import faulthandler
import mmap
import os
import sys
from contextlib import suppress
from importlib import import_module
from posix import _exit, close, dup, dup2, getpid, lseek
from signal import SIGUSR1
from typing import Any, NoReturn

from .children import keep_order_with_children
from .codec import decode_message
from .copies import Copies
from .display import install_display
from .effects import Effects
from .forks import disown_children
from .handover import PAGE_BYTES
from .interrupts import Interrupts, call_user
from .limits import apply_limits
from .link import Link
from .loops import Loops
from .matplotlib_hook import install_matplotlib_hook
from .namespace import Namespace, install_quitters
from .runner import Runner
from .server import Server
from .snapshots import Snapshots
from .stdin import Questions, install_stdin
from .streams import Output
from .tracebacks import print_exception

PROTOCOL_VERSION = 1
STACK_DUMP_OFFSET = 4096
CAPABILITIES = ("await", "complete", "display", "input", "inspect", "interrupt", "is_complete")
FAILED_START = 1


class Prepared:
    """A whole session but for its descriptors: made once a process, and inherited by forks.

    All that can be made before the fork is: what a child builds for itself copies the pages that
    it touches, 400 KiB of them here.
    """

    def __init__(self, async_library: str) -> None:
        self.interrupts = Interrupts()
        self.interrupts.report = print_exception
        self.output = Output(self.interrupts)
        self.questions = Questions(self.output, self.interrupts)
        self.namespace = Namespace()
        self.link = Link(self.interrupts)
        self.loops = Loops(async_library, self.interrupts, self.link)
        self.runner = Runner(
            namespace=self.namespace,
            output=self.output,
            questions=self.questions,
            interrupts=self.interrupts,
            run_in_loop=self.loops.run,
        )
        self.snapshots = Snapshots(
            check=self.loops.check_copyable, flush=self._flush, taken_over=self._take_over
        )
        self.effects = Effects(self.namespace, self.snapshots, self.interrupts)
        self.server = Server(
            link=self.link,
            runner=self.runner,
            questions=self.questions,
            loops=self.loops,
            namespace=self.namespace,
            output=self.output,
            snapshots=self.snapshots,
            detach=self.detach,
            attach=self.attach,
            effects=self.effects,
            copies=Copies(self.namespace, self.interrupts),
            interrupts=self.interrupts,
        )
        self.ready: dict[str, Any] = {
            "type": "ready",
            "protocol": [PROTOCOL_VERSION],
            "language": "python",
            "version": "{}.{}.{}".format(*sys.version_info),
            "capabilities": list(CAPABILITIES),
        }
        # Never closed: their descriptors stay what they are.
        self.original_streams = (sys.stdin, sys.stdout, sys.stderr)

    def install(self) -> None:
        """Put the session's streams and builtins in place."""
        sys.stdout = sys.__stdout__ = self.output.stdout  # type: ignore[misc,assignment]
        sys.stderr = sys.__stderr__ = self.output.stderr  # type: ignore[misc,assignment]
        install_stdin(self.questions)
        install_display(self.output)
        install_quitters()
        install_matplotlib_hook()
        self.interrupts.wrap_signal_module()
        keep_order_with_children(self.output, self.snapshots)
        disown_children(
            output=self.output,
            link=self.link,
            interrupts=self.interrupts,
            snapshots=self.snapshots,
        )

    def attach(self, read_fd: int, write_fd: int, control_fd: int | None) -> None:
        """This process is that of the session with these descriptors; say that it is ready."""
        words = _map_control_page(control_fd)
        self.interrupts.install(words)
        self.snapshots.attach(words)
        self.effects.attach(words)
        self.link.attach(read_fd, write_fd, control_fd)
        self.output.attach(self.link)
        self.runner.adopt_process()
        self.ready["pid"] = getpid()
        self.link.send(self.ready)

    def detach(self) -> None:
        """This process is a copy of the session that serves none, until it is attached."""
        faulthandler.unregister(SIGUSR1)
        self.output.detach()
        self.link.close()
        self.link.descriptors = ()
        self.interrupts.abandon()
        self.snapshots.attach(())
        self.effects.attach(())
        self.questions.forget()

    def _flush(self) -> None:
        """Nothing that a copy would say a second time."""
        self.output.flush()
        for stream in self.original_streams[1:]:
            if stream is not None:
                # An interrupt that strikes here is on the control page: it ends the execution
                # that is about to begin.
                with suppress(KeyboardInterrupt):
                    call_user(stream.flush)
        self.link.drain()

    def _take_over(self, count: int, mark: bytes) -> None:
        """This process was a snapshot, and is the session's from now on."""
        self.interrupts.adopt_process()
        self.questions.adopt_process()
        self.link.skip_past(mark)
        self.loops.adopt_process()
        self.runner.adopt_session(count)


_prepared: Prepared | None = None


def prepare(preload: list[str], warmup_code: str, async_library: str) -> None:
    """Set the session up: its ``__main__``, its streams, its modules; once a process.

    Raises whatever the preloaded modules and the warm-up code raise.
    """
    global _prepared
    prepared = _prepared = Prepared(async_library)
    prepared.install()
    for name in preload:
        call_user(import_module, name)
    if warmup_code:
        prepared.namespace.prepare()
        code = compile(warmup_code, "<warm-up>", "exec", dont_inherit=True)
        call_user(exec, code, prepared.namespace.names)
    prepared.output.flush()


def run_worker(*, read_fd: int = 3, write_fd: int = 3, control_fd: int | None = 4) -> NoReturn:
    """Serve a session on these descriptors, until the service ends it. Never returns."""
    if _prepared is None:
        raise RuntimeError("run_worker() before prepare()")
    _prepared.attach(read_fd, write_fd, control_fd)
    _prepared.server.serve()


def main_from_environment() -> NoReturn:
    """The whole life of a worker that was started by exec; the environment names the descriptors.

    PYREPL_PROTOCOL_FDS="r,w", PYREPL3_CONTROL_FD, PYREPL3_CONFIG_FD (a msgpack map: preload,
    warmup_code, cwd, limits, async_library), PYREPL_FD_SEPARATION=false for stdin and stdout.
    """
    separation = os.environ.pop("PYREPL_FD_SEPARATION", "true")
    protocol = os.environ.pop("PYREPL_PROTOCOL_FDS", "3,3")
    control = os.environ.pop("PYREPL3_CONTROL_FD", None)
    config_fd = os.environ.pop("PYREPL3_CONFIG_FD", None)
    if separation.lower() == "false":
        read_fd, write_fd = _separate_stdio()
    else:
        read_fd, write_fd = (int(each) for each in protocol.split(","))
    config = {} if config_fd is None else _read_config(int(config_fd))
    try:
        if config.get("cwd") is not None:
            os.chdir(config["cwd"])
        prepare(
            config.get("preload") or [],
            config.get("warmup_code") or "",
            config.get("async_library") or "asyncio",
        )
        apply_limits(config.get("limits") or {})
    except BaseException as error:
        print_exception(error)
        _exit(FAILED_START)
    run_worker(
        read_fd=read_fd, write_fd=write_fd, control_fd=None if control is None else int(control)
    )


def _map_control_page(control_fd: int | None) -> Any:
    if control_fd is None:
        return [0, 0]
    page = mmap.mmap(control_fd, PAGE_BYTES)
    lseek(control_fd, STACK_DUMP_OFFSET, os.SEEK_SET)
    faulthandler.register(SIGUSR1, file=control_fd, all_threads=True)
    return memoryview(page).cast("Q")


def _separate_stdio() -> tuple[int, int]:
    """Take the protocol away from 0 and 1; user code finds /dev/null and the error stream."""
    read_fd, write_fd = dup(0), dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    dup2(null, 0)
    close(null)
    dup2(2, 1)
    return read_fd, write_fd


def _read_config(descriptor: int) -> dict[str, Any]:
    with suppress(OSError):
        # A pipe is read from where it is; a memfd may stand at its end.
        lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb") as file:
        return decode_message(file.read())
