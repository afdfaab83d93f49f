"""Operators of this project's own for ONNX Runtime's CPU provider, put into a bundle's graph when it is opened."""
