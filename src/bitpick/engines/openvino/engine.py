"""OpenVINO on the CPU, quantized by NNCF's post-training quantization."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.dataset import Samples
from bitpick.engines import attention, spread
from bitpick.engines.batches import join, pieces
from bitpick.engines.capability import PREPARED, Capability, Offer
from bitpick.engines.engine import Build, Engine, Session, SessionSettings
from bitpick.engines.executed import BITS, Executed
from bitpick.engines.insides import Insides
from bitpick.engines.openvino import graph, weights
from bitpick.engines.openvino.insides import OpenVinoInsides, layer_weights, short_name
from bitpick.engines.openvino.quantizer import BIAS, MIXED, fixed_batch, quantize
from bitpick.engines.scoping import excluded, mixed
from bitpick.errors import Unsupported
from bitpick.models.model import Format, Model, sha256_of
from bitpick.passes.weight_grid import WeightGrid
from bitpick.preprocessing import Arrays
from bitpick.recipe import Recipe, baseline
from bitpick.schema.evidence import FindingCode
from bitpick.targets.host import Host, this_host

_TRANSFORMER = "the model has attention: openvino leaves additions and norms in float (NNCF's model type TRANSFORMER)"
_FILES = ("model.xml", "model.bin")
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}


class OpenVinoEngine(Engine):
    """Ships builds as OpenVINO IR and runs them in the precision that the recipe names."""

    name = "openvino"
    environment = "openvino"
    packages = ("openvino", "nncf")
    extra = "openvino"
    accepts = (Format.ONNX,)
    runner = "bitpick.engines.openvino.runner"
    own_settings = frozenset({"INFERENCE_PRECISION_HINT", graph.DYNAMIC_GROUP})
    scopes = True
    mixes = frozenset({"s8weights", "s4weights"})
    weight_levels = MappingProxyType({"s8": 127})
    signed_activations = True  # NNCF's symmetric grids are signed
    capabilities = (
        Capability(("bfloat16", "s8weights", "s4weights")),
        Capability(
            ("s8u8",),
            granularities=("per_channel",),
            calibrations=("minmax", "histogram"),
            options={
                MIXED: "asymmetric activations (NNCF's preset MIXED)",
                BIAS: "bias correction layer by layer instead of the fast one",
            },
        ),
    )

    def recipes(self, model: Model, host: Host) -> list[Offer]:  # noqa: ARG002 - the same for every model
        """See `Engine.recipes`; on CPUs with bfloat16, OpenVINO uses it by default."""
        usual = frozenset({"standard", "full"})
        offers = [Offer(baseline(self.name), usual)]
        if _BFLOAT16 & set(host.isa):
            offers.append(Offer(Recipe.parse(f"{self.name}:bfloat16"), usual))
        full = frozenset({"full"})
        offers += [
            Offer(Recipe.parse(f"{self.name}:s8u8-per_channel-{recipe}"), presets)
            for recipe, presets in (
                ("minmax", usual),
                (f"minmax{PREPARED}+{BIAS}", usual),
                (f"minmax{PREPARED}", full),
                (f"minmax+{BIAS}", full),
                (f"histogram+{BIAS}+{MIXED}", usual),
                (f"minmax+{MIXED}", full),
                (f"minmax+{BIAS}+{MIXED}", full),
                ("histogram", full),
                (f"histogram+{MIXED}", full),
                (f"histogram+{BIAS}", full),
            )
        ]
        compressed = ("s8weights", f"s4weights{PREPARED}")
        return offers + [Offer(Recipe.parse(f"{self.name}:{recipe}"), full) for recipe in compressed]

    def build(
        self,
        source: Path,
        recipe: Recipe,
        samples: Samples,
        ranges: Path | None,  # noqa: ARG002 - NNCF collects its own ranges
        folder: Path,
    ) -> Build:
        """See `Engine.build`."""
        import openvino

        if recipe.dtypes == "bfloat16" and not _BFLOAT16 & set(this_host().isa):
            raise Unsupported(
                f"this CPU does not compute in bfloat16: it has none of {', '.join(sorted(_BFLOAT16))}",
                fix="make and measure it on a CPU that has one of them",
            )
        # Unlike read_model, this folds the nodes that hide biases from NNCF, so that it can correct them.
        model = openvino.convert_model(source)
        notes: tuple[str, ...] = ()
        if recipe.weights_only:
            left = _excluded(model, recipe)
            model = weights.compress(model, BITS[recipe.weight_dtype], left, _mixed(model, recipe))
        elif recipe.kind == "quantized":
            in_float = _blown_up(source, sha256_of(source), samples)
            transformer = _is_transformer(model)
            notes = spread.note(self.name, in_float) + ((_TRANSFORMER,) if transformer else ())
            model = quantize(model, recipe, samples, [*_excluded(model, recipe), *in_float], transformer)
        # By default it stores float weights in half precision, which a float32 baseline must not do.
        openvino.save_model(model, folder / _FILES[0], compress_to_fp16=False)
        return Build(recipe, folder, _FILES, _precision(recipe), notes=notes)

    def layers(self, source: Path, recipe: Recipe) -> list[tuple[str, str]]:  # noqa: ARG002 - the same for all
        """See `Engine.layers`."""
        import openvino

        operators = _weighted(openvino.convert_model(source))
        return [(short_name(name), kind) for name, kind in operators]

    def layer_weights(self, source: Path) -> Iterator[tuple[Sequence[str], NDArray[Any]]]:
        """See `Engine.layer_weights`."""
        import openvino

        return (((short_name(name),), values) for name, values in layer_weights(openvino.convert_model(source)))

    def insides(self, floats: Build, build: Build) -> Insides:
        """See `Engine.insides`."""
        return OpenVinoInsides(floats.main, build.main, _configuration(build.recipe, this_host().cores))

    def open(self, build: Build, settings: SessionSettings) -> Session:
        """See `Engine.open`."""
        return _OpenVinoSession(build, settings)

    def inspect(self, build: Build, sample: Arrays) -> Executed:
        """See `Engine.inspect`."""
        import openvino

        core = openvino.Core()
        source = core.read_model(build.main)
        return graph.executed(core.compile_model(source, "CPU", _configuration(build.recipe, 1)), source, sample)

    def constants(self, build: Build) -> Iterator[tuple[str, NDArray[Any]]]:
        """See `Engine.constants`."""
        import openvino

        return graph.constants(openvino.Core().read_model(build.main))

    def weight_grid(self, recipe: Recipe) -> WeightGrid | None:
        """See `Engine.weight_grid`; where NNCF compresses weights alone, it uses all values of a two's complement."""
        if not recipe.weights_only:
            return super().weight_grid(recipe)
        return WeightGrid(
            2 ** (BITS[recipe.weight_dtype] - 1), True, clipped=recipe.weight_dtype == "s4", lopsided=True
        )

    def fix(self, recipe: Recipe, code: FindingCode) -> str:  # noqa: ARG002 - the same for all recipes
        """See `Engine.fix`."""
        return "compress what you ship: the .xml is text, and shrinks by nine tenths" if code == "container" else ""


def _configuration(recipe: Recipe, threads: int) -> dict[str, str | int]:
    return {**_precision(recipe), "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}


def _precision(recipe: Recipe) -> dict[str, str]:
    """Return settings without which OpenVINO computes in bfloat16, or rounds what meets integer weights."""
    hint = {"INFERENCE_PRECISION_HINT": "bf16" if recipe.dtypes == "bfloat16" else "f32"}
    return hint | ({graph.DYNAMIC_GROUP: "0"} if recipe.weights_only else {})


def _excluded(model: Any, recipe: Recipe) -> list[str]:
    """Return the names, in a model, of the operators that a recipe leaves in float."""
    names = {short_name(name): name for name, _ in _weighted(model)}
    return [names[name] for name in excluded(recipe, names)]


def _mixed(model: Any, recipe: Recipe) -> list[str]:
    """Return the names, in a model, of the operators that a recipe gives other weights than the rest."""
    names = {short_name(name): name for name, _ in layer_weights(model)} if recipe.weights else {}
    return [names[name] for (name,) in mixed(recipe, [(name,) for name in names])]


@lru_cache(maxsize=4)
def _blown_up(source: Path, _: str, samples: Samples) -> list[str]:
    """Return the operators of a model that must stay in float, see `spread`."""
    import openvino

    instrumented = openvino.convert_model(source)
    operators = [op for op in instrumented.get_ordered_ops() if op.get_type_name() not in ("Constant", "Result")]
    computed = [op for op in operators if op.get_type_name() != "Parameter"]
    instrumented.add_outputs([port for op in computed for port in op.outputs()])
    compiled = openvino.Core().compile_model(instrumented, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    # Several results can share a tensor, so key them by operator and output index.
    ports = [result.input_value(0) for result in instrumented.get_results()]
    tensor_names = [f"{port.get_node().get_friendly_name()}:{port.get_index()}" for port in ports]
    input_names = [f"{input_.get_node().get_friendly_name()}:0" for input_ in instrumented.inputs]
    spreads = spread.Spreads()
    for batch in spread.batches(samples, fixed_batch(instrumented)):
        spreads.add(zip(input_names, batch, strict=True))
        spreads.add(zip(tensor_names, compiled(list(batch)).to_tuple(), strict=True))
    return [step.name for step in spread.left_in_float(_steps(computed), spreads)]


def _steps(operators: Iterable[Any]) -> list[spread.Step]:
    """Return operators in the form that looks for blown-up tensors and attention take."""

    def names(ports: Iterable[Any]) -> tuple[str, ...]:
        return tuple(f"{port.get_node().get_friendly_name()}:{port.get_index()}" for port in ports)

    return [
        spread.Step(op.get_friendly_name(), op.get_type_name(), names(op.input_values()), names(op.outputs()))
        for op in operators
    ]


def _is_transformer(model: Any) -> bool:
    operators = (op for op in model.get_ordered_ops() if op.get_type_name() not in ("Constant", "Parameter"))
    return bool(attention.steps(_steps(operators)))


def _weighted(model: Any) -> list[tuple[str, str]]:
    """Return names and types of the operators of a model that have weights, in graph order."""
    operators = [(op.get_friendly_name(), op.get_type_name()) for op in model.get_ordered_ops()]
    return [(name, kind) for name, kind in operators if kind in graph.WEIGHTED]


class _OpenVinoSession(Session):
    def __init__(self, build: Build, settings: SessionSettings) -> None:
        import openvino

        configuration = _configuration(build.recipe, settings.threads)
        model = openvino.Core().compile_model(build.main, "CPU", configuration)
        self._request = model.create_infer_request()
        self._fixed_batch = fixed_batch(model)

    def prepare(self, batch: Arrays) -> tuple[int, list[list[NDArray[Any]]]]:
        return len(batch[0]), [list(part) for part in pieces(batch, self._fixed_batch)]

    def run(self, native: tuple[int, list[list[NDArray[Any]]]]) -> tuple[int, list[Any]]:
        count, parts = native
        share_outputs = len(parts) == 1  # otherwise the next run would overwrite the memory of this one's
        outputs = [
            self._request.infer(part, share_inputs=True, share_outputs=share_outputs).to_tuple() for part in parts
        ]
        return count, outputs

    def outputs(self, native: tuple[int, list[Any]]) -> Arrays:
        count, parts = native
        return tuple(np.array(each) for each in join(parts, count, self._fixed_batch))
