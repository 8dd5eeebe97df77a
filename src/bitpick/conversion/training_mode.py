"""Refuse models that were saved in training mode: they apply dropout, or normalize with statistics of the batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from bitpick.errors import ModelError

if TYPE_CHECKING:
    import onnx

_SHOWN = 3
EXPORT = "export it again in evaluation mode: call model.eval() first, and leave out training=TrainingMode.TRAINING"
_EXPECTED = "a model in evaluation mode, which gives one answer for each sample"


def refuse(name: str, operators: Iterable[str], fix: str) -> None:
    """Refuse a model with operators in training mode.

    Args:
        name: the model's name in messages.
        operators: descriptions of the operators in training mode.
        fix: how the user can fix it.

    Raises:
        ModelError: the model has such operators.
    """
    unique = list(dict.fromkeys(operators))
    if unique:
        suffix = f" and {len(unique) - _SHOWN} more" if len(unique) > _SHOWN else ""
        raise ModelError(
            f"the model {name} is in training mode: {', '.join(unique[:_SHOWN])}{suffix}",
            expected=_EXPECTED,
            fix=fix,
        )


def of_program(graph: Any) -> Iterator[str]:
    """Yield the operators of a `torch.fx.Graph` that are in training mode, each with the module it belongs to."""
    for node in graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if node.op != "call_function" or schema is None:
            continue
        values = {argument.name: argument.default_value for argument in schema.arguments}
        values |= dict(zip(values, node.args, strict=False)) | node.kwargs
        if _is_training(schema.name, values):
            stack = list((node.meta.get("nn_module_stack") or {}).values())
            owner = f" of {stack[-1][0]}" if stack and stack[-1][0] else ""
            yield f"{schema.name.partition('::')[2]}{owner}"


def _is_training(name: str, values: dict[str, Any]) -> bool:
    """Return whether a PyTorch operator with these arguments computes something else than in evaluation mode."""
    if values.get("dropout_p"):  # of attention
        return True
    training = any(values.get(flag) is True for flag in ("train", "training"))
    if "batch_norm" in name:  # without running statistics it belongs to an instance norm, which has no modes
        return training and values.get("running_mean") is not None
    probability = values.get("p", values.get("dropout", 1))
    return training and bool(probability)


def of_onnx(model: onnx.ModelProto) -> Iterator[str]:
    """Yield the nodes of an ONNX model that are in training mode, including those in subgraphs."""
    from onnx import numpy_helper

    from bitpick.conversion.onnx_passes import subgraphs

    def of_graph(graph: onnx.GraphProto, constants: dict[str, Any]) -> Iterator[str]:
        constants = constants | {each.name: each for each in graph.initializer}
        constants |= {
            n.output[0]: a.t for n in graph.node if n.op_type == "Constant" for a in n.attribute if a.name == "value"
        }
        for node in graph.node:
            flag = any(a.name == "training_mode" and a.i for a in node.attribute)
            if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] in constants:
                flag = bool(numpy_helper.to_array(constants[node.input[2]]))
                flag = flag and (
                    node.input[1] not in constants or bool(numpy_helper.to_array(constants[node.input[1]]))
                )
            if flag and node.op_type in ("Dropout", "BatchNormalization"):
                yield f"{node.op_type} {node.name or node.output[0]}"
            for inner in subgraphs(node):
                yield from of_graph(inner, constants)

    yield from of_graph(model.graph, {})


def of_keras(model: Any) -> Iterator[str]:
    """Yield the layers of a `keras.Model` that are called with training=True and behave differently then."""
    import keras

    def changes(layer: Any) -> bool:
        return any(
            isinstance(part, keras.layers.BatchNormalization) or getattr(part, "seed_generator", None) is not None
            for part in (layer, *(layer._flatten_layers() if hasattr(layer, "_flatten_layers") else ()))  # noqa: SLF001
        )

    models = [each for each in model._flatten_layers() if isinstance(each, keras.Model)]  # noqa: SLF001
    for inner in models:
        for layer in getattr(inner, "operations", ()):
            calls = [node.arguments.kwargs for node in layer._inbound_nodes]  # noqa: SLF001
            if any(kwargs.get("training") is True for kwargs in calls) and changes(layer):
                yield f"{type(layer).__name__} {layer.name}"
