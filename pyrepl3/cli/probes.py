"""What a machine offers to sessions: each thing found out by doing it, where that is harmless.

Owns the probes. Must not know how they are told. Runs in a process without other threads of its
own making, after the service has ended.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import attrs

PROBE_S = 10.0
GIB = 2**30
FEW_DESCRIPTORS = 1024
LITTLE_MEMORY_BYTES = 512 * 2**20
CGROUPS = Path("/sys/fs/cgroup")
PROCESS_GROUP = 4
"""PIDFD_SIGNAL_PROCESS_GROUP, of Linux 6.9."""

_UNSHARE = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
sys.exit(0 if libc.unshare(0x10000000 | 0x00020000) == 0 else 1)
"""


@attrs.frozen(kw_only=True)
class Check:
    """One line of the report: ``meaning`` of what was ``found``, and ``how`` to get it."""

    name: str = attrs.field(kw_only=False)
    ok: bool
    found: str
    meaning: str
    how: str = ""


def probe_machine() -> list[Check]:
    """Every probe's finding, in the order of their weight."""
    return [
        _python(),
        _fork(),
        _pidfd(),
        _group_signals(),
        _namespaces(),
        _bubblewrap(),
        _cgroups(),
        _memory_cgroup(),
        _memory(),
        _descriptors(),
    ]


def _python() -> Check:
    ok = sys.version_info >= (3, 11) and platform.python_implementation() == "CPython"
    return Check(
        "python",
        ok=ok,
        found=f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}",
        meaning="what sessions run, unless a template names another interpreter",
        how="install CPython 3.11 or newer",
    )


def _fork() -> Check:
    ok = hasattr(os, "fork") and sys.platform == "linux"
    return Check(
        "fork start",
        ok=ok,
        found=f"{platform.system()} {platform.release()}",
        meaning="sessions are forked from a warm process, in a millisecond or two"
        if ok
        else 'sessions are started by exec, in tens of milliseconds (Template(spawn="exec"))',
        how="use Linux",
    )


def _pidfd() -> Check:
    ok = False
    if hasattr(os, "pidfd_open"):
        try:
            descriptor = os.pidfd_open(os.getpid())
            signal.pidfd_send_signal(descriptor, 0)
            os.close(descriptor)
            ok = True
        except OSError:
            ok = False
    return Check(
        "pidfd",
        ok=ok,
        found="processes are held by descriptor" if ok else "no process descriptors",
        meaning="deaths are told at once, and no signal can reach a stranger"
        if ok
        else "sessions cannot be watched over",
        how="Linux 5.4 or newer; in a container, let its seccomp profile allow pidfd_open",
    )


def _group_signals() -> Check:
    ok = False
    if hasattr(os, "pidfd_open"):
        descriptor = os.pidfd_open(os.getpid())
        try:
            # Signal 0 is never delivered: it only asks whether it could be.
            signal.pidfd_send_signal(descriptor, 0, None, PROCESS_GROUP)
            ok = True
        except ProcessLookupError:
            ok = True  # understood: only, this process leads no group
        except OSError:
            ok = False
        finally:
            os.close(descriptor)
    return Check(
        "group signals",
        ok=ok,
        found="by process descriptor" if ok else f"not in Linux {platform.release()}",
        meaning="an interrupt reaches a session's child processes, race-free"
        if ok
        else "an interrupt reaches a session's child processes by their group's number",
        how="Linux 6.9 or newer",
    )


def _namespaces() -> Check:
    ok = _succeeds([sys.executable, "-I", "-S", "-c", _UNSHARE])
    return Check(
        "namespaces",
        ok=ok,
        found="user and mount namespaces can be made" if ok else "not for this user",
        meaning="sessions can be cut off from files and network (isolation level 2)"
        if ok
        else "no isolation beyond processes and their limits",
        how="sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0; "
        "in a container, a seccomp profile that allows unshare",
    )


def _bubblewrap() -> Check:
    path = shutil.which("bwrap")
    ok = path is not None and _succeeds([path, "--ro-bind", "/", "/", "--", "/bin/true"])
    found = path if path is not None else "bwrap is not on the PATH"
    return Check(
        "bubblewrap",
        ok=ok,
        found=found if ok or path is None else f"{path} is there, and cannot make a sandbox",
        meaning="sandboxes can be made without root" if ok else "no ready-made sandboxes",
        how="install bubblewrap, and see namespaces above",
    )


def _cgroups() -> Check:
    version, folder = _own_cgroup()
    ok = folder is not None and _can_make_child(folder)
    found = "none" if version == 0 else f"version {version}, {folder or 'not mounted'}"
    return Check(
        "cgroups",
        ok=ok,
        found=found + (", writable" if ok else ", not writable"),
        meaning="limits can hold for whole trees of processes"
        if ok
        else "limits hold for each process by itself (rlimits)",
        how="run under systemd-run --user --scope -p Delegate=yes, or have a cgroup delegated",
    )


def _memory_cgroup() -> Check:
    version, folder = _own_cgroup()
    limit: int | None = None
    ok = False
    if version == 2 and folder is not None:
        controllers = _read(folder / "cgroup.controllers")
        ok = "memory" in controllers.split()
        limit = _number(_read(folder / "memory.max"))
    elif version == 1:
        ok = (CGROUPS / "memory").is_dir()
        limit = _number(_read(CGROUPS / "memory" / "memory.limit_in_bytes"))
    unlimited = limit is None or limit > 2**60
    found = "no limit" if unlimited else f"{(limit or 0) / GIB:.1f} GiB for all that runs here"
    return Check(
        "memory cgroup",
        ok=ok,
        found=found if ok else "no memory controller",
        meaning="a session's memory can be counted and bounded with its children's"
        if ok
        else "a session's memory is bounded by its own rlimit",
        how="enable the memory controller in the parent's cgroup.subtree_control",
    )


def _memory() -> Check:
    figures = {}
    for line in _read(Path("/proc/meminfo")).splitlines():
        name, _, rest = line.partition(":")
        figures[name] = _number(rest.removesuffix("kB")) or 0
    total, free = figures.get("MemTotal", 0) * 1024, figures.get("MemAvailable", 0) * 1024
    return Check(
        "memory",
        ok=free >= LITTLE_MEMORY_BYTES,
        found=f"{free / GIB:.1f} of {total / GIB:.1f} GiB available",
        meaning="an idle session takes a megabyte or two; what code needs comes on top",
        how="end other programs, or lower PoolConfig.max_sessions",
    )


def _descriptors() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Check(
        "descriptors",
        ok=soft >= FEW_DESCRIPTORS,
        found=f"{soft}, can be raised to {hard}",
        meaning="the service uses about six for each session",
        how="ulimit -n 4096",
    )


def _own_cgroup() -> tuple[int, Path | None]:
    """The cgroup version (0: none) and this process's folder."""
    if (CGROUPS / "cgroup.controllers").exists():
        for line in _read(Path("/proc/self/cgroup")).splitlines():
            if line.startswith("0::"):
                folder = CGROUPS / line[3:].lstrip("/")
                # In a container the path may be the host's: then the root is our own.
                return 2, folder if folder.is_dir() else CGROUPS
        return 2, None
    memory = CGROUPS / "memory"
    return (1, memory) if memory.is_dir() else (0, None)


def _can_make_child(folder: Path) -> bool:
    child = folder / f"pyrepl3-doctor-{os.getpid()}"
    try:
        child.mkdir()
        child.rmdir()
    except OSError:
        return False
    return True


def _succeeds(command: list[str]) -> bool:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PROBE_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isdigit() else None
