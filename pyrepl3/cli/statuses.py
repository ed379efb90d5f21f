"""Exit statuses of the command itself; a program has its own."""

FAILED = 1
MISUSED = 2
INTERRUPTED = 130
"""128 + SIGINT, as shells count."""
