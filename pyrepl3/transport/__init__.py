"""Processes and their sockets: bytes to messages and back, births and deaths."""
