"""PyTorch 2 export quantization (torchao) for x86 servers: compiled ahead of time and shipped as a package."""

from bitpick.engines.pytorch_pt2e.engine import PyTorchPt2eEngine

__all__ = ["PyTorchPt2eEngine"]
