"""Figures without set-up: the session's backend is chosen when pyplot is first imported.

Owns the import trigger. Sets nothing in the environment, so child processes are not touched, and
nothing at all where MPLBACKEND, a configuration file or ``matplotlib.use()`` chose a backend.
"""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

BACKEND = f"module://{__package__}.matplotlib_backend"
_TRIGGER = "matplotlib.pyplot"


class PyplotTrigger:
    """Finds no module: it only hears which one is looked for."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        if name == _TRIGGER:
            _choose_backend(sys.modules.get("matplotlib"))
            if self in sys.meta_path:
                sys.meta_path.remove(self)


def install_matplotlib_hook() -> None:
    """Listen for pyplot."""
    sys.meta_path.insert(0, PyplotTrigger())


def _choose_backend(matplotlib: Any) -> None:
    try:
        settings = matplotlib.rcParams
        # Not settings["backend"]: that would resolve the automatic choice, and import a GUI.
        chosen = dict.__getitem__(settings, "backend")
        if not isinstance(chosen, str):
            settings["backend"] = BACKEND
    except Exception as error:
        # Another version of matplotlib keeps it elsewhere; its import must not fail for that.
        del error
