"""ONNX Runtime with its own quantizer: static, dynamic, weight-only and half precision, on the CPU."""

from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine

__all__ = ["OnnxRuntimeEngine"]
