"""PyTorch's FX graph mode quantization: the deprecated legacy stack, for those who still run it."""

from bitpick.engines.pytorch_fx.engine import PyTorchFxEngine

__all__ = ["PyTorchFxEngine"]
