"""The interface that programs use: sessions, executions and their results."""
