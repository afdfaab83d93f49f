"""A conversation in the terminal: what is said, commands, and where lines come from."""
