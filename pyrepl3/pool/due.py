"""What is due in the pool: which template may start a session, and which idle ones give way.

Pure, and reads only: `pool_state.py` changes what it reads from. The same section of
`spec/Pool.tla` has the same questions (ToBeServed, MayStart, StartsWanted, RoomIsDue).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pyrepl3.pool.pool_records import Phase, SessionRecord, TemplateRecord, Waiter


def to_be_served(
    waiters: Iterable[Waiter], templates: Mapping[str, TemplateRecord]
) -> Iterator[TemplateRecord]:
    """A template for each waiter that has no start under way, the longest waiting first.

    Lazy: each is to be started, or left, before the next is asked for.
    """
    covered = {name: len(template.starting) for name, template in templates.items()}
    for waiter in waiters:
        if covered[waiter.template] > 0:
            covered[waiter.template] -= 1
        elif may_start(templates[waiter.template]):
            yield templates[waiter.template]


def may_start(template: TemplateRecord) -> bool:
    """Whether its breaker lets one more start begin."""
    return template.breaker.starts_allowed(len(template.starting)) != 0


def starts_wanted(template: TemplateRecord) -> int:
    """Starts for waiters that have none under way, as far as the breaker lets them begin."""
    wanted = max(0, len(template.waiters) - len(template.starting))
    allowed = template.breaker.starts_allowed(len(template.starting))
    return wanted if allowed is None else min(wanted, allowed)


def idle_to_give_way(
    templates: Iterable[TemplateRecord], sessions: Mapping[str, SessionRecord]
) -> list[str]:
    """In a full pool: idle sessions whose places others wait for, beyond those coming free."""
    templates = list(templates)
    wanted = sum(starts_wanted(template) for template in templates)
    if not wanted:
        return []
    stopping = sum(record.phase is Phase.STOPPING for record in sessions.values())
    idle = [name for template in templates for name in template.idle]
    return idle[: max(0, wanted - stopping)]
