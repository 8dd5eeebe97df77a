"""Open, run and re-export `torch.export` programs (`.pt2`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitpick.conversion import rounding
from bitpick.errors import ModelError, OperatorError
from bitpick.library_errors import telling_line
from bitpick.preprocessing import Arrays

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

_BRANCHING = ("cond", "while_loop")
_SHAPED = ("aten.view.default", "aten.reshape.default", "aten.expand.default", "aten._unsafe_view.default")


def load(path: Path) -> ExportedProgram:
    """Load a program. The file holds pickles: load only files that the user trusts, or that this run made.

    Raises:
        ModelError: PyTorch cannot read it.
    """
    import torch

    try:
        return torch.export.load(path)
    except Exception as error:
        reason = telling_line(error)
        raise ModelError(
            f"PyTorch cannot read {path}: {reason}",
            expected="a program that torch.export.save wrote",
            fix="save it with the installed version of PyTorch, or check that the file was copied whole",
        ) from error


def module(program: ExportedProgram) -> torch.fx.GraphModule:
    """Return the program as a module that also accepts sizes other than the example's.

    It takes its inputs one by one and returns its outputs as a tuple, whatever structures the user's module uses.
    """
    from torch.fx.graph import CodeGen

    result: Any = program.module(check_guards=False)
    result._forward_pre_hooks.clear()  # noqa: SLF001 - these also check sizes, and no argument turns them off
    result.graph.set_codegen(CodeGen())
    for node in result.graph.nodes:
        if str(node.target) == "aten.sym_size.int":  # a TorchScript trace would turn it into a constant
            node.op, node.target = "call_method", "size"
    result.recompile()
    return result  # type: ignore[no-any-return]


def user_inputs(program: ExportedProgram) -> list[torch.fx.Node]:
    """Return the nodes of the user's inputs, in order."""
    names = set(program.graph_signature.user_inputs)
    return [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]


def fixed_batch(program: ExportedProgram) -> int | None:
    """Return the batch size that the program was made for; None if it accepts any."""
    sizes = [node.meta["val"].shape[0] for node in user_inputs(program) if node.meta["val"].dim()]
    fixed = [size for size in sizes if isinstance(size, int)]
    return fixed[0] if fixed else None


def run(function: Callable[..., Any], batch: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Run a model on a batch; return its output tensors in order, taken out of any structure.

    Raises:
        ModelError: the model does not accept the batch.
    """
    import torch
    from torch.utils import _pytree as pytree

    try:
        with torch.no_grad():
            outputs = pytree.tree_leaves(function(*batch))
    except Exception as error:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in batch)
        reason = telling_line(error)
        raise ModelError(
            f"the model does not take a batch of shape {shapes}: {reason}",
            expected="samples of the shape and layout that it was trained on",
        ) from error
    return [tensor for tensor in outputs if isinstance(tensor, torch.Tensor)]


def arrays(function: Callable[..., Any], batch: Sequence[torch.Tensor]) -> Arrays:
    """Run a model on a batch; return its outputs as arrays, see `run`."""
    return tuple(each.detach().numpy() for each in run(function, batch))


def take_samples(batch: Sequence[torch.Tensor], size: int | None) -> tuple[torch.Tensor, ...]:
    """Return `size` samples of a batch, starting over if it has fewer; the batch itself if `size` is None."""
    import torch

    if size is None:
        return tuple(batch)
    return tuple(each[torch.arange(size) % len(each)] for each in batch)


def export(original: torch.nn.Module, batch: Sequence[torch.Tensor], name: str) -> ExportedProgram:
    """Export a module with a free batch, or for one sample at a time if its code does not allow that or has branches.

    Args:
        original: the module, in evaluation mode.
        batch: some samples.
        name: the module's name in messages.

    Raises:
        ModelError: the module does not accept the samples.
        OperatorError: `torch.export` cannot express the module.
    """
    run(original, batch)
    if (program := _export_with_free_batch(original, batch)) is not None and not branches(program):
        return program
    import torch

    try:
        return torch.export.export(original, take_samples(batch, 1))
    except Exception as error:
        reason = telling_line(error)
        raise OperatorError(
            f"torch.export cannot express {name}: {reason}",
            fix="export it yourself with torch.export.export and torch.export.save, or give the model as .onnx",
        ) from error


def branches(program: ExportedProgram) -> bool:
    """Return whether values decide which operators run: such a decision is made once for a whole batch."""
    return any(getattr(node.target, "__name__", "") in _BRANCHING for node in program.graph.nodes)


def with_free_batch(program: ExportedProgram) -> ExportedProgram:
    """Return the program with a free batch; the program itself if the batch is free already or cannot be freed.

    Most programs are exported for one sample, and most of their graphs contain that size only in reshapes.
    """
    size = fixed_batch(program)
    if size is None or branches(program):
        return program
    import torch

    values = [node.meta["val"] for node in user_inputs(program)]
    # Integers such as tokens and categories are zero, which is always valid.
    batch = [
        (torch.randn if v.dtype.is_floating_point else torch.zeros)(
            size + 1, *map(_example, v.shape[1:]), dtype=v.dtype
        )
        for v in values
    ]
    others = [[axis for axis, d in enumerate(v.shape) if axis and not isinstance(d, int)] for v in values]
    original = module(program)
    free = module(program)
    for node in free.graph.nodes:
        shape = node.meta["val"].shape if str(node.target) in _SHAPED else ()
        if shape and shape[0] == size:
            rest = [d if isinstance(d, int) else target for d, target in zip(shape, node.args[1], strict=True)][1:]
            if -1 not in rest:
                node.args = (node.args[0], [-1, *rest])
    free.recompile()
    exported = _export_with_free_batch(free, batch, others)
    return exported if exported is not None and _equivalent(original, module(exported), batch, size) else program


def _example(size: int | torch.SymInt) -> int:
    """Return a size for an axis; for a free axis, its size in the example that the program was exported with."""
    if isinstance(size, int):
        return size
    hint = size.node.hint
    return 8 if hint is None else int(hint)


def _export_with_free_batch(
    original: torch.nn.Module, batch: Sequence[torch.Tensor], others: Sequence[Sequence[int]] | None = None
) -> ExportedProgram | None:
    """Export a module with a free batch; return None if its code or its graph depends on a fixed size.

    Args:
        original: the module.
        batch: some samples.
        others: the other free axes of each input.
    """
    import torch

    # Two samples, not one: an export specializes on a size of one.
    example = take_samples(batch, 2)
    try:
        free = tuple(dict.fromkeys([0, *axes], torch.export.Dim.AUTO) for axes in others or [()] * len(example))
        program = torch.export.export(original, example, dynamic_shapes=free)
    except Exception:  # noqa: BLE001 - the caller then tries one sample, and reports that error
        return None
    outputs = [node.meta["val"] for node in program.graph.output_node().args[0] if hasattr(node, "meta")]
    is_free = fixed_batch(program) is None and all(not isinstance(o.shape[0], int) for o in outputs if o.dim())
    return program if is_free else None


def _equivalent(original: Any, exported: Any, batch: Sequence[torch.Tensor], size: int) -> bool:
    """Return whether both compute the same at the original's size, and `exported` also at another size."""
    same_size, one_more = take_samples(batch, size), take_samples(batch, size + 1)
    try:
        cut = tuple(each[:size] for each in arrays(exported, one_more))
        sides = [arrays(original, same_size), arrays(exported, same_size), cut]
    except ModelError:
        return False
    return all(rounding.alike(sides[0], side) for side in sides[1:])
