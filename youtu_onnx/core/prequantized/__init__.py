"""Checkpoints whose weights somebody quantized, format by format: from a file's integers to codes, scales and zero points."""
