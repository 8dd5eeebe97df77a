"""Which axis of an ONNX model's inputs and outputs is the batch, and the model with that axis first in all of them.

What a file declares is a hint: exporters fix a batch, leave other axes free, or name nothing. So the model is run, on
one sample, on two and on three, and the axis that grows with them is the batch. An input or an output without such an
axis belongs to one sample: such a model is run sample by sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import onnx_decisions, onnx_file, onnx_passes
from bitpick.conversion.batch_axes import Axes
from bitpick.conversion.onnx_trial import Trial, sizes
from bitpick.errors import ModelError
from bitpick.models.onnx_traits import declared, inputs_of

if TYPE_CHECKING:
    import onnx

_TRIED = 4  # samples


def find(model: onnx.ModelProto, samples: Sequence[NDArray[Any]] | None, name: str) -> Axes:
    """Find the batch of a model by running it.

    Args:
        model: the model.
        samples: a few, see `Trial`.
        name: what messages call the model.

    Raises:
        ModelError: it does not take the samples, or an output has another number of rows for each of them.
        OperatorError: ONNX Runtime does not know an operator.
    """
    trial = Trial(model, samples)
    fixed = {shape[axis] for shape, axis in zip(trial.shapes, trial.axes, strict=True) if axis is not None}
    stated = {size for size in fixed if isinstance(size, int)}
    if None in trial.axes or len(stated) > 1:
        _refuse_groups(trial, name)
        stated = {1}
    if not stated and (found := _free(trial)) is not None:
        return found
    size = next(iter(stated), 1)
    ran, inputs = trial.run(range(size)), tuple(trial.axes)
    if ran is None and trial.samples is not None:
        onnx_file.opened(model, name)  # no samples help where that fails
        takes = zip(trial.inputs, trial.shapes, strict=True)
        raise ModelError(
            f"ONNX Runtime cannot run {name} on {'a sample' if size == 1 else f'{size} samples'}: {trial.refusal}",
            expected="; ".join(f"{value.name} {_words(shape)}" for value, shape in takes),
            fix="check the shape, the dtype and the range of the samples",
        )
    if ran is None:  # made-up numbers prove nothing
        ranks = tuple(len(declared(value) or ()) for value in trial.outputs)
        return Axes(inputs, (0,) * len(ranks), ranks, next(iter(stated), None))
    outputs = [next((a for a, n in enumerate(each.shape) if n == size and (a == 0 or size > 1)), None) for each in ran]
    if None in outputs:
        size = 1
        _refuse_selections(trial, outputs, name)
    return Axes(inputs, tuple(outputs), tuple(each.ndim for each in ran), size)


def _refuse_groups(trial: Trial, name: str) -> None:
    """Refuse an input for several samples at once beside one for a single sample."""
    for value, shape, axis in zip(trial.inputs, trial.shapes, trial.axes, strict=True):
        size = None if axis is None else shape[axis]
        if isinstance(size, int) and size > 1:
            raise ModelError(
                f"the input {value.name} of {name} has size {size} along axis {axis}, which cannot be the "
                "batch: the other inputs take one sample at a time",
                expected=f"an array of shape {_words(shape)} in each sample for {value.name}",
                fix="store the whole array with each sample",
            )


def _free(trial: Trial) -> Axes | None:
    """The axes of a model that takes any number of samples; None where it does not, or an output has no batch."""
    ran = [outputs for count in (1, 2, 3) if (outputs := trial.run(range(count))) is not None]
    if len(ran) < 3:
        return None
    names = {shape[axis] for shape, axis in zip(trial.shapes, trial.axes, strict=True) if axis is not None}
    axes = []
    for number, value in enumerate(trial.outputs):
        shapes = [outputs[number].shape for outputs in ran]
        if len({len(shape) for shape in shapes}) > 1:
            return None
        grows = [axis for axis, sizes in enumerate(zip(*shapes, strict=True)) if sizes == (1, 2, 3)]
        if not grows:
            return None
        known = declared(value)
        named = [axis for axis in grows if known and isinstance(known[axis], str) and known[axis] in names]
        axes.append(0 if 0 in grows else (named or grows)[0])
    ranks = tuple(each.ndim for each in ran[0])
    branches = onnx_decisions.decides(trial.nodes, [value.name for value in trial.inputs])
    return Axes(tuple(trial.axes), tuple(axes), ranks, 1 if branches else None, branches)


def _refuse_selections(trial: Trial, axes: Sequence[int | None], name: str) -> None:
    """Refuse an output without a batch that has another number of rows for each sample."""
    alone = [ran for place in range(_TRIED) if (ran := trial.run([place])) is not None]
    for number, (value, axis) in enumerate(zip(trial.outputs, axes, strict=True)):
        if axis is not None:
            continue
        shapes = list(dict.fromkeys(ran[number].shape for ran in alone))
        selecting = trial.selects(value)
        if len(shapes) < 2 and (selecting is None or None not in sizes(declared(value) or [None])):
            continue
        step = f"{selecting.op_type} {selecting.name}".strip() if selecting else ""
        why = f"{step} selects its rows" if step else f"its shape was {' and '.join(map(str, shapes))}"
        raise ModelError(
            f"the output {value.name} of {name} does not have one row for each sample: {why}",
            expected="outputs whose first axis is the batch, and whose other axes are the same for all samples",
            fix=f"cut the graph before {step or 'the step that does this'} (onnx.utils.extract_model), and do that "
            "step after the model",
        )


def arrange(model: onnx.ModelProto, axes: Axes) -> None:
    """Bring the batch to the front of all inputs and outputs; where one has none, the model takes one sample."""
    graph, opset = model.graph, onnx_file.opset_of(model)
    first, last = [], []
    inside = {}
    for value, axis in zip(inputs_of(graph), axes.inputs, strict=True):
        if axis != 0:
            inside[value.name] = f"{value.name}.own"
            rank = len(declared(value) or [])
            first += _moved(model, value.name, f"{value.name}.own", axis, rank, opset, to_front=False)
        _declare(value, axis, axes.size)
    for value, axis, rank in zip(graph.output, axes.outputs, axes.ranks, strict=True):
        if axis != 0:
            inside[value.name] = f"{value.name}.own"
            last += _moved(model, f"{value.name}.own", value.name, axis, rank, opset, to_front=True)
        _declare(value, axis, axes.size)
    for node in graph.node:
        onnx_passes.rename_reads(node, inside)
        node.output[:] = [inside.get(each, each) for each in node.output]
    nodes = [*first, *graph.node, *last]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)


def _moved(
    model: onnx.ModelProto, source: str, sink: str, axis: int | None, rank: int, opset: int, to_front: bool
) -> list[onnx.NodeProto]:
    """The node that moves an axis to the front, or from there to its place; or adds it there, or takes it away."""
    import onnx

    name = f"{sink}.batch"
    if axis is not None:
        others = [place for place in range(rank) if place != axis]
        order = [axis, *others] if to_front else [*range(1, axis + 1), 0, *range(axis + 1, rank)]
        return [onnx.helper.make_node("Transpose", [source], [sink], name, perm=order)]
    operator = "Unsqueeze" if to_front else "Squeeze"
    if opset < 13:
        return [onnx.helper.make_node(operator, [source], [sink], name, axes=[0])]
    where = "batch_axis"
    if all(each.name != where for each in model.graph.initializer):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, np.int64), where))
    return [onnx.helper.make_node(operator, [source, where], [sink], name)]


def _declare(value: onnx.ValueInfoProto, axis: int | None, size: int | None) -> None:
    """Declare the shape of an input or an output with the batch first; what is not declared stays so."""
    import onnx

    sizes = declared(value)
    if sizes is None:
        return
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    for each in ("batch" if size is None else size, *(s for place, s in enumerate(sizes) if place != axis)):
        dim = onnx.TensorShapeProto.Dimension()
        if isinstance(each, int):
            dim.dim_value = each
        elif each is not None:
            dim.dim_param = each
        shape.dim.append(dim)


def _words(shape: Sequence[int | str | None]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"
