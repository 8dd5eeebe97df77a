"""Every evaluation sample gets an answer of its own, in every engine, whatever batch the model takes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import bitpick
from bitpick.engines.registry import engines
from tests.kept import use_executor

COUNT = 61  # no multiple of what a model below takes at once
RNG = np.random.default_rng(0)
WEIGHTS = {
    "w": RNG.normal(size=(4, 3, 3)).astype(np.float32) / 3,
    "v": RNG.normal(size=(4 * 6, 5)).astype(np.float32) / 5,
}
RECIPES = [f"{name}:float32" for name in engines() if name != "keras"]
QUANTIZED = [
    "onnxruntime:s8u8-per_channel-minmax",
    "pytorch_fx:s8u8-per_channel-histogram",
    "litert:s8s8-per_channel-minmax",
]


def network(path, nodes, shape, out, **stored):
    graph = helper.make_graph(
        [helper.make_node(kind, ends.split(), [sink], sink, **more) for kind, ends, sink, more in nodes],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in (WEIGHTS | stored).items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def alone(path):
    """Takes one sample, without a batch axis."""
    nodes = [
        ("Unsqueeze", "x zero", "u", {}),
        ("Conv", "u w", "c", {}),
        ("Relu", "c", "r", {}),
        ("Flatten", "r", "f", {}),
        ("MatMul", "f v", "m", {}),
        ("Squeeze", "m zero", "y", {}),
    ]
    return network(path, nodes, [3, 8], [5], zero=np.array([0]))


def in_fours(path):
    """Takes four samples at once: that size is in its graph."""
    nodes = [
        ("Conv", "x w", "c", {}),
        ("Relu", "c", "r", {}),
        ("Reshape", "r flat", "f", {}),
        ("MatMul", "f v", "m", {}),
        ("Add", "m rows", "y", {}),
    ]
    rows = np.zeros((4, 1), np.float32)
    return network(path, nodes, [4, 3, 8], [4, 5], flat=np.array([4, 24]), rows=rows)


@pytest.mark.frameworks
@pytest.mark.parametrize("make", [alone, in_fours])
def test_every_sample_is_judged_by_its_own_answer(make, tmp_path, workers):
    path = make(tmp_path / "m.onnx")
    samples = RNG.normal(size=(COUNT, 3, 8)).astype(np.float32)
    samples *= np.linspace(1, 20, COUNT, dtype=np.float32)[:, None, None]  # so that no two answers are alike
    run = ReferenceEvaluator(str(path))
    repeats = 1 if make is alone else 4
    expected = []
    for sample in samples:
        (found,) = run.run(None, {"x": sample if make is alone else np.repeat(sample[None], repeats, axis=0)})
        expected.append(found if make is alone else found[0])
    data = {"calibration": RNG.normal(size=(40, 3, 8)).astype(np.float32) * 20, "evaluation": samples}
    recipes, out = [*RECIPES, *QUANTIZED], tmp_path / "run"
    with use_executor(workers, tmp_path / "cache"):
        comparison = bitpick.compare(
            path, data, recipes=recipes, task="deviation", bench_seconds=0, targets=["host"], out=out
        )
    rows = {row.id: row for row in comparison.rows}
    assert {name: row.reason for name, row in rows.items() if row.status != "ok"} == {}
    assert set(rows) >= {*RECIPES, *QUANTIZED}
    for row in rows.values():
        with np.load(out / "builds" / row.id.replace(":", "__") / "predictions.npz") as arrays:
            outputs, answers = arrays["output0"], arrays["predictions"]
        assert row.samples == len(outputs) == len(answers) == COUNT
        scale = np.abs(expected).max()
        limit = 1e-5 * scale if row.kind == "baseline" else 0.05 * scale
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=limit)
