"""``python -m spec mutate``: the specs are themselves tested.

Owns the verdict on each mutant: TLC finds a counterexample, or a written reason says why there is
none. What no model misses when it is left out is not checked by any.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from pyrepl3.conformance.tlc import Outcome, Tlc, TlcResult, find_tlc
from pyrepl3.conformance.tlc_config import read_config, with_one_property
from spec.tools.models import Model, Models, ModelsInvalid, read_models
from spec.tools.mutants import Mutant, mutants
from spec.tools.mutation_table import write_tables
from spec.tools.running import run_model
from spec.tools.verdict_log import VerdictLog
from spec.tools.verdicts import Killed, Report, Undecided, Verdict, stale_reasons

AT_ONCE = 2
TIME_LIMIT_S = 600.0
"""For one mutant and one model: leaving a guard out can make many states of few."""

_KILLS = (Outcome.DEADLOCK, Outcome.SAFETY, Outcome.LIVENESS, Outcome.EVALUATION)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "specs", nargs="*", metavar="SPEC", help="Pool, Session, Snapshot, Tree; else all"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="mutants with this in the name")
    parser.add_argument("--list", action="store_true", help="name the mutants, try none")
    parser.add_argument("--table", action="store_true", help="write the table in spec/README.md")
    parser.add_argument("--timeout-s", type=float, default=TIME_LIMIT_S, metavar="SECONDS")
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="keep verdicts there, and go on from those"
    )


def run(arguments: argparse.Namespace) -> int:
    models = read_models(arguments.directory)
    specs = arguments.specs or list(models.mutants)
    if unknown := [name for name in specs if name not in models.mutants]:
        raise ModelsInvalid(f"no models for mutants of {', '.join(unknown)}; see models.json")
    if arguments.table and arguments.only:
        raise ModelsInvalid("a table is of all mutants of a spec: leave --only away")
    reasons = read_reasons(models.directory)
    reports = []
    chosen_at_all = 0
    for spec in specs:
        text = (models.directory / f"{spec}.tla").read_text()
        every = mutants(spec, text)
        chosen = [mutant for mutant in every if arguments.only in mutant.name]
        chosen_at_all += len(chosen)
        if arguments.list:
            print("".join(f"{mutant.name}\n" for mutant in chosen), end="")
            continue
        if not chosen:
            continue
        limit_s, log = arguments.timeout_s, arguments.log
        verdicts = try_mutants(models, spec, chosen, time_limit_s=limit_s, log_path=log)
        reports.append(Report(spec, chosen, verdicts, reasons, stale_reasons(spec, every, reasons)))
        print(reports[-1].as_text())
    if not chosen_at_all:
        raise ModelsInvalid(
            f"no mutant of {', '.join(specs)} has {arguments.only!r} in its name: see --list"
        )
    if arguments.table:
        write_tables(models.directory / "README.md", reports)
    return 1 if any(report.complaints for report in reports) else 0


def read_reasons(directory: Path) -> Mapping[str, str]:
    """Why the mutants of these names cannot be told from the spec."""
    path = directory / "equivalent_mutants.json"
    reasons: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return reasons


def try_mutants(
    models: Models,
    spec: str,
    chosen: Sequence[Mutant],
    *,
    time_limit_s: float = TIME_LIMIT_S,
    log_path: Path | None = None,
) -> Mapping[str, Verdict]:
    """What became of each, by name; progress goes to standard error. What has a verdict in the
    log is not tried again."""
    tlc = find_tlc()
    used = [models.models[name] for name in models.mutants[spec]]
    if wrong := [model.name for model in used if model.exit_status != 0]:
        raise ModelsInvalid(f"these fail without any mutant: {', '.join(wrong)}")
    verdicts: dict[str, Verdict] = {}
    log = None if log_path is None else VerdictLog.open(log_path, models, used)
    new = []
    for mutant in chosen:
        known = None if log is None else log.find(mutant)
        if known is None:
            new.append(mutant)
        else:
            verdicts[mutant.name] = known[0]
    for mutant, verdict, seconds in _tried(tlc, models, used, new, time_limit_s):
        verdicts[mutant.name] = verdict
        if log is not None:
            log.note(mutant, verdict)
        done = f"[{len(verdicts)}/{len(chosen)}]"
        print(f"{done} {mutant.name}: {verdict} {seconds:.1f} s", file=sys.stderr, flush=True)
    return verdicts


def _tried(
    tlc: Tlc, models: Models, used: Sequence[Model], chosen: Sequence[Mutant], time_limit_s: float
) -> Iterator[tuple[Mutant, Verdict, float]]:
    kills: Counter[tuple[str, str]] = Counter()

    def try_one(mutant: Mutant) -> tuple[Mutant, Verdict, float]:
        # What killed others of the same definition is likely to kill this one too.
        likely = sorted(used, key=lambda model: -kills[mutant.definition, model.name])
        started = time.monotonic()
        verdict = _try(tlc, models, likely, mutant, time_limit_s)
        if isinstance(verdict, Killed):
            kills[mutant.definition, verdict.model] += 1
        return mutant, verdict, time.monotonic() - started

    with ThreadPoolExecutor(AT_ONCE) as executor:
        try:
            for future in as_completed([executor.submit(try_one, mutant) for mutant in chosen]):
                yield future.result()
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _try(
    tlc: Tlc, models: Models, used: Sequence[Model], mutant: Mutant, time_limit_s: float
) -> Verdict:
    undecided: Undecided | None = None
    for model in used:

        def attempt(config_text: str | None = None, model: Model = model) -> TlcResult:
            return run_model(
                tlc,
                models,
                model,
                spec_text=mutant.module,
                config_text=config_text,
                time_limit_s=time_limit_s,
                quick=True,
            )

        result = attempt()
        if result.outcome in _KILLS:
            config_text = models.config(model).read_text()
            by = result.violated or _liveness_violated(attempt, result, config_text)
            return Killed(model.name, result.outcome, by)
        if result.outcome is not Outcome.OK and undecided is None:
            undecided = Undecided(model.name, result.outcome, result.message)
    return undecided


def _liveness_violated(
    attempt: Callable[[str], TlcResult], result: TlcResult, config_text: str
) -> str | None:
    """Which of the model's properties, as TLC does not name it; the first if several."""
    if result.outcome is not Outcome.LIVENESS:
        return None
    for name in read_config(config_text).properties:
        if attempt(with_one_property(config_text, name)).outcome is Outcome.LIVENESS:
            return name
    return None
