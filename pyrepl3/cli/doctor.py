"""``pyrepl3 doctor``: what this machine offers, and whether sessions start.

Owns the report. Must not know how a thing is probed.
"""

from __future__ import annotations

import attrs
import trio

from pyrepl3.cli import descriptors
from pyrepl3.cli.probes import Check, probe_machine
from pyrepl3.cli.service import open_service
from pyrepl3.cli.statuses import FAILED
from pyrepl3.errors import PyreplError

SESSION_S = 60.0


def examine(*, as_json: bool) -> int:
    """Print the report; 0 when sessions can be started."""
    session = _probe_session()
    checks = [session, *probe_machine()]
    text = _as_json(checks) if as_json else _as_text(checks)
    if not descriptors.say(text, descriptors.STDOUT):
        return FAILED
    return 0 if session.ok else FAILED


def _probe_session() -> Check:
    try:
        found = trio.run(_start_session)
    except PyreplError as error:
        return Check(
            "sessions",
            ok=False,
            found=f"{error.what}: {error.why} [{error.code}]",
            meaning="nothing can be run",
            how=error.how,
        )
    ok = found is not None
    return Check(
        "sessions",
        ok=ok,
        found=found or f"no answer within {SESSION_S:g} s, or a wrong one",
        meaning="a session starts, and runs code" if ok else "nothing can be run",
        how="" if ok else "run pyrepl3 -c 'print(1)' and see what it says",
    )


async def _start_session() -> str | None:
    """Really start one and run 1+1; how long that took, or None."""
    started = trio.current_time()
    with trio.move_on_after(SESSION_S):
        async with open_service() as service, service.session() as session:
            ready = trio.current_time()
            execution = await session.run("1+1")
            answered = trio.current_time()
            if execution.value == 2:
                start_ms, run_ms = (ready - started) * 1000, (answered - ready) * 1000
                return f"1+1 is 2; {start_ms:.0f} ms to a first session, {run_ms:.1f} ms to run"
    return None


def _as_json(checks: list[Check]) -> str:
    import json

    report = {
        "ok": checks[0].ok,
        "checks": [attrs.asdict(check) for check in checks],
    }
    return json.dumps(report, indent=2) + "\n"


def _as_text(checks: list[Check]) -> str:
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        mark = "ok" if check.ok else "no"
        lines.append(f"{mark}  {check.name:<{width}}  {check.found}")
        lines.append(f"    {'':<{width}}  {check.meaning}")
        if not check.ok and check.how:
            lines.append(f"    {'':<{width}}  to get it: {check.how}")
    verdict = "Sessions can be started." if checks[0].ok else "Sessions cannot be started."
    return "\n".join([*lines, "", verdict, ""])
