"""Who gets which session: the pool's pure decisions, and the actor that carries them out."""
