"""A program of `torch.export` → LiteRT, by litert-torch, from the user's own program."""

from __future__ import annotations

from pathlib import Path

from bitpick.conversion.hop import Hop
from bitpick.errors import OperatorError
from bitpick.library_errors import telling_line
from bitpick.model import Format

HOP = Hop(
    Format.EXPORTED,
    Format.LITERT,
    environment="litert_torch",  # it brings JAX, which stays out of the process that measures PyTorch
    packages=("torch", "litert-torch"),
    convert="bitpick.conversion.litert_from_exported:convert",
)


def convert(source: str, out: str) -> None:
    """Write the LiteRT form of a `.pt2` file, for one sample at a time.

    Raises:
        OperatorError: litert-torch cannot express an operator.
    """
    import litert_torch
    import torch

    from bitpick.conversion import exported_program

    program = exported_program.load(Path(source))
    values = [node.meta["val"] for node in exported_program.user_inputs(program)]
    try:
        example = tuple(torch.zeros(1, *(int(d) for d in v.shape[1:]), dtype=v.dtype) for v in values)
        litert_torch.convert(exported_program.module(program), example).export(out)
    except Exception as error:
        told = telling_line(error)
        raise OperatorError(f"litert-torch cannot convert the model to LiteRT: {told}") from error
