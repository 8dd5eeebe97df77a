"""An engine without a framework, for tests of code that builds on bitpick.

It runs linear layers in NumPy and quantizes by rounding the weights. Options make it misbehave on purpose. It is not
registered: a test registers it under the entry-point group `bitpick.engines`, or by replacing the registry's table.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.dataset import Samples
from bitpick.engines.capability import Capability, Offer
from bitpick.engines.engine import Build, Engine, Session, SessionSettings
from bitpick.engines.executed import BITS, FLOAT32, Executed, Operator
from bitpick.engines.insides import Insides, Pair
from bitpick.engines.scoping import excluded, mixed
from bitpick.errors import Unsupported
from bitpick.models.model import Format, Model
from bitpick.preprocessing import Arrays
from bitpick.recipe import PRESETS, Recipe, baseline
from bitpick.schema.fingerprint import Grid
from bitpick.targets.host import Host

_FILE = "model.npz"
_PRESETS = frozenset(PRESETS)


class FakeEngine(Engine):
    """Starts from an ONNX graph of consecutive Gemms with ReLUs between; the first Gemm takes the flattened input.

    Weights are of shape (inputs, outputs).
    """

    name = "fake"
    environment = "fake"
    packages = ()
    extra = "fake"
    accepts = (Format.ONNX,)
    runner = "bitpick.engines.fake.runner"
    scopes = True
    mixes = frozenset({"s8s8"})
    weight_levels = MappingProxyType({"s8": 127, "s4": 7})
    capabilities = (
        Capability(
            ("s8s8", "s8u8"),
            granularities=("per_tensor", "per_channel"),
            calibrations=("minmax",),
            options={
                "crash": "the process ends in the middle of the build",
                "hang": "the build never ends",
                "error": "the library raises",
                "absent": "this installation cannot do it after all",
                "nan": "the scores are not finite",
                "float": "nothing runs as integers",
                "drawn": "the calibration samples move the biases",
                "half_float": "half of the weights run in float",
                "other_granularity": "one scale for all weights, whatever was asked for",
                "reduced_range": "holds where the environment says BITPICK_FAKE_SATURATES; others predict otherwise",
            },
        ),
    )

    def recipes(self, model: Model, host: Host) -> list[Offer]:  # noqa: ARG002 - the same on every model and host
        """See `Engine.recipes`."""
        unsigned = Recipe.parse(f"{self.name}:u8u8-per_tensor-minmax")
        return [
            Offer(baseline(self.name), _PRESETS),
            Offer(Recipe.parse(f"{self.name}:s8s8-per_tensor-minmax"), _PRESETS),
            Offer(Recipe.parse(f"{self.name}:s8u8-per_channel-minmax"), _PRESETS),
            Offer(unsigned, _PRESETS, self.refusal(unsigned)),
        ]

    def build(self, source: Path, recipe: Recipe, samples: Samples, ranges: Path | None, folder: Path) -> Build:  # noqa: ARG002
        """See `Engine.build`."""
        import onnx

        _misbehave(recipe)
        graph = onnx.load(source).graph
        stored = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
        gemms = [node for node in graph.node if node.op_type == "Gemm"]
        in_float = excluded(recipe, [node.name for node in gemms])
        coarse = [name for names in mixed(recipe, [(node.name,) for node in gemms]) for name in names]
        if recipe.kind != "baseline":
            for batch in samples.batches(50):  # it needs no ranges, but reads its calibration set like any engine
                assert batch[0].dtype == np.float32
        arrays: dict[str, Any] = {}
        for number, node in enumerate(gemms):
            weight, bias = (stored[name] for name in node.input[1:3])
            if recipe.kind != "baseline" and node.name not in in_float:
                levels = 7 if node.name in coarse else 127
                weight = _round(weight, None if recipe.granularity == "per_tensor" else 0, levels)
            if "drawn" in recipe.options:
                total = sum(int(batch[0].sum()) for batch in samples.batches(50))
                bias = bias + np.random.default_rng(total).normal(0, 0.3, bias.shape).astype(np.float32)
            if "nan" in recipe.options:
                weight = weight * np.float32("nan")
            arrays |= {f"weight{number}": weight.astype(np.float32), f"bias{number}": bias}
        np.savez(folder / _FILE, names=np.array([node.name for node in gemms]), **arrays)
        return Build(recipe, folder, (_FILE,))

    def layers(self, source: Path, recipe: Recipe) -> list[tuple[str, str]]:  # noqa: ARG002 - the same for all
        """See `Engine.layers`."""
        import onnx

        return [(node.name, node.op_type) for node in onnx.load(source).graph.node if node.op_type == "Gemm"]

    def layer_weights(self, source: Path) -> Iterator[tuple[Sequence[str], NDArray[Any]]]:
        """See `Engine.layer_weights`."""
        import onnx

        graph = onnx.load(source).graph
        stored = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
        return (((node.name,), stored[node.input[1]]) for node in graph.node if node.op_type == "Gemm")

    def insides(self, floats: Build, build: Build) -> Insides:
        """See `Engine.insides`."""
        return _FakeInsides(_read(floats), _read(build))

    def open(self, build: Build, settings: SessionSettings) -> Session:  # noqa: ARG002 - one thread
        """See `Engine.open`."""
        saturates = bool(os.environ.get("BITPICK_FAKE_SATURATES")) and bool(self.repairs(build.recipe))
        return _FakeSession(_read(build), -100 if saturates else 1)

    def repairs(self, recipe: Recipe) -> list[Recipe]:
        """See `Engine.repairs`."""
        if recipe.activation_dtype != "u8" or "reduced_range" in recipe.options:
            return []
        return [recipe.model_copy(update={"options": recipe.options | {"reduced_range": ""}})]

    def inspect(self, build: Build, sample: Arrays) -> Executed:  # noqa: ARG002 - it needs no run
        """See `Engine.inspect`: as the recipe says, except for options that break it on purpose."""
        return Executed(tuple(operator for layer in _read(build) for operator in self._operators(build.recipe, layer)))

    def _operators(self, recipe: Recipe, layer: _Layer) -> list[Operator]:
        name, size = layer.name, layer.weight.size
        if recipe.kind == "baseline" or "float" in recipe.options or recipe.excludes(name):
            return [Operator(name, "Gemm", "float32", FLOAT32, FLOAT32, size, size)]
        granularity = "per_tensor" if "other_granularity" in recipe.options else recipe.granularity
        dtype = recipe.mixed_with if recipe.mixes(name) else recipe.weight_dtype
        assert dtype is not None
        bits = 7 if "reduced_range" in recipe.options else BITS[dtype]
        weight = Grid(dtype=dtype, granularity=granularity, symmetric=True, bits=bits)
        activation = Grid(dtype=recipe.activation_dtype, granularity="per_tensor", symmetric=False, bits=8)
        half = size // 2
        rest_arithmetic = recipe.activation_dtype if "half_float" not in recipe.options else "float32"
        return [
            Operator(name, "Gemm", recipe.activation_dtype, weight, activation, half, half),
            Operator("rest", "Gemm", rest_arithmetic, weight, activation, size - half, size - half),
        ]


@dataclass(frozen=True)
class _Layer:
    name: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


def _read(build: Build) -> list[_Layer]:
    with np.load(build.main) as arrays:
        return [_Layer(str(n), arrays[f"weight{i}"], arrays[f"bias{i}"]) for i, n in enumerate(arrays["names"])]


def _outputs(layers: Sequence[_Layer], batch: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield the output of each layer for a batch; the last layer has no ReLU."""
    activations = batch.reshape(len(batch), -1)
    for layer in layers:
        activations = activations @ layer.weight + layer.bias
        if layer is not layers[-1]:
            activations = np.maximum(activations, 0)
        yield activations


class _FakeInsides(Insides):
    def __init__(self, floats: list[_Layer], build: list[_Layer]) -> None:
        self._floats = floats
        self._build = build

    def weights(self) -> Iterator[Pair]:
        for float_layer, layer in zip(self._floats, self._build, strict=True):
            yield float_layer.name, float_layer.weight.T, layer.weight.T

    def outputs(self, batch: Arrays) -> Iterator[Pair]:
        outputs = zip(self._floats, _outputs(self._floats, batch[0]), _outputs(self._build, batch[0]), strict=True)
        for layer, expected, actual in outputs:
            yield layer.name, expected, actual


def _misbehave(recipe: Recipe) -> None:
    """Misbehave as the recipe's options ask."""
    if "crash" in recipe.options:
        os._exit(70)
    while "hang" in recipe.options:
        time.sleep(60)
    if "error" in recipe.options:
        raise ArithmeticError("the fake library broke, as it was asked to")
    if "absent" in recipe.options:
        raise Unsupported("this installation of the fake engine was asked to lack it")


class _FakeSession(Session):
    def __init__(self, layers: list[_Layer], bias: int) -> None:
        last = layers[-1]
        self._layers = [*layers[:-1], _Layer(last.name, last.weight, last.bias * bias)]

    def prepare(self, batch: Arrays) -> NDArray[np.float32]:
        return batch[0].reshape(len(batch[0]), -1)

    def run(self, native: NDArray[np.float32]) -> NDArray[np.float32]:
        *_, scores = _outputs(self._layers, native)
        return scores

    def outputs(self, native: NDArray[np.float32]) -> Arrays:
        return (native,)


def _round(weight: NDArray[np.float32], axis: int | None, levels: int) -> Any:
    """Return weights rounded to a symmetric grid, with one scale for all or one for each output."""
    scale = np.abs(weight).max(axis=axis, keepdims=True) / levels
    return np.round(weight / scale) * scale
