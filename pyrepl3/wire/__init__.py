"""Pure codecs: bytes and messages, no I/O and no trio."""
