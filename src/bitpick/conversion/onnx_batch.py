"""Find the batch axis of an ONNX model's inputs and outputs, and move it to the front.

The shapes that a file declares are only a hint: exporters fix the batch, leave other axes free, or name no axis. So the
model is run on one, two and three samples; the axis that grows is the batch. If an input or an output has no such axis,
it belongs to a single sample, and the model is run one sample at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import onnx_decisions, onnx_file, onnx_passes
from bitpick.conversion.batch_axes import Axes
from bitpick.conversion.onnx_trial import Trial, fixed_sizes
from bitpick.errors import ModelError
from bitpick.models.onnx_traits import declared, inputs_of

if TYPE_CHECKING:
    import onnx

_TRIED = 4  # number of samples to try


def find(model: onnx.ModelProto, samples: Sequence[NDArray[Any]] | None, name: str) -> Axes:
    """Find the batch of a model by running it.

    Args:
        model: the model.
        samples: a few samples, see `Trial`.
        name: the model's name in messages.

    Raises:
        ModelError: the model does not accept the samples, or an output has a different number of rows for each of them.
        OperatorError: ONNX Runtime does not know an operator.
    """
    trial = Trial(model, samples)
    fixed = {shape[axis] for shape, axis in zip(trial.shapes, trial.axes, strict=True) if axis is not None}
    declared_sizes = {size for size in fixed if isinstance(size, int)}
    if None in trial.axes or len(declared_sizes) > 1:
        _refuse_groups(trial, name)
        declared_sizes = {1}
    if not declared_sizes and (axes := _any_batch(trial)) is not None:
        return axes
    size = next(iter(declared_sizes), 1)
    outputs, input_axes = trial.run(range(size)), tuple(trial.axes)
    if outputs is None and trial.samples is not None:
        onnx_file.open_session(model, name)  # if that fails, no samples would help
        pairs = zip(trial.inputs, trial.shapes, strict=True)
        raise ModelError(
            f"ONNX Runtime cannot run {name} on {'a sample' if size == 1 else f'{size} samples'}: {trial.refusal}",
            expected="; ".join(f"{value.name} {_shape_text(shape)}" for value, shape in pairs),
            fix="check the shape, the dtype and the range of the samples",
        )
    if outputs is None:  # made-up numbers prove nothing
        ranks = tuple(len(declared(value) or ()) for value in trial.outputs)
        return Axes(input_axes, (0,) * len(ranks), ranks, next(iter(declared_sizes), None))
    output_axes = [
        next((a for a, n in enumerate(each.shape) if n == size and (a == 0 or size > 1)), None) for each in outputs
    ]
    if None in output_axes:
        size = 1
        _refuse_selections(trial, output_axes, name)
    return Axes(input_axes, tuple(output_axes), tuple(each.ndim for each in outputs), size)


def _refuse_groups(trial: Trial, name: str) -> None:
    """Refuse an input that takes several samples at once if another takes a single one."""
    for value, shape, axis in zip(trial.inputs, trial.shapes, trial.axes, strict=True):
        size = None if axis is None else shape[axis]
        if isinstance(size, int) and size > 1:
            raise ModelError(
                f"the input {value.name} of {name} has size {size} along axis {axis}, which cannot be the "
                "batch: the other inputs take one sample at a time",
                expected=f"an array of shape {_shape_text(shape)} in each sample for {value.name}",
                fix="store the whole array with each sample",
            )


def _any_batch(trial: Trial) -> Axes | None:
    """Return the axes of a model that takes any number of samples; None if it does not, or an output has no batch."""
    runs = [outputs for count in (1, 2, 3) if (outputs := trial.run(range(count))) is not None]
    if len(runs) < 3:
        return None
    names = {shape[axis] for shape, axis in zip(trial.shapes, trial.axes, strict=True) if axis is not None}
    axes = []
    for number, value in enumerate(trial.outputs):
        shapes = [outputs[number].shape for outputs in runs]
        if len({len(shape) for shape in shapes}) > 1:
            return None
        grows = [axis for axis, lengths in enumerate(zip(*shapes, strict=True)) if lengths == (1, 2, 3)]
        if not grows:
            return None
        sizes = declared(value)
        same_name = [axis for axis in grows if sizes and isinstance(sizes[axis], str) and sizes[axis] in names]
        axes.append(0 if 0 in grows else (same_name or grows)[0])
    ranks = tuple(each.ndim for each in runs[0])
    branches = onnx_decisions.decides(trial.nodes, [value.name for value in trial.inputs])
    return Axes(tuple(trial.axes), tuple(axes), ranks, 1 if branches else None, branches)


def _refuse_selections(trial: Trial, axes: Sequence[int | None], name: str) -> None:
    """Refuse an output that has no batch axis but a different number of rows for each sample."""
    runs = [outputs for sample in range(_TRIED) if (outputs := trial.run([sample])) is not None]
    for number, (value, axis) in enumerate(zip(trial.outputs, axes, strict=True)):
        if axis is not None:
            continue
        shapes = list(dict.fromkeys(outputs[number].shape for outputs in runs))
        node = trial.selecting_node(value)
        if len(shapes) < 2 and (node is None or None not in fixed_sizes(declared(value) or [None])):
            continue
        step = f"{node.op_type} {node.name}".strip() if node else ""
        why = f"{step} selects its rows" if step else f"its shape was {' and '.join(map(str, shapes))}"
        raise ModelError(
            f"the output {value.name} of {name} does not have one row for each sample: {why}",
            expected="outputs whose first axis is the batch, and whose other axes are the same for all samples",
            fix=f"cut the graph before {step or 'the step that does this'} (onnx.utils.extract_model), and do that "
            "step after the model",
        )


def arrange(model: onnx.ModelProto, axes: Axes) -> None:
    """Move the batch to the front of all inputs and outputs; if one has no batch, the model then takes one sample."""
    graph, opset = model.graph, onnx_file.opset_of(model)
    before, after = [], []
    inner = {}
    for value, axis in zip(inputs_of(graph), axes.inputs, strict=True):
        if axis != 0:
            inner[value.name] = f"{value.name}.own"
            rank = len(declared(value) or [])
            before += _move_node(model, value.name, f"{value.name}.own", axis, rank, opset, to_front=False)
        _declare(value, axis, axes.size)
    for value, axis, rank in zip(graph.output, axes.outputs, axes.ranks, strict=True):
        if axis != 0:
            inner[value.name] = f"{value.name}.own"
            after += _move_node(model, f"{value.name}.own", value.name, axis, rank, opset, to_front=True)
        _declare(value, axis, axes.size)
    for node in graph.node:
        onnx_passes.rename_reads(node, inner)
        node.output[:] = [inner.get(tensor, tensor) for tensor in node.output]
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)


def _move_node(
    model: onnx.ModelProto, source: str, sink: str, axis: int | None, rank: int, opset: int, to_front: bool
) -> list[onnx.NodeProto]:
    """Return the node that moves the batch axis to the front or back; if `axis` is None, that adds or drops it."""
    import onnx

    name = f"{sink}.batch"
    if axis is not None:
        others = [index for index in range(rank) if index != axis]
        order = [axis, *others] if to_front else [*range(1, axis + 1), 0, *range(axis + 1, rank)]
        return [onnx.helper.make_node("Transpose", [source], [sink], name, perm=order)]
    operator = "Unsqueeze" if to_front else "Squeeze"
    if opset < 13:
        return [onnx.helper.make_node(operator, [source], [sink], name, axes=[0])]
    constant = "batch_axis"
    if all(each.name != constant for each in model.graph.initializer):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, np.int64), constant))
    return [onnx.helper.make_node(operator, [source, constant], [sink], name)]


def _declare(value: onnx.ValueInfoProto, axis: int | None, size: int | None) -> None:
    """Declare the shape of an input or an output with the batch first; leave an undeclared shape undeclared."""
    import onnx

    old_sizes = declared(value)
    if old_sizes is None:
        return
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    for dim_size in ("batch" if size is None else size, *(s for index, s in enumerate(old_sizes) if index != axis)):
        dim = onnx.TensorShapeProto.Dimension()
        if isinstance(dim_size, int):
            dim.dim_value = dim_size
        elif dim_size is not None:
            dim.dim_param = dim_size
        shape.dim.append(dim)


def _shape_text(shape: Sequence[int | str | None]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"
