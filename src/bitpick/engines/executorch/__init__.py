"""ExecuTorch with the XNNPACK delegate: PyTorch's runtime for phones, run here on the CPU."""

from bitpick.engines.executorch.engine import ExecuTorchEngine

__all__ = ["ExecuTorchEngine"]
