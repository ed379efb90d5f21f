"""What ``python -m spec`` does: checks the specs, checks the checks, draws the specs.

Owns everything about models, mutants and pictures. Must not be needed by what is shipped.
"""
