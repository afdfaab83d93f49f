"""Bundles behind transformers' ``generate()``."""
