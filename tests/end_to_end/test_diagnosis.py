"""Diagnoses of real networks, one layer of which was made bad to quantize: the truth is known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from bitpick.recipe import Recipe

pytestmark = [pytest.mark.data, pytest.mark.frameworks, pytest.mark.usefixtures("cifar10")]

COMMAND = [sys.executable, "-m", "bitpick"]


def run(command: str, *arguments: object) -> dict:
    line = [*COMMAND, command, *map(str, arguments), "--json"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def sabotaged(out: Path, which: str) -> str:
    """The bundled network with one more channel between two convolutions, which is 0 behind its ReLU, always.

    Args:
        out: the file to write.
        which: the convolution that has large weights for it: the `first`, in that one output channel, or the
            `second`, from it to every output.

    Returns:
        The name of the sabotaged convolution. What the network computes is exactly the same.
    """
    from bitpick.api import bundled_model

    model = onnx.load(bundled_model().with_suffix(".onnx"))
    graph = model.graph
    stored = {i.name: i for i in graph.initializer}
    users = {name: [node for node in graph.node if name in node.input] for node in graph.node for name in node.output}

    def only_user(node: onnx.NodeProto, kind: str) -> onnx.NodeProto | None:
        found = users.get(node.output[0], [])
        return found[0] if [each.op_type for each in found] == [kind] else None

    chains = [(c, only_user(r, "Conv")) for c in graph.node if c.op_type == "Conv" and (r := only_user(c, "Relu"))]
    first, second = next((one, other) for one, other in chains if other is not None)

    def widen(name: str, axis: int, value: float) -> None:
        weight = onnx.numpy_helper.to_array(stored[name])
        shape = [1 if place == axis else size for place, size in enumerate(weight.shape)]
        more = np.concatenate([weight, np.full(shape, value, np.float32)], axis=axis)
        stored[name].CopyFrom(onnx.numpy_helper.from_array(more, name))

    widen(first.input[1], 0, 100.0 if which == "first" else 0.01)
    widen(first.input[2], 0, -1e5)
    widen(second.input[1], 1, 0.0 if which == "first" else 100.0)
    del graph.value_info[:]
    onnx.save(model, out)
    return (first if which == "first" else second).name


def layer(found: dict, name: str) -> dict:
    return next(each for each in found["layers"] if each["name"] == name)


def drop(run: dict, row_id: str) -> float:
    return next(row for row in run["rows"] if row["id"] == row_id)["versus_baseline"]["drop"]


@pytest.mark.shared_store
def test_a_channel_that_takes_the_scale_of_all_others_gets_its_own(tmp_path):
    bad = sabotaged(tmp_path / "m.onnx", "first")
    recipe = "onnxruntime:u8u8-per_tensor-minmax+symmetric_weights"
    done = run(
        "diagnose", tmp_path / "m.onnx", "--recipe", recipe, "--samples", 500, "--apply", "--out", tmp_path / "r"
    )
    found = done["diagnosis"]
    weighted = [each for each in found["layers"] if "weight_sqnr_db" in each]
    assert min(weighted, key=lambda each: each["weight_sqnr_db"])["name"] == bad
    assert max(found["layers"], key=lambda each: each["only_quantized"]["drop"])["name"] == bad
    assert layer(found, bad)["only_quantized"]["drop_interval"][0] > 0.1
    following = Recipe.model_validate(found["next"])
    assert (following.granularity, following.exclude) == ("per_channel", ())
    assert drop(done, recipe) > 0.1
    assert drop(done, found["applied"]) < 0.01


@pytest.mark.shared_store
def test_a_layer_that_no_scale_can_mend_is_left_in_float(tmp_path):
    bad = sabotaged(tmp_path / "m.onnx", "second")
    recipe = "onnxruntime:s8u8-per_channel-minmax"
    folder = tmp_path / "r"
    done = run("diagnose", tmp_path / "m.onnx", "--recipe", recipe, "--samples", 500, "--apply", "--out", folder)
    found = done["diagnosis"]
    worst = max(found["layers"], key=lambda each: each["only_quantized"]["drop"])
    assert worst["name"] == bad
    assert layer(found, bad)["activation_sqnr_db"] < 10
    assert layer(found, bad)["only_float"]["drop"] < 0.02 < 0.1 < found["whole"]["drop"]
    assert found["next"]["exclude"] == [bad]
    assert drop(done, recipe) > 0.1
    assert drop(done, found["applied"]) < 0.01
    assert any("had no part in choosing it" in line and line.endswith("shown.") for line in found["advice"])
    # The file makes the same row in a comparison.
    options = ("--recipe", folder / "next_recipe.yaml", "--target", "host", "--no-bench", "--out", tmp_path / "c")
    again = run("compare", tmp_path / "m.onnx", *options)
    rows = [next(row for row in each["rows"] if row["id"] == found["applied"]) for each in (done, again)]
    assert rows[0]["accuracy"] == rows[1]["accuracy"]
    assert rows[0]["files"][0]["sha256"] == rows[1]["files"][0]["sha256"]
    assert rows[0]["flags"] == []


@pytest.mark.shared_store
def test_the_reference_model(mlperf_model, tmp_path):
    recipe = "onnxruntime:s8u8-per_channel-minmax"
    found = run("diagnose", mlperf_model, "--recipe", recipe, "--samples", 500, "--out", tmp_path / "r")["diagnosis"]
    assert [each["kind"] for each in found["layers"]].count("Conv") == 9
    assert all("only_quantized" in each and "only_float" in each for each in found["layers"])
    assert all(40 < each["weight_sqnr_db"] < 50 for each in found["layers"] if each["kind"] in ("Conv", "Gemm"))
    assert all(15 < each["activation_sqnr_db"] < 40 for each in found["layers"])
    # It is rounded again, though on a grid that is made for what it is the mean of.
    pool = next(each for each in found["layers"] if each["kind"] == "AveragePool")
    assert pool["only_float"]["sqnr_db"] > found["whole"]["sqnr_db"] + 3
    assert "next" not in found  # no drop is shown
    assert len(found["worst"]) == 12
    assert all((tmp_path / "r" / each["image"]).is_file() for each in found["worst"])
