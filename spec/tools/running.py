"""One run of a model: as it is, or with a changed spec or configuration.

Owns where TLC finds what. Nothing is written beside the specs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from pyrepl3.conformance.tlc import HEAP_MB, Tlc, TlcResult, run_tlc
from spec.tools.models import Model, Models

QUICK_GENERATED = 20_000
"""A run of so few states is over before Java's second compiler has paid for itself."""

_QUICK = ("-XX:TieredStopAtLevel=1",)


def run_model(
    tlc: Tlc,
    models: Models,
    model: Model,
    *,
    spec_text: str | None = None,
    config_text: str | None = None,
    time_limit_s: float | None = None,
    quick: bool = False,
) -> TlcResult:
    """Check a model; ``spec_text`` and ``config_text`` stand in for its spec and configuration.

    ``quick`` is for runs that are likely to end early; those known to are quick anyway.
    """
    generated = model.recorded.generated if model.recorded is not None else None
    quick = quick or (generated is not None and generated <= QUICK_GENERATED)
    with tempfile.TemporaryDirectory(prefix="pyrepl3-model-") as scratch:
        spec, config = Path(scratch, f"{model.spec}.tla"), models.config(model)
        module = models.module(model)
        if spec_text is not None:
            spec.write_text(spec_text)
            module = spec if module.name == spec.name else module
        if config_text is not None:
            config = Path(scratch, "changed.cfg")
            config.write_text(config_text)
        return run_tlc(
            tlc,
            module,
            config,
            library=[Path(scratch), models.directory],
            heap_mb=model.heap_mb or HEAP_MB,
            timeout_s=model.time_limit_s if time_limit_s is None else time_limit_s,
            java_options=_QUICK if quick else (),
        )
