"""The service as seen from the network: one port for WebSocket and REST."""
