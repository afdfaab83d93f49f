"""The ``youtu-onnx`` command. Commands parse, call and render."""

from youtu_onnx.cli.program import main

__all__ = ["main"]
