"""PyTorch → LiteRT, by litert-torch: the route for models that were not trained in Keras."""

from __future__ import annotations

from pathlib import Path

from bitpick.conversion.hop import Hop
from bitpick.errors import OperatorError
from bitpick.library_errors import telling_line
from bitpick.models.model import Format

HOP = Hop(
    Format.PYTORCH,
    Format.LITERT,
    environment="litert_torch",  # it brings JAX, which stays out of the process that measures PyTorch
    packages=("torch", "litert-torch"),
    convert="bitpick.conversion.litert_from_pytorch:convert",
)


def convert(source: str, out: str) -> None:
    """Write the LiteRT form of an imported module.

    It takes one sample at a time, or as many as the module takes at once.

    Raises:
        OperatorError: litert-torch cannot express an operator.
    """
    import litert_torch

    from bitpick.conversion import pytorch_from_onnx

    module = pytorch_from_onnx.load(Path(source))
    example = pytorch_from_onnx.example(module, pytorch_from_onnx.fixed_batch(module) or 1)
    try:
        litert_torch.convert(module, example).export(out)
    except Exception as error:
        reason = telling_line(error)
        raise OperatorError(
            f"litert-torch cannot convert the model to LiteRT: {reason}",
            fix="convert it to a float .tflite file yourself and run bitpick on that, or leave LiteRT out",
        ) from error
