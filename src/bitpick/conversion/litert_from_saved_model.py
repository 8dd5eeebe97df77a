"""TensorFlow SavedModel → LiteRT, by TensorFlow's own converter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bitpick.conversion.hop import Hop
from bitpick.errors import OperatorError
from bitpick.library_errors import telling_line
from bitpick.models.model import Format

HOP = Hop(
    Format.SAVED_MODEL,
    Format.LITERT,
    environment="keras",
    packages=("keras",),
    convert="bitpick.conversion.litert_from_saved_model:convert",
    sized=True,
)


def convert(source: str, out: str, shapes: Sequence[Sequence[int]] | None = None) -> None:
    """Write the LiteRT form of a SavedModel.

    Args:
        source: the folder of the SavedModel.
        out: the file to write.
        shapes: the shape of one sample of each input, see `Hop.sized`.

    Raises:
        OperatorError: the converter cannot express an operator.
    """
    from bitpick.conversion import saved_model

    model = saved_model.load(Path(source))
    try:
        specs = saved_model.with_fixed_shapes(model.specs, shapes)
        Path(out).write_bytes(saved_model.to_litert(model.call, specs, model.loaded))
    except Exception as error:
        reason = telling_line(error)
        raise OperatorError(
            f"TensorFlow cannot convert {Path(source).name} to LiteRT: {reason}",
            fix="convert it to a float .tflite file yourself and run bitpick on that, or leave LiteRT out",
        ) from error
