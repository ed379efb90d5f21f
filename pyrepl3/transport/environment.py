"""The environment variables of a template's processes.

Owns the allow-list: a session sees nothing of the service's environment that is not named here,
because that is where services keep their secrets. Pure: takes mappings, returns a new one.
"""

from __future__ import annotations

from collections.abc import Mapping

INHERITED = frozenset(
    {
        "HOME",
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",  # without it an interpreter built with --enable-shared may not start
        "LOGNAME",
        "PATH",
        "SHELL",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "TMPDIR",
        "TZ",
        "USER",
    }
)
INHERITED_PREFIX = "LC_"

ONE_THREAD = dict.fromkeys(
    (
        "BLIS_NUM_THREADS",
        "GOTO_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "RAYON_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)
"""A session has one core by default, and native thread pools do not survive a fork (GNU OpenMP
hangs in the child): with these at 1 there are none. A template's ``env`` may say otherwise."""


def build_environment(template: Mapping[str, str], service: Mapping[str, str]) -> dict[str, str]:
    """What a process of the template gets, given the service's own environment."""
    environment = {
        name: value
        for name, value in service.items()
        if name in INHERITED or name.startswith(INHERITED_PREFIX)
    }
    environment.update(ONE_THREAD)
    environment.update(template)
    return environment
