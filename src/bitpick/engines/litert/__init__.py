"""LiteRT (TensorFlow Lite) on the CPU, quantized by litert-quantizer."""

from bitpick.engines.litert.engine import LiteRtEngine

__all__ = ["LiteRtEngine"]
