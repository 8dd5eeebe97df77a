"""LiteRT (TensorFlow Lite) on the CPU, quantized by litert-quantizer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import litert_file, litert_signed, rounding
from bitpick.datasets.dataset import Samples
from bitpick.engines import spread
from bitpick.engines.batches import join, pieces
from bitpick.engines.capability import PREPARED, Capability, Offer
from bitpick.engines.engine import Build, Engine, Session, SessionSettings
from bitpick.engines.executed import Executed
from bitpick.engines.insides import Insides
from bitpick.engines.litert import graph, library_recipe
from bitpick.engines.litert import ranges as litert_ranges
from bitpick.engines.litert.file import File
from bitpick.engines.litert.insides import LiteRtInsides
from bitpick.engines.litert.library_recipe import INTEGER_IO, leave_in_float
from bitpick.engines.scoping import excluded
from bitpick.errors import EngineError
from bitpick.models.model import Format, Model, sha256_of
from bitpick.passes.weight_grid import WeightGrid
from bitpick.preprocessing import Arrays
from bitpick.recipe import Recipe, baseline
from bitpick.targets.host import Host

_FILE = "model.tflite"


class LiteRtEngine(Engine):
    """Starts from the user's Keras model if there is one, otherwise from the PyTorch form."""

    name = "litert"
    environment = "litert"
    packages = ("ai-edge-litert", "litert-quantizer")
    extra = "litert"
    accepts = (Format.LITERT,)
    runs = (Format.LITERT,)
    runner = "bitpick.engines.litert.runner"
    scopes = True
    mixes = frozenset({"s8s8", "s8s16", "s4s8", "s4s16", "s8dynamic", "s4dynamic", "s8weights", "s4weights"})
    weight_levels = MappingProxyType({"s8": 127, "s4": 7})
    optimizes = True
    capabilities = (
        Capability(("s8dynamic", "s4dynamic", "s8weights", "s4weights", "float16")),
        Capability(
            ("s8s8", "s8s16", "s4s8", "s4s16"),
            granularities=("per_channel",),
            calibrations=("minmax", "moving_average"),
            options={INTEGER_IO: "8-bit input and output, all integer: what microcontrollers need"},
        ),
    )

    def recipes(self, model: Model, host: Host) -> list[Offer]:  # noqa: ARG002 - the same on every model and host
        """See `Engine.recipes`."""
        usual, full = frozenset({"standard", "full"}), frozenset({"full"})
        scheme, four_bits = f"{self.name}:s8s8-per_channel-minmax", f"{self.name}:s4s8-per_channel-minmax"
        return [
            Offer(baseline(self.name), usual),
            Offer(Recipe.parse(scheme), usual),
            Offer(Recipe.parse(f"{scheme}+{INTEGER_IO}"), usual),
            Offer(Recipe.parse(f"{scheme}{PREPARED}+{INTEGER_IO}"), usual),
            Offer(Recipe.parse(f"{four_bits}{PREPARED}+{INTEGER_IO}"), usual),
            Offer(Recipe.parse(f"{self.name}:s8dynamic"), usual),
            Offer(Recipe.parse(f"{scheme}{PREPARED}"), full),
            Offer(Recipe.parse(f"{scheme}+bias_correction+{INTEGER_IO}+pool_as_mean"), full),
            Offer(Recipe.parse(f"{four_bits}+{INTEGER_IO}"), full),
            Offer(Recipe.parse(f"{self.name}:s4dynamic{PREPARED}"), full),
            Offer(Recipe.parse(f"{self.name}:s4weights{PREPARED}"), full),
            Offer(Recipe.parse(f"{self.name}:s8s16-per_channel-minmax"), full),
            Offer(Recipe.parse(f"{self.name}:s8s8-per_channel-moving_average"), full),
            Offer(Recipe.parse(f"{self.name}:s8s8-per_channel-moving_average+{INTEGER_IO}"), full),
            Offer(Recipe.parse(f"{self.name}:s8weights"), full),
            Offer(Recipe.parse(f"{self.name}:float16"), full),
        ]

    def calibration_key(self, recipe: Recipe) -> str | None:
        """See `Engine.calibration_key`; ranges depend only on the graph and the method."""
        return recipe.calibration

    def calibrate(self, source: Path, recipe: Recipe, samples: Samples, out: Path) -> None:
        """See `Engine.calibrate`: the ranges of all operators that the method can quantize."""
        assert recipe.calibration is not None
        with litert_signed.prepared(source) as file:
            scheme = f"{self.name}:s8s8-per_channel-{recipe.calibration}+{INTEGER_IO}"
            manager = library_recipe.manager_of(Recipe.parse(scheme))
            leave_in_float(manager, *_unsound(file, samples))
            litert_ranges.save(litert_ranges.collect(file, recipe.calibration, manager, samples), out)

    def build(self, source: Path, recipe: Recipe, samples: Samples, ranges: Path | None, folder: Path) -> Build:
        """See `Engine.build`."""
        if recipe.kind == "baseline" and not litert_signed.has_half_weights(source):
            shutil.copyfile(source, folder / _FILE)
            return Build(recipe, folder, (_FILE,))
        with litert_signed.prepared(source) as file:
            if recipe.kind == "baseline":
                shutil.copyfile(file, folder / _FILE)
                return Build(recipe, folder, (_FILE,))
            return self._quantized(file, recipe, samples, ranges, folder)

    def _quantized(self, source: Path, recipe: Recipe, samples: Samples, ranges: Path | None, folder: Path) -> Build:
        from litert_quantizer import quantizer

        manager = library_recipe.manager_of(recipe)
        in_float, in_subgraphs = _unsound(source, samples) if recipe.static else ({}, [])
        if recipe.weights:
            library_recipe.mix(manager, recipe, graph.weighted(source))
        leave_in_float(manager, excluded(recipe, graph.names(source)) if recipe.exclude else [], [])
        leave_in_float(manager, in_float, in_subgraphs)
        library_quantizer = quantizer.Quantizer(str(source), manager.get_quantization_recipe())
        collected = None if ranges is None else litert_ranges.load(ranges)
        library_quantizer.quantize(collected).export_model(str(folder / _FILE))
        return Build(recipe, folder, (_FILE,), notes=spread.note(self.name, in_float.values()))

    def weight_grid(self, recipe: Recipe) -> WeightGrid | None:
        """See `Engine.weight_grid`; depthwise convolutions have no kernel for four-bit weights."""
        grid = super().weight_grid(recipe)
        return replace(grid, depthwise=127) if grid is not None and recipe.weight_dtype == "s4" else grid

    def layers(self, source: Path, recipe: Recipe) -> list[tuple[str, str]]:
        """See `Engine.layers`; without static scales, only layers with weights are quantized."""
        with litert_signed.prepared(source) as file:
            operators = graph.layers(file).items()
        return [(name, layer.kind) for name, layer in operators if layer.weight or recipe.static]

    def layer_weights(self, source: Path) -> Iterator[tuple[Sequence[str], NDArray[Any]]]:
        """See `Engine.layer_weights`."""
        with litert_signed.prepared(source) as file:
            yield from graph.stored(file)

    def insides(self, floats: Build, build: Build) -> Insides:
        """See `Engine.insides`."""
        return LiteRtInsides(floats, build)

    def open(self, build: Build, settings: SessionSettings) -> Session:
        """See `Engine.open`."""
        return _LiteRtSession(build.main, settings)

    def inspect(self, build: Build, sample: Arrays) -> Executed:
        """See `Engine.inspect`."""
        session = _LiteRtSession(build.main, SessionSettings())
        session.run(session.prepare(sample))
        return graph.executed(session.interpreter, build.main)


def _unsound(source: Path, samples: Samples) -> tuple[dict[str, str], list[str]]:
    """Return the operators that must stay in float.

    Returns:
        The type of each operator with a blown-up range, by name, see `spread`; and the names of those inside loops and
        branches, where the quantizer collects no ranges.
    """
    return litert_ranges.blown_up(source, sha256_of(source), samples), list(dict.fromkeys(File(source).names_inside()))


class _LiteRtSession(Session):
    def __init__(self, path: Path, settings: SessionSettings) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kernels = OpResolverType.AUTO if settings.optimize else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES

        def open_interpreter() -> Any:
            interpreter = Interpreter(
                model_path=str(path), num_threads=settings.threads, experimental_op_resolver_type=kernels
            )
            interpreter.allocate_tensors()
            return interpreter

        self._open = open_interpreter
        self.interpreter = open_interpreter()
        self._inputs, self._outputs = litert_file.inputs_and_outputs(self.interpreter)
        self._batch_size = self._own_size = int(self._inputs[0]["shape"][0])
        self._resizable, self._verified = True, False

    def prepare(self, batch: Arrays) -> Arrays:
        """See `Session.prepare`; integer inputs are quantized by their scales and zero points."""
        return tuple(graph.native(*each) for each in zip(self._inputs, batch, strict=True))

    def run(self, native: Arrays) -> tuple[int, list[Arrays]]:
        count = len(native[0])
        if self._resizable and self._fits(native):
            return count, [self._invoke(native)]
        return count, [self._invoke(part) for part in pieces(native, self._own_size)]

    def _fits(self, native: Arrays) -> bool:
        """Resize the graph to the batch; return whether that works, because some graphs have a fixed batch size."""
        if len(native[0]) == self._batch_size:
            return True
        first_piece = pieces(native, self._own_size)[0]
        try:
            self._resize(native)
            # A Reshape to a stored size silently turns a larger batch into more or longer rows, so compare outputs.
            self._resizable = self._verified or self._same_outputs(native, first_piece)
        except (RuntimeError, ValueError, EngineError):
            self._resizable = False
        self._verified = True
        if not self._resizable:  # a failed resize leaves the interpreter in an unreliable state
            self.interpreter, self._batch_size = self._open(), self._own_size
        return self._resizable

    def _same_outputs(self, native: Arrays, first_piece: Arrays) -> bool:
        """Return whether the resized graph gives the same outputs as at its own batch size, for the same samples."""
        resized = self.outputs((len(native[0]), [self._invoke(native)]))
        self._resize(first_piece)
        unresized = self.outputs((self._own_size, [self._invoke(first_piece)]))
        self._resize(native)
        shared = min(self._own_size, len(native[0]))
        return rounding.alike(
            tuple(output[:shared] for output in unresized), tuple(output[:shared] for output in resized)
        )

    def _resize(self, native: Arrays) -> None:
        for source, array in zip(self._inputs, native, strict=True):
            self.interpreter.resize_tensor_input(source["index"], array.shape)
        self.interpreter.allocate_tensors()
        self._batch_size = len(native[0])

    def _invoke(self, native: Arrays) -> Arrays:
        for source, array in zip(self._inputs, native, strict=True):
            self.interpreter.set_tensor(source["index"], array)
        self.interpreter.invoke()
        return tuple(self.interpreter.get_tensor(sink["index"]) for sink in self._outputs)

    def outputs(self, native: tuple[int, list[Arrays]]) -> Arrays:
        count, parts = native
        restored = [tuple(_float(*each) for each in zip(self._outputs, part, strict=True)) for part in parts]
        return join(restored, count, None if self._resizable else self._own_size)


def _float(sink: Any, native: NDArray[Any]) -> NDArray[np.float32]:
    scale, zero_point = sink["quantization"]
    if not np.issubdtype(native.dtype, np.integer) or not scale:
        return native.astype(np.float32, copy=False)
    restored: NDArray[np.float32] = (native.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
    return restored
