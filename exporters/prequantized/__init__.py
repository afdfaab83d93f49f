"""Matrices that the checkpoint has in integers already: their codes, scales and zero points go into the bundle as they are."""
