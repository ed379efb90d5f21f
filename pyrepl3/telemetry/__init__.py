"""The service as seen by who operates it: logs, figures, health and traces.

Owns what is told, and to whom. Must not change what the service does: nothing here waits, and
nothing that fails here fails anything else.
"""
