"""What PyREPL3 costs, against a floor and a peer: ``python -m benchmarks --help``."""
