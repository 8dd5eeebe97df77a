"""ONNX models in float16, or without a batch axis → ONNX as the rest of bitpick reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bitpick.conversion import onnx_file, onnx_passes
from bitpick.conversion.made import Made
from bitpick.errors import ConversionError
from bitpick.onnx_traits import of_model

# Half precision has 11 bits, and errors add up from layer to layer; a wrong rewrite is off by far more.
_HALF_TOLERANCE = 0.05


def make(out: str, source: str) -> Made:
    """Write an ONNX model in float32, with a batch axis of size one where it had none.

    Raises:
        ModelError: the file is no valid ONNX model.
        ConversionError: the model computes something else now.
    """
    import onnx

    model = onnx_file.load(Path(source))
    onnx_passes.drop_stored_inputs(model)
    found, tolerance = of_model(model), 1e-4
    before = onnx.ModelProto()
    before.CopyFrom(model)
    if found.half:
        onnx_passes.to_float32(model)
        tolerance = _HALF_TOLERANCE
    if not found.batched:
        onnx_passes.add_batch_axis(model)
    onnx.checker.check_model(model)
    samples = onnx_file.random_inputs(before, 1)
    expected = onnx_file.run(before, samples)
    as_now = [each[None] for each in samples] if not found.batched else samples
    as_now = [each.astype(np.float32) if each.dtype == np.float16 else each for each in as_now]
    for reference, each in zip(expected, onnx_file.run(model, as_now), strict=True):
        mine = each[0] if not found.batched else each
        limit = tolerance * max(1e-3, float(np.abs(reference.astype(np.float32)).max(initial=0)))
        difference = float(np.abs(reference.astype(np.float32) - mine.astype(np.float32)).max(initial=0))
        if not difference <= limit:
            raise ConversionError(
                f"{Path(source).name} computes something else in float32: its outputs differ by up to {difference:.3g}",
                expected=f"a difference of at most {limit:.3g}",
            )
    onnx.save(model, out)
    return Made()
