"""The formal model, and the developers' tool around it: ``python -m spec``."""
