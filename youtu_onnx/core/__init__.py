"""Nouns that every room shares; nothing here imports from another room."""
