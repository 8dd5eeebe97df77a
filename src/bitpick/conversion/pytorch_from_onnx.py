"""Clean ONNX → PyTorch: a `torch.fx.GraphModule` of standard modules.

`nn.Conv2d`, `nn.Linear` and `nn.ReLU` are what FX, `torch.export` and every quantizer built on them know. Only clean
graphs are read, so a converter may rely on folded batch norm, folded constants and unique names.
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
        shapes: the shape of one sample of each input, see `Hop.sized`.

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
    """Load a module that `convert` wrote. The file is a pickle: load only files that this run made."""
    import torch

    module: torch.nn.Module = torch.load(path, weights_only=False)
    return module.eval()


def layers(module: torch.nn.Module) -> list[str]:
    """Return the names of the innermost modules, the ONNX nodes with weights among them."""
    return [name for name, child in module.named_modules() if name and not any(child.children())]


def computing_layers(module: torch.nn.Module) -> list[tuple[str, str]]:
    """Return name and type of the innermost modules that compute: not those that only pass values on, or are fused."""
    modules = dict(module.named_modules())
    kinds = [(name, type(modules[name]).__name__) for name in layers(module)]
    return [(name, kind) for name, kind in kinds if not kind.endswith(PASSING)]


def signature(module: torch.nn.Module) -> list[tuple[tuple[int, ...], str]]:
    """Return the shape of one sample of each input, without the batch axis, and the name of its numpy dtype.

    Raises:
        OperatorError: an input has a free dimension other than the batch, or has no batch axis although others have a
            free one.
    """
    inputs: Any = module.onnx_inputs
    free = any(shape and shape[0] is None for _, shape, _ in inputs)
    specs = []
    for name, shape, dtype in inputs:
        if None in shape[1:]:
            raise OperatorError(f"the input {name} has a free dimension beside the batch: {shape}")
        if not shape or (free and shape[0] is not None):
            raise OperatorError(f"the input {name} has no batch axis: its shape is {shape}")
        specs.append((tuple(shape[1:]), dtype))
    return specs


def example(module: torch.nn.Module, count: int) -> tuple[torch.Tensor, ...]:
    """Return `count` samples of zeros, a tensor for each input."""
    import torch

    return tuple(torch.zeros(count, *shape, dtype=getattr(torch, dtype)) for shape, dtype in signature(module))


def fixed_batch(module: torch.nn.Module) -> int | None:
    """Return the only batch size that the module accepts; None if it accepts any."""
    inputs: Any = module.onnx_inputs
    leading = [shape[0] for _, shape, _ in inputs if shape]
    return None if None in leading else next(iter(leading), None)


def import_graph(model: onnx.ModelProto) -> fx.GraphModule:
    """Build a module that computes the same as a clean ONNX graph.

    Args:
        model: a clean graph. A free leading dimension of an input is the batch.

    Returns:
        A module in evaluation mode. It takes the inputs by position, in the graph's order, and returns a tensor, or a
        tuple if the graph has several outputs. Its modules are named after their ONNX nodes.

    Raises:
        OperatorError: the graph has an operator, or a form of one, that the importer does not know.
    """
    return _Import(model).module


def import_with_modules(model: onnx.ModelProto) -> tuple[fx.GraphModule, dict[str, str]]:
    """Build the same module as `import_graph`.

    Returns:
        The module, and by the name of each ONNX node that became a module of it, the name of that module.
    """
    imported = _Import(model)
    return imported.module, imported.modules


class _Import:
    """One import of an ONNX graph.

    Attributes:
        module: the resulting module.
        values: the `fx.Node` that computes each ONNX tensor, by name.
        modules: the name of the module that an ONNX node became, by the node's name.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        import onnx
        from torch import fx

        from bitpick.conversion.pytorch_operators.assembly import Assembly

        self._opset = onnx_file.opset_of(model)
        self._assembly = Assembly()
        self.values: dict[str, fx.Node] = {}
        self.modules: dict[str, str] = {}
        self._constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
        self._readers: dict[str, list[onnx.NodeProto | None]] = defaultdict(list)
        for node in model.graph.node:
            for name in node.input:
                self._readers[name].append(node)
        for value in model.graph.output:
            self._readers[value.name].append(None)
        inputs = [v for v in model.graph.input if v.name not in self._constants]
        names = _identifiers([*(v.name for v in inputs), *(n.name for n in model.graph.node)])
        input_specs = tuple(_input(value) for value in inputs)
        for (name, shape, dtype), identifier in zip(input_specs, names, strict=False):
            self.values[name] = self._assembly.input(identifier, shape, dtype)
        for node, identifier in zip(model.graph.node, names[len(inputs) :], strict=True):
            if node.output[0] not in self.values:  # an earlier node absorbed it
                self._convert(node, identifier)
        outputs = tuple(self._result(value.name) for value in model.graph.output)
        self._assembly.graph.output(outputs if len(outputs) > 1 else outputs[0])
        self._assembly.graph.lint()
        self.module = fx.GraphModule(self._assembly.root, self._assembly.graph, class_name="Imported").eval()
        self.module.graph.eliminate_dead_code()  # unread outputs of nodes
        self.module.delete_all_unused_submodules()
        self.module.recompile()
        self.module.onnx_inputs = input_specs  # type: ignore[assignment] # survives pickling

    def _convert(self, node: onnx.NodeProto, identifier: str) -> None:
        """Convert a node."""
        from bitpick.conversion.pytorch_operators.context import Context

        context = Context(node, identifier, self._opset, self._assembly, self.values, self._constants, self._readers)
        try:
            result: Any = self._fold(node)
            if result is None:
                result = self._converter(node)(context)
        except OperatorError:
            raise
        except Exception as error:
            reason = telling_line(error)
            raise context.unsupported(f"a form that PyTorch refuses ({reason})") from error
        self._keep(context, result if isinstance(result, tuple) else (result,))

    def _fold(self, node: onnx.NodeProto) -> tuple[NDArray[Any], ...] | None:
        """Return a node's outputs if they can be computed now; None if not."""
        from bitpick.conversion.pytorch_operators.sizes import fold

        if not all(name in self._constants for name in node.input if name) or subgraphs(node):
            return None
        if node.domain not in _STANDARD or node.op_type.startswith("Random"):
            return None
        return fold(node, [self._constants.get(name) for name in node.input], self._opset)

    def _converter(self, node: onnx.NodeProto) -> Converter:
        from bitpick.conversion.pytorch_operators.registry import converters

        supported = converters()
        if node.domain not in _STANDARD or node.op_type not in supported:
            raise OperatorError(
                f"the node {node.name} is a {node.domain + '.' if node.domain else ''}{node.op_type} "
                f"(opset {self._opset}), which the PyTorch importer does not know",
                expected=f"one of the {len(supported)} operators that docs/reference/importer.md lists",
                fix="add a converter for it (docs/architecture.md), or compare only engines that start from ONNX",
            )
        return supported[node.op_type]

    def _keep(self, context: Context, results: tuple[Any, ...]) -> None:
        """Store a node's results under the names of its outputs."""
        if getattr(results[0], "op", "") == "call_module":
            self.modules[context.node.name] = str(results[0].target)
        names = (context.absorbed or context.node).output
        for i, name in enumerate(names):
            if i < len(results) and name:
                table: dict[str, Any] = self._constants if isinstance(results[i], np.ndarray) else self.values
                table[name] = results[i]
            elif i >= len(results) and context.reads(i):
                raise context.unsupported(f"an output number {i + 1} that is used")

    def _result(self, name: str) -> fx.Node:
        """Return an output of the graph; a constant one becomes a buffer."""
        from bitpick.conversion.pytorch_operators.sizes import has_batch

        if name not in self.values:
            if has_batch(self._constants[name]):
                raise OperatorError(f"the output {name} is computed from the batch size, which cannot be imported")
            self.values[name] = self._assembly.buffer(_identifiers([name])[0], self._constants[name])
        return self.values[name]


def _input(value: onnx.ValueInfoProto) -> tuple[str, tuple[int | None, ...], str]:
    """Return name, shape (None for a free dimension) and numpy dtype of an input."""
    import onnx

    tensor_type = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor_type.shape.dim)
    return value.name, shape, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor_type.elem_type)).name


def _identifiers(names: Iterable[str]) -> list[str]:
    """Make a unique identifier for each name, as `torch.fx` requires for nodes and modules."""
    from torch import fx, nn

    reserved = {*dir(nn.Module()), *dir(fx.GraphModule), "meta", "onnx_inputs"}
    identifiers: dict[str, None] = {}
    for name in names:
        identifier = re.sub(r"\W", "_", name)
        if not identifier.isidentifier() or keyword.iskeyword(identifier) or identifier in reserved:
            identifier = f"node_{identifier}"
        candidate, attempt = identifier, 2
        while candidate in identifiers:
            candidate, attempt = f"{identifier}_{attempt}", attempt + 1
        identifiers[candidate] = None
    return list(identifiers)


def trace_source(source: str, target: str, inputs: str) -> dict[str, Any]:  # noqa: ARG001 - the form of a trace
    """Return the outputs of all nodes of the ONNX graph, by tensor name."""
    import onnx

    return onnx_file.intermediates(onnx.load(source), onnx_file.read_inputs(inputs))


def trace_target(source: str, target: str, inputs: str) -> dict[str, Any]:  # noqa: ARG001 - the form of a trace
    """Return the module's value of each tensor. Imports the source again: a pickled module forgets its nodes' names."""
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
