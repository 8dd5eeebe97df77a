"""ONNX operators as PyTorch modules: one family a file, each converter found by the operator it is registered for."""
