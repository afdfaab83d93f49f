"""From torch modules to pieces of ONNX graphs, whatever the model."""
