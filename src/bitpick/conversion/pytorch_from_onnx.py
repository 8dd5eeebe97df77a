"""Clean ONNX → PyTorch: a `torch.fx.GraphModule` of plain modules.

Plain `nn.Conv2d`, `nn.Linear`, `nn.ReLU`: what FX, `torch.export` and every quantizer built on them know. Only the
clean graph is read, so a converter may rely on folded batch norm, folded constants and unique names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitpick.conversion.hop import Hop
from bitpick.errors import OperatorError
from bitpick.model import Format

if TYPE_CHECKING:
    import onnx
    import torch
    from torch import fx

HOP = Hop(
    Format.ONNX,
    Format.PYTORCH,
    environment="pytorch",
    packages=("torch",),
    convert="bitpick.conversion.pytorch_from_onnx:convert",
    trace=("bitpick.conversion.pytorch_from_onnx:trace_source", "bitpick.conversion.pytorch_from_onnx:trace_target"),
)


def convert(source: str, out: str) -> None:
    """Write the PyTorch form of a clean ONNX file: a pickled `GraphModule`.

    Raises:
        OperatorError: the graph has an operator, or a form of one, that the importer does not know.
    """
    import onnx
    import torch

    torch.save(import_graph(onnx.load(source)), out)


_PASSING = ("ReLU", "ReLU6", "Pad1d", "Pad2d", "Pad3d", "MaxPool1d", "MaxPool2d", "MaxPool3d", "Flatten", "Identity")


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
    return [(name, kind) for name, kind in kinds if not kind.endswith(_PASSING)]


def sample_shape(module: torch.nn.Module) -> tuple[int, ...]:
    """The shape of one sample, as the ONNX graph that the module was made from has it.

    Raises:
        OperatorError: it has a free dimension beside the batch.
    """
    shape: Any = module.sample_shape
    if None in shape:
        raise OperatorError(f"the input has a free dimension beside the batch: {shape}")
    return tuple(int(size) for size in shape)


def signature(module: torch.nn.Module) -> list[tuple[tuple[int, ...], str]]:
    """The shape and the dtype of one sample of each input."""
    return [(sample_shape(module), "float32")]


def example(module: torch.nn.Module, count: int) -> tuple[torch.Tensor, ...]:
    """So many samples of zeros, a tensor for each input."""
    import torch

    return tuple(torch.zeros(count, *shape, dtype=getattr(torch, dtype)) for shape, dtype in signature(module))


def import_graph(model: onnx.ModelProto) -> fx.GraphModule:
    """Build a module that computes what a clean ONNX graph does.

    Args:
        model: a clean graph with one input and one output.

    Returns:
        A module in evaluation mode. Each of its nodes has the name of the ONNX node it stands for.

    Raises:
        OperatorError: the graph has an operator, or a form of one, that the importer does not know.
    """
    import onnx
    from torch import fx, nn

    from bitpick.conversion.onnx_file import opset_of
    from bitpick.conversion.pytorch_operators.registry import Context, converters, fx_names

    inferred = onnx.shape_inference.infer_shapes(model)
    known = converters()
    opset = opset_of(model)
    shapes = {
        v.name: [d.dim_value if d.HasField("dim_value") else None for d in v.type.tensor_type.shape.dim]
        for v in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output)
        if v.type.tensor_type.HasField("shape")
    }
    names = fx_names(model.graph.node)
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    root, graph = nn.Module(), fx.Graph()
    values = {model.graph.input[0].name: graph.placeholder("input")}
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in known:
            raise OperatorError(
                f"the node {node.name} is a {node.domain + '.' if node.domain else ''}{node.op_type} (opset {opset}), "
                "which the PyTorch importer does not know",
                expected=f"one of {', '.join(sorted(known))}",
                mend="add a converter for it (docs/architecture.md), or compare only engines that start from ONNX",
            )
        context = Context(node, names[node.name], opset, graph, root, values, constants, shapes)
        values[node.output[0]] = known[node.op_type](context)
    graph.output(values[model.graph.output[0].name])
    graph.lint()
    module = fx.GraphModule(root, graph, class_name="Imported").eval()
    # Stays with the module when it is pickled.
    module.sample_shape = tuple(shapes[model.graph.input[0].name][1:])  # type: ignore[assignment]
    return module


def trace_source(source: str, target: str, inputs: str) -> dict[str, Any]:  # noqa: ARG001 - the form of a trace
    """What each node of the ONNX graph computes, under the names of the module's nodes."""
    import onnx

    from bitpick.conversion.onnx_file import intermediates, read_inputs
    from bitpick.conversion.pytorch_operators.registry import fx_names

    model = onnx.load(source)
    identifiers = fx_names(model.graph.node)
    names = {node.output[0]: identifiers[node.name] for node in model.graph.node}
    return {names[k]: v for k, v in intermediates(model, read_inputs(inputs)).items() if k in names}


def trace_target(source: str, target: str, inputs: str) -> dict[str, Any]:  # noqa: ARG001 - the form of a trace
    """What each node of the module computes. Built again from the source: a pickled one forgets its nodes' names."""
    import onnx
    import torch
    from torch import fx

    from bitpick.conversion.onnx_file import read_inputs

    computed: dict[str, Any] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            if n.op in ("call_module", "call_function"):
                computed[n.name] = result.detach().numpy()
            return result

    with torch.inference_mode():
        Recorder(import_graph(onnx.load(source))).run(*map(torch.from_numpy, read_inputs(inputs)))
    return computed
