"""Convert ONNX operators to PyTorch: one family per file, each converter registered for its operators."""
