"""The user's `torch.export` program → LiteRT, by litert-torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bitpick.conversion.hop import Hop
from bitpick.errors import OperatorError
from bitpick.library_errors import telling_line
from bitpick.models.model import Format

HOP = Hop(
    Format.EXPORTED,
    Format.LITERT,
    environment="litert_torch",  # it brings JAX, which stays out of the process that measures PyTorch
    packages=("torch", "litert-torch"),
    convert="bitpick.conversion.litert_from_exported:convert",
    sized=True,
)


def convert(source: str, out: str, shapes: Sequence[Sequence[int]] | None = None) -> None:
    """Write the LiteRT form of a `.pt2` file, for one sample at a time or as many as the program takes at once.

    Args:
        source: the `.pt2` file.
        out: the file to write.
        shapes: the shape of one sample of each input, see `Hop.sized`.

    Raises:
        OperatorError: litert-torch cannot express an operator.
    """
    import litert_torch
    import torch

    from bitpick.conversion import exported_program

    program = exported_program.load(Path(source))
    values = [node.meta["val"] for node in exported_program.user_inputs(program)]
    try:
        sizes = [tuple(map(int, value.shape[1:])) for value in values] if shapes is None else shapes
        count = exported_program.fixed_batch(program) or 1
        example = tuple(torch.zeros(count, *size, dtype=v.dtype) for v, size in zip(values, sizes, strict=True))
        litert_torch.convert(exported_program.module(program), example).export(out)
    except Exception as error:
        reason = telling_line(error)
        raise OperatorError(
            f"litert-torch cannot convert the model to LiteRT: {reason}",
            fix="convert it to a float .tflite file yourself and run bitpick on that, or leave LiteRT out",
        ) from error
