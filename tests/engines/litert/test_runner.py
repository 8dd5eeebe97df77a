from __future__ import annotations

import numpy as np
import pytest

from bitpick.engines import c_array
from bitpick.engines.litert import runner
from tests.engines.litert.files import Graph, Tensor, op, stored, write

pytestmark = pytest.mark.frameworks
pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install 'bitpick[litert]'")


def opened(path):
    return runner.Build(path.parent, [path.name], {}, 1)


def test_integer_ends_are_rounded_by_their_scale_and_cut_off_at_the_last_integer(tmp_path):
    grid = {"dtype": np.int8, "scales": (0.5,), "zeros": (3,)}
    tensors = [Tensor("x", (1, 4), **grid), stored("shape", np.int32([1, 4])), Tensor("y", (1, 4), **grid)]
    build = opened(write(tmp_path / "m.tflite", Graph(tensors, [op("RESHAPE", "x shape -> y")], "x", "y")))
    native = build.prepare([np.array([[1.1, 0, -1000, 1000]], np.float32)])
    assert [(each.dtype, each.tolist()) for each in native] == [(np.dtype(np.int8), [[5, 3, -128, 127]])]
    (found,) = build.outputs(build.run(native))
    assert found.tolist() == [[1, 0, -65.5, 62]]


def test_whole_numbers_without_a_scale_stay_what_they_are(tmp_path):
    tensors = [Tensor("x", (1, 2), dtype=np.int32), stored("t", np.arange(12, dtype=np.float32).reshape(4, 3))]
    graph = Graph([*tensors, Tensor("y", (1, 2, 3))], [op("GATHER", "t x -> y")], "x", "y")
    build = opened(write(tmp_path / "m.tflite", graph))
    (found,) = build.outputs(build.run(build.prepare([np.array([[3, 0]], np.int64)])))
    assert found.tolist() == [[[9, 10, 11], [0, 1, 2]]]


@pytest.mark.parametrize(
    ("names", "order"), [(("in_1", "in_0", "out_1", "out_0"), "ab"), (("beta", "alpha", "out_1", "out_0"), "ba")]
)
def test_ends_are_in_the_order_of_the_numbers_in_the_signature_where_it_has_some(tmp_path, names, order):
    tensors = [Tensor("b", (4, 2)), Tensor("a", (4, 2)), Tensor("sum", (4, 2)), Tensor("top", (4, 2))]
    graph = Graph(tensors, [op("ADD", "a b -> sum"), op("RELU", "b -> top")], "b a", "sum top")
    signature = dict(zip(("b", "a", "sum", "top"), names, strict=True))
    build = opened(write(tmp_path / "m.tflite", graph, signature=signature))
    assert build.batch == 4
    assert "".join(each["name"] for each in build.sources) == order
    a, b = np.full((4, 2), 3, np.float32), np.full((4, 2), -5, np.float32)
    found = build.outputs(build.run(build.prepare([a, b] if order == "ab" else [b, a])))
    assert [float(each[0, 0]) for each in found] == ([0, -2] if order == "ab" else [-2, 0])


def test_a_build_ships_with_its_c_array_unless_it_is_too_large_for_one(tmp_path, monkeypatch):
    file = tmp_path / "model.tflite"
    file.write_bytes(bytes(range(40)))
    assert any("0x27" in text for text in runner.companions(file).values())
    monkeypatch.setattr(c_array, "LARGEST", 39)
    assert runner.companions(file) == {}
