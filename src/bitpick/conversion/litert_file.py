"""Open LiteRT files; read their inputs, outputs and costs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bitpick.conversion import finite
from bitpick.datasets.activations import Activations, of_graph
from bitpick.errors import ModelError
from bitpick.library_errors import telling_line
from bitpick.preprocessing import Arrays

_WEIGHTED = ("BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "FULLY_CONNECTED", "TRANSPOSE_CONV")
_CONVERTED = re.compile(r"^serving_default_|:\d+$")  # what TensorFlow's converter adds to an input's name


def load(path: Path) -> Any:
    """Return an interpreter for a LiteRT file.

    Raises:
        ModelError: LiteRT cannot read the file, or the model keeps a state.
    """
    from ai_edge_litert.interpreter import Interpreter

    _refuse_states(path)
    try:
        interpreter = Interpreter(model_path=str(path))
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = telling_line(error)
        foreign = "custom op" in reason or "Select TensorFlow op" in reason
        raise ModelError(
            f"LiteRT cannot {'run' if foreign else 'read'} {path}: {reason}",
            expected="a file with LiteRT's own operators alone" if foreign else "",
            fix="convert the model again without custom operators and SELECT_TF_OPS, or cut it before them"
            if foreign
            else "check that the file was copied whole",
        ) from error
    return interpreter


def _refuse_states(path: Path) -> None:
    """Refuse a file that writes to a variable as it runs: its outputs depend on earlier runs.

    Variables that are filled once, before the first run, are weights.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.Model.GetRootAs(path.read_bytes(), 0)
        once, writing = set(), set()
        for number in range(model.SubgraphsLength()):
            graph = model.Subgraphs(number)
            for op in (graph.Operators(index) for index in range(graph.OperatorsLength())):
                code = model.OperatorCodes(op.OpcodeIndex()).BuiltinCode()
                if code == schema.BuiltinOperator.ASSIGN_VARIABLE:
                    writing.add(number)
                elif code == schema.BuiltinOperator.CALL_ONCE:
                    options = schema.CallOnceOptions()
                    options.Init(op.BuiltinOptions().Bytes, op.BuiltinOptions().Pos)
                    once.add(options.InitSubgraphIndex())
    except Exception:  # noqa: BLE001 - not a LiteRT file: the interpreter reports that
        return
    if writing - once:
        raise ModelError(
            f"the model {path} keeps a state from one run to the next (ASSIGN_VARIABLE)",
            expected="a model whose answer depends on its inputs alone",
            fix="convert it again with its states as inputs and outputs",
        )


def inputs_and_outputs(interpreter: Any) -> tuple[list[Any], list[Any]]:
    """Return the inputs and outputs in the model's order: by the numbers in the signature's names, if there are any."""
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    signatures = interpreter.get_signature_list()
    if len(signatures) != 1 or (len(inputs) == 1 and len(outputs) == 1):
        return inputs, outputs
    runner = interpreter.get_signature_runner(next(iter(signatures)))
    ordered = []
    for details, tensors in ((runner.get_input_details(), inputs), (runner.get_output_details(), outputs)):
        numbers = {name: re.search(r"_(\d+)$", name) for name in details}
        if not all(numbers.values()):
            return inputs, outputs
        order = sorted(details, key=lambda name: int(numbers[name][1]))  # type: ignore[index]  # all of them have one
        by_index = {each["index"]: each for each in tensors}
        ordered.append([by_index.get(details[name]["index"], details[name]) for name in order])
    return ordered[0], ordered[1]


def describe(source: str) -> dict[str, Any]:
    """Describe the inputs and outputs of a LiteRT file, in the form of `onnx_file.describe`.

    Raises:
        ModelError: LiteRT cannot read the file, or some of its weights are not finite.
    """
    interpreter = load(Path(source))
    finite.refuse(Path(source).name, _not_finite(Path(source)))

    def tensors(details: Any, names: list[str]) -> list[tuple[str, list[int | None], str]]:
        # The first axis is the batch, whatever size the file was saved with: the interpreter resizes it.
        pairs = zip(names, details, strict=True)
        return [(name, [None, *(int(n) for n in d["shape"][1:])], _dtype(d)) for name, d in pairs]

    inputs, outputs = inputs_and_outputs(interpreter)
    names = [each["name"] for each in inputs]
    short_names = [_CONVERTED.sub("", name) for name in names]  # as the user's model calls them
    input_names = short_names if all(short_names) and len({*short_names}) == len(short_names) else names
    return {"inputs": tensors(inputs, input_names), "outputs": tensors(outputs, [each["name"] for each in outputs])}


def _not_finite(path: Path) -> Iterator[finite.NotFinite]:
    """Yield the weights in a LiteRT file that are not finite."""
    from ai_edge_litert import schema_py_generated as schema

    weighted = {getattr(schema.BuiltinOperator, name) for name in _WEIGHTED}
    dtypes = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.FLOAT16: np.float16}
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    for graph in model.subgraphs:
        codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes or ()]
        operators = [op for op in graph.operators or () if codes[op.opcodeIndex] in weighted]
        for number in sorted({int(place) for op in operators for place in op.inputs if place >= 0}):
            tensor = graph.tensors[number]
            data = model.buffers[tensor.buffer].data
            if tensor.type in dtypes and data is not None and len(data):
                finite_values = np.isfinite(np.frombuffer(bytes(data), dtypes[tensor.type]))
                if not finite_values.all():
                    yield tensor.name.decode(errors="replace"), int((~finite_values).sum()), finite_values.size


def is_quantized(source: str) -> bool:
    """Return whether a LiteRT file has integer tensors with a scale."""
    details = load(Path(source)).get_tensor_details()
    return any(np.issubdtype(d["dtype"], np.integer) and d["quantization_parameters"]["scales"].size for d in details)


def parameters(source: str) -> int:
    """Count the floats that a LiteRT file stores, in its graph and its subgraphs."""
    from ai_edge_litert import schema_py_generated as schema

    load(Path(source))
    model = schema.ModelT.InitFromPackedBuf(Path(source).read_bytes(), 0)
    floats = {schema.TensorType.FLOAT32, schema.TensorType.FLOAT16, schema.TensorType.FLOAT64}
    sizes = {
        tensor.buffer: math.prod(map(int, tensor.shape))
        for graph in model.subgraphs
        for tensor in graph.tensors
        if tensor.type in floats and (data := model.buffers[tensor.buffer].data) is not None and len(data)
    }
    return sum(sizes.values())


def activations(path: Path, sample: Arrays) -> Activations:
    """Measure the memory that the tensors of a file take for one sample, given as arrays of shape (1, …)."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # delegates hide the inner tensors
    interpreter = Interpreter(model_path=str(path), experimental_op_resolver_type=resolver)
    inputs, outputs = inputs_and_outputs(interpreter)
    count = int(inputs[0]["shape"][0])
    for end, array in zip(inputs, sample, strict=True):
        interpreter.resize_tensor_input(end["index"], (count, *array.shape[1:]))
    interpreter.allocate_tensors()
    operators = interpreter._get_ops_details()  # noqa: SLF001 - no public API lists the operators
    steps = [([str(int(i)) for i in op["inputs"]], [str(int(i)) for i in op["outputs"]]) for op in operators]
    names = {name for _, writes in steps for name in writes} | {str(end["index"]) for end in inputs}
    sizes = {
        name: math.prod(map(int, tensor["shape"])) * np.dtype(tensor["dtype"]).itemsize
        for tensor in interpreter.get_tensor_details()
        if (name := str(tensor["index"])) in names
    }
    return of_graph(steps, sizes, [str(end["index"]) for end in outputs], count)


def _dtype(details: Any) -> str:
    """Return the dtype of the values that a tensor represents: integers with a scale represent floats."""
    scale, _ = details["quantization"]
    return "float32" if scale else str(details["dtype"].__name__)
