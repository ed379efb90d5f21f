"""Who dies with whom: parents, orphans, and the kernel's ways to tie them together.

Owns the calls that the standard library lacks (prctl) and the search for a process's children.
Must not know what a worker is, nor why anyone is killed. Linux only.

A subreaper becomes the parent of every descendant whose own parent dies, however often it has
forked or called setsid. So "kill each child that is not a live worker, until there is none" finds
all that a dead worker has left.
"""

import ctypes
import os
from _signal import SIGKILL
from collections.abc import Container

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

# Bound once, in the zygote: in a forked child a call costs microseconds, and no import.
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def _control_process(option: int, value: int) -> None:
    if _prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def become_subreaper() -> None:
    """Adopt orphaned descendants from now on; it lasts through an exec, not into a fork."""
    _control_process(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Be killed when ``parent`` dies; at once if it is dead already.

    The signal follows the *thread* that forked: call it only in children of a process whose main
    thread forks.
    """
    _control_process(_PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), SIGKILL)


def hear_of_parents_death(number: int) -> None:
    """Have this signal sent whenever the parent dies, and the one that comes in its place."""
    _control_process(_PR_SET_PDEATHSIG, number)


def children() -> list[int]:
    """The ids of this process's children, zombies among them.

    One may be missing while others die; the death of those brings another SIGCHLD, so look again
    then.
    """
    own = os.getpid()
    try:
        # Each thread has a list of its own, and preloaded modules may have threads.
        return [each for thread in os.listdir(f"/proc/{own}/task") for each in _of(own, thread)]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [each for each in _all_processes() if parent_of(each) == own]


def _of(process: int, thread: str) -> list[int]:
    with open(f"/proc/{process}/task/{thread}/children", "rb", buffering=0) as file:
        return [int(each) for each in file.read().split()]


def _all_processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def parent_of(process: int) -> int | None:
    """None: there is no such process."""
    try:
        with open(f"/proc/{process}/stat", "rb", buffering=0) as file:
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold anything, parentheses too.
    return int(stat.rpartition(b")")[2].split()[1])


def kill_child(child: int) -> None:
    """SIGKILL for a child that has not been waited for: its id cannot be anyone else's."""
    try:
        os.kill(child, SIGKILL)
    except PermissionError:
        return  # it runs a set-user-id program, and is out of reach for us


def kill_group_of_zombie(leader: int) -> None:
    """SIGKILL for a dead child's process group, before the child is waited for.

    Until then the zombie holds the number, which the group shares.
    """
    try:
        os.killpg(leader, SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # it never led a group, or all that is left of it is out of reach


def kill_orphans(spared: Container[int]) -> None:
    """SIGKILL for each child not in ``spared``. What they leave comes with their SIGCHLD."""
    for child in children():
        if child not in spared:
            kill_child(child)
