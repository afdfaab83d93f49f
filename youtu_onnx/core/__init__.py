"""Nouns that every room shares: errors, progress, the machine, recipes, targets, caches, checkpoints' files, bundles."""
