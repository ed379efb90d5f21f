"""Holds recordings of the real service to its TLA+ specs, with TLC.

Owns how TLC is found and run, and what a recording becomes for it. Must not know how the service
runs: no actor and no trio in here, and only the command imports it.
"""
