"""Snapshots that outlive their sessions, and that other sessions are opened from."""
