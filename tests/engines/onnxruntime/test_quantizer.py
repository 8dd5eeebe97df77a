from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bitpick.datasets.activations import BATCH_BYTES, Activations
from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import SessionSettings
from bitpick.engines.onnxruntime import quantizer
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.preprocessing import Preprocessing
from bitpick.recipe import Recipe

ENGINE = OnnxRuntimeEngine()


def recipe(text: str) -> Recipe:
    return Recipe.parse(f"onnxruntime:{text}")


@pytest.fixture
def made(model_file, dataset, tmp_path):
    """Build a recipe of the linear model; returns the build and the file's graph."""
    samples = dataset.samples(dataset.calibration)
    ranges = tmp_path / "ranges.json"
    ENGINE.calibrate(model_file, recipe("s8s8-per_tensor-minmax"), samples, ranges)

    def build(text):
        folder = tmp_path / recipe(text).file_name
        folder.mkdir()
        found = ENGINE.build(model_file, recipe(text), samples, ranges, folder)
        return found, onnx.load(found.main).graph

    build.ranges = ranges
    return build


def test_ranges_are_those_of_the_samples(made, dataset):
    table = json.loads(made.ranges.read_text())
    text = json.dumps(table)
    assert "image" in text
    images = np.asarray(dataset.calibration.inputs["image"])
    assert f"{float(images.max())}" in text
    assert not [p.name for p in made.ranges.parent.iterdir() if "augmented" in p.name]


@pytest.mark.parametrize(
    ("text", "weight_type", "activation_type", "most"),
    [
        ("s8s8-per_tensor-minmax", np.int8, np.int8, 127),
        ("s8u8-per_tensor-minmax", np.int8, np.uint8, 127),
        ("u8u8-per_tensor-minmax", np.uint8, np.uint8, 255),
        ("s8u8-per_tensor-minmax+reduced_range", np.int8, np.uint8, 64),
    ],
)
def test_the_file_has_what_the_recipe_asks_for(made, text, weight_type, activation_type, most):
    build, graph = made(text)
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    weights = [a for a in stored.values() if a.dtype == weight_type and a.ndim == 2]
    assert len(weights) == 1
    assert np.abs(weights[0].astype(int)).max() <= most
    assert np.abs(weights[0].astype(int)).max() > most // 2
    quantizers = [n for n in graph.node if n.op_type == "QuantizeLinear"]
    assert {stored[n.input[2]].dtype for n in quantizers} == {np.dtype(activation_type)}
    assert build.files == ("model.onnx",)


def test_per_channel_has_a_scale_for_each_channel(made):
    for text, count in (("s8u8-per_tensor-minmax", 1), ("s8u8-per_channel-minmax", 4)):
        _, graph = made(text)
        stored = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
        weight = next(name for name, a in stored.items() if a.dtype == np.int8 and a.ndim == 2)
        dequantize = next(n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] == weight)
        assert stored[dequantize.input[1]].size == count


@pytest.fixture
def with_an_outlier(dataset, tmp_path):
    """Calibration images of small values, one of which has a single bright value."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (400, 4, 4, 3), dtype=np.uint8)
    images[7, 1, 2, 0] = 250
    np.save(tmp_path / "outlier.npy", images)
    return dataset.samples(dataset.calibration).model_copy(
        update={"inputs": (tmp_path / "outlier.npy",), "sha256": "outlier"}
    )


def test_the_methods_give_different_ranges_on_a_tensor_with_an_outlier(model_file, with_an_outlier, tmp_path):
    from onnxruntime.quantization.calibrate import load_tensors_data

    highs = {}
    for method in ("minmax", "moving_average", "percentile99.9", "entropy"):
        out = tmp_path / f"{method}.json"
        ENGINE.calibrate(model_file, recipe(f"s8u8-per_tensor-{method}"), with_an_outlier, out)
        found = load_tensors_data(out)
        data = found[0] if isinstance(found, tuple) else found
        highs[method] = float(np.max(data["image"].range_value[1]))
    assert highs["minmax"] == 250
    assert highs["entropy"] == 250  # whole numbers up to 250 lose nothing on 256 levels
    assert highs["moving_average"] == pytest.approx((7 * 39 + 250) / 8, abs=1)  # the mean of eight batches of 50
    assert highs["percentile99.9"] < 45


@pytest.mark.parametrize("method", ["minmax", "moving_average"])
def test_ranges_do_not_depend_on_how_many_samples_fit_into_memory(model_file, with_an_outlier, tmp_path, method):
    found = []
    for total in (1, BATCH_BYTES // 14, BATCH_BYTES):  # batches of 50, of 5 and of 1
        need = Activations(peak=1, total=total)
        samples = with_an_outlier.model_copy(update={"activations": need})
        out = tmp_path / f"{method}-{total}.json"
        ENGINE.calibrate(model_file, recipe(f"s8u8-per_tensor-{method}"), samples, out)
        found.append({name: each["highest"] for name, each in json.loads(out.read_text())["data"].items()})
    whole, *others = ({name: np.max(high["data"]) for name, high in each.items()} for each in found)
    for each in others:
        assert each == pytest.approx(whole, rel=1e-6)


def test_options_are_honoured(made):
    _, graph = made("s8u8-per_channel-minmax+qoperator")
    assert {"QLinearConv", "QGemm"} & {node.op_type for node in graph.node}
    _, graph = made("u8u8-per_tensor-minmax+symmetric_weights")
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    weight = next(name for name, a in stored.items() if a.dtype == np.uint8 and a.ndim == 2)
    dequantize = next(n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] == weight)
    assert stored[dequantize.input[2]] in (127, 128)
    _, graph = made("s8s8-per_tensor-minmax+symmetric_activations")
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    zero_points = {int(stored[n.input[2]]) for n in graph.node if n.op_type == "QuantizeLinear"}
    assert zero_points == {0}


def attention(path, mask):
    """Scores of 16 tokens with each other, some of them masked, then what they attend to, and its classes."""
    rng = np.random.default_rng(0)
    infinite = not np.isfinite(mask)
    stored = {
        "w": rng.normal(0, 0.5, (8, 8)), "o": rng.normal(0, 0.5, (8, 4)), "one": [1], "half": [0.5], "c": [mask],
        "axes": np.array([1]),
    }  # fmt: skip
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["q"], "q"),
        helper.make_node("Transpose", ["x"], ["t"], "t", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "t"], ["s"], "scores"),
        helper.make_node("Unsqueeze", ["kept", "axes"], ["k"], "unsqueeze"),
        *(
            [
                helper.make_node("Greater", ["k", "half"], ["g"], "greater"),
                helper.make_node("Where", ["g", "s", "c"], ["m"], "mask"),
            ]
            if infinite
            else [
                helper.make_node("Sub", ["one", "k"], ["i"], "inverse"),
                helper.make_node("Mul", ["i", "c"], ["f"], "far"),
                helper.make_node("Add", ["s", "f"], ["m"], "mask"),
            ]
        ),
        helper.make_node("Softmax", ["m"], ["p"], "softmax", axis=-1),
        helper.make_node("MatMul", ["p", "x"], ["a"], "attend"),
        helper.make_node("ReduceMean", ["a"], ["r"], "mean", axes=[1], keepdims=0),
        helper.make_node("MatMul", ["r", "o"], ["y"], "classes"),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", ["n", 16, 8]), ("kept", ["n", 16]), ("y", ["n", 4]))
    ]
    arrays = [
        onnx.numpy_helper.from_array(np.asarray(each, np.int64 if name == "axes" else np.float32), name)
        for name, each in stored.items()
    ]
    graph = helper.make_graph(nodes, "attention", ends[:2], ends[2:], arrays)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.parametrize("mask", [-1e4, float(np.finfo(np.float32).min), -np.inf])
@pytest.mark.parametrize("method", ["minmax", "percentile99.99"])
def test_what_a_mask_blows_up_stays_in_float(tmp_path, mask, method):
    attention(tmp_path / "m.onnx", mask)
    rng = np.random.default_rng(1)
    np.save(tmp_path / "x.npy", rng.normal(size=(200, 16, 8)).astype(np.float32))
    np.save(tmp_path / "kept.npy", (np.arange(16) < rng.integers(4, 17, (200, 1))).astype(np.float32))
    plain = (Preprocessing(), Preprocessing())
    samples = Samples(inputs=(tmp_path / "x.npy", tmp_path / "kept.npy"), count=200, sha256="0", preprocessing=plain)
    found = {}
    for text in ("float32", f"s8u8-per_channel-{method}"):
        folder, ranges = tmp_path / text, tmp_path / "ranges.json"
        folder.mkdir()
        if ENGINE.calibration_key(recipe(text)):
            ENGINE.calibrate(tmp_path / "m.onnx", recipe(text), samples, ranges)
        build = ENGINE.build(tmp_path / "m.onnx", recipe(text), samples, ranges, folder)
        with ENGINE.open(build, SessionSettings()) as session:
            batch = next(samples.batches(200))
            found[text] = session.outputs(session.run(session.prepare(batch)))[0]
    expected, answers = found.values()
    assert np.sqrt(np.square(answers - expected).mean()) < 0.05 * expected.std()
    (told,) = build.notes
    assert "mask, softmax in float" in told
    kinds = [node.op_type for node in onnx.load(build.main).graph.node]
    assert kinds.count("MatMul") == 4  # all four are between QuantizeLinear and DequantizeLinear
    assert kinds.count("QuantizeLinear") >= 6


def save(path, nodes, shape, stored, out=("n", 4)):
    """Write a graph of named nodes from x to y."""
    ends = [
        helper.make_tensor_value_info(*end) for end in (("x", TensorProto.FLOAT, shape), ("y", TensorProto.FLOAT, out))
    ]
    arrays = [onnx.numpy_helper.from_array(np.asarray(values), name) for name, values in stored.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], arrays)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def samples_of(path, values):
    np.save(path, values)
    return Samples(inputs=(path,), count=len(values), sha256="0", preprocessing=(Preprocessing(),))


RNG = np.random.default_rng(3)


def random(*shape):
    return RNG.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("s8u8-per_channel-minmax", ["Conv", "AveragePool", "MatMul", "Softmax"]),
        ("s8dynamic", ["Conv", "MatMul"]),
        ("s8weights", ["Conv", "MatMul"]),
    ],
)
def test_layers_are_what_is_quantized_and_has_a_name_of_its_own(tmp_path, text, kinds):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "conv"),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("MaxPool", ["b"], ["c"], "largest", kernel_shape=[2, 2]),
        helper.make_node("AveragePool", ["c"], ["d"], "average", kernel_shape=[2, 2]),
        helper.make_node("Flatten", ["d"], ["e"], "flat"),
        helper.make_node("MatMul", ["e", "v"], ["f"], "dense"),
        helper.make_node("MatMul", ["f", "u"], ["g"], "twice"),
        helper.make_node("MatMul", ["g", "u"], ["h"], "twice"),
        helper.make_node("MatMul", ["h", "u"], ["i"]),
        helper.make_node("Softmax", ["i"], ["y"], "softmax"),
    ]
    stored = {"w": random(2, 3, 3, 3), "v": random(8, 4), "u": random(4, 4)}
    path = save(tmp_path / "m.onnx", nodes, ["n", 3, 6, 6], stored)
    found = quantizer.layers(path, recipe(text))
    assert [kind for _, kind in found] == kinds
    assert not {"twice", ""} & {name for name, _ in found}


@pytest.mark.parametrize("name", ["norm", ""])
def test_a_norm_with_a_bias_of_several_axes_is_left_as_it_is(tmp_path, name):
    nodes = [
        helper.make_node("LayerNormalization", ["x", "scale", "bias"], ["z"], name, axis=-2),
        helper.make_node("Flatten", ["z"], ["f"], "flat"),
        helper.make_node("MatMul", ["f", "w"], ["y"], "dense"),
    ]
    stored = {"scale": np.abs(random(4, 3)), "bias": random(4, 3), "w": random(12, 4)}
    path = save(tmp_path / "m.onnx", nodes, ["n", 4, 3], stored)
    samples, asked = samples_of(tmp_path / "x.npy", random(60, 4, 3)), recipe("s8u8-per_channel-minmax")
    quantizer.calibrate(path, asked, samples, tmp_path / "ranges.json")
    quantizer.quantize(path, asked, samples, tmp_path / "ranges.json", tmp_path / "q.onnx", [])
    made = {name: node for node in onnx.load(tmp_path / "q.onnx").graph.node for name in node.output}
    (norm,) = (node for node in made.values() if node.op_type == "LayerNormalization")
    (dense,) = (node for node in made.values() if node.op_type == "MatMul")
    assert list(norm.input) == ["x", "scale", "bias"]
    assert made[dense.input[1]].op_type == "DequantizeLinear"


def test_a_graph_that_takes_four_samples_at_once_sees_all_of_a_set_that_is_no_multiple_of_them(tmp_path):
    path = save(tmp_path / "m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"], "dense")], [4, 3],
                {"w": random(3, 4)}, out=(4, 4))  # fmt: skip
    values = random(10, 3)
    values[9, 1], values[0, 2] = 50, -60
    quantizer.calibrate(path, recipe("s8u8-per_tensor-minmax"), samples_of(tmp_path / "x.npy", values), tmp_path / "r")
    found = json.loads((tmp_path / "r").read_text())["data"]["x"]
    assert (np.max(found["highest"]["data"]), np.min(found["lowest"]["data"])) == (50, -60)


def test_half_of_a_graph_can_be_left_whole_and_its_ends_are(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"], "first"),
        helper.make_node("MatMul", ["z", "v"], ["y"], "second"),
    ]
    path = save(tmp_path / "m.onnx", nodes, ["n", 3], {"w": random(3, 5), "v": random(5, 4)})
    quantizer.halve(path, tmp_path / "h.onnx", ["second"])
    graph = onnx.load(tmp_path / "h.onnx").graph
    kept = {each.dims[0]: each.data_type for each in graph.initializer}
    assert kept == {3: TensorProto.FLOAT16, 5: TensorProto.FLOAT}
    assert [end.type.tensor_type.elem_type for end in (*graph.input, *graph.output)] == [TensorProto.FLOAT] * 2


def test_attention_stays_in_float_and_the_products_around_it_do_not(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(40, 6, 8)).astype(np.float32))
    nodes = [helper.make_node("MatMul", ["x", f"w{name}"], [name], name) for name in "qkv"]
    nodes += [
        helper.make_node("Transpose", ["k"], ["turned"], "turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "turned"], ["scores"], "scores"),
        helper.make_node("Softmax", ["scores"], ["shares"], "softmax"),
        helper.make_node("MatMul", ["shares", "v"], ["mixed"], "mix"),
        helper.make_node("MatMul", ["mixed", "wo"], ["y"], "out"),
    ]
    weights = {f"w{name}": rng.normal(size=(8, 8)).astype(np.float32) for name in "qkvo"}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 6, 8]) for name in ("x", "y")]
    stored = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "attention", ends[:1], ends[1:], stored)
    path = tmp_path / "attention.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    samples = Samples(inputs=(tmp_path / "x.npy",), count=40, sha256="attention")
    scheme, ranges = recipe("s8u8-per_channel-minmax"), tmp_path / "ranges.json"
    ENGINE.calibrate(path, scheme, samples, ranges)
    (folder := tmp_path / "build").mkdir()
    build = ENGINE.build(path, scheme, samples, ranges, folder)
    executed = ENGINE.inspect(build, (np.load(tmp_path / "x.npy")[:1],)).operators
    arithmetic = {each.name: each.arithmetic for each in executed if each.macs}
    assert {arithmetic[name] for name in ("q", "k", "v", "out")} == {"u8"}
    assert arithmetic["mix"] == "float32"
    assert [name for name, _ in ENGINE.layers(path, scheme)] == ["q", "k", "v", "out"]
    (told,) = build.notes
    assert told.startswith("the model has attention: onnxruntime quantizes the products with stored weights")
