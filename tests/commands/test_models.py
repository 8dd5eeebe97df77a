"""Models of every kind on the command line: what each needs, and what is said where it is missing."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bitpick.api import bundled_model
from tests.commands.command import QUICK, bitpick
from tests.conftest import linear_model, skip_or_fail

pytestmark = pytest.mark.frameworks

NETS = """
import torch

def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 10))
"""
READING = """

def trained():
    module = build()
    with torch.no_grad():
        next(iter(module.parameters())).add_(float(open("bias.txt").read()))
    return module
"""


def quantized(path):
    """A linear model with its input quantized and dequantized."""
    model = onnx.load(linear_model(path, shape=(32, 32, 3), classes=10))
    model.graph.node[0].input[0] = "dq"
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"], "dequantize"))
    model.graph.node.insert(0, helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q"], "quantize"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1), "s"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.uint8(0), "z"))
    onnx.save(model, path)
    return path


def test_a_quantized_model_is_evaluated_and_not_quantized_again(place):
    path = quantized(place / "q.onnx")
    refused = bitpick(place, "compare", path, "--no-bench", "--out", "run")
    assert refused.returncode == 2
    assert "is quantized already" in refused.stderr
    assert f"bitpick evaluate {path}" in refused.stderr
    assert not (place / "run").exists()
    done = bitpick(place, "evaluate", path, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "ok"


def test_half_precision_is_compared_in_float32(place):
    weight = np.random.default_rng(0).normal(size=(3072, 10)).astype(np.float16) / 100
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"], "net/flatten/Flatten"),
        helper.make_node("MatMul", ["flat", "w"], ["scores"], "net/dense/MatMul"),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT16, ["n", 32, 32, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT16, ["n", 10])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), place / "h.onnx")
    options = ["--accept-baseline", "--recipe", "onnxruntime:s8dynamic", *QUICK]
    done = bitpick(place, "compare", "h.onnx", *options)
    assert done.returncode == 0, done.stderr
    assert {row["status"] for row in json.loads(done.stdout)["rows"]} == {"ok"}
    again = bitpick(place, "compare", "h.onnx", *options)
    assert again.returncode == 0, again.stderr


def test_a_function_that_returns_a_module_needs_trust_and_lies_in_the_current_folder(place):
    (place / "my_nets.py").write_text(NETS)
    refused = bitpick(place, "evaluate", "my_nets:build")
    assert refused.returncode == 2
    assert "--trust-model" in refused.stderr
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        skip_or_fail("onnxscript", "onnxscript is not installed")
    options = ["--trust-model", "--accept-baseline", "--recipe", "onnxruntime:s8dynamic", *QUICK]
    done = bitpick(place, "compare", "my_nets:build", *options)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert run["model"]["format"] == "exported"
    assert {row["status"] for row in run["rows"]} == {"ok"}
    again = bitpick(place, "compare", "my_nets:build", *options)
    assert json.loads(again.stdout)["rows"] == run["rows"]
    row = bitpick(place, "evaluate", "my_nets:build", "--trust-model", "--json")
    assert row.returncode == 0, row.stderr
    (baseline,) = (each for each in run["rows"] if each["id"] == "onnxruntime:float32")
    assert json.loads(row.stdout)["accuracy"]["correct"] == pytest.approx(baseline["accuracy"]["correct"], abs=2)
    pair = ("my_nets:build", "my_nets:build", "--processes", 1, "--pairs", 2)
    assert "--trust-model" in bitpick(place, "bench", *pair).stderr
    timed = bitpick(place, "bench", *pair, "--trust-model")
    assert timed.returncode == 0, timed.stderr
    # What the function reads is in no digest: other weights of the same code must not find the old results.
    (place / "my_nets.py").write_text(NETS + READING)
    (place / "bias.txt").write_text("0.0")
    reading = ["reading" if each == "run" else each for each in options]
    assert bitpick(place, "compare", "my_nets:trained", *reading).returncode == 0
    (place / "bias.txt").write_text("1.0")
    other = bitpick(place, "compare", "my_nets:trained", *reading)
    assert other.returncode == 2
    assert "is not what it was when the run in" in other.stderr
    assert bitpick(place, "compare", "my_nets:trained", *reading, "--overwrite").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nets:build", "--trust-model", "--state-dict", "none.pt"], "none.pt of --state-dict does not exist"),
        (["../linear.onnx", "--state-dict", "../linear.onnx"], "which has its own weights"),
        (["../linear.onnx", "--keras-builder", "nets:build"], "needs no --keras-builder"),
        (["no_such_module:build", "--trust-model"], "cannot be imported"),
    ],
)
def test_an_option_that_does_not_fit_is_a_wrong_request(place, arguments, says):
    done = bitpick(place, "compare", *arguments, "--no-bench", "--out", "run")
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert not (place / "run").exists()


@pytest.mark.data
@pytest.mark.usefixtures("cifar10")
def test_a_float_litert_file_is_compared_by_litert_alone(place):
    made = bitpick(place, "convert", bundled_model(), "--to", "litert", "--out", "m.tflite", "--data", "cifar10")
    assert made.returncode == 0, made.stderr
    options = ["--data", "cifar10", "--engine", "litert", "--engine", "onnxruntime", "--recipe", "litert:s8dynamic"]
    done = bitpick(place, "compare", "m.tflite", *options, *QUICK)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert run["model"]["parameters"] > 70_000
    rows = {row["id"]: row for row in run["rows"]}
    assert rows["litert:float32"]["accuracy"]["correct"] == 8934
    assert rows["litert:s8dynamic"]["status"] == "ok"
    assert rows["onnxruntime:float32"]["status"] == "unsupported"
    assert "no conversion goes there from litert" in rows["onnxruntime:float32"]["reason"]
    refused = bitpick(place, "compare", "run/builds/litert__s8dynamic/model.tflite", "--no-bench", "--out", "again")
    assert refused.returncode == 2
    assert "is quantized already" in refused.stderr
    assert not (place / "again").exists()
