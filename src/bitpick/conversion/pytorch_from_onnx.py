"""Clean ONNX → PyTorch: a `torch.fx.GraphModule` of plain modules.

Plain `nn.Conv2d`, `nn.Linear`, `nn.ReLU`: what FX, `torch.export` and every quantizer built on them know. Only the
clean graph is read, so a converter may rely on folded batch norm, folded constants and unique names.
"""

from __future__ import annotations

import keyword
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import onnx_file, onnx_passes
from bitpick.conversion.hop import Hop
from bitpick.conversion.onnx_passes import subgraphs
from bitpick.errors import OperatorError
from bitpick.library_errors import telling_line
from bitpick.models.model import Format

if TYPE_CHECKING:
    import onnx
    import torch
    from torch import fx

    from bitpick.conversion.pytorch_operators.context import Context
    from bitpick.conversion.pytorch_operators.registry import Converter

HOP = Hop(
    Format.ONNX,
    Format.PYTORCH,
    environment="pytorch",
    packages=("torch",),
    convert="bitpick.conversion.pytorch_from_onnx:convert",
    trace=("bitpick.conversion.pytorch_from_onnx:trace_source", "bitpick.conversion.pytorch_from_onnx:trace_target"),
    sized=True,
)


def convert(source: str, out: str, shapes: Sequence[Sequence[int]] | None = None) -> None:
    """Write the PyTorch form of a clean ONNX file: a pickled `GraphModule`.

    Args:
        source: the clean ONNX file.
        out: the file to write.
        shapes: of one sample of each input, see `Hop.sized`.

    Raises:
        OperatorError: the graph has an operator, or a form of one, that the importer does not know.
    """
    import torch

    torch.save(import_graph(_read(source, shapes)), out)


def _read(source: str, shapes: Sequence[Sequence[int]] | None) -> onnx.ModelProto:
    import onnx

    model = onnx.load(source)
    if shapes is not None:
        onnx_passes.fix_sizes(model, shapes)
    return model


_STANDARD = ("", "ai.onnx")
PASSING = ("ReLU", "ReLU6", "Pad1d", "Pad2d", "Pad3d", "MaxPool1d", "MaxPool2d", "MaxPool3d", "Flatten", "Identity")


def load(path: Path) -> torch.nn.Module:
    """The module in a file that `convert` wrote. The file is a pickle: open only files that this run made."""
    import torch

    module: torch.nn.Module = torch.load(path, weights_only=False)
    return module.eval()


def layers(module: torch.nn.Module) -> list[str]:
    """The names of the modules inside a module that have none inside them: the ONNX nodes with weights among them."""
    return [name for name, child in module.named_modules() if name and not any(child.children())]


def computing(module: torch.nn.Module) -> list[tuple[str, str]]:
    """The names of those of them that compute, each with its type: not what passes numbers on, or is fused."""
    found = dict(module.named_modules())
    kinds = [(name, type(found[name]).__name__) for name in layers(module)]
    return [(name, kind) for name, kind in kinds if not kind.endswith(PASSING)]


def signature(module: torch.nn.Module) -> list[tuple[tuple[int, ...], str]]:
    """The shape of one sample of each input, without the batch axis, and the name of its numpy dtype.

    Raises:
        OperatorError: an input has a free dimension beside the batch, or no batch axis beside others that have a free
            one.
    """
    inputs: Any = module.onnx_inputs
    free = any(shape and shape[0] is None for _, shape, _ in inputs)
    found = []
    for name, shape, dtype in inputs:
        if None in shape[1:]:
            raise OperatorError(f"the input {name} has a free dimension beside the batch: {shape}")
        if not shape or (free and shape[0] is not None):
            raise OperatorError(f"the input {name} has no batch axis: its shape is {shape}")
        found.append((tuple(shape[1:]), dtype))
    return found


def example(module: torch.nn.Module, count: int) -> tuple[torch.Tensor, ...]:
    """So many samples of zeros, a tensor for each input."""
    import torch

    return tuple(torch.zeros(count, *shape, dtype=getattr(torch, dtype)) for shape, dtype in signature(module))


def fixed_batch(module: torch.nn.Module) -> int | None:
    """The one batch size that the module takes; None where any will do."""
    inputs: Any = module.onnx_inputs
    leading = [shape[0] for _, shape, _ in inputs if shape]
    return None if None in leading else next(iter(leading), None)


def import_graph(model: onnx.ModelProto) -> fx.GraphModule:
    """Build a module that computes what a clean ONNX graph does.

    Args:
        model: a clean graph. A free leading dimension of an input is the batch.

    Returns:
        A module in evaluation mode. It takes the graph's inputs by position, in the graph's order, and gives a tensor,
        or a tuple where the graph has several outputs. Its modules have the names of the ONNX nodes they stand for.

    Raises:
        OperatorError: the graph has an operator, or a form of one, that the importer does not know.
    """
    return _Import(model).module


class _Import:
    """A graph on its way through the converters.

    Attributes:
        module: what it became.
        values: the `fx.Node` that computes each ONNX tensor, by name.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        import onnx
        from torch import fx

        from bitpick.conversion.pytorch_operators.assembly import Assembly

        self._opset = onnx_file.opset_of(model)
        self._assembly = Assembly()
        self.values: dict[str, fx.Node] = {}
        self._known = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
        self._readers: dict[str, list[onnx.NodeProto | None]] = defaultdict(list)
        for node in model.graph.node:
            for name in node.input:
                self._readers[name].append(node)
        for value in model.graph.output:
            self._readers[value.name].append(None)
        inputs = [v for v in model.graph.input if v.name not in self._known]
        names = _identifiers([*(v.name for v in inputs), *(n.name for n in model.graph.node)])
        taken = tuple(_input(value) for value in inputs)
        for (name, shape, dtype), identifier in zip(taken, names, strict=False):
            self.values[name] = self._assembly.input(identifier, shape, dtype)
        for node, identifier in zip(model.graph.node, names[len(inputs) :], strict=True):
            if node.output[0] not in self.values:  # another one has done it with itself
                self._convert(node, identifier)
        outputs = tuple(self._result(value.name) for value in model.graph.output)
        self._assembly.graph.output(outputs if len(outputs) > 1 else outputs[0])
        self._assembly.graph.lint()
        self.module = fx.GraphModule(self._assembly.root, self._assembly.graph, class_name="Imported").eval()
        self.module.graph.eliminate_dead_code()  # outputs of a node that nobody reads
        self.module.delete_all_unused_submodules()
        self.module.recompile()
        self.module.onnx_inputs = taken  # type: ignore[assignment] # stays with the module when it is pickled

    def _convert(self, node: onnx.NodeProto, identifier: str) -> None:
        """Add what a node computes."""
        from bitpick.conversion.pytorch_operators.context import Context

        context = Context(node, identifier, self._opset, self._assembly, self.values, self._known, self._readers)
        try:
            result: Any = self._fold(node)
            if result is None:
                result = self._converter(node)(context)
        except OperatorError:
            raise
        except Exception as error:
            told = telling_line(error)
            raise context.unsupported(f"a form that PyTorch refuses ({told})") from error
        self._keep(context, result if isinstance(result, tuple) else (result,))

    def _fold(self, node: onnx.NodeProto) -> tuple[NDArray[Any], ...] | None:
        """What a node computes where that is known already; None where it is not."""
        from bitpick.conversion.pytorch_operators.sizes import folded

        if not all(name in self._known for name in node.input if name) or subgraphs(node):
            return None
        if node.domain not in _STANDARD or node.op_type.startswith("Random"):
            return None
        return folded(node, [self._known.get(name) for name in node.input], self._opset)

    def _converter(self, node: onnx.NodeProto) -> Converter:
        from bitpick.conversion.pytorch_operators.registry import converters

        known = converters()
        if node.domain not in _STANDARD or node.op_type not in known:
            raise OperatorError(
                f"the node {node.name} is a {node.domain + '.' if node.domain else ''}{node.op_type} "
                f"(opset {self._opset}), which the PyTorch importer does not know",
                expected=f"one of the {len(known)} operators that docs/reference/importer.md lists",
                fix="add a converter for it (docs/architecture.md), or compare only engines that start from ONNX",
            )
        return known[node.op_type]

    def _keep(self, context: Context, results: tuple[Any, ...]) -> None:
        """Remember what a node computed under the names of its outputs."""
        names = (context.absorbed or context.node).output
        for i, name in enumerate(names):
            if i < len(results) and name:
                kept: dict[str, Any] = self._known if isinstance(results[i], np.ndarray) else self.values
                kept[name] = results[i]
            elif i >= len(results) and context.reads(i):
                raise context.unsupported(f"an output number {i + 1} that is used")

    def _result(self, name: str) -> fx.Node:
        """An output of the graph; a known one becomes a buffer."""
        from bitpick.conversion.pytorch_operators.sizes import has_batch

        if name not in self.values:
            if has_batch(self._known[name]):
                raise OperatorError(f"the output {name} is computed from the batch size, which cannot be imported")
            self.values[name] = self._assembly.buffer(_identifiers([name])[0], self._known[name])
        return self.values[name]


def _input(value: onnx.ValueInfoProto) -> tuple[str, tuple[int | None, ...], str]:
    """Name, shape (None for a free dimension) and numpy dtype of an input."""
    import onnx

    kind = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
    return value.name, shape, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)).name


def _identifiers(names: Iterable[str]) -> list[str]:
    """A different identifier for each name: what `torch.fx` wants of its nodes and modules."""
    from torch import fx, nn

    reserved = {*dir(nn.Module()), *dir(fx.GraphModule), "meta", "onnx_inputs"}
    found: dict[str, None] = {}
    for name in names:
        identifier = re.sub(r"\W", "_", name)
        if not identifier.isidentifier() or keyword.iskeyword(identifier) or identifier in reserved:
            identifier = f"node_{identifier}"
        candidate, attempt = identifier, 2
        while candidate in found:
            candidate, attempt = f"{identifier}_{attempt}", attempt + 1
        found[candidate] = None
    return list(found)


def trace_source(source: str, target: str, inputs: str) -> dict[str, Any]:  # noqa: ARG001 - the form of a trace
    """What each node of the ONNX graph computes, under the names of its outputs' tensors."""
    import onnx

    return onnx_file.intermediates(onnx.load(source), onnx_file.read_inputs(inputs))


def trace_target(source: str, target: str, inputs: str) -> dict[str, Any]:  # noqa: ARG001 - the form of a trace
    """What the module computes for each tensor. Built again from the source: a pickled one forgets its nodes' names."""
    import torch
    from torch import fx

    computed: dict[fx.Node, NDArray[Any]] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            if n.op.startswith("call") and isinstance(result, torch.Tensor):
                computed[n] = result.detach().numpy()
            return result

    batch = onnx_file.read_inputs(inputs)
    imported = _Import(_read(source, [each.shape[1:] for each in batch]))
    with torch.inference_mode():
        Recorder(imported.module).run(*map(torch.from_numpy, batch))
    return {name: computed[node] for name, node in imported.values.items() if node in computed}
