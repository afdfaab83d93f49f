"""Domains of operators."""

MICROSOFT = "com.microsoft"
"""Of ONNX Runtime's own operators."""
