"""Models that were saved as they train: they draw dropout, or normalize by their batch. They are refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from bitpick.errors import ModelError

if TYPE_CHECKING:
    import onnx

_SHOWN = 3
EXPORT = "export it again in evaluation mode: call model.eval() first, and leave out training=TrainingMode.TRAINING"
_EXPECTED = "a model in evaluation mode, which gives one answer for each sample"


def refuse(name: str, found: Iterable[str], fix: str) -> None:
    """Refuse a model with operators in training mode.

    Args:
        name: the model, as messages call it.
        found: these operators, in words.
        fix: what to do about it.

    Raises:
        ModelError: there are such operators.
    """
    operators = list(dict.fromkeys(found))
    if operators:
        more = f" and {len(operators) - _SHOWN} more" if len(operators) > _SHOWN else ""
        raise ModelError(
            f"the model {name} is in training mode: {', '.join(operators[:_SHOWN])}{more}",
            expected=_EXPECTED,
            fix=fix,
        )


def of_program(graph: Any) -> Iterator[str]:
    """The operators of a `torch.fx.Graph` that are in training mode, each with the module that it is of."""
    for node in graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if node.op != "call_function" or schema is None:
            continue
        values = {argument.name: argument.default_value for argument in schema.arguments}
        values |= dict(zip(values, node.args, strict=False)) | node.kwargs
        if _trains(schema.name, values):
            stack = list((node.meta.get("nn_module_stack") or {}).values())
            place = f" of {stack[-1][0]}" if stack and stack[-1][0] else ""
            yield f"{schema.name.partition('::')[2]}{place}"


def _trains(name: str, values: dict[str, Any]) -> bool:
    """Whether an operator of PyTorch, by its name and arguments, computes otherwise than in evaluation mode."""
    if values.get("dropout_p"):  # of attention
        return True
    training = any(values.get(flag) is True for flag in ("train", "training"))
    if "batch_norm" in name:  # without running statistics it is what instance norm is made of, in every mode
        return training and values.get("running_mean") is not None
    probability = values.get("p", values.get("dropout", 1))
    return training and bool(probability)


def of_onnx(model: onnx.ModelProto) -> Iterator[str]:
    """The nodes of an ONNX model that are in training mode, in its graph and in those inside it."""
    from onnx import numpy_helper

    from bitpick.conversion.onnx_passes import subgraphs

    def of_graph(graph: onnx.GraphProto, known: dict[str, Any]) -> Iterator[str]:
        known = known | {each.name: each for each in graph.initializer}
        known |= {
            n.output[0]: a.t for n in graph.node if n.op_type == "Constant" for a in n.attribute if a.name == "value"
        }
        for node in graph.node:
            flag = any(a.name == "training_mode" and a.i for a in node.attribute)
            if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] in known:
                flag = bool(numpy_helper.to_array(known[node.input[2]]))
                flag = flag and (node.input[1] not in known or bool(numpy_helper.to_array(known[node.input[1]])))
            if flag and node.op_type in ("Dropout", "BatchNormalization"):
                yield f"{node.op_type} {node.name or node.output[0]}"
            for inner in subgraphs(node):
                yield from of_graph(inner, known)

    yield from of_graph(model.graph, {})


def of_keras(model: Any) -> Iterator[str]:
    """The layers of a `keras.Model` that it calls with training=True, and that compute otherwise then."""
    import keras

    def changes(layer: Any) -> bool:
        return any(
            isinstance(each, keras.layers.BatchNormalization) or getattr(each, "seed_generator", None) is not None
            for each in (layer, *(layer._flatten_layers() if hasattr(layer, "_flatten_layers") else ()))  # noqa: SLF001
        )

    graphs = [each for each in model._flatten_layers() if isinstance(each, keras.Model)]  # noqa: SLF001
    for graph in graphs:
        for layer in getattr(graph, "operations", ()):
            calls = [node.arguments.kwargs for node in layer._inbound_nodes]  # noqa: SLF001
            if any(kwargs.get("training") is True for kwargs in calls) and changes(layer):
                yield f"{type(layer).__name__} {layer.name}"
