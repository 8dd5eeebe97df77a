"""Find the batch axis of a `torch.export` program from sample shapes, and move it to the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import exported_program, verify
from bitpick.conversion.batch_axes import Axes, possible_axes
from bitpick.errors import ModelError, OperatorError
from bitpick.library_errors import telling_line

if TYPE_CHECKING:
    import torch
    from torch import fx
    from torch.export import ExportedProgram


def with_batch_first(
    program: ExportedProgram, samples: Mapping[str, NDArray[Any]], name: str
) -> tuple[ExportedProgram, list[str]]:
    """Return the program with its batch first in all inputs and outputs, and free if possible.

    If it has no batch, it gets a first axis of size one.

    Args:
        program: the program; not modified.
        samples: a few samples, an array of shape (m, …) for each input, by name or in the order of the inputs.
        name: the program's name in messages.

    Returns:
        The program, and notes for the user. If the samples do not fit it, its first axis counts as the batch.

    Raises:
        ModelError: the program does not accept the samples, or takes several samples at once although one of its inputs
            has no batch.
        OperatorError: `torch.export` cannot express the program with its batch first.
        ConversionError: the new program computes something else.
    """
    batch = _batch_of(program, samples)
    inputs = _input_axes(program, batch) if batch is not None else None
    if batch is None or inputs is None:
        return exported_program.with_free_batch(program), []
    size = _size(program, inputs, name)
    if set(inputs) == {0} and size not in (None, 1):
        return exported_program.with_free_batch(program), []
    branches = size is None and exported_program.branches(program)
    axes, expected = _run(program, inputs, batch, 1 if branches else size)
    axes = replace(axes, branches=branches)
    if size is None and None in axes.outputs:
        axes, expected = _run(program, inputs, batch, 1)
    if axes.first and not branches:
        return exported_program.with_free_batch(program), []
    example = exported_program.take_samples(batch, axes.size or 2)
    result = _export(_edit(program, axes), example, _free(program, axes), name)
    actual = exported_program.arrays(exported_program.module(result), example)
    pairs = zip(expected, axes.outputs, strict=True)
    expected_first = tuple((each[None] if a is None else each.movedim(a, 0)).numpy() for each, a in pairs)
    verify.check(expected_first, actual, f"reading {name} with its batch first")
    input_nodes, output_nodes = exported_program.user_inputs(program), _user_outputs(program)
    notes = axes.notes([node.name for node in input_nodes], [node.name for node in output_nodes])
    return result if branches or None in axes.inputs + axes.outputs else exported_program.with_free_batch(result), notes


def _batch_of(program: ExportedProgram, samples: Mapping[str, NDArray[Any]]) -> tuple[torch.Tensor, ...] | None:
    """Return the samples in the order and dtypes of the inputs; None if they belong to another model."""
    import torch

    nodes = exported_program.user_inputs(program)
    names = [node.name for node in nodes]
    if not set(names) <= samples.keys():
        names = list(samples)
    if len(names) != len(nodes) or any(samples[each].dtype.kind not in "biuf" for each in names):
        return None
    pairs = zip(names, nodes, strict=True)
    return tuple(torch.from_numpy(np.ascontiguousarray(samples[n])).to(node.meta["val"].dtype) for n, node in pairs)


def _input_axes(program: ExportedProgram, batch: Sequence[torch.Tensor]) -> list[int | None] | None:
    """Return the batch axis of each input, or None for an input without one; None if the samples do not fit.

    If several axes fit, prefer one whose size all outputs have, then one with a free size, then the first.
    """
    outputs = [_size_names(node) for node in _user_outputs(program)]
    axes = []
    for node, shape, samples in zip(exported_program.user_inputs(program), _shapes(program), batch, strict=True):
        possible = possible_axes(shape, samples.shape[1:])
        if not possible:
            return None
        fits = [axis for axis in possible if axis is not None]
        shared = [axis for axis in fits if all(_size_names(node)[axis] in names for names in outputs)] or fits
        free = [axis for axis in shared if shape[axis] is None] or shared
        axes.append(free[0] if free else None)
    return axes


def _size_names(node: fx.Node) -> list[str]:
    """Return the sizes of a tensor as strings, with the names of free sizes."""
    return list(map(str, node.meta["val"].shape))


def _user_outputs(program: ExportedProgram) -> list[fx.Node]:
    names = set(program.graph_signature.user_outputs)
    return [node for node in _outputs(program.graph) if node.name in names]


def _shapes(program: ExportedProgram) -> list[list[int | None]]:
    """Return the shapes of the inputs, with None for free sizes."""
    values = [node.meta["val"] for node in exported_program.user_inputs(program)]
    return [[size if isinstance(size, int) else None for size in value.shape] for value in values]


def _size(program: ExportedProgram, inputs: Sequence[int | None], name: str) -> int | None:
    """Return how many samples the program takes at once; None if it takes any number."""
    sizes = [shape[axis] for shape, axis in zip(_shapes(program), inputs, strict=True) if axis is not None]
    fixed = {size for size in sizes if size is not None} | ({1} if None in inputs else set())
    if len(fixed) > 1:
        nodes = exported_program.user_inputs(program)
        text = "; ".join(f"{node.name} {tuple(node.meta['val'].shape)}" for node in nodes)
        raise ModelError(
            f"the inputs of {name} take different numbers of samples at once: {text}",
            expected="one number of samples for all inputs, and one sample where an input has no batch axis",
            fix="export the program with a batch axis in all its inputs",
        )
    return next(iter(fixed), None)


def _run(
    program: ExportedProgram, inputs: Sequence[int | None], batch: Sequence[torch.Tensor], size: int | None
) -> tuple[Axes, list[torch.Tensor]]:
    """Run the program on `size` samples, or on two if it takes any number; return its batch axes and the outputs."""
    runs = []
    for count in [2, 3] if size is None else [size]:  # another axis may also have size two
        samples = exported_program.take_samples(batch, count)
        arguments = [each[0] if a is None else each.movedim(0, a) for each, a in zip(samples, inputs, strict=True)]
        runs.append((count, exported_program.run(exported_program.module(program), arguments)))
    outputs = runs[0][1]
    axes = [
        next((a for a in range(each.dim()) if all(results[i].shape[a] == n for n, results in runs)), None)
        for i, each in enumerate(outputs)
    ]
    if None in inputs:  # a size of one on a later axis belongs to the output itself
        axes = [0 if axis == 0 else None for axis in axes]
    return Axes(tuple(inputs), tuple(axes), tuple(each.dim() for each in outputs), size), outputs


def _free(program: ExportedProgram, axes: Axes) -> list[list[int]]:
    """Return the free axes of each input, counted with the batch first."""
    free_axes = []
    for shape, axis in zip(_shapes(program), axes.inputs, strict=True):
        rest = [size for index, size in enumerate(shape) if index != axis]
        batch = [0] if axes.size is None else []
        free_axes.append(batch + [index for index, size in enumerate(rest, 1) if size is None])
    return free_axes


def _edit(program: ExportedProgram, axes: Axes) -> fx.GraphModule:
    """Return the program as a module that moves the batch from the front to the program's own axis, and back."""
    import torch

    squeeze, unsqueeze, move = torch.ops.aten.squeeze.dim, torch.ops.aten.unsqueeze.default, torch.ops.aten.movedim.int
    module = exported_program.module(program)
    graph = module.graph
    for node, axis in zip([n for n in graph.nodes if n.op == "placeholder"], axes.inputs, strict=True):
        if axis != 0:
            with graph.inserting_after(node):
                step = (
                    graph.call_function(squeeze, (node, 0))
                    if axis is None
                    else graph.call_function(move, (node, 0, axis))
                )
            node.replace_all_uses_with(step, delete_user_cb=lambda user, step=step: user is not step)
    last = graph.output_node()
    results = []
    with graph.inserting_before(last):
        for result, axis in zip(_outputs(graph), axes.outputs, strict=True):
            if axis == 0:
                results.append(result)
            else:
                target, args = (unsqueeze, (result, 0)) if axis is None else (move, (result, axis, 0))
                results.append(graph.call_function(target, args))
    last.args = (tuple(results),)
    module.recompile()
    return module


def _outputs(graph: fx.Graph) -> list[fx.Node]:
    """Return the nodes of a graph's output tensors; a graph can also return None or sizes."""
    import torch

    nodes = [each for each in graph.output_node().args[0] if isinstance(each, torch.fx.Node)]  # type: ignore[union-attr]
    return [node for node in nodes if not isinstance(node.meta.get("val"), (int, float, torch.SymInt, torch.SymFloat))]


def _export(
    module: fx.GraphModule, batch: Sequence[torch.Tensor], free: Sequence[Sequence[int]], name: str
) -> ExportedProgram:
    """Export a module with these axes free."""
    import torch

    shapes = tuple(dict.fromkeys(free_axes, torch.export.Dim.AUTO) for free_axes in free)
    try:
        return torch.export.export(module, tuple(batch), dynamic_shapes=shapes)
    except Exception as error:
        raise OperatorError(
            f"torch.export cannot express {name} with its batch first: {telling_line(error)}",
            fix="export it from a module that takes the batch as the first axis of every input",
        ) from error
