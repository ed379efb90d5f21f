"""The command ``pyrepl3``: a REPL, scripts as python runs them, and what this machine offers."""
