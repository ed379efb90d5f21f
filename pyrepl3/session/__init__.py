"""One session: its state machine, its actor, and the subtree of actors around its process."""
