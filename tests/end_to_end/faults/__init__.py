"""End-to-end tests: the fault catalogue, row by row."""
