"""Bundles on ONNX Runtime."""
