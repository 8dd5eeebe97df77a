"""What the conformance suite runs in an engine's own worker."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Build, Engine, SessionSettings
from bitpick.engines.registry import engine
from bitpick.measures import coverage, sqnr
from bitpick.models.model import Format
from bitpick.pipeline.build_job import open_build
from bitpick.preprocessing import Arrays
from bitpick.recipe import Recipe, baseline, pattern_of


def make_keras_model(out: str) -> None:
    """A small network: convolutions, one of stride 2, batch norm, an addition, a softmax."""
    os.environ["KERAS_BACKEND"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = "tensorflow", "3"
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Rescaling(1 / 64)(image)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(x)))
    y = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(x))
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.ReLU()(layers.Conv2D(12, 3, strides=2, padding="same")(x))
    x = layers.Flatten()(layers.AveragePooling2D(4)(x))
    model = keras.Model(image, layers.Dense(4, activation="softmax")(x))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([w + rng.random(w.shape) / 2 for w in layer.get_weights()])
    model.layers[-1].set_weights([8 * model.layers[-1].get_weights()[0], np.zeros(4)])
    model.save(out)


def make_sequential_model(out: str) -> None:
    """A model that was never functional."""
    os.environ["KERAS_BACKEND"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = "tensorflow", "3"
    import keras
    from keras import layers

    network = [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(4, activation="softmax")]
    keras.Sequential(network).save(out)


def make_legacy_model(out: str) -> None:
    """A file of Keras 2, which says of a layer what Keras 3 does not take."""
    os.environ["KERAS_BACKEND"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = "tensorflow", "3"
    import h5py
    import keras
    from keras import layers

    network = [keras.Input((8, 8, 3)), layers.DepthwiseConv2D(3), layers.Flatten(), layers.Dense(4)]
    keras.Sequential(network).save(out)
    with h5py.File(out, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        next(each for each in config["config"]["layers"] if each["class_name"] == "DepthwiseConv2D")["config"][
            "groups"
        ] = 1
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), "2.15.0"


def make_saved_model(out: str) -> None:
    """The first model as a TensorFlow SavedModel, which is a folder."""
    make_keras_model(f"{out}.keras")
    import keras

    keras.saving.load_model(f"{out}.keras").export(out, format="tf_saved_model", verbose=False)


def make_two_ended_model(out: str) -> None:
    """Two inputs, pixels and a few numbers, and two outputs, scores and what is before them."""
    os.environ["KERAS_BACKEND"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = "tensorflow", "3"
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image, numbers = keras.Input((8, 8, 3), name="image"), keras.Input((2,), name="numbers")
    x = layers.ReLU()(layers.Conv2D(8, 3, strides=2, padding="same")(layers.Rescaling(1 / 64)(image)))
    both = [layers.Flatten()(layers.AveragePooling2D(4)(x)), layers.Dense(4, activation="relu")(numbers)]
    before = layers.Dense(6)(layers.Concatenate()(both))
    scores = layers.Dense(4, activation="softmax")(layers.ReLU()(before))
    keras.Model([image, numbers], [scores, before]).save(out)


def make_program(out: str) -> None:
    """A PyTorch program that takes its input by name and gives a dictionary."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Softmax(1))

        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"scores": self.layers(image / 64)}

    torch.manual_seed(0)
    example = {"image": torch.zeros(2, 8, 8, 3)}
    free = {"image": {0: torch.export.Dim("n")}}
    torch.export.save(torch.export.export(Net().eval(), (), example, dynamic_shapes=free), out)


def build_and_run(recipe: str, source: str, samples: dict, folder: str, out: str) -> dict:
    """Build, move the build elsewhere, open it there, and run it in several ways; keep the scores."""
    parsed = Recipe.parse(recipe)
    each = engine(parsed.engine)
    calibration = Samples.model_validate(samples)
    work = Path(folder)
    work.mkdir()
    here = work / "here"
    here.mkdir()
    copy = work / f"source{Path(source).suffix}"
    shutil.copyfile(source, copy)
    ranges = None
    if (key := each.calibration_key(parsed)) is not None:
        ranges = work.parent / f"{each.name}-{key}.json"  # shared, as a run shares them
        if not ranges.exists():
            each.calibrate(copy, parsed, calibration, ranges)
    made = each.build(copy, parsed, calibration, ranges, here)
    left = sorted(p.name for p in here.iterdir())
    there = here.rename(work / "there")
    copy.unlink()
    moved = Build(made.recipe, there, made.files, made.settings)
    batch = next(calibration.head(32).batches(32))
    before = batch[0].copy()
    executed = each.inspect(moved, _part(batch, 0, 1))
    unoptimized = None
    if each.optimizes:
        with each.open(moved, SessionSettings(threads=1, optimize=False)) as session:
            unoptimized = np.array(session.outputs(session.run(session.prepare(batch)))[0])
    with each.open(moved, SessionSettings(threads=1)) as session:
        native = session.prepare(batch)
        whole = np.array(session.outputs(session.run(native))[0])
        again = np.array(session.outputs(session.run(native))[0])
        each_alone = (session.outputs(session.run(session.prepare(_part(batch, i, i + 1))))[0] for i in range(4))
        single = np.concatenate(list(each_alone))
    with each.open(moved, SessionSettings(threads=2)) as session:
        reopened = np.array(session.outputs(session.run(session.prepare(batch)))[0])
    np.savez(out, whole=whole, again=again, single=single, reopened=reopened)
    return {
        "files": list(made.files),
        "left": left,
        "folder_is_ours": made.folder == here,
        "dtype": str(whole.dtype),
        "untouched": bool((batch[0] == before).all()),
        "refuses": each.refusal(parsed),
        "nothing": coverage.failure(parsed, executed),
        "flags": [
            flag.text for flag in coverage.flags(parsed, executed, each.weight_dtype(parsed), each.signed_activations)
        ],
        "weights": sum(o.weights for o in executed.operators),
        "unoptimized": None if unoptimized is None else float(np.abs(unoptimized - whole).max()),
    }


def leave_out(recipe: str, source: str, form: str, samples: dict, folder: str) -> dict:
    """Leave each layer out in turn; tell what the runtime then has in float, and what is inside the whole build."""
    parsed = Recipe.parse(recipe)
    each = engine(parsed.engine)
    calibration = Samples.model_validate(samples)
    work = Path(folder)
    work.mkdir()
    ranges = None
    if each.calibration_key(parsed) is not None:
        ranges = work / "ranges.json"
        each.calibrate(Path(source), parsed, calibration, ranges)
    batch = next(calibration.head(32).batches(32))

    def build(wanted: Recipe, name: str) -> Build:
        (work / name).mkdir()
        return each.build(Path(source), wanted, calibration, ranges, work / name)

    layers = each.layers(Path(source), parsed)
    floats = {}
    for number, (name, _) in enumerate(layers):
        fields = parsed.model_dump() | {"exclude": [pattern_of(name)], "name": f"without-{number}"}
        executed = each.inspect(build(Recipe.model_validate(fields), str(number)), _part(batch, 0, 1))
        floats[name] = sorted(
            next((layer for layer, _ in layers if layer in (o.name, *o.layers)), o.name)
            for o in executed.operators
            if o.macs and not o.integer
        )
    weights: dict[str, float | None] = {}
    channels: dict[str, int] = {}
    noise: dict[str, sqnr.Noise] = {}
    inside = None
    if type(each).insides is not Engine.insides:  # to build takes long where nothing can be seen of it
        exact = each.float_recipe(Format(form)) or baseline(each.name)
        plain = each.build(Path(source), exact, calibration, None, work)
        inside = each.insides(plain, build(parsed, "whole"))
    if inside is not None:
        with inside:
            for name, expected, found in inside.weights():
                weights[name] = sqnr.weights(expected, found)
                channels[name] = len(expected)
            for part in (_part(batch, 0, 16), _part(batch, 16, 32)):
                for name, expected, found in inside.outputs(part):
                    noise.setdefault(name, sqnr.Noise()).add(expected, found)
    outputs = {name: each.decibels for name, each in noise.items()}
    return {
        "layers": layers,
        "floats": floats,
        "shows": inside is not None,
        "weights": weights,
        "channels": sorted(channels.values()),
        "outputs": outputs,
    }


def _part(batch: Arrays, start: int, end: int) -> Arrays:
    return tuple(array[start:end] for array in batch)


def weight_changes(source: str, recipe: str, folder: str) -> dict[str, float]:
    """How far the weights of each layer in a build are from those of its source, as a share of the largest one."""
    parsed = Recipe.parse(recipe)
    each = engine(parsed.engine)
    samples = Samples(inputs=(), count=0, sha256="")
    with tempfile.TemporaryDirectory() as work:
        floats = each.build(Path(source), baseline(each.name), samples, None, Path(work))
        inside = each.insides(floats, open_build(Path(folder)))
        assert inside is not None
        with inside:
            return {name: float(np.abs(a - b).max() / np.abs(a).max()) for name, a, b in inside.weights()}


class _SeenError(Exception):
    """Ends a build once its quantized program was seen."""


def program_weight_changes(source: str, recipe: str, inputs: str) -> dict[str, float]:
    """The same for engines that quantize an exported PyTorch program and compile it: as they are in that program."""
    from bitpick.conversion import pytorch_file
    from bitpick.engines import pt2e

    parsed, programs, quantize = Recipe.parse(recipe), [], pt2e.quantize

    def seen(*arguments: object) -> None:
        programs.append(quantize(*arguments)[0])
        raise _SeenError

    samples = Samples(inputs=(Path(inputs),), count=len(np.load(inputs)), sha256="")
    pt2e.quantize = seen
    try:
        with tempfile.TemporaryDirectory() as work, suppress(_SeenError):
            engine(parsed.engine).build(Path(source), parsed, samples, None, Path(work))
    finally:
        pt2e.quantize = quantize
    floats = [each.detach().numpy() for each in pytorch_file.load(Path(source)).parameters() if each.ndim > 1]
    changes = {}
    for node in programs[0].graph.nodes:
        if "dequantize_per_channel" not in str(node.target):
            continue
        integers, scales = (getattr(programs[0], each.target).numpy() for each in node.args[:2])
        weights = integers * scales.reshape(-1, *[1] * (integers.ndim - 1))
        alike = [each for each in floats if each.shape == weights.shape]
        changes[node.name] = min(_largest_change(weights, each) for each in alike)
    return changes


def _largest_change(weights: np.ndarray, floats: np.ndarray) -> float:
    """The largest difference of a channel, as a share of its largest weight."""
    axes = tuple(range(1, floats.ndim))
    return float((np.abs(weights - floats).max(axes) / np.abs(floats).max(axes)).max())
