"""OpenVINO, quantized by NNCF's post-training quantization, on the CPU."""

from bitpick.engines.openvino.engine import OpenVinoEngine

__all__ = ["OpenVinoEngine"]
