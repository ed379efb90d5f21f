"""Deterministic simulation: the whole service but for its processes, with time and chance ours.

`python -m tests.simulation --help` runs seeds by the thousand; `world.py` says what is in one.
"""
