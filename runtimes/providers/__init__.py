"""Execution providers: names, options, sessions, and what goes wrong with them."""
