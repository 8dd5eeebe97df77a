from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from bitpick.passes import equalize

RNG = np.random.default_rng(0)
CHANNELS = 8
MAGNITUDES = (10.0 ** np.linspace(-2, 2, CHANNELS)).astype(np.float32)


def weights() -> dict[str, np.ndarray]:
    """Three convolutions, the middle one depthwise, whose channels differ by four orders of magnitude."""
    first = RNG.normal(size=(CHANNELS, 3, 3, 3)) * MAGNITUDES.reshape(-1, 1, 1, 1)
    middle = RNG.normal(size=(CHANNELS, 1, 3, 3)) * RNG.permutation(MAGNITUDES).reshape(-1, 1, 1, 1)
    last = RNG.normal(size=(5, CHANNELS, 1, 1)) / np.abs(middle).max(axis=(1, 2, 3)).reshape(1, -1, 1, 1)
    last /= MAGNITUDES.reshape(1, -1, 1, 1)
    stored = {"w1": first, "w2": middle, "w3": last, "b1": RNG.normal(size=CHANNELS) * MAGNITUDES}
    return {name: value.astype(np.float32) for name, value in stored.items()}


def network(path, activation="Relu", stored=None, fork=False, **more):
    make = helper.make_node
    capped = {"Clip": ["zero", "six"], "PRelu": ["slope"]}.get(activation, [])
    nodes = [
        make("Conv", ["x", "w1", "b1"], ["c1"], "first", pads=[1, 1, 1, 1]),
        make(activation, ["c1", *capped], ["r1"], "act1"),
        make("Conv", ["r1", "w2"], ["c2"], "middle", pads=[1, 1, 1, 1], group=CHANNELS),
        make(activation, ["c2", *capped], ["r2"], "act2"),
        make("Conv", ["r2", "w3"], ["c3"], "last"),
        make("GlobalAveragePool", ["c3"], ["p"], "pool"),
        make("Flatten", ["p"], ["y"], "flat"),
    ]
    if fork:
        nodes.append(make("Identity", ["r1"], ["z"], "too"))
    scalars = {"zero": np.float32(0), "six": np.float32(6), "slope": np.full((CHANNELS, 1, 1), 0.2, np.float32)}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 6, 6])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", *(["z"] if fork else []))],
        [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in ((stored or weights()) | scalars | more).items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def given(path, x):
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["y"], {"x": x})[0]


def ranges(path) -> list[np.ndarray]:
    stored = {each.name: np.abs(onnx.numpy_helper.to_array(each)) for each in onnx.load(path).graph.initializer}
    first, middle = (stored[name].reshape(CHANNELS, -1).max(axis=1) for name in ("w1", "w2"))
    return [first, middle, stored["w3"].max(axis=(0, 2, 3))]


@pytest.mark.parametrize("activation", ["Relu", "LeakyRelu", "PRelu", "Clip"])
def test_the_function_stays_and_the_channels_get_alike(tmp_path, activation):
    before = network(tmp_path / "a.onnx", activation)
    assert equalize.apply(str(before), str(tmp_path / "b.onnx")).changed == ["first", "middle"]
    x = RNG.normal(size=(20, 3, 6, 6)).astype(np.float32)
    expected = given(before, x)
    np.testing.assert_allclose(given(tmp_path / "b.onnx", x), expected, atol=1e-4 * np.abs(expected).max())
    assert max(r.max() / r.min() for r in ranges(before)) > 1e3
    one, two, three = ranges(tmp_path / "b.onnx")
    np.testing.assert_allclose(one, two, rtol=0.02)
    np.testing.assert_allclose(two, three, rtol=0.02)


def test_a_bound_above_holds_in_each_channel(tmp_path):
    before = network(tmp_path / "a.onnx", "Clip")
    equalize.apply(str(before), str(tmp_path / "b.onnx"))
    kinds = [node.op_type for node in onnx.load(tmp_path / "b.onnx").graph.node]
    assert kinds == ["Conv", "Relu", "Min", "Conv", "Relu", "Min", "Conv", "GlobalAveragePool", "Flatten"]
    x = 100 * RNG.normal(size=(20, 3, 6, 6)).astype(np.float32)  # most values are at the bound
    np.testing.assert_allclose(given(tmp_path / "b.onnx", x), given(before, x), rtol=1e-3, atol=1e-4)


def test_channels_that_are_alike_stay(tmp_path):
    shape = {"w1": (CHANNELS, 3, 3, 3), "w2": (CHANNELS, 1, 3, 3), "w3": (5, CHANNELS, 1, 1), "b1": (CHANNELS,)}
    alike = {name: np.ones(size, np.float32) for name, size in shape.items()}
    applied = equalize.apply(str(network(tmp_path / "a.onnx", stored=alike)), str(tmp_path / "b.onnx"))
    assert applied.changed == []
    assert applied.why_not == "the channels between its layers are of like size already"


def test_what_somebody_else_reads_stays(tmp_path):
    before = network(tmp_path / "a.onnx", fork=True)
    assert equalize.apply(str(before), str(tmp_path / "b.onnx")).changed == ["middle"]
    x = RNG.normal(size=(4, 3, 6, 6)).astype(np.float32)
    for name in "yz":
        one, two = (
            ort.InferenceSession(tmp_path / f"{file}.onnx", providers=["CPUExecutionProvider"]).run([name], {"x": x})[0]
            for file in "ab"
        )
        np.testing.assert_allclose(two, one, atol=1e-4 * np.abs(one).max())


def test_a_dead_channel_keeps_its_weights(tmp_path):
    stored = weights()
    stored["w1"][0] = 0
    stored["w3"][:, 1] = 0
    before = network(tmp_path / "a.onnx", stored=stored)
    equalize.apply(str(before), str(tmp_path / "b.onnx"))
    x = RNG.normal(size=(4, 3, 6, 6)).astype(np.float32)
    expected = given(before, x)
    found = given(tmp_path / "b.onnx", x)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_a_network_without_pairs(tmp_path):
    model = onnx.load(network(tmp_path / "a.onnx"))
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Sigmoid"
    onnx.save(model, tmp_path / "a.onnx")
    applied = equalize.apply(str(tmp_path / "a.onnx"), str(tmp_path / "b.onnx"))
    assert (applied.changed, applied.why_not[:20]) == ([], "no two convolutions ")
