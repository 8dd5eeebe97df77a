from __future__ import annotations

import numpy as np

from bitpick.conversion import litert_file


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
    told = litert_file.describe("m.tflite")
    assert [shape for _, shape, _ in told["inputs"]] == [[None, 2], [None, 3], [None, 4]]
    assert [shape for _, shape, _ in told["outputs"]] == [[None, 2], [None, 3]]
    inputs, outputs = litert_file.inputs_and_outputs(Interpreter())
    assert [each["index"] for each in (*inputs, *outputs)] == [0, 1, 2, 10, 11]


def test_without_numbers_in_its_signature_a_file_keeps_its_own_order():
    interpreter = Interpreter()
    interpreter.names = ("z", "b", "c"), ("output_0", "output_1")
    assert [each["index"] for side in litert_file.inputs_and_outputs(interpreter) for each in side] == [1, 2, 0, 11, 10]
