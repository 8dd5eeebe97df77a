"""LiteRT (TensorFlow Lite), quantized by litert-quantizer, on the CPU."""

from bitpick.engines.litert.engine import LiteRtEngine

__all__ = ["LiteRtEngine"]
