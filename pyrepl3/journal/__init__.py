"""What a session told, numbered and kept, so that a client which comes back misses nothing."""
