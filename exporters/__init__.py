"""Checkpoint → bundle. Never imports ``runtimes``: the two meet in the bundle."""
