"""PyTorch's FX graph mode quantization: the legacy stack, deprecated, for whoever still runs it."""

from bitpick.engines.pytorch_fx.engine import PyTorchFxEngine

__all__ = ["PyTorchFxEngine"]
