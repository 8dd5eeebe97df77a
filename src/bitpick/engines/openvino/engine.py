"""OpenVINO, quantized by NNCF's post-training quantization, on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.dataset import Samples
from bitpick.engines import spread
from bitpick.engines.batches import calibration_batches, calibration_size, joined, pieces
from bitpick.engines.capability import Capability, Offer
from bitpick.engines.engine import Build, Engine, Session, SessionSettings, excluded
from bitpick.engines.executed import Executed
from bitpick.engines.insides import Insides
from bitpick.engines.openvino import graph
from bitpick.engines.openvino.insides import OpenVinoInsides
from bitpick.errors import Unsupported
from bitpick.models.model import Format, Model, sha256_of
from bitpick.preprocessing import Arrays
from bitpick.recipe import Recipe, baseline
from bitpick.schema.evidence import FindingCode
from bitpick.targets.host import Host, this_host

_MIXED = "mixed"
_BIAS = "full_bias_correction"
_BIAS_BATCHES = 4  # what NNCF itself takes of 1,000 samples
_FILES = ("model.xml", "model.bin")
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}


class OpenVinoEngine(Engine):
    """A build ships as OpenVINO's IR, and runs with the precision that its recipe names."""

    name = "openvino"
    environment = "openvino"
    packages = ("openvino", "nncf")
    extra = "openvino"
    accepts = (Format.ONNX,)
    runner = "bitpick.engines.openvino.runner"
    scopes = True
    signs = True  # NNCF's symmetric grids
    capabilities = (
        Capability(("bfloat16",)),
        Capability(
            ("s8u8",),
            granularities=("per_channel",),
            calibrations=("minmax",),
            options={
                _MIXED: "asymmetric activations (NNCF's preset MIXED)",
                _BIAS: "bias correction layer by layer instead of the fast one",
            },
        ),
    )

    def recipes(self, model: Model, host: Host) -> list[Offer]:  # noqa: ARG002 - the same for every model
        """See `Engine.recipes`; bfloat16 is what OpenVINO picks by itself on CPUs that have it."""
        usual = frozenset({"standard", "full"})
        offers = [Offer(baseline(self.name), usual)]
        if _BFLOAT16 & set(host.isa):
            offers.append(Offer(Recipe.parse(f"{self.name}:bfloat16"), usual))
        scheme = f"{self.name}:s8u8-per_channel-minmax"
        full = frozenset({"full"})
        for options, presets in (("", usual), (f"+{_BIAS}", usual), (f"+{_MIXED}", full), (f"+{_BIAS}+{_MIXED}", full)):
            offers.append(Offer(Recipe.parse(scheme + options), presets))
        return offers

    def build(
        self,
        source: Path,
        recipe: Recipe,
        samples: Samples,
        ranges: Path | None,  # noqa: ARG002 - NNCF collects its own
        folder: Path,
    ) -> Build:
        """See `Engine.build`."""
        import openvino

        if recipe.dtypes == "bfloat16" and not _BFLOAT16 & set(this_host().isa):
            raise Unsupported(
                f"this CPU does not compute in bfloat16: it has none of {', '.join(sorted(_BFLOAT16))}",
                fix="make and measure it on a CPU that has one of them",
            )
        # Unlike read_model it folds what hides the biases, without which NNCF corrects none.
        model = openvino.convert_model(source)
        wide = _blown_up(source, sha256_of(source), samples) if recipe.kind == "quantized" else []
        if recipe.kind == "quantized":
            model = _quantized(model, recipe, samples, wide)
        # Its default stores float weights in half precision: a float32 baseline must not.
        openvino.save_model(model, folder / _FILES[0], compress_to_fp16=False)
        return Build(recipe, folder, _FILES, _precision(recipe), notes=spread.note(self.name, wide))

    def layers(self, source: Path, recipe: Recipe) -> list[tuple[str, str]]:  # noqa: ARG002 - the same for all
        """See `Engine.layers`."""
        import openvino

        found = _weighted(openvino.convert_model(source))
        return [(name.removesuffix("/WithoutBiases"), kind) for name, kind in found]

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

    def fix(self, recipe: Recipe, code: FindingCode) -> str:  # noqa: ARG002 - the same for all recipes
        """See `Engine.fix`."""
        return "compress what you ship: the .xml is text, and shrinks by nine tenths" if code == "container" else ""


def _configuration(recipe: Recipe, threads: int) -> dict[str, str | int]:
    return {**_precision(recipe), "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}


def _precision(recipe: Recipe) -> dict[str, str]:
    """What OpenVINO must be told: by default it computes in bfloat16 on CPUs that have it."""
    return {"INFERENCE_PRECISION_HINT": "bf16" if recipe.dtypes == "bfloat16" else "f32"}


@lru_cache(maxsize=4)
def _blown_up(source: Path, _: str, samples: Samples) -> list[str]:
    """The operators of a model that must stay in float, see `spread`."""
    import openvino

    looking = openvino.convert_model(source)
    operators = [op for op in looking.get_ordered_ops() if op.get_type_name() not in ("Constant", "Result")]
    computing = [op for op in operators if op.get_type_name() != "Parameter"]
    looking.add_outputs([end for op in computing for end in op.outputs()])
    compiled = openvino.Core().compile_model(looking, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    # Several results can be of one tensor; what they have in common is the operator and its output.
    ends = [result.input_value(0) for result in looking.get_results()]
    keys = [f"{end.get_node().get_friendly_name()}:{end.get_index()}" for end in ends]
    given = [f"{each.get_node().get_friendly_name()}:0" for each in looking.inputs]
    found = spread.Spreads()
    for batch in spread.batches(samples, _fixed(looking)):
        found.add(zip(given, batch, strict=True))
        found.add(zip(keys, compiled(list(batch)).to_tuple(), strict=True))
    steps = [
        spread.Step(
            op.get_friendly_name(),
            op.get_type_name(),
            *(
                tuple(f"{end.get_node().get_friendly_name()}:{end.get_index()}" for end in ends)
                for ends in (op.input_values(), op.outputs())
            ),
        )
        for op in computing
    ]
    return [step.name for step in spread.left_in_float(steps, found)]


def _quantized(model: Any, recipe: Recipe, samples: Samples, wide: Sequence[str]) -> Any:
    import nncf

    nncf.set_log_level(40)
    kept = _BIAS in recipe.options  # of the batches that it corrects biases with, all activations
    if kept:
        _bound_bias_correction()
    short = {name.removesuffix("/WithoutBiases"): name for name, _ in _weighted(model)}
    left = dict.fromkeys([*(short[name] for name in excluded(recipe, short)), *wide])
    ignored = nncf.IgnoredScope(names=list(left), validate=False)  # some operators are none of its graph
    preset = nncf.QuantizationPreset.MIXED if _MIXED in recipe.options else nncf.QuantizationPreset.PERFORMANCE
    return nncf.quantize(
        model,
        nncf.Dataset(_Batches(samples, _fixed(model), kept), list),
        preset=preset,
        subset_size=-(-samples.count // (_fixed(model) or calibration_size(samples, None, kept))),  # NNCF counts runs
        ignored_scope=ignored,
        fast_bias_correction=not kept,
    )


def _weighted(model: Any) -> list[tuple[str, str]]:
    """Names and types of the operators of a model that have weights, in their order."""
    found = [(op.get_friendly_name(), op.get_type_name()) for op in model.get_ordered_ops()]
    return [(name, kind) for name, kind in found if kind in graph.WEIGHTED]


def _bound_bias_correction() -> None:
    """Have full bias correction see no more than the first batches.

    It keeps every layer's activations for a fifth of the calibration set, however large that is.
    """
    from nncf.quantization.algorithms.bias_correction.algorithm import BiasCorrection
    from nncf.quantization.algorithms.post_training import pipeline

    assert hasattr(pipeline, "BiasCorrection")  # where the pipeline looks it up

    def bounded(subset_size: int, *others: Any) -> Any:
        return BiasCorrection(min(subset_size, _BIAS_BATCHES), *others)

    pipeline.BiasCorrection = bounded


class _Batches:
    """Calibration batches, as often as NNCF walks over them."""

    def __init__(self, samples: Samples, size: int | None, kept: bool) -> None:
        self._samples = samples
        self._size = size
        self._kept = kept

    def __iter__(self) -> Iterator[Arrays]:
        for batch in calibration_batches(self._samples, self._size, self._kept):
            yield from pieces(batch, self._size)


def _fixed(model: Any) -> int | None:
    """The number of samples that a model takes at once; None where any number will do."""
    leading = model.inputs[0].partial_shape[0]
    return int(leading.get_length()) if leading.is_static else None


class _OpenVinoSession(Session):
    def __init__(self, build: Build, settings: SessionSettings) -> None:
        import openvino

        configuration = _configuration(build.recipe, settings.threads)
        model = openvino.Core().compile_model(build.main, "CPU", configuration)
        self._request = model.create_infer_request()
        self._fixed = _fixed(model)

    def prepare(self, batch: Arrays) -> tuple[int, list[list[NDArray[Any]]]]:
        return len(batch[0]), [list(each) for each in pieces(batch, self._fixed)]

    def run(self, native: tuple[int, list[list[NDArray[Any]]]]) -> tuple[int, list[Any]]:
        count, parts = native
        # Where there are several runs, an output is a view of memory that the next one writes to.
        share = len(parts) == 1
        found = [self._request.infer(each, share_inputs=True, share_outputs=share).to_tuple() for each in parts]
        return count, found

    def outputs(self, native: tuple[int, list[Any]]) -> Arrays:
        count, parts = native
        return tuple(np.array(each) for each in joined(parts, count, self._fixed))
