"""ONNX Runtime with its own quantizer: static, dynamic, weight-only and half precision, on the CPU."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bitpick.datasets.dataset import Samples
from bitpick.engines import attention, spread
from bitpick.engines.batches import join, pieces
from bitpick.engines.capability import PREPARED, Capability, Offer
from bitpick.engines.engine import Build, Engine, Session, SessionSettings
from bitpick.engines.executed import BITS, Executed
from bitpick.engines.insides import Insides
from bitpick.engines.onnxruntime import graph, quantizer, weights
from bitpick.engines.onnxruntime.insides import OnnxInsides
from bitpick.engines.onnxruntime.quantizer import QOPERATOR, REDUCED, SYMMETRIC_ACTIVATIONS, SYMMETRIC_WEIGHTS
from bitpick.engines.onnxruntime.settings import KEEP_FLOAT_WEIGHTS, SETTINGS
from bitpick.engines.scoping import excluded, mixed
from bitpick.errors import Unsupported
from bitpick.models.model import Format, Model, external_files
from bitpick.passes.weight_grid import WeightGrid
from bitpick.preprocessing import Arrays
from bitpick.recipe import Recipe, baseline
from bitpick.schema.evidence import FindingCode
from bitpick.targets.host import Host, this_host

_RAW = "raw_graph"
_PRECISE = "x64quantprecision"
_PERCENTILES = ("percentile99.9", "percentile99.99", "percentile99.999")
_HALF_PRECISION_ISA = {"fphp", "asimdhp", "fp16"}  # ARM's names for half-precision arithmetic
_FILE = "model.onnx"


class OnnxRuntimeEngine(Engine):
    """Starts from the clean graph, or with `+raw_graph` from the graph that the converter wrote."""

    name = "onnxruntime"
    environment = "onnxruntime"
    packages = ("onnxruntime", "onnx")
    extra = "onnxruntime"
    accepts = (Format.ONNX,)
    runs = (Format.RAW_ONNX, Format.ONNX)
    runner = "bitpick.engines.onnxruntime.runner"
    optimizes = True
    scopes = True
    mixes = frozenset({"s8weights", "s4weights"})
    configures = SETTINGS
    capabilities = (
        Capability(("float32",), options={_RAW: "run the converter's own graph"}),
        Capability(
            ("s8s8", "s8u8", "u8u8"),
            granularities=("per_tensor", "per_channel"),
            calibrations=("minmax", "moving_average", *_PERCENTILES, "entropy"),
            options={
                QOPERATOR: "integer operators in the file (QLinearConv …) instead of QDQ around float ones",
                _RAW: "quantize the converter's own graph, without clean-up",
                SYMMETRIC_ACTIVATIONS: "activations without a zero point",
                SYMMETRIC_WEIGHTS: "unsigned weights around 128; signed ones are symmetric as they are",
                REDUCED: "7-bit weights, whose products do not saturate on CPUs without VNNI",
                _PRECISE: "a session setting: slower kernels that do not saturate, on CPUs without VNNI",
            },
        ),
        Capability(("s8dynamic", "u8dynamic", "s8weights", "s4weights", "float16")),
    )

    def form(self, recipe: Recipe) -> tuple[Format, ...]:
        """See `Engine.form`."""
        return (Format.RAW_ONNX,) if _RAW in recipe.options else self.accepts

    def float_recipe(self, source: Format) -> Recipe | None:
        """See `Engine.float_recipe`; the converter's own graph needs the option `raw_graph`."""
        if source == Format.RAW_ONNX:
            return Recipe(engine=self.name, dtypes="float32", options={_RAW: ""})
        return super().float_recipe(source)

    def recipes(self, model: Model, host: Host) -> list[Offer]:  # noqa: ARG002 - the same for every model
        """See `Engine.recipes`."""
        reference = frozenset({"reference", "full"})
        basic, standard, full = frozenset({"basic", "full"}), frozenset({"standard", "full"}), frozenset({"full"})
        basic_and_standard = basic | standard
        return [
            Offer(baseline(self.name), reference | basic_and_standard),
            *([Offer(Recipe.parse(f"{self.name}:float16"), full)] if _HALF_PRECISION_ISA & set(host.isa) else []),
            *(
                Offer(Recipe.parse(f"{self.name}:{recipe}"), presets)
                for recipe, presets in (
                    ("s8s8-per_tensor-minmax+raw_graph", reference),
                    ("u8u8-per_tensor-minmax+raw_graph", reference),
                    ("s8s8-per_tensor-minmax", basic),
                    ("u8u8-per_tensor-minmax", basic),
                    ("s8u8-per_channel-minmax", basic_and_standard),
                    ("s8u8-per_channel-minmax+reduced_range", basic_and_standard),
                    (f"s8u8-per_channel-minmax{PREPARED}", standard),
                    (f"s8u8-per_channel-minmax{PREPARED}+reduced_range", standard),
                    ("s8u8-per_channel-minmax+qoperator", standard),
                    (f"s8u8-per_channel-minmax{PREPARED}+qoperator+reduced_range", standard),
                    (f"s8u8-per_channel-percentile99.99{PREPARED}+reduced_range", full),
                    ("u8u8-per_tensor-minmax+pool_as_mean+symmetric_weights", full),
                    ("u8u8-per_tensor-minmax+symmetric_weights", full),
                    ("s8u8-per_channel-moving_average+reduced_range", full),
                    ("s8u8-per_channel-percentile99.99+reduced_range", full),
                    (f"s8u8-per_channel-moving_average{PREPARED}+reduced_range", full),
                    ("s8u8-per_channel-minmax+bias_correction+pool_as_mean", full),
                    ("s8u8-per_channel-minmax+bias_correction+pool_as_mean+reduced_range", full),
                    ("s8u8-per_channel-percentile99.99", full),  # saturates on CPUs without VNNI
                    ("s8dynamic", full),
                    ("u8dynamic", full),
                    ("s8weights", full),
                    (f"s4weights{PREPARED}", full),
                    *((text, full) for text in _grid()),
                )
            ),
        ]

    def calibration_key(self, recipe: Recipe) -> str | None:
        """See `Engine.calibration_key`; ranges depend only on the graph and the method."""
        return None if recipe.calibration is None else f"{self.form(recipe)[0]}-{recipe.calibration}"

    def refusal(self, recipe: Recipe) -> str | None:
        """See `Engine.refusal`; options that would change nothing are refused too."""
        if SYMMETRIC_WEIGHTS in recipe.options and recipe.weight_dtype == "s8":
            return f"{SYMMETRIC_WEIGHTS} changes nothing: onnxruntime's signed weights are symmetric as they are"
        return super().refusal(recipe)

    def weight_grid(self, recipe: Recipe) -> WeightGrid | None:
        """See `Engine.weight_grid`; a reduced range ends at 64, and dynamic quantization has one scale for a tensor."""
        if recipe.weights_only:
            return WeightGrid(
                2 ** (BITS[recipe.weight_dtype] - 1) - 1, per_channel=True, clipped=recipe.weight_dtype == "s4"
            )
        if recipe.dtypes not in ("s8s8", "s8u8", "s8dynamic"):
            return None
        return WeightGrid(64 if REDUCED in recipe.options else 127, recipe.granularity == "per_channel")

    def calibrate(self, source: Path, recipe: Recipe, samples: Samples, out: Path) -> None:
        """See `Engine.calibrate`."""
        quantizer.calibrate(source, recipe, samples, out)

    def build(self, source: Path, recipe: Recipe, samples: Samples, ranges: Path | None, folder: Path) -> Build:
        """See `Engine.build`."""
        if recipe.kind == "baseline":
            _copy(source, folder / _FILE)
            return Build(recipe, folder, (_FILE,))
        exclude = excluded(recipe, quantizer.nodes(source)) if recipe.exclude else []
        in_float = [] if not recipe.static else quantizer.blown_up(source, samples)[0]
        heads = quantizer.attention_in(source) if recipe.static else []
        settings = {"session.x64quantprecision": "1"} if _PRECISE in recipe.options else {}
        if recipe.weights_only:  # by default, matrix products would round activations too
            settings["session.qdq_matmulnbits_accuracy_level"] = "1"
        if (exclude or in_float or heads) and recipe.static:
            settings |= KEEP_FLOAT_WEIGHTS
        settings |= recipe.settings
        build = Build(
            recipe,
            folder,
            (_FILE,),
            settings,
            notes=spread.note(self.name, in_float) + attention.note(self.name, heads),
        )
        if recipe.dtypes == "float16":
            if not _HALF_PRECISION_ISA & set(this_host().isa):
                raise Unsupported(
                    "ONNX Runtime has no kernels for half precision on this CPU: as it opens the file it would turn "
                    "the weights back to float32",
                    fix="make and measure it on a CPU that has them",
                )
            quantizer.halve(source, folder / _FILE, exclude)
        elif recipe.weights_only:
            others = mixed(recipe, (names for names, _ in self.layer_weights(source))) if recipe.weights else []
            bits = BITS[recipe.weight_dtype]
            weights.quantize(source, folder / _FILE, bits, exclude, [name for names in others for name in names])
        else:
            quantizer.quantize(source, recipe, samples, ranges, folder / _FILE, [*exclude, *in_float, *heads])
        return build

    def open(self, build: Build, settings: SessionSettings) -> Session:
        """See `Engine.open`."""
        return _OnnxRuntimeSession(build, settings)

    def inspect(self, build: Build, sample: Arrays) -> Executed:
        """See `Engine.inspect`."""
        return graph.executed(build.main, build.settings, sample)

    def layers(self, source: Path, recipe: Recipe) -> list[tuple[str, str]]:
        """See `Engine.layers`."""
        return quantizer.layers(source, recipe)

    def layer_weights(self, source: Path) -> Iterator[tuple[Sequence[str], NDArray[Any]]]:
        """See `Engine.layer_weights`."""
        return weights.stored(source)

    def insides(self, floats: Build, build: Build) -> Insides:
        """See `Engine.insides`."""
        return OnnxInsides(floats, build)

    def weight_dtype(self, recipe: Recipe) -> str:
        """See `Engine.weight_dtype`; the precise kernels take unsigned weights, so the runtime converts signed ones."""
        precise = _PRECISE in recipe.options or recipe.settings.get(f"session.{_PRECISE}") == "1"
        return "u8" if precise and this_host().x86 else recipe.weight_dtype

    def constants(self, build: Build) -> Iterator[tuple[str, NDArray[Any]]]:
        """See `Engine.constants`."""
        return graph.constants(build.main)

    def slow_kernels(self, recipe: Recipe) -> str:
        """See `Engine.slow_kernels`."""
        if recipe.static and recipe.weight_dtype == "u8" and this_host().x86:
            return "the weights are unsigned, and on x86 ONNX Runtime multiplies signed ones faster"
        return ""

    def fix(self, recipe: Recipe, code: FindingCode) -> str:
        """See `Engine.fix`."""
        raw = _RAW in recipe.options
        if code in ("unfused", "float_operators", "transposes") and raw:
            return f"leave out +{_RAW}: on the clean graph batch normalisations are part of the convolutions"
        if code == "unfused" and recipe.activation_dtype == "s8":
            return (
                "take unsigned activations (s8u8): ONNX Runtime computes a convolution of signed ones in float where "
                "its input is used twice"
            )
        if code == "slow_kernels":
            return f"take signed weights (s8u8), with +{REDUCED} for CPUs without VNNI"
        if code == "container" and recipe.static and QOPERATOR not in recipe.options:
            return f"add +{QOPERATOR}: integer operators need no quantize and dequantize nodes beside them"
        return ""

    def repairs(self, recipe: Recipe) -> list[Recipe]:
        """See `Engine.repairs`; only products of signed weights with unsigned activations saturate."""
        if recipe.dtypes == "s8dynamic":
            return [recipe.model_copy(update={"dtypes": "u8dynamic"})]
        if recipe.weight_dtype != "s8" or not recipe.static or {REDUCED, _PRECISE} & recipe.options.keys():
            return []
        return [recipe.model_copy(update={"options": recipe.options | {option: ""}}) for option in (REDUCED, _PRECISE)]


class _OnnxRuntimeSession(Session):
    def __init__(self, build: Build, settings: SessionSettings) -> None:
        import onnxruntime as ort

        options = graph.session_options(build.settings)
        options.intra_op_num_threads = settings.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if not settings.optimize:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = ort.InferenceSession(build.main, options, providers=["CPUExecutionProvider"])
        self.one_at_a_time = build.recipe.activation_dtype == "dynamic" or (
            _RAW in build.recipe.options and _computes_scales(build.main)
        )
        inputs = self._session.get_inputs()
        self._names = [source.name for source in inputs]
        batch_axis = inputs[0].shape[0] if inputs[0].shape else None
        self._fixed_batch = batch_axis if isinstance(batch_axis, int) else None

    def prepare(self, batch: Arrays) -> tuple[int, list[dict[str, NDArray[Any]]]]:
        return len(batch[0]), [dict(zip(self._names, part, strict=True)) for part in pieces(batch, self._fixed_batch)]

    def run(self, native: tuple[int, list[dict[str, NDArray[Any]]]]) -> tuple[int, list[Any]]:
        count, parts = native
        return count, [self._session.run(None, part) for part in parts]

    def outputs(self, native: tuple[int, list[Any]]) -> Arrays:
        count, parts = native
        return join(parts, count, self._fixed_batch)


def _computes_scales(path: Path) -> bool:
    """Return whether a graph computes scales at run time, for all samples of a batch at once."""
    import onnx

    nodes = onnx.load(path, load_external_data=False).graph.node
    return any(node.op_type.startswith("DynamicQuantize") for node in nodes)


def _grid() -> list[str]:
    """Return the recipes that `full` adds: a sensible grid without the recipes of `basic` and `standard`."""
    methods = ("moving_average", "percentile99.9", "percentile99.99", "percentile99.999", "entropy")
    return [
        *(f"s8u8-per_channel-{method}" for method in methods if method != "percentile99.99"),
        *(f"s8u8-per_channel-{method}+{REDUCED}" for method in ("percentile99.9", "percentile99.999", "entropy")),
        *(f"s8u8-per_tensor-{method}" for method in ("minmax", "moving_average", "percentile99.99")),
        *(f"u8u8-per_tensor-{method}" for method in ("moving_average", "percentile99.99")),
        *(f"s8s8-per_channel-{method}" for method in ("minmax", "moving_average", "percentile99.99")),
        f"s8u8-per_channel-percentile99.99+{QOPERATOR}+{REDUCED}",
        f"s8s8-per_channel-minmax+{SYMMETRIC_ACTIVATIONS}",
    ]


def _copy(source: Path, out: Path) -> None:
    """Copy a model into a single file, including weights stored in external files."""
    import onnx

    if external_files(source):
        onnx.save(onnx.load(source), out)
    else:
        shutil.copyfile(source, out)
