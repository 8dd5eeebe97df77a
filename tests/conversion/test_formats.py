"""Each format that users bring: what the clean graph computes is what the framework that wrote the file computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from bitpick.conversion.route import route
from bitpick.errors import ModelError
from bitpick.executors.pool import WorkerPool
from bitpick.models.model import Format
from bitpick.models.source import Source
from tests.conversion import format_steps as steps

pytestmark = pytest.mark.frameworks


@pytest.fixture(scope="module")
def files(pool, tmp_path_factory):
    """The net in every format, with what it computes."""
    folder = tmp_path_factory.mktemp("files")
    np.save(folder / "samples.npy", steps.samples())
    np.savez(folder / "inputs.npz", steps.samples())
    pool.run("keras", "format_steps:write_keras", {"folder": folder})
    pool.run("keras", "format_steps:write_legacy", {"source": folder / "net.h5", "out": folder / "legacy.h5"})
    pool.run("pytorch", "format_steps:write_torch", {"folder": folder})
    return folder


def start(pool: WorkerPool, source: Source, inputs: Path, out: Path) -> Path:
    """The file that a run starts from."""
    maker = source.maker()
    if maker is None:
        assert source.path is not None
        return source.path
    needed = maker.needs_samples and not maker.describes
    payload = {"out": out, **maker.options, **({"inputs": inputs} if needed else {})}
    pool.run(maker.environment, maker.function, payload)
    return out


def clean(pool: WorkerPool, source: Source, inputs: Path, folder: Path) -> Path:
    """The clean graph of a model."""
    path = start(pool, source, inputs, folder / f"made{source.format().suffix}")
    for hop in route(source.format(), Format.ONNX) or ():
        out = folder / f"{hop.target}.onnx"
        pool.run(hop.environment, hop.convert, {"source": path, "out": out})
        path = out
    return path


def run(path: Path, *inputs: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {each.name: array for each, array in zip(session.get_inputs(), inputs, strict=True)})


WHOLE = {
    "keras": "net.keras",
    "h5": "net.h5",
    "keras2": "legacy.h5",
    "saved_model": "saved",
    "program": "free.pt2",
    "program of one sample": "fixed.pt2",
    "traced": "traced.pt",
    "scripted": "scripted.pt",
}


def source_of(files: Path, name: str) -> Source:
    if name == "weights":
        return Source(str(files / "net.weights.h5"), True, keras_builder="format_steps:build_keras")
    if name == "function":
        return Source("format_steps:build_torch", True, state_dict=files / "state.pt")
    return Source(str(files / WHOLE[name]), True)


@pytest.mark.parametrize("name", [*WHOLE, "weights", "function"])
def test_the_clean_graph_computes_what_the_model_does(pool, files, tmp_path, name):
    found = clean(pool, source_of(files, name), files / "inputs.npz", tmp_path)
    (outputs,) = run(found, steps.samples())
    np.testing.assert_allclose(outputs, np.load(files / "expected.npy"), atol=1e-5)
    assert onnx.load(found).graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def run_litert(path: Path, sample: np.ndarray) -> np.ndarray:
    """What a LiteRT file computes for a batch of one, without being told its size."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], sample)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("name", ["saved_model", "program", "keras2"])
def test_litert_from_the_source_itself_computes_it_too(pool, files, tmp_path, name):
    source = source_of(files, name)
    (hop,) = route(source.format(), Format.LITERT) or ()
    path = start(pool, source, files / "inputs.npz", tmp_path / f"made{source.format().suffix}")
    pool.run(hop.environment, hop.convert, {"source": path, "out": tmp_path / "m.tflite"})
    found = run_litert(tmp_path / "m.tflite", steps.samples()[:1])
    np.testing.assert_allclose(found, np.load(files / "expected.npy")[:1], atol=1e-5)


@pytest.fixture(scope="module")
def free(pool, tmp_path_factory):
    """Nets for samples of any size."""
    folder = tmp_path_factory.mktemp("free")
    pool.run("keras", "format_steps:write_free_keras", {"folder": folder})
    pool.run("pytorch", "format_steps:write_free_torch", {"folder": folder})
    return folder


@pytest.mark.parametrize("name", ["any.keras", "any_saved", "any.pt2", "any_one.pt2"])
def test_free_sizes_stay_free_in_onnx_and_are_fixed_in_litert(pool, free, tmp_path, name):
    source = Source(str(free / name), True)
    torch = name.endswith(".pt2")
    samples = np.load(free / "sequences.npy") if torch else steps.samples()
    expected = np.load(free / (f"{name}.npy" if torch else "any_keras.npy"))
    graph = clean(pool, source, free / "none", tmp_path)
    np.testing.assert_allclose(run(graph, samples)[0], expected, atol=1e-5)
    assert onnx.load(graph).graph.input[0].type.tensor_type.shape.dim[1].dim_param
    (hop,) = route(source.format(), Format.LITERT) or ()
    path = start(pool, source, free / "none", tmp_path / f"made{source.format().suffix}")
    payload = {"source": path, "out": tmp_path / "m.tflite", "shapes": [samples.shape[1:]]}
    pool.run(hop.environment, hop.convert, payload)
    np.testing.assert_allclose(run_litert(tmp_path / "m.tflite", samples[:1]), expected[:1], atol=1e-5)


def test_a_net_in_two_frameworks_has_one_clean_graph(pool, files, tmp_path):
    """The same operators on the same weights. What differs says the same in other words:

    the two axes left by pooling go by a Squeeze or by a Reshape; the weights of a Gemm are stored as they are or
    transposed; the last axis is -1 or 1; an attribute is written out or left to its default.
    """
    graphs = []
    for name in ("keras", "program"):
        folder = tmp_path / name
        folder.mkdir()
        graphs.append(onnx.load(clean(pool, source_of(files, name), files / "inputs.npz", folder)).graph)
    for first, second in zip(*(graph.node for graph in graphs), strict=True):
        sides = [plain(first, graphs[0]), plain(second, graphs[1])]
        kinds = {side[0] for side in sides}
        assert len(kinds) == 1 or kinds == {"Squeeze", "Reshape"}
        assert sides[0][1] == sides[1][1], first.name
        for ours, theirs in zip(sides[0][2], sides[1][2], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def plain(node: onnx.NodeProto, graph: onnx.GraphProto) -> tuple[str, dict, list[np.ndarray]]:
    """A node's operator, attributes and weights, in one way of saying it."""
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    weights = [stored[name] for name in node.input if name in stored]
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type in ("Squeeze", "Reshape"):
        weights = []
    if node.op_type == "Conv":
        given.setdefault("pads", [0, 0, 0, 0])
    if node.op_type == "Gemm" and given.pop("transB"):
        weights[0] = weights[0].T
    if given.get("axis") == -1:
        given["axis"] = 1
    return node.op_type, given, weights


def test_nodes_have_the_names_of_the_users_modules(pool, files, tmp_path):
    graph = onnx.load(clean(pool, source_of(files, "program"), files / "inputs.npz", tmp_path)).graph
    weighted = [node.name for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert weighted == ["conv", "depthwise", "dense"]
    assert [value.name for value in graph.input] == ["image"]


def test_a_function_among_the_layers_of_keras_is_run_by_tensorflow(pool, files, tmp_path):
    found = clean(pool, Source(str(files / "lambda.keras"), True), files / "inputs.npz", tmp_path)
    np.testing.assert_allclose(run(found, steps.samples())[0], np.load(files / "scaled.npy"), atol=1e-5)


def test_functions_that_keras_2_saved_as_layers(pool, tmp_path):
    found = pool.run("keras", "format_steps:run_legacy_functions", {"out": tmp_path / "model.keras"}).value
    np.testing.assert_allclose(found, [0, 0.25, 0])


def test_keras_runs_what_keras_2_wrote(pool, files, tmp_path):
    payload = {"source": files / "legacy.h5", "inputs": files / "samples.npy", "out": tmp_path / "out.npy"}
    pool.run("keras", "format_steps:run_keras", payload)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), np.load(files / "expected.npy"), atol=1e-6)


def test_several_inputs_and_outputs_of_keras_keep_their_order(pool, files, tmp_path):
    a, b = np.array([[3.0, 2, 1]], np.float32), np.array([[1.0, 1, 5]], np.float32)
    found = clean(pool, Source(str(files / "two.keras")), files / "inputs.npz", tmp_path)
    np.testing.assert_allclose(run(found, a, b)[1], a * b)
    assert [value.name for value in onnx.load(found).graph.input] == ["b_first", "a_second"]


def test_inputs_of_a_saved_model_are_in_the_order_of_their_names(pool, files, tmp_path):
    a, b = np.array([[3.0, 2, 1]], np.float32), np.array([[1.0, 1, 5]], np.float32)
    found = clean(pool, Source(str(files / "two_saved"), True), files / "inputs.npz", tmp_path)
    assert [value.name for value in onnx.load(found).graph.input] == ["a_second", "b_first"]
    for name, array in (("a", a), ("b", b)):
        np.save(tmp_path / f"{name}.npy", array)
    payload = {
        "source": files / "two_saved",
        "inputs": [tmp_path / "b.npy", tmp_path / "a.npy"],
        "out": tmp_path / "out.npz",
    }
    pool.run("keras", "format_steps:run_saved_model", payload)
    with np.load(tmp_path / "out.npz") as expected:
        for mine, name in zip(run(found, b, a), expected.files, strict=True):
            np.testing.assert_allclose(mine, expected[name], atol=1e-6)


def test_what_the_pytorch_engines_are_told_of_a_program(pool, files, tmp_path):
    made = start(pool, source_of(files, "program of one sample"), files / "inputs.npz", tmp_path / "made.pt2")
    payload = {"source": made, "inputs": [files / "samples.npy"], "out": tmp_path / "out.npz"}
    told = pool.run("pytorch", "format_steps:run_exported", payload).value
    assert told["layers"] == ["conv", "norm", "depthwise", "dense"]
    assert told["computing"][0] == ["conv", "Conv2d"]
    assert told["batch"] is None
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_allclose(found["arr_0"], np.load(files / "expected.npy"), atol=1e-5)


def test_a_batch_that_cannot_be_freed_stays(pool, tmp_path):
    pool.run("pytorch", "format_steps:write_stubborn", {"out": tmp_path / "m.pt2"})
    source = Source(str(tmp_path / "m.pt2"), True)
    found = clean(pool, source, tmp_path / "none", tmp_path)
    x = np.random.default_rng(0).random((2, 6), dtype=np.float32)
    assert onnx.load(found).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2
    np.testing.assert_allclose(run(found, x)[0], x.reshape(4, 3).cumsum(0).reshape(2, 6), atol=1e-5)


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        (Source("format_steps:weights", True), ModelError, "returns a dict"),
        (Source("format_steps:nothing", True), ModelError, "names no function"),
        (Source("no_such_module:build", True), ModelError, "cannot be imported"),
        (Source("format_steps:run_keras", True), ModelError, "fails"),
    ],
)
def test_functions_that_give_no_module(pool, files, tmp_path, source, error, says):
    with pytest.raises(error, match=says):
        start(pool, source, files / "inputs.npz", tmp_path / "made.pt2")


def test_samples_of_another_shape_are_refused(pool, files, tmp_path):
    np.savez(tmp_path / "first.npz", steps.samples().transpose(0, 3, 1, 2))
    with pytest.raises(ModelError, match="does not take a batch of shape"):
        start(pool, source_of(files, "function"), tmp_path / "first.npz", tmp_path / "made.pt2")


def test_weights_of_another_net_are_refused(pool, files, tmp_path):
    other = Source(str(files / "net.weights.h5"), True, keras_builder="format_steps:build_scaled")
    with pytest.raises(ModelError, match="do not fit"):
        start(pool, other, files / "inputs.npz", tmp_path / "made")


def test_objects(pool, tmp_path):
    told = pool.run("pytorch", "format_steps:save_objects", {"folder": tmp_path}).value
    assert "example=" in told["refused"][0]
    assert "builtins.str" in told["refused"][1]
    assert (told["kind"], told["training"]) == ("PROGRAM", True)
    assert told["name"] == str(tmp_path / "Sequential.pt2")
    assert pool.run("keras", "format_steps:save_keras_object", {"folder": tmp_path}).value == ["KERAS", "SAVED_MODEL"]
