"""A process's own limits: memory and open files.

Owns the translation of a limits map into rlimits. Must not know who asked for them; the zygote
applies a template's limits with it, a worker a session's.
"""

from collections.abc import Mapping
from resource import RLIM_INFINITY, RLIMIT_DATA, RLIMIT_NOFILE, getrlimit, setrlimit

_RESOURCES = {"memory_bytes": RLIMIT_DATA, "open_files": RLIMIT_NOFILE}


def apply_limits(limits: Mapping[str, int | None]) -> None:
    """Set soft and hard limits; None and what is missing leave a limit as it is.

    A limit above the present hard one sets the most that is allowed. Raises ValueError or OSError
    when the system refuses a value; then none is changed, except that a lowered hard limit cannot
    be raised again.
    """
    wanted = {
        resource: limit
        for name, resource in _RESOURCES.items()
        if (limit := limits.get(name)) is not None
    }
    for limit in wanted.values():
        if type(limit) is not int or limit < 0:
            raise ValueError(f"a limit is a whole number of at least 0, not {limit!r}")
    for resource, limit in wanted.items():
        _, hard = getrlimit(resource)
        allowed = limit if hard == RLIM_INFINITY else min(limit, hard)
        setrlimit(resource, (allowed, allowed))
