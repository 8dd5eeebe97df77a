"""Copy SavedModels without the optimizer's slot variables, and in float32, so that TensorFlow can open them.

Every model that Keras 2 compiled, trained and saved as a folder has slot variables; TensorFlow without Keras 2 cannot
open it. A model trained in mixed precision has float32 weights and computes in half precision.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FILE = "saved_model.pb"


def needed(path: Path) -> bool:
    """Return whether a SavedModel has slot variables, or computes in half precision with float32 weights."""
    model = _parse(path)
    return bool(list(_slots(model))) or _is_mixed(model)


def is_mixed(path: Path) -> bool:
    """Return whether a SavedModel computes in half precision with float32 weights."""
    return _is_mixed(_parse(path))


def write(path: Path, out: Path, float32: bool = True) -> None:
    """Write a SavedModel without slot variables, which matter only in training, and in float32.

    Args:
        path: the folder of the SavedModel.
        out: another folder, which must exist.
        float32: whether half precision becomes float32, if the weights are float32.
    """
    model = _parse(path)
    for node in _slots(model):
        del node.slot_variables[:]
    if float32 and _is_mixed(model):
        for part in _typed_parts(model):
            _widen(part)
    shutil.copytree(path, out, dirs_exist_ok=True)
    target = out / _FILE
    target.chmod(0o600)
    target.write_bytes(model.SerializeToString())


def _parse(path: Path) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    model.ParseFromString((path / _FILE).read_bytes())
    return model


def _slots(model: Any) -> Iterator[Any]:
    """Yield the objects with slot variables."""
    for graph in model.meta_graphs:
        yield from (node for node in graph.object_graph_def.nodes if node.slot_variables)


def _typed_parts(model: Any) -> Iterator[Any]:
    """Yield the parts of a model that name the dtypes of tensors."""
    for graph in model.meta_graphs:
        yield graph.graph_def
        yield graph.object_graph_def
        yield from graph.signature_def.values()


def _is_mixed(model: Any) -> bool:
    halves = _halves()
    variables = [
        n.variable.dtype for g in model.meta_graphs for n in g.object_graph_def.nodes if n.HasField("variable")
    ]
    return not halves & set(variables) and any(
        halves & {attribute.type for attribute in node.attr.values()} for node in _nodes(model)
    )


def _nodes(model: Any) -> Iterator[Any]:
    """Yield the nodes of all graphs and functions."""
    for graph in model.meta_graphs:
        yield from graph.graph_def.node
        for function in graph.graph_def.library.function:
            yield from function.node_def


def _halves() -> set[int]:
    from tensorflow.core.framework import types_pb2

    return {types_pb2.DT_HALF, types_pb2.DT_BFLOAT16}


def _widen(message: Any) -> None:
    """Replace half precision by float32 wherever a message, or one inside it, names a dtype of tensors."""
    from tensorflow.core.framework import tensor_pb2, types_pb2

    halves = _halves()
    if isinstance(message, tensor_pb2.TensorProto):
        if message.dtype in halves:
            import tensorflow as tf

            message.CopyFrom(tf.make_tensor_proto(tf.make_ndarray(message).astype("float32")))
        return
    for field, value in message.ListFields():
        if field.enum_type is not None and field.enum_type.full_name == "tensorflow.DataType":
            if isinstance(value, int):
                setattr(message, field.name, types_pb2.DT_FLOAT if value in halves else value)
            else:
                value[:] = [types_pb2.DT_FLOAT if each in halves else each for each in value]
        elif field.message_type is not None:
            for inner in _inner_messages(field, value):
                _widen(inner)


def _inner_messages(field: Any, value: Any) -> list[Any]:
    """Return the messages in the value of a field: one, several, or those of a map."""
    if field.message_type.GetOptions().map_entry:
        return [item for item in value.values() if hasattr(item, "ListFields")]
    return [value] if hasattr(value, "ListFields") else list(value)
