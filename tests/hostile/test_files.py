"""Models and data sets that someone else made: what is data is read as data, and what is code is asked about."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bitpick.conversion import onnx_file, onnx_maker
from bitpick.datasets.load import data_source
from bitpick.models.model import Signature, Tensor
from bitpick.models.source import Source
from bitpick.pipeline.request import make_request
from tests.conftest import linear_model
from tests.hostile.conftest import Pickled, Scene

ESCAPED = '{"class_name": "\\u004cambda", "config": {}}'


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return path


def keras_file(path: Path, config: str) -> Path:
    return archive(path, metadata_dot_json=b"{}", config_dot_json=config.encode(), model_dot_weights_dot_h5=b"")


def saved_model(path: Path) -> Path:
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"\x08\x01")
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# Models that can run code, and what they are called.
CODE: dict[str, Callable[[Scene], Path]] = {
    "pickle": lambda s: written(s.run / "m.pt", pickle.dumps(Pickled())),
    "old pickle": lambda s: written(s.run / "m.pth", pickle.dumps(Pickled(), protocol=2)),
    "zipped pickle": lambda s: archive(s.run / "m.pt", m__data_dot_pkl=pickle.dumps(Pickled(), 2)),
    "pickle of weights": lambda s: written(s.run / "m.bin", pickle.dumps({"w": Pickled()})),
    "TorchScript": lambda s: archive(s.run / "m.pt", m__data_dot_pkl=b"x", m__constants_dot_pkl=b"x"),
    "program": lambda s: archive(s.run / "m.pt2", m__models__model_dot_json=b"{}"),
    "old program": lambda s: archive(s.run / "m.pt2", serialized_exported_program_dot_json=b"{}"),
    "Lambda": lambda s: keras_file(s.run / "m.keras", '{"class_name": "Lambda", "config": {}}'),
    "inner Lambda": lambda s: keras_file(s.run / "m.keras", '{"config": {"layers": [{"class_name": "Lambda"}]}}'),
    "lambda function": lambda s: keras_file(s.run / "m.keras", '{"activation": {"class_name": "__lambda__"}}'),
    "HDF5 Lambda": lambda s: written(s.run / "m.h5", b'\x89HDF\r\n\x1a\nmodel_config {"class_name":  "Lambda"}'),
    "SavedModel": lambda s: saved_model(s.run / "m"),
    "function": lambda s: Path("evil_metric:metric"),
    "function of the library": lambda s: Path("os:getcwd"),
}


@pytest.mark.parametrize("name", CODE)
def test_a_model_that_can_run_code_is_opened_only_if_it_is_trusted(scene, name):
    model = CODE[name](scene)
    scene.refused(lambda: make_request(model, "tiny"), "opening it can run code", "--trust-model")


def test_a_lambda_layer_that_is_spelt_in_another_way_is_not_run(scene):
    """Whether it is told before or while the file is opened, its code does not run: Keras opens files in safe mode."""
    model = keras_file(scene.run / "m.keras", ESCAPED)
    assert scene.harmless(lambda: Source(str(model)).kind()).record.ran == []


def external(scene: Scene, location: str, offset: int = 0) -> Path:
    """A model whose weights are in another file."""
    model = onnx.load(linear_model(scene.run / "m.onnx"))
    weight = model.graph.initializer[0]
    size = len(weight.raw_data)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(size))):
        weight.external_data.add(key=key, value=value)
    return written(scene.run / "m.onnx", model.SerializeToString())


@pytest.mark.parametrize("location", ["../canary/secret.npy", "{canary}/secret.npy", "a/../../canary/secret.npy"])
def test_the_weights_of_a_model_are_beside_it(scene, location):
    model = external(scene, location.format(canary=scene.canary))
    scene.refused(lambda: onnx_file.load(model), "is not a valid ONNX model")
    scene.refused(lambda: onnx_maker.make(str(scene.run / "out.onnx"), str(model)), "is not a valid ONNX model")


def test_an_infinite_weight_is_refused_before_anything_runs(scene):
    model = onnx.load(linear_model(scene.run / "m.onnx"))
    array = onnx.numpy_helper.to_array(model.graph.initializer[0]).copy()
    array[0, :2] = np.nan, np.inf
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(array, "w"))
    onnx.save(model, scene.run / "m.onnx")
    given = str(scene.run / "m.onnx")
    scene.refused(lambda: onnx_maker.make(str(scene.run / "out.onnx"), given), "w (2 of 192 values)")
    assert not (scene.run / "out.onnx").exists()


def nested(depth: int) -> bytes:
    """A model of branches inside branches."""
    node = helper.make_node("Identity", ["x"], ["y"])
    for _ in range(depth):
        end = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        inner = helper.make_graph([node], "g", [], [end])
        node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    return helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:])).SerializeToString()


BROKEN = {
    "text": b"not a model",
    "a bare tag": b"\x08",
    "a length beyond the end": b"\x3a\xff\xff\xff\xff\x0f",
    "half of one": lambda whole: whole[: len(whole) // 2],
    "one with a hole": lambda whole: whole[:40] + bytes(20) + whole[60:],
    "branches in branches": nested(4),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_is_refused_in_words(scene, name):
    content = BROKEN[name]
    whole = linear_model(scene.run / "m.onnx").read_bytes()
    path = written(scene.run / "m.onnx", content(whole) if callable(content) else content)
    scene.refused(lambda: onnx_file.load(path), "is not a valid ONNX model")


SIGNATURE = Signature((Tensor("image", (4, 4, 3)),), (Tensor("scores", (4,)),))


def load(path: Path, **options: object) -> Callable[[], object]:
    return lambda: data_source(path, options).load(SIGNATURE)


@pytest.fixture
def quiet(monkeypatch, tmp_path):
    """A cache of its own."""
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path / "scene" / "run" / "cache"))
    monkeypatch.setenv("BITPICK_STORE", str(tmp_path / "scene" / "run" / "store"))


@pytest.mark.parametrize("name", ["image", "labels"])
def test_a_pickle_in_a_data_set_is_not_opened(scene, quiet, pickled, name):
    arrays = {"image": np.zeros((8, 4, 4, 3), np.uint8), "labels": np.arange(8) % 4} | {name: pickled}
    np.savez(scene.run / "data.npz", **arrays)
    scene.refused(load(scene.run / "data.npz", labels="labels"))


def test_a_pickled_array_is_not_opened(scene, quiet, pickled):
    np.save(scene.run / "data.npy", pickled)
    scene.refused(load(scene.run / "data.npy"))


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['touch {canary}/pwned']", "!!python/name:os.system"])
@pytest.mark.parametrize("field", ["data", "labels", "classes", "scale"])
def test_a_tag_of_yaml_makes_nothing(scene, quiet, tag, field):
    (scene.run / "data.yaml").write_text(f"{field}: {tag.format(canary=scene.canary)}\n")
    scene.refused(load(scene.run / "data.yaml"), "cannot be read")


def test_results_from_a_device_are_numbers(scene):
    from bitpick.deployment import results

    found = json.loads(scene.results.read_text())
    found["samples"][0]["outputs"] = [{"__class__": "os.system"}]
    scene.results.write_text(json.dumps(found))
    read = results.read(scene.results)
    with pytest.raises((ValueError, TypeError)):
        _ = read.outputs
