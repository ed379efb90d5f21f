"""The steps of spec/Tree.tla in words, and who waits for whom where it stands still.

Owns the sentences. Must not know where the states come from. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

State = Mapping[str, Any]
Rooms = Mapping[str, int]
"""The constants of a model."""


@attrs.frozen
class Step:
    """One step of a counterexample."""

    action: str
    who: str
    what: str


@attrs.frozen
class Waiting:
    """Somebody who can do nothing before another does."""

    who: str
    whom: str
    why: str


class StepUnknown(Exception):
    """There are no words for an action."""


def step(action: str, before: State, now: State, rooms: Rooms) -> Step:
    """One step in words. Raises StepUnknown."""
    # A variant's action is named after the one that it stands for.
    if (words := _WORDS.get(action.partition("UnlessIt")[0])) is None:
        raise StepUnknown(action)
    return Step(action, *words(before, now, rooms))


def _changed(variable: str, before: State, now: State) -> int:
    """The caller or session whose part of a variable is another one now."""
    pairs = zip(before[variable], now[variable], strict=True)
    return next(number for number, (old, new) in enumerate(pairs, 1) if old != new)


def _sent(line: Sequence[Any], room: int) -> str:
    """Where the last message of a line has come to stand."""
    return "" if len(line) <= room else "; there is no room, so it waits in line"


def _ask(before: State, now: State, rooms: Rooms) -> tuple[str, str]:
    sent = _sent(now["poolBox"], rooms["PoolMailbox"])
    return f"caller {_changed('caller', before, now)}", f"asks the pool for a session{sent}"


def _pool_takes(before: State, now: State, rooms: Rooms) -> tuple[str, str]:
    (kind, caller), *_ = before["poolBox"]
    if kind != "Acquire":
        raise StepUnknown(f"PoolTakes: {kind}")
    session = _changed("phase", before, now)
    taken = f"takes the request of caller {caller}"
    if now["phase"][session - 1] == "leased":
        return "pool", f"{taken}, and hands over session {session}"
    return "pool", f"{taken}, has nothing idle, and wants session {session} to be created"


def _take_answer(before: State, now: State, rooms: Rooms) -> tuple[str, str]:
    caller = _changed("caller", before, now)
    return f"caller {caller}", f"has session {now['reply'][caller - 1]['session']}"


def _sessions_takes(before: State, now: State, rooms: Rooms) -> tuple[str, str]:
    return "sessions", f"start the subtree of session {before['sessionsBox'][0][1]}"


def _spawner_takes(before: State, now: State, rooms: Rooms) -> tuple[str, str]:
    return "spawner", f"takes the request for a process of session {_changed('life', before, now)}"


def _zygote_starts(before: State, now: State, rooms: Rooms) -> tuple[str, str]:
    sent = _sent(now["poolBox"], rooms["PoolMailbox"])
    return f"session {_changed('life', before, now)}", f"is ready, and tells the pool{sent}"


def _give_back(before: State, now: State, rooms: Rooms) -> tuple[str, str]:
    caller = _changed("caller", before, now)
    sent = _sent(now["poolBox"], rooms["PoolMailbox"])
    return f"caller {caller}", f"gives session {now['reply'][caller - 1]['session']} back{sent}"


def _execute(before: State, now: State, rooms: Rooms) -> tuple[str, str]:
    line = now["sessionBox"][0]
    sent = _sent(line, rooms["SessionMailbox"])
    return "client", f"sends execution {line[-1][1]} to its session{sent}"


def _session_takes(before: State, now: State, rooms: Rooms) -> tuple[str, str]:
    (kind, number), *_ = before["sessionBox"][0]
    if kind != "Execute":
        raise StepUnknown(f"SessionTakes: {kind}")
    sent = _sent(now["transportBox"][0], rooms["TransportMailbox"])
    return "session", f"takes execution {number}, and hands it down{sent}"


def _transport_takes(before: State, now: State, rooms: Rooms) -> tuple[str, str]:
    number = before["transportBox"][0][0][1]
    return "command task", f"takes execution {number}, and writes it into the socket"


def _worker_takes(before: State, now: State, rooms: Rooms) -> tuple[str, str]:
    return "worker", f"reads execution {now['worker'][0]['running']}, and runs it"


def _worker_prints(before: State, now: State, rooms: Rooms) -> tuple[str, str]:
    return "worker", f"prints for execution {now['worker'][0]['running']}"


def _worker_ends(before: State, now: State, rooms: Rooms) -> tuple[str, str]:
    return "worker", f"has ended execution {before['worker'][0]['running']}, and writes its result"


def _reader_notifies(before: State, now: State, rooms: Rooms) -> tuple[str, str]:
    line = now["sessionBox"][0]
    sent = _sent(line, rooms["SessionMailbox"])
    return "reader", f"reads the result of execution {line[-1][1]}, and tells the session{sent}"


_WORDS: Mapping[str, Callable[[State, State, Rooms], tuple[str, str]]] = {
    "Ask": _ask,
    "PoolTakes": _pool_takes,
    "TakeAnswer": _take_answer,
    "SessionsTakes": _sessions_takes,
    "SpawnerTakes": _spawner_takes,
    "ZygoteStarts": _zygote_starts,
    "GiveBack": _give_back,
    "Execute": _execute,
    "SessionTakes": _session_takes,
    "TransportTakes": _transport_takes,
    "WorkerTakes": _worker_takes,
    "WorkerPrints": _worker_prints,
    "WorkerEnds": _worker_ends,
    "ReaderNotifies": _reader_notifies,
}


# --- where it stands still ---------------------------------------------------------------------


def waits(state: State, rooms: Rooms) -> list[Waiting]:
    """Who waits for whom in a state in which nobody can do anything."""
    return [*_waits_for_pool(state), *_waits_in_session(state, rooms)]


def _waits_for_pool(state: State) -> Iterator[Waiting]:
    for caller, (does, reply) in enumerate(zip(state["caller"], state["reply"], strict=True), 1):
        if does in ("asks", "returns") and reply["state"] == "open":
            why = "an answer" if does == "asks" else "the receipt for what it gives back"
            yield Waiting(f"caller {caller}", "pool", why)
    for session, phase in enumerate(state["phase"], 1):
        if phase == "starting":
            yield Waiting("pool", f"session {session}", "its creation, inside `acquire`")
            if state["life"][session - 1] == "live":
                yield Waiting(
                    f"session {session}", "pool", "to be taken in, which ends its creation"
                )


def _waits_in_session(state: State, rooms: Rooms) -> Iterator[Waiting]:
    box, up, down = state["sessionBox"][0], state["up"][0], state["down"][0]
    outside = box[rooms["SessionMailbox"] :]
    if any(kind == "Execute" for kind, _ in outside):
        yield Waiting("client", "session", "room in its mailbox")
    if len(state["transportBox"][0]) > rooms["TransportMailbox"]:
        yield Waiting("session", "command task", "room in the transport's mailbox")
    if state["transportBox"][0] and len(down) >= rooms["SocketRoom"]:
        yield Waiting("command task", "worker", "room in the socket, which the worker reads from")
    if state["worker"][0]["running"] and len(up) >= rooms["SocketRoom"]:
        yield Waiting("worker", "reader", "room in the socket, which the reader reads from")
    if any(kind == "Ended" for kind, _ in outside):
        yield Waiting("reader", "session", "room in its mailbox")


def cycle(waiting: Sequence[Waiting]) -> list[str]:
    """Those who wait for each other, the first one also at the end; empty if there are none."""
    for start in waiting:
        path = [start.who]
        while (following := _whom(waiting, path[-1])) is not None:
            path.append(following)
            if path[-1] == path[0]:
                return path
            if path[-1] in path[:-1]:
                break
    return []


def _whom(waiting: Sequence[Waiting], who: str) -> str | None:
    return next((one.whom for one in waiting if one.who == who), None)
