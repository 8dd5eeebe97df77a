from __future__ import annotations

import numpy as np
import pytest

from bitpick.conversion import litert_file
from bitpick.errors import ModelError


class Runner:
    def __init__(self, inputs, outputs):
        self.get_input_details = lambda: inputs
        self.get_output_details = lambda: outputs


class Interpreter:
    """Three inputs and two outputs, which the file has in another order than its signature."""

    signatures = ("serving_default",)
    names = ("input_0", "input_1", "input_2"), ("output_0", "output_1")
    stored = (1, 2, 0), (1, 0)

    def _details(self, side):
        offset = 10 * side
        quantization = (0.0, 0)
        return [
            {"name": f"t{i}", "index": offset + i, "shape": np.array([1, 2 + i]), "dtype": np.float32,
             "quantization": quantization}
            for i in self.stored[side]
        ]  # fmt: skip

    def get_input_details(self):
        return self._details(0)

    def get_output_details(self):
        return self._details(1)

    def get_signature_list(self):
        return {name: {} for name in self.signatures}

    def get_signature_runner(self, name):
        assert name in self.signatures
        sides = []
        for side in (0, 1):
            by_index = {each["index"]: each for each in self._details(side)}
            sides.append({name: by_index[10 * side + i] for i, name in enumerate(self.names[side])})
        return Runner(*sides)


def test_a_file_is_described_in_the_order_in_which_it_is_run(monkeypatch):
    monkeypatch.setattr(litert_file, "load", lambda _: Interpreter())
    monkeypatch.setattr(litert_file, "_not_finite", lambda _: ())
    told = litert_file.describe("m.tflite")
    assert [shape for _, shape, _ in told["inputs"]] == [[None, 2], [None, 3], [None, 4]]
    assert [shape for _, shape, _ in told["outputs"]] == [[None, 2], [None, 3]]
    inputs, outputs = litert_file.inputs_and_outputs(Interpreter())
    assert [each["index"] for each in (*inputs, *outputs)] == [0, 1, 2, 10, 11]


def test_without_numbers_in_its_signature_a_file_keeps_its_own_order():
    interpreter = Interpreter()
    interpreter.names = ("z", "b", "c"), ("output_0", "output_1")
    assert [each["index"] for side in litert_file.inputs_and_outputs(interpreter) for each in side] == [1, 2, 0, 11, 10]


def dense(path, weights, code="builtinCode", dtype=np.float32):
    """A LiteRT file of one fully connected layer; older converters write the operator's code in another field."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    weights = np.asarray(weights, dtype)
    shapes = {"x": (1, weights.shape[1]), "dense/w": weights.shape, "y": (1, weights.shape[0])}
    graph = schema.SubGraphT()
    for number, (name, shape) in enumerate(shapes.items()):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name.encode(), list(shape), number
        tensor.type = schema.TensorType.FLOAT16 if dtype == np.float16 else schema.TensorType.FLOAT32
        graph.tensors = [*(graph.tensors or ()), tensor]
    operator, operator_code = schema.OperatorT(), schema.OperatorCodeT()
    operator.inputs, operator.outputs = [0, 1, -1], [2]
    setattr(operator_code, code, schema.BuiltinOperator.FULLY_CONNECTED)
    graph.operators, graph.inputs, graph.outputs = [operator], [0], [2]
    model = schema.ModelT()
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], [operator_code]
    model.buffers = [schema.BufferT() for _ in shapes]
    model.buffers[1].data = np.frombuffer(weights.tobytes(), np.uint8)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    return path


@pytest.mark.parametrize("code", ["builtinCode", "deprecatedBuiltinCode"])
def test_weights_that_are_not_finite_are_refused_while_the_file_is_read(tmp_path, code):
    pytest.importorskip("ai_edge_litert")
    weights = np.ones((3, 4))
    assert litert_file.describe(str(dense(tmp_path / "m.tflite", weights, code)))["outputs"] == [
        ("y", [None, 3], "float32")
    ]
    weights[0, :2] = np.nan, np.inf
    with pytest.raises(ModelError, match=r"m\.tflite are NaN or infinite: dense/w \(2 of 12 values\)"):
        litert_file.describe(str(dense(tmp_path / "m.tflite", weights, code)))
    assert list(litert_file._not_finite(dense(tmp_path / "m.tflite", weights, dtype=np.float16))) == [
        ("dense/w", 2, 12)
    ]
