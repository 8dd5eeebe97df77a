"""What ONNX Runtime executes: the graph it optimised for this machine, with the shapes of one run through it."""

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
    """Read off what ONNX Runtime executes for a file and a sample, with the settings that the build ships with."""
    import onnx
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        options = session_options(settings)
        options.optimized_model_filepath = f"{folder}/optimized.onnx"
        options.enable_profiling = True
        options.profile_file_prefix = f"{folder}/profile"
        shipped = onnx.load(path)
        file = shipped.SerializeToString() if _name_apart(shipped.graph) else path
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        source = session.get_inputs()[0]
        batch = _fixed_batch(source)
        arrays = tuple(np.repeat(each, batch, axis=0) for each in sample)
        session.run(None, fed(session, arrays))
        events = json.loads(Path(session.end_profiling()).read_text())
        model = onnx.load(options.optimized_model_filepath)
        sink = session.get_outputs()[0]
    ran = [event for event in events if event.get("cat") == "Node" and "output_type_shape" in event["args"]]
    operators = Nodes(model, _inferred(model, arrays), shipped.graph, ran, batch).operators()
    nodes = list(every_node(model.graph))
    first, last = (end.type.removeprefix("tensor(").removesuffix(")") for end in (source, sink))
    return Executed(
        tuple(each for each in operators if each.arithmetic in INTEGERS | FLOATS or each.weights),
        dtype(first),
        dtype(last),
        conversions=tuple(f"{node.op_type} {node.name}" for node in nodes if node.op_type in CONVERSIONS),
        transposes=tuple(f"{node.op_type} {node.name}" for node in nodes if node.op_type in TRANSPOSES),
    )


def _name_apart(graph: onnx.GraphProto) -> bool:
    """Give each node of a graph, and of those inside, a name of its own: by that the profiler tells of it.

    Returns:
        Whether there was anything to do.
    """
    taken: set[str] = set()
    changed = False
    for number, node in enumerate(every_node(graph)):
        if not node.name or node.name in taken:
            node.name = f"{node.name or node.op_type}_unnamed_{number}"
            changed = True
        taken.add(node.name)
    return changed


def _inferred(model: onnx.ModelProto, arrays: Arrays) -> onnx.ModelProto:
    """A model with the shapes that are known without a run, for a batch; the model itself where all of it runs."""
    import onnx

    if not any(node.op_type == "If" for node in every_node(model.graph)):
        return model
    known = onnx.ModelProto()
    known.CopyFrom(model)
    stored = {initializer.name for initializer in known.graph.initializer}
    inputs = [value for value in known.graph.input if value.name not in stored]
    for value, array in zip(inputs, arrays, strict=True):
        value.type.CopyFrom(onnx.helper.make_tensor_type_proto(value.type.tensor_type.elem_type, array.shape))
    return onnx.shape_inference.infer_shapes(known, data_prop=True)


def session_options(settings: Mapping[str, str]) -> Any:
    """The options of a session with the settings that a build ships with, quiet but for what is fatal."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    for name, value in settings.items():
        options.add_session_config_entry(name, value)
    return options


def fed(session: Any, batch: Arrays) -> dict[str, NDArray[Any]]:
    """A batch by the names of a session's inputs."""
    return {source.name: array for source, array in zip(session.get_inputs(), batch, strict=True)}


def constants(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Each stored tensor of a file, by its name."""
    import onnx

    for tensor in onnx.load(path).graph.initializer:
        yield tensor.name, onnx.numpy_helper.to_array(tensor)


def _fixed_batch(source: Any) -> int:
    """The batch size that a graph insists on, or 1."""
    return source.shape[0] if source.shape and isinstance(source.shape[0], int) else 1
