"""Programs of `torch.export` (`.pt2`): opening, running and re-exporting them."""

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
    """The program in a file. It holds pickles: open only files that the user trusts, or that this run made.

    Raises:
        ModelError: PyTorch cannot read it.
    """
    import torch

    try:
        return torch.export.load(path)
    except Exception as error:
        told = telling_line(error)
        raise ModelError(
            f"PyTorch cannot read {path}: {told}",
            expected="a program that torch.export.save wrote",
            fix="save it with the installed version of PyTorch, or check that the file was copied whole",
        ) from error


def module(program: ExportedProgram) -> torch.fx.GraphModule:
    """The program as a module that does not refuse other sizes than the example's.

    It takes its inputs one by one and gives its outputs in a tuple, whatever structures the user's module has.
    """
    from torch.fx.graph import CodeGen

    found: Any = program.module(check_guards=False)
    found._forward_pre_hooks.clear()  # noqa: SLF001 - these are such checks too, and no argument leaves them out
    found.graph.set_codegen(CodeGen())
    for node in found.graph.nodes:
        if str(node.target) == "aten.sym_size.int":  # a trace by TorchScript would take it for a constant
            node.op, node.target = "call_method", "size"
    found.recompile()
    return found  # type: ignore[no-any-return]


def user_inputs(program: ExportedProgram) -> list[torch.fx.Node]:
    """The nodes of the inputs that are the user's, in their order."""
    names = set(program.graph_signature.user_inputs)
    return [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]


def fixed_batch(program: ExportedProgram) -> int | None:
    """The batch size that the program was made for; None where any will do."""
    sizes = [node.meta["val"].shape[0] for node in user_inputs(program) if node.meta["val"].dim()]
    fixed = [size for size in sizes if isinstance(size, int)]
    return fixed[0] if fixed else None


def run(function: Callable[..., Any], batch: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The outputs for a batch, in order, whatever structure holds them.

    Raises:
        ModelError: the model does not take such a batch.
    """
    import torch
    from torch.utils import _pytree as pytree

    try:
        with torch.no_grad():
            outputs = pytree.tree_leaves(function(*batch))
    except Exception as error:
        shapes = ", ".join(str(tuple(each.shape)) for each in batch)
        told = telling_line(error)
        raise ModelError(
            f"the model does not take a batch of shape {shapes}: {told}",
            expected="samples of the shape and layout that it was trained on",
        ) from error
    return [each for each in outputs if isinstance(each, torch.Tensor)]


def arrays(function: Callable[..., Any], batch: Sequence[torch.Tensor]) -> Arrays:
    """The same as arrays; see `run`."""
    return tuple(each.detach().numpy() for each in run(function, batch))


def sized(batch: Sequence[torch.Tensor], size: int | None) -> tuple[torch.Tensor, ...]:
    """A batch of so many of its samples, from the first again where there are fewer; itself for None."""
    import torch

    if size is None:
        return tuple(batch)
    return tuple(each[torch.arange(size) % len(each)] for each in batch)


def export(original: torch.nn.Module, batch: Sequence[torch.Tensor], name: str) -> ExportedProgram:
    """Export a module, with a free batch where its code lets that be, else, or with branches, for one sample at a time.

    Args:
        original: the module, in evaluation mode.
        batch: some samples.
        name: what messages call it.

    Raises:
        ModelError: it does not take such samples.
        OperatorError: `torch.export` cannot express it.
    """
    run(original, batch)
    if (program := _with_free_batch(original, batch)) is not None and not branches(program):
        return program
    import torch

    try:
        return torch.export.export(original, sized(batch, 1))
    except Exception as error:
        told = telling_line(error)
        raise OperatorError(
            f"torch.export cannot express {name}: {told}",
            fix="export it yourself with torch.export.export and torch.export.save, or give the model as .onnx",
        ) from error


def branches(program: ExportedProgram) -> bool:
    """Whether the program decides as it runs what to do next: it decides once for all samples in a batch."""
    return any(getattr(node.target, "__name__", "") in _BRANCHING for node in program.graph.nodes)


def freed(program: ExportedProgram) -> ExportedProgram:
    """The program with a free batch; itself where the batch is free already, or cannot be freed.

    Programs are mostly exported for one sample, and most of their graphs have that size in reshapes alone.
    """
    size = fixed_batch(program)
    if size is None or branches(program):
        return program
    import torch

    values = [node.meta["val"] for node in user_inputs(program)]
    # Tokens and categories are zero, which is always one.
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
            rest = [d if isinstance(d, int) else given for d, given in zip(shape, node.args[1], strict=True)][1:]
            if -1 not in rest:
                node.args = (node.args[0], [-1, *rest])
    free.recompile()
    found = _with_free_batch(free, batch, others)
    return found if found is not None and _alike(original, module(found), batch, size) else program


def _example(size: int | torch.SymInt) -> int:
    """A size that an axis can have: of a free one that of the example that its program was exported with."""
    if isinstance(size, int):
        return size
    hint = size.node.hint
    return 8 if hint is None else int(hint)


def _with_free_batch(
    original: torch.nn.Module, batch: Sequence[torch.Tensor], others: Sequence[Sequence[int]] | None = None
) -> ExportedProgram | None:
    """A program whose batch is free; None where the code of the module, or its graph, has a size of its own.

    Args:
        original: the module.
        batch: some samples.
        others: for each input, the axes beside the batch that are free too.
    """
    import torch

    # Two samples, not one: an export specializes on a size of one.
    example = sized(batch, 2)
    try:
        free = tuple(dict.fromkeys([0, *more], torch.export.Dim.AUTO) for more in others or [()] * len(example))
        program = torch.export.export(original, example, dynamic_shapes=free)
    except Exception:  # noqa: BLE001 - whatever it is, the caller tries one sample, and tells what that gives
        return None
    outputs = [node.meta["val"] for node in program.graph.output_node().args[0] if hasattr(node, "meta")]
    freed = fixed_batch(program) is None and all(not isinstance(o.shape[0], int) for o in outputs if o.dim())
    return program if freed else None


def _alike(original: Any, found: Any, batch: Sequence[torch.Tensor], size: int) -> bool:
    """Whether both compute the same at the size of the original, and the other one also at another size."""
    whole, more = sized(batch, size), sized(batch, size + 1)
    try:
        cut = tuple(each[:size] for each in arrays(found, more))
        sides = [arrays(original, whole), arrays(found, whole), cut]
    except ModelError:
        return False
    return all(rounding.alike(sides[0], side) for side in sides[1:])
