"""The user's ONNX model → ONNX as the rest of bitpick expects it.

That means float32, the batch first in all inputs and outputs, nodes in order, and a node that computes each output.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import finite, onnx_batch, onnx_file, onnx_passes, onnx_precision, training_mode, verify
from bitpick.conversion.batch_axes import Axes
from bitpick.conversion.made import MakerResult
from bitpick.conversion.onnx_trial import Trial
from bitpick.errors import ConversionError, ModelError
from bitpick.models.model import external_files
from bitpick.models.onnx_traits import dtype_name, inputs_of, of_model

if TYPE_CHECKING:
    import onnx


def make(out: str, source: str, inputs: str | None = None) -> MakerResult:
    """Write an ONNX model as bitpick expects it, and check it against the original.

    Args:
        out: the file to write.
        source: the user's file.
        inputs: an `.npz` file with a few samples, an array of shape (m, …) for each input; None if there are none.

    Raises:
        ModelError: the file is not a valid ONNX model, does not accept the samples, or does not return one row of
            numbers for each sample.
        ConversionError: the written model computes something else.
    """
    import onnx

    path = Path(source)
    model = onnx_file.load(path)
    training_mode.refuse(path.name, training_mode.of_onnx(model), training_mode.EXPORT)
    finite.refuse(path.name, finite.of_onnx(model))
    before = model.SerializeToString()
    onnx_passes.drop_stored_inputs(model)
    onnx_passes.unwrap_zipmaps(model)
    _refuse_other_types(model, path.name)
    onnx_passes.name_outputs(model)
    onnx_passes.free_dims(model)
    samples = None
    if inputs is not None:
        with np.load(inputs) as arrays:
            samples = [arrays[name] for name in arrays.files]
    traits = of_model(model)
    axes = onnx_batch.find(model, samples, path.name)
    original = onnx.ModelProto()
    original.CopyFrom(model)
    widened = () if traits.quantized else traits.floats
    if widened:
        onnx_precision.to_float32(model)
    onnx_batch.arrange(model, axes)
    if model.SerializeToString() == before and not external_files(path):
        shutil.copyfile(path, out)
    else:
        onnx.checker.check_model(model)
        _check(original, model, axes, samples, path.name)
        onnx.save(model, out)
    return MakerResult(notes=tuple(_notes(widened, axes, model, path.name)))


def _refuse_other_types(model: onnx.ModelProto, name: str) -> None:
    """Refuse inputs and outputs that are not tensors of numbers."""
    for value in (*inputs_of(model.graph), *model.graph.output):
        dtype = dtype_name(value.type.tensor_type.elem_type)
        if dtype in ("", "string"):
            text = (
                "a tensor of strings"
                if dtype
                else f"a {value.type.WhichOneof('value') or 'value'}".removesuffix("_type")
            )
            raise ModelError(
                f"{value.name} of {name} is {text}",
                expected="inputs and outputs that are tensors of numbers",
                fix="leave it out of the graph (onnx.utils.extract_model), or export the model without it",
            )


def _check(
    before: onnx.ModelProto, after: onnx.ModelProto, axes: Axes, samples: Sequence[NDArray[Any]] | None, name: str
) -> None:
    """Compare both models on samples, if the runtime accepts any."""
    trial = Trial(before, samples)
    sample_indices = range(axes.size or 2)
    expected = trial.run(sample_indices)
    if expected is None:
        return
    reference = tuple(
        (output[None] if axis is None else np.moveaxis(output, axis, 0)).astype(np.float32)
        for output, axis in zip(expected, axes.outputs, strict=True)
    )
    after_trial = Trial(after, samples)
    if (outputs := after_trial.run(sample_indices)) is None:
        raise ConversionError(f"ONNX Runtime cannot run {name} in float32, with its batch first: {after_trial.refusal}")
    coarsest = np.float16 if set(of_model(before).floats) & {"float16", "bfloat16"} else np.float32
    actual = tuple(output.astype(np.float32) for output in outputs)
    verify.check(reference, actual, f"reading {name} in float32, with its batch first,", coarsest)


def _notes(floats: Sequence[str], axes: Axes, model: onnx.ModelProto, name: str) -> list[str]:
    """Return notes for the user about what was changed."""
    notes = []
    if floats:
        notes.append(f"{name} stores numbers in {' and '.join(floats)}: it is read as float32, like the baselines")
    return notes + axes.notes([v.name for v in inputs_of(model.graph)], [v.name for v in model.graph.output])
