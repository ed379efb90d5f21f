"""REST: the same sessions as over the WebSocket, one request at a time (protocol.md 3)."""
