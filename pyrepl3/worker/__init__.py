"""What runs inside a session's process: no trio, no attrs, nothing of the service."""
