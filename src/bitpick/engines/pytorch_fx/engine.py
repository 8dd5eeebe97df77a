"""PyTorch's FX graph mode quantization: the deprecated legacy stack, for those who still run it."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bitpick.datasets.dataset import Samples
from bitpick.engines import attention, pytorch, spread
from bitpick.engines.batches import calibration_batches, example, join, pieces
from bitpick.engines.capability import Capability, Offer
from bitpick.engines.engine import Build, Engine, Session, SessionSettings
from bitpick.engines.executed import Executed
from bitpick.engines.insides import Insides
from bitpick.engines.pytorch_fx import graph
from bitpick.engines.pytorch_fx.insides import TorchScriptInsides
from bitpick.engines.scoping import excluded
from bitpick.errors import Unsupported
from bitpick.models.model import Format, Model
from bitpick.preprocessing import Arrays
from bitpick.recipe import PRESETS, Recipe, baseline
from bitpick.targets.host import Host

_BACKENDS = {
    "fbgemm": "x86, 7-bit activations",
    "x86": "fbgemm or oneDNN, layer by layer; PyTorch's default on x86",
    "onednn": "x86, 8-bit activations",
    "qnnpack": "ARM; PyTorch's default there",
}
_BACKEND = "torch.backends.quantized.engine"
_FILE = "model.pt"
_BATCH = "batch"  # the file in the archive that holds the module's fixed batch size; empty if it takes any
_SCHEME = "s8u8-per_channel-histogram"


class PyTorchFxEngine(Engine):
    """Quantizes statically with the back-end's default observers; builds ship as TorchScript."""

    name = "pytorch_fx"
    environment = "pytorch"
    packages = ("torch",)
    extra = "pytorch"
    accepts = (Format.PYTORCH,)
    runs = (Format.PYTORCH,)
    fixed_shapes = True
    runner = "bitpick.engines.pytorch_fx.runner"
    own_settings = frozenset({_BACKEND})
    scopes = True
    deprecated = "PyTorch is removing FX graph mode quantization and TorchScript, which its builds ship as"
    capabilities = (
        Capability(
            ("s8u8",),
            granularities=("per_channel",),
            calibrations=("histogram",),
            options={name: f"the {name} back-end ({what})" for name, what in _BACKENDS.items()},
            conflicts=(frozenset(_BACKENDS),),
        ),
    )

    def refusal(self, recipe: Recipe) -> str | None:
        """See `Engine.refusal`; unsigned weights get a specific reason."""
        if recipe.weight_dtype == "u8":
            return "PyTorch's quantized convolution and linear take signed 8-bit weights only, on every back-end"
        return super().refusal(recipe)

    def recipes(self, model: Model, host: Host) -> list[Offer]:  # noqa: ARG002 - the same for every model
        """See `Engine.recipes`."""
        all_presets = frozenset(PRESETS)
        presets = all_presets - {"standard"}
        default = Recipe.parse(f"{self.name}:{_SCHEME}")
        unsigned = Recipe.parse(f"{self.name}:u8u8-per_channel-histogram")
        # The default back-end is x86 or qnnpack; on x86, the other two are offered as recipes too.
        other_backends = ("fbgemm", "onednn") if host.x86 else ()
        return [
            Offer(baseline(self.name), all_presets),
            Offer(default, all_presets),
            *(Offer(Recipe.parse(f"{default.id}+{name}"), presets - {"reference"}) for name in other_backends),
            Offer(unsigned, presets, self.refusal(unsigned)),
        ]

    def build(self, source: Path, recipe: Recipe, samples: Samples, ranges: Path | None, folder: Path) -> Build:  # noqa: ARG002
        """See `Engine.build`."""
        import torch

        from bitpick.conversion import pytorch_file

        module = pytorch_file.load(source)
        fixed = pytorch_file.fixed_batch(module)
        inputs = tuple(map(torch.from_numpy, example(samples, fixed, 2)))
        notes: tuple[str, ...] = ()
        with _quiet(), torch.inference_mode(), _backend(recipe):
            if recipe.kind != "baseline":
                module, notes = _quantized(module, recipe, inputs, samples)
            script: Any = torch.jit.trace(module, inputs, check_trace=False)  # type: ignore[no-untyped-call]
            torch.jit.save(script, folder / _FILE, _extra_files={_BATCH: str(fixed or "")})
        settings = {} if (back_end := _back_end_of(recipe)) is None else {_BACKEND: back_end}
        return Build(recipe, folder, (_FILE,), settings, notes=notes)

    def layers(self, source: Path, recipe: Recipe) -> list[tuple[str, str]]:  # noqa: ARG002 - the same for all
        """See `Engine.layers`; additions are quantized too, but have no names."""
        from bitpick.conversion import pytorch_file

        return pytorch_file.computing_layers(pytorch_file.load(source))

    def insides(self, floats: Build, build: Build) -> Insides:
        """See `Engine.insides`."""
        with _backend(build.recipe), _quiet():
            modules = [_load(each)[0] for each in (floats, build)]
        return TorchScriptInsides(*modules)

    def runs_code(self, build: Build) -> str:  # noqa: ARG002 - the same for all
        """See `Engine.runs_code`."""
        return "TorchScript is a program"

    def open(self, build: Build, settings: SessionSettings) -> Session:
        """See `Engine.open`."""
        return _TorchScriptSession(build, settings)

    def inspect(self, build: Build, sample: Arrays) -> Executed:
        """See `Engine.inspect`."""
        import torch

        with _backend(build.recipe), _quiet():
            module, fixed = _load(build)
            return graph.executed(module, tuple(map(torch.from_numpy, pieces(sample, fixed)[0])))


def _quantized(module: Any, recipe: Recipe, inputs: Any, samples: Samples) -> tuple[Any, tuple[str, ...]]:
    """Quantize a module: prepare it with the current back-end's defaults, observe all samples, convert.

    Returns:
        The module, and notes about what stays in float, see `spread` and `attention`.
    """
    import torch
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    from bitpick.conversion import pytorch_file

    mapping = get_default_qconfig_mapping(torch.backends.quantized.engine)
    for name in excluded(recipe, pytorch_file.layers(module)):
        mapping.set_module_name(name, None)
    fixed = pytorch_file.fixed_batch(module)
    in_float = spread.of_nodes(module, spread.batches(samples, fixed))
    heads = {step.name for step in attention.steps(spread.steps_of(module))}
    integer_nodes = {node for node in module.graph.nodes if _is_integer(node)}
    reading_integers = {
        node for node in module.graph.nodes if integer_nodes.intersection((node, *node.all_input_nodes))
    }
    # Integers, such as token ids and masks, have no histogram.
    left = in_float | reading_integers | {node for node in module.graph.nodes if node.name in heads}
    _keep_in_float(mapping, module, left)
    _make_contiguous(module)
    prepared = prepare_fx(module, mapping, inputs)
    for batch in calibration_batches(samples, fixed):
        for part in pieces(batch, fixed):
            prepared(*map(torch.from_numpy, part))
    names = [node.name for node in module.graph.nodes if node in in_float]
    return convert_fx(prepared), spread.note(PyTorchFxEngine.name, names) + attention.note(PyTorchFxEngine.name, heads)


def _is_integer(node: Any) -> bool:
    """Return whether a node produced integers or booleans when it ran."""
    import torch

    dtype = node.meta.get(spread.DTYPE)
    return isinstance(dtype, torch.dtype) and not dtype.is_floating_point


def _keep_in_float(mapping: Any, module: Any, nodes: Collection[Any]) -> None:
    """Keep nodes in float: modules by name, calls by their index among the calls of the same function."""
    counts: Counter[Any] = Counter()
    for node in module.graph.nodes:
        if node.op == "call_module":
            if node in nodes:
                mapping.set_module_name(node.target, None)
            continue
        if node in nodes:
            mapping.set_module_name_object_type_order("", node.target, counts[node.target], None)
        counts[node.target] += 1


def _load(build: Build) -> tuple[Any, int | None]:
    """Return the module of a build and its fixed batch size; None if it takes any."""
    import torch

    extra = {_BATCH: ""}
    module = torch.jit.load(build.main, _extra_files=extra).eval()  # type: ignore[no-untyped-call]
    return module, int(extra[_BATCH]) if extra[_BATCH] else None


def _make_contiguous(module: Any) -> None:
    """Make permuted inputs contiguous, such as those with the channels last.

    Memory layout changes the order in which convolutions add up, and a difference in the last bit of a float is enough
    for a histogram observer to choose another scale: a model and its transposed twin would differ.
    """
    import torch

    for node in list(module.graph.nodes):
        if node.target is torch.permute and node.args[0].op == "placeholder":
            with module.graph.inserting_after(node):
                copied = module.graph.call_method("contiguous", (node,))
            node.replace_all_uses_with(copied, delete_user_cb=lambda user, kept=copied: user is not kept)
    module.recompile()


class _TorchScriptSession(Session):
    def __init__(self, build: Build, settings: SessionSettings) -> None:
        import torch

        torch.set_num_threads(settings.threads)
        self._torch = torch
        with ExitStack() as stack:
            # Weights are packed for the current back-end when the file is loaded.
            stack.enter_context(_backend(build.recipe))
            with _quiet():
                self._module, self._fixed_batch = _load(build)
            self._stack = stack.pop_all()

    def prepare(self, batch: Arrays) -> Any:
        return len(batch[0]), [tuple(map(self._torch.from_numpy, part)) for part in pieces(batch, self._fixed_batch)]

    def run(self, native: Any) -> Any:
        count, parts = native
        with self._torch.inference_mode():
            return count, [self._module(*part) for part in parts]

    def outputs(self, native: Any) -> Arrays:
        count, parts = native
        return join([pytorch.arrays(part) for part in parts], count, self._fixed_batch)

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _back_end_of(recipe: Recipe) -> str | None:
    """Return the back-end that a recipe names; None for PyTorch's default."""
    return next(iter(recipe.options), None)


@contextmanager
def _backend(recipe: Recipe) -> Iterator[None]:
    """Switch PyTorch's quantized back-end, a process-wide setting, to the recipe's."""
    import torch

    back_end = _back_end_of(recipe)
    before = torch.backends.quantized.engine
    if back_end is not None:
        if back_end not in torch.backends.quantized.supported_engines:
            available = ", ".join(e for e in torch.backends.quantized.supported_engines if e != "none")
            raise Unsupported(
                f"the installed PyTorch {torch.__version__} has no {back_end} back-end: it has {available}",
                fix=f"install a PyTorch that was built with {back_end}",
            )
        torch.backends.quantized.engine = back_end
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence deprecation warnings, which this stack raises at every step; the engine's docs state it once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
