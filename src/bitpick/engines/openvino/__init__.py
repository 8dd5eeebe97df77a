"""OpenVINO on the CPU, quantized by NNCF's post-training quantization."""

from bitpick.engines.openvino.engine import OpenVinoEngine

__all__ = ["OpenVinoEngine"]
