"""The web console: static files, and how they are served. What it does is in its JavaScript."""
