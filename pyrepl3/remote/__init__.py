"""The client of a service: sessions over a WebSocket, from programs of trio and of asyncio.

Owns the way there and back. Must not know how a service runs anything, nor import what only a
service needs.
"""
