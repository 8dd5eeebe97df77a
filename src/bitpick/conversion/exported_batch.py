"""Where a program of `torch.export` has its batch, by what samples fit, and the program with that axis first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import exported_program, verify
from bitpick.conversion.batch_axes import Axes, possible
from bitpick.errors import ModelError, OperatorError
from bitpick.library_errors import telling_line

if TYPE_CHECKING:
    import torch
    from torch import fx
    from torch.export import ExportedProgram


def arranged(
    program: ExportedProgram, samples: Mapping[str, NDArray[Any]], name: str
) -> tuple[ExportedProgram, list[str]]:
    """The program with its batch first in all that it takes and gives, and free where that can be.

    Where it has no batch, it takes a first axis of one.

    Args:
        program: the program. It is left as it is.
        samples: a few, an array of shape (m, …) for each input, by its name or in the order of the inputs.
        name: what messages call it.

    Returns:
        The program, and what was done, in words. Where the samples fit no reading of it, its first axis is the batch.

    Raises:
        ModelError: it does not take the samples, or takes several at once beside an input without a batch.
        OperatorError: `torch.export` cannot express it with its batch first.
        ConversionError: it computes something else then.
    """
    batch = _given(program, samples)
    inputs = _inputs(program, batch) if batch is not None else None
    if batch is None or inputs is None:
        return exported_program.freed(program), []
    size = _size(program, inputs, name)
    if set(inputs) == {0} and size not in (None, 1):
        return exported_program.freed(program), []
    alone = size is None and exported_program.branches(program)
    axes, expected = _run(program, inputs, batch, 1 if alone else size)
    axes = replace(axes, branches=alone)
    if size is None and None in axes.outputs:
        axes, expected = _run(program, inputs, batch, 1)
    if axes.first and not alone:
        return exported_program.freed(program), []
    fitting = exported_program.sized(batch, axes.size or 2)
    made = _exported(_edited(program, axes), fitting, _free(program, axes), name)
    found = exported_program.arrays(exported_program.module(made), fitting)
    pairs = zip(expected, axes.outputs, strict=True)
    wanted = tuple((each[None] if a is None else each.movedim(a, 0)).numpy() for each, a in pairs)
    verify.check(wanted, found, f"reading {name} with its batch first")
    takes, gives = exported_program.user_inputs(program), _user_outputs(program)
    notes = axes.notes([node.name for node in takes], [node.name for node in gives])
    return made if alone or None in axes.inputs + axes.outputs else exported_program.freed(made), notes


def _given(program: ExportedProgram, samples: Mapping[str, NDArray[Any]]) -> tuple[torch.Tensor, ...] | None:
    """The samples in the order of the inputs, in their dtypes; None where they are those of another model."""
    import torch

    nodes = exported_program.user_inputs(program)
    names = [node.name for node in nodes]
    if not set(names) <= samples.keys():
        names = list(samples)
    if len(names) != len(nodes) or any(samples[each].dtype.kind not in "biuf" for each in names):
        return None
    pairs = zip(names, nodes, strict=True)
    return tuple(torch.from_numpy(np.ascontiguousarray(samples[n])).to(node.meta["val"].dtype) for n, node in pairs)


def _inputs(program: ExportedProgram, batch: Sequence[torch.Tensor]) -> list[int | None] | None:
    """The axis of the batch in each input, None for one without; None where samples fit no reading.

    Of several axes that fit, it is one whose size all outputs have, and that leaves no free size to the sample; of
    these the first.
    """
    outputs = [_names(node) for node in _user_outputs(program)]
    found = []
    for node, shape, each in zip(exported_program.user_inputs(program), _shapes(program), batch, strict=True):
        fitting = possible(shape, each.shape[1:])
        if not fitting:
            return None
        own = [axis for axis in fitting if axis is not None]
        shared = [axis for axis in own if all(_names(node)[axis] in names for names in outputs)] or own
        free = [axis for axis in shared if shape[axis] is None] or shared
        found.append(free[0] if free else None)
    return found


def _names(node: fx.Node) -> list[str]:
    """The sizes of a tensor, free ones by their names."""
    return list(map(str, node.meta["val"].shape))


def _user_outputs(program: ExportedProgram) -> list[fx.Node]:
    names = set(program.graph_signature.user_outputs)
    return [node for node in _outputs(program.graph) if node.name in names]


def _shapes(program: ExportedProgram) -> list[list[int | None]]:
    """The shapes of the inputs, None for free sizes."""
    values = [node.meta["val"] for node in exported_program.user_inputs(program)]
    return [[size if isinstance(size, int) else None for size in value.shape] for value in values]


def _size(program: ExportedProgram, inputs: Sequence[int | None], name: str) -> int | None:
    """How many samples the program takes at once; None for any number."""
    sizes = [shape[axis] for shape, axis in zip(_shapes(program), inputs, strict=True) if axis is not None]
    fixed = {size for size in sizes if size is not None} | ({1} if None in inputs else set())
    if len(fixed) > 1:
        nodes = exported_program.user_inputs(program)
        told = "; ".join(f"{node.name} {tuple(node.meta['val'].shape)}" for node in nodes)
        raise ModelError(
            f"the inputs of {name} take different numbers of samples at once: {told}",
            expected="one number of samples for all inputs, and one sample where an input has no batch axis",
            fix="export the program with a batch axis in all its inputs",
        )
    return next(iter(fixed), None)


def _run(
    program: ExportedProgram, inputs: Sequence[int | None], batch: Sequence[torch.Tensor], size: int | None
) -> tuple[Axes, list[torch.Tensor]]:
    """Where the batch is in the outputs, and these, for `size` samples; for two where any number will do."""
    ran = []
    for count in [2, 3] if size is None else [size]:  # an axis of two may be another one
        fitting = exported_program.sized(batch, count)
        own = [each[0] if a is None else each.movedim(0, a) for each, a in zip(fitting, inputs, strict=True)]
        ran.append((count, exported_program.run(exported_program.module(program), own)))
    outputs = ran[0][1]
    found = [
        next((a for a in range(each.dim()) if all(several[i].shape[a] == n for n, several in ran)), None)
        for i, each in enumerate(outputs)
    ]
    if None in inputs:  # a size of one that is not the first is the output's own
        found = [0 if axis == 0 else None for axis in found]
    return Axes(tuple(inputs), tuple(found), tuple(each.dim() for each in outputs), size), outputs


def _free(program: ExportedProgram, axes: Axes) -> list[list[int]]:
    """The axes of each input that are free, as they are once the batch is first."""
    found = []
    for shape, axis in zip(_shapes(program), axes.inputs, strict=True):
        rest = [size for place, size in enumerate(shape) if place != axis]
        batch = [0] if axes.size is None else []
        found.append(batch + [place for place, size in enumerate(rest, 1) if size is None])
    return found


def _edited(program: ExportedProgram, axes: Axes) -> fx.GraphModule:
    """The module of a program, with steps that bring the batch where the program has it, and back to the front."""
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
    """The tensors that a graph gives; it can also give None, or sizes."""
    import torch

    nodes = [each for each in graph.output_node().args[0] if isinstance(each, torch.fx.Node)]  # type: ignore[union-attr]
    return [node for node in nodes if not isinstance(node.meta.get("val"), (int, float, torch.SymInt, torch.SymFloat))]


def _exported(
    module: fx.GraphModule, batch: Sequence[torch.Tensor], free: Sequence[Sequence[int]], name: str
) -> ExportedProgram:
    """Export a module again, with these axes free."""
    import torch

    shapes = tuple(dict.fromkeys(axes, torch.export.Dim.AUTO) for axes in free)
    try:
        return torch.export.export(module, tuple(batch), dynamic_shapes=shapes)
    except Exception as error:
        raise OperatorError(
            f"torch.export cannot express {name} with its batch first: {telling_line(error)}",
            fix="export it from a module that takes the batch as the first axis of every input",
        ) from error
