"""A build that someone else made: it is measured from the files in its folder, and nothing in it runs as code."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml

from bitpick.engines.keras.engine import KerasEngine
from bitpick.engines.litert.engine import LiteRtEngine
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.engines.openvino.engine import OpenVinoEngine
from bitpick.engines.pytorch_fx.engine import PyTorchFxEngine
from bitpick.engines.pytorch_pt2e.engine import PyTorchPt2eEngine
from bitpick.models.model import sha256_of
from bitpick.models.source import Source
from bitpick.pipeline import evaluating
from bitpick.pipeline.listener import Silent
from bitpick.speed.files import bench_files
from tests.conftest import linear_model, replace_engines
from tests.hostile.conftest import Scene
from tests.kept import TranslatingExecutor

ENGINES = (
    KerasEngine(), LiteRtEngine(), OnnxRuntimeEngine(), OpenVinoEngine(), PyTorchFxEngine(), PyTorchPt2eEngine()
)  # fmt: skip


def evaluate(scene: Scene, trusted: bool = False) -> object:
    source = Source(str(scene.build), trusted)
    return evaluating.evaluate(source, lambda _: scene.data, Silent(), executor=lambda *_, **__: TranslatingExecutor())


def bench(scene: Scene) -> object:
    source = Source(str(scene.build))
    executor: Callable[..., TranslatingExecutor] = lambda *_, **__: TranslatingExecutor()  # noqa: E731
    return bench_files([source, source], lambda _: scene.data, Silent(), executor, processes=1, pairs=1)


COMMANDS = {"evaluate": evaluate, "bench": bench}


def change(scene: Scene, **fields: Any) -> None:
    """Change the build's own description."""
    path = scene.build / "recipe.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | fields, sort_keys=False))


def of_engine(scene: Scene, engine: str, name: str, content: bytes = b"", **fields: Any) -> Path:
    """Turn the build into one of a real engine."""
    file = scene.build / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    recipe = {"id": f"{engine}:float32", "engine": engine, "dtypes": "float32", "granularity": None}
    change(scene, **recipe, calibration=None, options={}, files={name: sha256_of(file)}, **fields)
    return file


@pytest.fixture
def real(scene, monkeypatch):
    """The scene, with the real engines."""
    replace_engines(monkeypatch, *ENGINES)
    return scene


@pytest.mark.parametrize(
    "name", ["../../../canary/secret.txt", "{canary}/secret.txt", "a/../../../../canary/secret.txt", ".."]
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_elsewhere_is_no_file_of_the_build(scene, command, name):
    name = name.format(canary=scene.canary)
    digest = sha256_of(scene.canary / "secret.txt")
    change(scene, files={name: digest})
    scene.refused(lambda: COMMANDS[command](scene), "holds no build", "is not a path inside its folder")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_link_to_a_file_elsewhere_is_no_file_of_the_build(scene, command):
    scene.link("builds/fake__s8s8-per_tensor-minmax/model.npz", "../../../canary/secret.npy")
    scene.refused(lambda: COMMANDS[command](scene), "is a symbolic link", f"outside {scene.build}")


TAGS = (
    "!!python/object/apply:os.system ['touch {canary}/pwned']",
    "!!python/name:os.system",
    "!!python/module:code",
    "!!python/object/new:pathlib.Path ['{canary}']",
)


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_tag_of_yaml_makes_nothing(scene, command, tag):
    with (scene.build / "recipe.yaml").open("a") as file:
        file.write(f"session: {tag.format(canary=scene.canary)}\n")
    scene.refused(lambda: COMMANDS[command](scene), "holds no build")


SETTINGS = {
    "session.collect_node_memory_stats_to_file": "{canary}/secret.txt",
    "session.optimized_model_filepath": "{canary}/secret.txt",
    "session.node_partition_config_file": "{canary}/secret.txt",
    "session.save_external_prepacked_constant_initializers": "1",
    "session.moe_expert_counter_state_file": "{canary}/secret.txt",
    "session.moe.offload.source_root": "{canary}",
    "session.use_ort_model_bytes_directly": "1",
    "session.load_model_format": "ORT",
    "session.enable_profiling": "1",
    "session.debug_layout_transformation": "1",
    "session.record_ep_graph_assignment_info": "1",
    "ep.context_enable": "1",
    "ep.context_file_path": "{canary}/secret.txt",
    "session.x64quantprecision": "../../canary/secret.txt",
    "optimization.disable_specified_optimizers": "{canary}/secret.txt",
    "unheard.of": "1",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_is_not_on_the_list_is_refused(real, name):
    setting = {name: SETTINGS[name].format(canary=real.canary)}
    of_engine(real, "onnxruntime", "model.onnx", linear_model(real.run / "m.onnx").read_bytes(), session=setting)
    for command in COMMANDS.values():
        real.refused(lambda command=command: command(real), "is not opened", name)


@pytest.mark.parametrize("engine", ["keras", "litert", "openvino", "pytorch_fx", "pytorch_pt2e"])
def test_the_settings_of_one_engine_are_none_of_another(real, engine):
    of_engine(real, engine, "model.bin", b"x", session={"session.x64quantprecision": "1"})
    real.refused(lambda: evaluate(real), "is not opened", "session settings")


def test_a_setting_of_the_list_is_taken(real):
    of_engine(
        real, "onnxruntime", "model.onnx", linear_model(real.run / "m.onnx").read_bytes(),
        session={"session.x64quantprecision": "1"},
    )  # fmt: skip
    done = real.harmless(lambda: evaluate(real))
    assert done.error is None


def lambda_layer() -> bytes:
    """A `.keras` file whose Lambda layer holds code; nothing here ever opens it."""
    import io

    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", json.dumps({"layers": [{"class_name": "Lambda", "config": {}}]}))
        archive.writestr("model.weights.h5", b"")
    return content.getvalue()


HOLDS_CODE: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "TorchScript": ("pytorch_fx", "model.pt", lambda: b"PK\x03\x04"),
    "package": ("pytorch_pt2e", "model.pt2", lambda: b"PK\x03\x04"),
    "SavedModel": ("keras", "model/saved_model.pb", lambda: b"\x08\x01"),
    "Lambda": ("keras", "model.keras", lambda_layer),
    "weights": ("keras", "model.h5", lambda: b"\x89HDF\r\n\x1a\n"),
}


@pytest.mark.parametrize("name", HOLDS_CODE)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_build_that_holds_code_is_opened_only_if_it_is_trusted(real, command, name):
    engine, file, content = HOLDS_CODE[name]
    of_engine(real, engine, file, content())
    real.refused(lambda: COMMANDS[command](real), "opening it can run code", "--trust-model")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pickle_in_a_build_is_not_opened(scene, command, pickled):
    np.savez(scene.build / "model.npz", names=pickled, weight0=pickled, bias0=pickled)
    change(scene, files={"model.npz": sha256_of(scene.build / "model.npz")})
    scene.refused(lambda: COMMANDS[command](scene), exit_code=3)


@pytest.mark.parametrize("location", ["../../../canary/secret.npy", "{canary}/secret.npy", "weights.bin"])
def test_the_weights_of_an_onnx_build_are_in_its_folder(real, location):
    file = of_engine(real, "onnxruntime", "model.onnx", linear_model(real.run / "m.onnx").read_bytes())
    model = onnx.load(file)
    weight = model.graph.initializer[0]
    size = len(weight.raw_data)
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location.format(canary=real.canary)), ("offset", "128"), ("length", str(size))):
        weight.external_data.add(key=key, value=value)
    file.write_bytes(model.SerializeToString())
    change(real, files={"model.onnx": sha256_of(file)})
    if location == "weights.bin":
        real.link("builds/fake__s8s8-per_tensor-minmax/weights.bin", "../../../canary/secret.npy")
    real.refused(lambda: evaluate(real), exit_code=2 if location == "weights.bin" else 3)


BROKEN = {
    "no name": {"files": {"": "0" * 64}},
    "no files": {"files": {}},
    "files that are text": {"files": "model.npz"},
    "an engine elsewhere": {"engine": "../../canary", "id": "../../canary:float32"},
    "an engine that is a module": {"engine": "os.path", "id": "os.path:float32"},
    "an option elsewhere": {"options": {"../../canary": ""}},
    "an interface of code": {"interface": {"inputs": [], "outputs": [], "task": "os:system", "path": "os:system"}},
    "a session of numbers": {"session": {"session.x64quantprecision": 1}},
    "a session that is text": {"session": "session.x64quantprecision"},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_build_that_makes_no_sense_is_refused(scene, name):
    change(scene, **BROKEN[name])
    scene.refused(lambda: evaluate(scene))


def test_an_honest_build_is_measured(scene):
    assert scene.harmless(lambda: evaluate(scene)).error is None
