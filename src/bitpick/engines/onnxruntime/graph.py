"""The graph that ONNX Runtime executes: optimized for this machine, with the shapes of one run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.engines.executed import FLOATS, INTEGERS, Executed
from bitpick.engines.onnxruntime.nodes import TRANSPOSES, Nodes, dtype
from bitpick.engines.onnxruntime.scope import CONVERSIONS, every_node
from bitpick.preprocessing import Arrays

if TYPE_CHECKING:
    import onnx


def executed(path: Path, settings: Mapping[str, str], sample: Arrays) -> Executed:
    """Return what ONNX Runtime executes for a file and a sample, with the settings that ship with the build."""
    import onnx
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        options = session_options(settings)
        options.optimized_model_filepath = f"{folder}/optimized.onnx"
        options.enable_profiling = True
        options.profile_file_prefix = f"{folder}/profile"
        shipped = onnx.load(path)
        file = shipped.SerializeToString() if _make_names_unique(shipped.graph) else path
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        source = session.get_inputs()[0]
        batch = _fixed_batch(source)
        arrays = tuple(np.repeat(each, batch, axis=0) for each in sample)
        session.run(None, feeds(session, arrays))
        events = json.loads(Path(session.end_profiling()).read_text())
        model = onnx.load(options.optimized_model_filepath)
        sink = session.get_outputs()[0]
    node_events = [event for event in events if event.get("cat") == "Node" and "output_type_shape" in event["args"]]
    operators = Nodes(model, _inferred(model, arrays), shipped.graph, node_events, batch).operators()
    nodes = list(every_node(model.graph))
    first_dtype, last_dtype = (end.type.removeprefix("tensor(").removesuffix(")") for end in (source, sink))
    return Executed(
        tuple(each for each in operators if each.arithmetic in INTEGERS | FLOATS or each.weights),
        dtype(first_dtype),
        dtype(last_dtype),
        conversions=tuple(f"{node.op_type} {node.name}" for node in nodes if node.op_type in CONVERSIONS),
        transposes=tuple(f"{node.op_type} {node.name}" for node in nodes if node.op_type in TRANSPOSES),
    )


def _make_names_unique(graph: onnx.GraphProto) -> bool:
    """Give each node of a graph and its subgraphs a unique name, because the profiler identifies nodes by name.

    Returns:
        Whether any name changed.
    """
    names: set[str] = set()
    changed = False
    for number, node in enumerate(every_node(graph)):
        if not node.name or node.name in names:
            node.name = f"{node.name or node.op_type}_unnamed_{number}"
            changed = True
        names.add(node.name)
    return changed


def _inferred(model: onnx.ModelProto, arrays: Arrays) -> onnx.ModelProto:
    """Return a model with inferred shapes for a batch; unchanged if it has no `If`, because then every node runs."""
    import onnx

    if not any(node.op_type == "If" for node in every_node(model.graph)):
        return model
    inferred = onnx.ModelProto()
    inferred.CopyFrom(model)
    stored = {initializer.name for initializer in inferred.graph.initializer}
    inputs = [value for value in inferred.graph.input if value.name not in stored]
    for value, array in zip(inputs, arrays, strict=True):
        value.type.CopyFrom(onnx.helper.make_tensor_type_proto(value.type.tensor_type.elem_type, array.shape))
    return onnx.shape_inference.infer_shapes(inferred, data_prop=True)


def session_options(settings: Mapping[str, str]) -> Any:
    """Return session options with the settings that ship with a build; only fatal messages are logged."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    for name, value in settings.items():
        options.add_session_config_entry(name, value)
    return options


def feeds(session: Any, batch: Arrays) -> dict[str, NDArray[Any]]:
    """Return a batch as a dict from a session's input names."""
    return {source.name: array for source, array in zip(session.get_inputs(), batch, strict=True)}


def constants(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield name and value of each stored tensor in a file."""
    import onnx

    for tensor in onnx.load(path).graph.initializer:
        yield tensor.name, onnx.numpy_helper.to_array(tensor)


def _fixed_batch(source: Any) -> int:
    """Return the fixed batch size of a graph, or 1."""
    return source.shape[0] if source.shape and isinstance(source.shape[0], int) else 1
