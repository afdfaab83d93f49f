"""Between tokens and what a client sends and gets."""
