"""LiteRT files: opening them, what they take and give."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from bitpick.datasets.activations import Activations, of_graph
from bitpick.errors import ModelError
from bitpick.library_errors import telling_line
from bitpick.preprocessing import Arrays

_CONVERTED = re.compile(r"^serving_default_|:\d+$")  # what TensorFlow's converter puts around the name of an input


def load(path: Path) -> Any:
    """An interpreter for a LiteRT file.

    Raises:
        ModelError: LiteRT cannot read it, or it keeps a state.
    """
    from ai_edge_litert.interpreter import Interpreter

    _refuse_states(path)
    try:
        interpreter = Interpreter(model_path=str(path))
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        told = telling_line(error)
        foreign = "custom op" in told or "Select TensorFlow op" in told
        raise ModelError(
            f"LiteRT cannot {'run' if foreign else 'read'} {path}: {told}",
            expected="a file with LiteRT's own operators alone" if foreign else "",
            fix="convert the model again without custom operators and SELECT_TF_OPS, or cut it before them"
            if foreign
            else "check that the file was copied whole",
        ) from error
    return interpreter


def _refuse_states(path: Path) -> None:
    """Refuse a file that writes to a variable as it runs: its answer depends on the runs before.

    Variables that are filled once, before the first run, are weights.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.Model.GetRootAs(path.read_bytes(), 0)
        once, writing = set(), set()
        for number in range(model.SubgraphsLength()):
            graph = model.Subgraphs(number)
            for op in (graph.Operators(place) for place in range(graph.OperatorsLength())):
                kind = model.OperatorCodes(op.OpcodeIndex()).BuiltinCode()
                if kind == schema.BuiltinOperator.ASSIGN_VARIABLE:
                    writing.add(number)
                elif kind == schema.BuiltinOperator.CALL_ONCE:
                    told = schema.CallOnceOptions()
                    told.Init(op.BuiltinOptions().Bytes, op.BuiltinOptions().Pos)
                    once.add(told.InitSubgraphIndex())
    except Exception:  # noqa: BLE001 - it is no such file: the interpreter says so in words
        return
    if writing - once:
        raise ModelError(
            f"the model {path} keeps a state from one run to the next (ASSIGN_VARIABLE)",
            expected="a model whose answer depends on its inputs alone",
            fix="convert it again with its states as inputs and outputs",
        )


def ends(interpreter: Any) -> tuple[list[Any], list[Any]]:
    """The inputs and outputs of a file in the model's order: by their numbers in its signature, where it has some."""
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    signatures = interpreter.get_signature_list()
    if len(signatures) != 1 or (len(inputs) == 1 and len(outputs) == 1):
        return inputs, outputs
    runner = interpreter.get_signature_runner(next(iter(signatures)))
    found = []
    for details, known in ((runner.get_input_details(), inputs), (runner.get_output_details(), outputs)):
        numbers = {name: re.search(r"_(\d+)$", name) for name in details}
        if not all(numbers.values()):
            return inputs, outputs
        order = sorted(details, key=lambda name: int(numbers[name][1]))  # type: ignore[index]  # all of them have one
        by_index = {each["index"]: each for each in known}
        found.append([by_index.get(details[name]["index"], details[name]) for name in order])
    return found[0], found[1]


def describe(source: str) -> dict[str, Any]:
    """What a LiteRT file takes and gives, in the form of `onnx_file.describe`."""
    interpreter = load(Path(source))

    def tensors(details: Any, names: list[str]) -> list[tuple[str, list[int | None], str]]:
        # The first axis is the batch, whatever size the file was saved with: the interpreter resizes it.
        pairs = zip(names, details, strict=True)
        return [(name, [None, *(int(n) for n in d["shape"][1:])], _dtype(d)) for name, d in pairs]

    inputs, outputs = ends(interpreter)
    names = [each["name"] for each in inputs]
    plain = [_CONVERTED.sub("", name) for name in names]  # as the user's model calls them
    takes = plain if all(plain) and len({*plain}) == len(plain) else names
    return {"inputs": tensors(inputs, takes), "outputs": tensors(outputs, [each["name"] for each in outputs])}


def is_quantized(source: str) -> bool:
    """Whether a LiteRT file has integers with a scale in it."""
    details = load(Path(source)).get_tensor_details()
    return any(np.issubdtype(d["dtype"], np.integer) and d["quantization_parameters"]["scales"].size for d in details)


def parameters(source: str) -> int:
    """The number of floats that a LiteRT file stores, in its graph and in those inside it."""
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
    """The memory that the tensors of a file take for a sample of its inputs, arrays of shape (1, …)."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # they hide what is inside
    interpreter = Interpreter(model_path=str(path), experimental_op_resolver_type=plain)
    inputs, outputs = ends(interpreter)
    together = int(inputs[0]["shape"][0])
    for end, array in zip(inputs, sample, strict=True):
        interpreter.resize_tensor_input(end["index"], (together, *array.shape[1:]))
    interpreter.allocate_tensors()
    operators = interpreter._get_ops_details()  # noqa: SLF001 - nothing public tells the operators
    steps = [([str(int(i)) for i in op["inputs"]], [str(int(i)) for i in op["outputs"]]) for op in operators]
    known = {name for _, writes in steps for name in writes} | {str(end["index"]) for end in inputs}
    sizes = {
        name: math.prod(map(int, tensor["shape"])) * np.dtype(tensor["dtype"]).itemsize
        for tensor in interpreter.get_tensor_details()
        if (name := str(tensor["index"])) in known
    }
    return of_graph(steps, sizes, [str(end["index"]) for end in outputs], together)


def _dtype(details: Any) -> str:
    """What numbers a tensor stands for: integers with a scale are floats, written in another way."""
    scale, _ = details["quantization"]
    return "float32" if scale else str(details["dtype"].__name__)
