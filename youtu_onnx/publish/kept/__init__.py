"""Bundles that ``youtu-onnx run`` makes once and keeps."""
