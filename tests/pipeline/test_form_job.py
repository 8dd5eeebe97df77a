from __future__ import annotations

import numpy as np
import onnx
import pytest

from bitpick.datasets.dataset import Samples
from bitpick.executors.inline import InlineExecutor
from bitpick.passes.graph_pass import Applied, Trained
from bitpick.passes.weight_grid import WeightGrid
from bitpick.pipeline.form_job import FUNCTIONS, applicable, count
from bitpick.preprocessing import Preprocessing
from bitpick.recipe import baseline


@pytest.fixture
def counted(tmp_path):
    """What the count says of a graph, for samples of some shape."""

    def found(text: str, samples: np.ndarray, **stored: np.ndarray) -> dict[str, int | None]:
        model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]> g {text}')
        model.graph.initializer.extend(onnx.numpy_helper.from_array(each, name) for name, each in stored.items())
        onnx.save(model, tmp_path / "m.onnx")
        np.save(tmp_path / "x.npy", samples)
        kind = Preprocessing(dtype=samples.dtype.name)
        given = Samples(inputs=(tmp_path / "x.npy",), count=len(samples), sha256="0" * 64, preprocessing=(kind,))
        return count(tmp_path / "m.onnx", baseline("onnxruntime"), given)

    return found


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("length", [3, 12])
def test_a_free_axis_counts_as_long_as_the_data_are(counted, length):
    text = "(int64[N, T] x) => (float[N, T, 5] y) { e = Gather(table, x) h = MatMul(e, a) y = MatMul(h, b) }"
    samples = np.zeros((4, length), np.int64)
    found = counted(text, samples, table=random(50, 8), a=random(8, 7), b=random(7, 5))
    assert found == {"parameters": 50 * 8 + 8 * 7 + 7 * 5, "macs": length * (8 * 7 + 7 * 5)}


def test_work_inside_a_branch_counts(counted):
    text = """(float[N, 3] x) => (float[N, 3] y) {
        s = ReduceSum <keepdims = 0> (x)
        c = Greater(s, zero)
        y = If (c) <
            then_branch = a () => (float[N, 3] t) { t = MatMul(x, w) },
            else_branch = b () => (float[N, 3] e) { e = Relu(x) }
        >
    }"""
    found = counted(text, -np.ones((4, 3), np.float32), w=random(3, 3), zero=np.float32(0))
    assert found == {"parameters": 9 + 1, "macs": 9}


def test_a_part_that_nobody_can_count_leaves_the_work_unknown(counted):
    zeros = ("falsenodeids", "featureids", "missing_value_tracks_true", "nodeids", "treeids", "truenodeids")
    nodes = ", ".join(f"nodes_{name} = [0]" for name in zeros)
    leaf = 'nodes_modes = ["LEAF"], nodes_values = [0.0], nodes_hitrates = [1.0], target_weights = [1.0]'
    target = "n_targets = 1, target_ids = [0], target_nodeids = [0], target_treeids = [0]"
    tree = f"TreeEnsembleRegressor <{nodes}, {leaf}, {target}> (h)"
    text = f"(float[N, 3] x) => (float[N, 1] y) {{ h = MatMul(x, w) y = ai.onnx.ml.{tree} }}"
    assert counted(text, random(4, 3), w=random(3, 3)) == {"parameters": 9, "macs": None}


def test_passes_that_can_prepare_a_graph(tmp_path):
    def found(nodes: str, **stored: np.ndarray) -> list[str]:
        text = (
            f'<ir_version: 8, opset_import: ["" : 17]> g (float[N, 2, 4, 4] x) => (float[N, 2, 1, 1] y) {{ {nodes} }}'
        )
        model = onnx.parser.parse_model(text)
        model.graph.initializer.extend(onnx.numpy_helper.from_array(each, name) for name, each in stored.items())
        onnx.save(model, tmp_path / "m.onnx")
        return applicable(tmp_path / "m.onnx", baseline("onnxruntime"))

    tuning = ["adaround", "bias_correction", "qat"]
    assert found("y = GlobalAveragePool(x)") == sorted([*tuning, "pool_as_mean"])
    unlike = np.diag(np.array([1, 1000], np.float32)).reshape(2, 2, 1, 1)
    pair = "a = Conv(x, w) b = Relu(a) c = Conv(b, v) y = GlobalMaxPool(c)"
    assert found(pair, w=unlike, v=np.ones((2, 2, 1, 1), np.float32)) == sorted([*tuning, "equalize"])
    assert found("y = GlobalMaxPool(x)") == tuning


def test_a_pass_that_fails_can_prepare_nothing_and_fails_nothing_else(tmp_path, monkeypatch):
    def broken(source: str, out: str) -> None:
        raise IndexError

    monkeypatch.setattr("bitpick.passes.pool_as_mean.apply", broken)
    ends = "(float[N, 2, 4, 4] x) => (float[N, 2, 1, 1] y)"
    text = f'<ir_version: 8, opset_import: ["" : 17]> g {ends} {{y = GlobalAveragePool(x)}}'
    model = onnx.parser.parse_model(text)
    onnx.save(model, tmp_path / "m.onnx")
    assert applicable(tmp_path / "m.onnx", baseline("onnxruntime")) == ["adaround", "bias_correction", "qat"]


def test_a_training_that_ended_leaves_no_checkpoint(tmp_path, monkeypatch):
    given, told = [], []

    def trained(source, out, samples, grid, training):
        training.checkpoint.write_text("half way")
        training.report("epoch 1 of 2")
        given.append((samples.count, grid, training.minutes, training.seed, training.evaluation.count))
        return Applied(["a"], trained=Trained(2, 90, 10, True, ""))

    monkeypatch.setattr("bitpick.passes.qat.apply", trained)
    samples = Samples(inputs=(tmp_path / "x.npy",), count=100, sha256="0")
    grid, checkpoint = WeightGrid(7, per_channel=True), tmp_path / "c.pt"
    payload = {
        "source": tmp_path / "m.onnx", "name": "qat", "out": tmp_path / "o.onnx",
        "sets": (samples, samples.head(5)),
        "grid": str(grid), "minutes": 3, "seed": 1, "checkpoint": checkpoint,
    }  # fmt: skip
    value = InlineExecutor().run("qat", f"{FUNCTIONS}:train", payload, told.append).value
    assert given == [(100, grid, 3, 1, 5)]
    assert told == ["epoch 1 of 2"]
    assert (value["notes"], value["samples"]) == (["qat changed 1 layer"], 100)
    assert value["training"] == {"epochs": 2, "samples": 90, "held_out": 10, "labels": True, "changes": ""}
    assert not checkpoint.exists()
