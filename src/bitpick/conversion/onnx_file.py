"""Open ONNX files; read their inputs, outputs and costs; run them, also for the values inside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bitpick.conversion import finite, onnx_passes, onnx_unfused
from bitpick.datasets.activations import Activations, of_graph
from bitpick.errors import ModelError, OperatorError
from bitpick.library_errors import telling_line
from bitpick.models.onnx_traits import declared, dtype_name, inputs_of

if TYPE_CHECKING:
    import onnx
    import onnxruntime

_FLOATS = (1, 10, 11, 16)  # TensorProto's numbers of float32, float16, float64 and bfloat16


def load(path: Path) -> onnx.ModelProto:
    """Read and check an ONNX file; sort its nodes, and write out fused operators of ONNX Runtime.

    Raises:
        ModelError: it is not a valid ONNX model, or it was saved for one kind of CPU.
    """
    import onnx

    try:
        model = onnx.load(path)
        onnx_passes.sort_nodes(model)
        onnx_unfused.spell_out(model, opset_of(model), str(path))
        onnx.checker.check_model(model)
    except ModelError:
        raise
    except Exception as error:
        reason = telling_line(error)
        raise ModelError(
            f"{path} is not a valid ONNX model: {reason}", fix="check that the file was copied whole"
        ) from error
    return model


def fixed_batch(model: onnx.ModelProto) -> int | None:
    """Return the batch size that a model was exported for, taken from its first input; None if it accepts any."""
    dims = model.graph.input[0].type.tensor_type.shape.dim if model.graph.input else ()
    return dims[0].dim_value or None if dims else None


def opset_of(model: onnx.ModelProto) -> int:
    """Return the opset of the standard domain that a model uses."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def describe(source: str) -> dict[str, Any]:
    """Describe the inputs and outputs of an ONNX file: `{"inputs": …, "outputs": …}`, lists of `(name, shape, dtype)`.

    Unknown dimensions are None.

    Raises:
        ModelError: it is not a valid ONNX model, or some of its weights are not finite.
    """
    import onnx

    original = load(Path(source))
    finite.refuse(Path(source).name, finite.of_onnx(original))
    model = onnx.shape_inference.infer_shapes(original)

    def tensors(values: Iterable[Any]) -> list[tuple[str, list[int | None] | None, str]]:
        return [(value.name, _fixed_sizes(value), dtype_name(value.type.tensor_type.elem_type)) for value in values]

    return {"inputs": tensors(inputs_of(model.graph)), "outputs": tensors(model.graph.output)}


def _fixed_sizes(value: onnx.ValueInfoProto) -> list[int | None] | None:
    """Return the declared shape, with None for a free dimension; None if no shape is declared."""
    sizes = declared(value)
    return None if sizes is None else [size if isinstance(size, int) else None for size in sizes]


def parameters(source: str) -> int:
    """Count the floats that an ONNX file stores, in its graph and its subgraphs."""
    import onnx

    def stored(graph: onnx.GraphProto) -> int:
        floats = (i for i in graph.initializer if i.data_type in _FLOATS)
        inner = (a.g for node in graph.node for a in node.attribute if a.HasField("g"))
        return sum(int(math.prod(i.dims)) for i in floats) + sum(map(stored, inner))

    return stored(onnx.load(source).graph)


def activations(path: Path, sample: Sequence[np.ndarray]) -> Activations:
    """Measure the memory that the tensors of a graph take for one sample, by running it.

    Args:
        path: the ONNX file.
        sample: an array of shape (1, …) for each input.
    """
    model = load(path)
    count = fixed_batch(model) or 1
    batch = [np.repeat(each, count, axis=0) for each in sample]
    sizes = {name: array.nbytes for name, array in intermediates(model, batch).items()}
    sizes |= {value.name: array.nbytes for value, array in zip(inputs_of(model.graph), batch, strict=True)}
    steps = [(node.input, node.output) for node in model.graph.node]
    return of_graph(steps, sizes, [value.name for value in model.graph.output], count)


def intermediates(model: onnx.ModelProto, inputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Return every float tensor that a graph computes for a batch, in the graph's order, without any optimisation."""
    return next(all_intermediates(model, [inputs]))


def all_intermediates(
    model: onnx.ModelProto, batches: Iterable[Sequence[np.ndarray]]
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the `intermediates` of one batch after another."""
    import onnx

    model = onnx.shape_inference.infer_shapes(model)
    outputs = {v.name for v in model.graph.output}
    floats = {v.name for v in model.graph.value_info if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    model.graph.output.extend(v for v in model.graph.value_info if v.name in floats - outputs)
    names = [name for node in model.graph.node for name in node.output if name in floats | outputs]
    session = _session(model)
    for inputs in batches:
        yield dict(zip(names, session.run(names, _feed(session, inputs)), strict=True))


def open_session(
    model: onnx.ModelProto, name: str, options: onnxruntime.SessionOptions | None = None
) -> onnxruntime.InferenceSession:
    """Open a model in ONNX Runtime.

    Args:
        model: the model.
        name: the model's name in messages.
        options: the session's options.

    Raises:
        OperatorError: ONNX Runtime does not know an operator, or refuses the graph.
    """
    import onnxruntime as ort

    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise OperatorError(
            f"ONNX Runtime cannot load {name} (opset {opset_of(model)}): {telling_line(error)}",
            expected="a model of standard ONNX operators that ONNX Runtime runs",
            fix="export the model again without what the message names, or give the model that it was exported from",
        ) from error


def run(model: onnx.ModelProto, inputs: Sequence[np.ndarray], names: Sequence[str] | None = None) -> list[np.ndarray]:
    """Run a model on a batch without any optimisation; return all outputs, or those with the given names."""
    session = _session(model)
    outputs: list[np.ndarray] = session.run(names, _feed(session, inputs))
    return outputs


def _session(model: onnx.ModelProto) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _feed(session: Any, inputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return {source.name: array for source, array in zip(session.get_inputs(), inputs, strict=True)}


def run_node(node: onnx.NodeProto, values: Mapping[str, np.ndarray], opset: int) -> tuple[np.ndarray, ...]:
    """Compute the outputs of a node with ONNX's own reference implementation.

    Args:
        node: the node, of the standard domain.
        values: arrays by tensor name, including all inputs of the node.
        opset: the version of its operator set.

    Returns:
        Each output that has a name.
    """
    import onnx
    from onnx.reference import ReferenceEvaluator

    helper = onnx.helper
    inputs = {name: values[name] for name in node.input if name}
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in inputs.items()
        ],
        [helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in node.output if name],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    return tuple(np.asarray(each) for each in ReferenceEvaluator(model).run(None, inputs))


def random_inputs(model: onnx.ModelProto, free: int) -> list[np.ndarray]:
    """Return an array for each input of a model without stored inputs: normal floats, or zeros for integers.

    Args:
        model: the model.
        free: the size of its free dimensions.
    """
    rng = np.random.default_rng(0)
    arrays = []
    for value in model.graph.input:
        dtype = np.dtype(dtype_name(value.type.tensor_type.elem_type))
        shape = [free if size is None else size for size in _fixed_sizes(value) or ()]
        arrays.append((rng.normal(size=shape) if np.issubdtype(dtype, np.floating) else np.zeros(shape)).astype(dtype))
    return arrays


def read_inputs(path: str) -> list[np.ndarray]:
    """Read the batch in an `.npz` file: an array for each input, in the graph's order."""
    with np.load(path) as file:
        return [file[f"arr_{i}"] for i in range(len(file.files))]
