"""From torch modules to pieces of ONNX graphs, whatever the model, and looking into graphs that are there."""
