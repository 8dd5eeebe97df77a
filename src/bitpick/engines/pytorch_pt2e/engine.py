"""PyTorch 2 export quantization (torchao) for x86 servers: compiled ahead of time and shipped as a package."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bitpick.datasets.dataset import Samples
from bitpick.engines import pt2e, pytorch, spread
from bitpick.engines.batches import example, join, pieces
from bitpick.engines.capability import PREPARED, Capability, Offer
from bitpick.engines.engine import Build, Engine, Session, SessionSettings
from bitpick.engines.executed import Executed
from bitpick.engines.pytorch_pt2e import graph
from bitpick.engines.pytorch_pt2e.rewriting import rewrite
from bitpick.engines.scoping import excluded
from bitpick.errors import InstructionError, Unsupported
from bitpick.models.model import Format, Model
from bitpick.passes.registry import gridded_passes
from bitpick.preprocessing import Arrays
from bitpick.recipe import Recipe, baseline
from bitpick.schema.evidence import FindingCode
from bitpick.targets.host import Host, reported_features

_REDUCED = "reduced_range"
_EAGER = "eager"
_FILE = "model.pt2"
_BATCH = "bitpick.batch"  # the metadata key of a package's fixed batch size; empty if it takes any
_COMPILERS = ("c++", "g++", "clang++")
_CHECKED = 32  # samples, at most
# Share of the outputs' variance. Another summation order flips few roundings; a wrong kernel changes everything.
_TOLERATED = 0.01


class PyTorchPt2eEngine(Engine):
    """Quantizes with `X86InductorQuantizer`; a build is machine code for the instruction set it was compiled on."""

    name = "pytorch_pt2e"
    environment = "pytorch_pt2e"
    packages = ("torch", "torchao")
    extra = "pytorch"
    accepts = (Format.EXPORTED, Format.PYTORCH)
    runs = (Format.EXPORTED,)
    fixed_shapes = True
    weight_levels = MappingProxyType({"s8": 127})
    runner = "bitpick.engines.pytorch_pt2e.runner"
    scopes = True
    capabilities = (
        Capability(("float32",), options={_EAGER: "run the program as it is, not compiled"}),
        Capability(
            ("s8u8",),
            granularities=("per_channel",),
            calibrations=("histogram",),
            options={_REDUCED: "7-bit activations, whose products do not saturate on CPUs without VNNI"},
        ),
    )

    def float_recipe(self, source: Format) -> Recipe | None:
        """See `Engine.float_recipe`; verifying what a program computes needs no compiler."""
        return Recipe(engine=self.name, dtypes="float32", options={_EAGER: ""}) if source in self.runs else None

    def recipes(self, model: Model, host: Host) -> list[Offer]:  # noqa: ARG002 - the same for every model
        """See `Engine.recipes`; the quantizer supports only x86."""
        usual, full = frozenset({"standard", "full"}), frozenset({"full"})
        unsupported = None if host.x86 else "X86InductorQuantizer is made for x86"
        scheme = f"{self.name}:s8u8-per_channel-histogram"
        return [
            Offer(baseline(self.name), usual),
            Offer(Recipe.parse(scheme), usual, unsupported),
            Offer(Recipe.parse(f"{scheme}{PREPARED}"), usual, unsupported),
            Offer(Recipe.parse(f"{scheme}+{_REDUCED}"), full, unsupported),
        ]

    def build(
        self,
        source: Path,
        recipe: Recipe,
        samples: Samples,
        ranges: Path | None,  # noqa: ARG002 - its observers are in the graph
        folder: Path,
    ) -> Build:
        """See `Engine.build`."""
        if _EAGER in recipe.options and source.suffix == Format.EXPORTED.suffix:
            shutil.copyfile(source, folder / _FILE)
            return Build(recipe, folder, (_FILE,))
        if _EAGER not in recipe.options and not any(shutil.which(name) for name in _COMPILERS):
            raise Unsupported(
                f"there is no C++ compiler on the PATH (one of {', '.join(_COMPILERS)}), and these builds are compiled",
                fix="install one, for instance with: apt-get install g++",
            )
        import torch
        from torch._inductor import aoti_load_package

        from bitpick.conversion import pytorch_file

        module: Any = pytorch_file.load(source)
        fixed = pytorch_file.fixed_batch(module)
        # Two samples, not one, because export specializes on a batch size of one.
        inputs = tuple(map(torch.from_numpy, example(samples, fixed, 2)))
        dynamic_shapes = tuple({0: torch.export.Dim("batch", min=1)} for _ in inputs) if fixed is None else None
        in_float: list[str] = []
        with torch.no_grad():
            if recipe.kind != "baseline":
                module, in_float = pt2e.quantize(module, _quantizer(module, recipe), samples, rewrite)
            program = torch.export.export(module, inputs, dynamic_shapes=dynamic_shapes)
            if _EAGER in recipe.options:
                torch.export.save(program, folder / _FILE)
                return Build(recipe, folder, (_FILE,))
            check_inputs = tuple(map(torch.from_numpy, example(samples, fixed, samples.at_once(_CHECKED))))
            expected = pytorch.arrays(program.module(check_guards=False)(*check_inputs))
            _compile(program, folder / _FILE, {graph.METADATA_KEY: graph.layers(program), _BATCH: str(fixed or "")})
            _check(expected, pytorch.arrays(aoti_load_package(str(folder / _FILE))(*check_inputs)))
        return Build(recipe, folder, (_FILE,), notes=spread.note(self.name, in_float))

    def repairs(self, recipe: Recipe) -> list[Recipe]:
        """See `Engine.repairs`."""
        if recipe.kind != "quantized" or _REDUCED in recipe.options:
            return []
        return [recipe.model_copy(update={"options": recipe.options | {_REDUCED: ""}})]

    def layers(self, source: Path, recipe: Recipe) -> list[tuple[str, str]]:  # noqa: ARG002 - the same for all
        """See `Engine.layers`: those with weights."""
        from bitpick.conversion import pytorch_file

        layers = pytorch_file.computing_layers(pytorch_file.load(source))
        return [(name, kind) for name, kind in layers if kind.startswith(("Conv", "Linear"))]

    def runs_code(self, build: Build) -> str:  # noqa: ARG002 - the same for all
        """See `Engine.runs_code`."""
        return "a package holds machine code, and an uncompiled program holds pickles"

    def open(self, build: Build, settings: SessionSettings) -> Session:
        """See `Engine.open`."""
        if _EAGER in build.recipe.options:
            from bitpick.conversion import pytorch_file

            module = pytorch_file.load(build.main)
            return _PyTorchSession(module, pytorch_file.fixed_batch(module), settings)
        if absent := sorted(graph.compiled_for(build.main) - reported_features()):
            # Loading it would end the process, after PyTorch was imported, which takes long in an emulator.
            raise InstructionError(
                f"the build has instructions that this CPU does not have ({', '.join(absent)})",
                fix="make it on the CPU that is to run it",
            )
        from torch._inductor import aoti_load_package

        package = aoti_load_package(str(build.main))
        batch = package.loader.get_metadata().get(_BATCH, "")
        return _PyTorchSession(package, int(batch) if batch else None, settings)

    def fix(self, recipe: Recipe, code: FindingCode) -> str:  # noqa: ARG002 - the same for all recipes
        """See `Engine.fix`."""
        return "choose another engine where size counts: a package is compiled code" if code == "container" else ""

    def inspect(self, build: Build, sample: Arrays) -> Executed:  # noqa: ARG002 - it needs no run
        """See `Engine.inspect`."""
        if _EAGER in build.recipe.options:
            from bitpick.conversion import exported_program

            return graph.eager(exported_program.load(build.main))
        return graph.executed(build.main)


def _compile(program: Any, package: Path, metadata: dict[str, str]) -> None:
    """Compile an exported program ahead of time."""
    from torch._inductor import aoti_compile_and_package
    from torch._inductor.exc import CppCompileError

    # Freezing turns weights into constants; without it, no integer kernels are fused.
    configuration = {
        "freezing": True,
        "aot_inductor.enable_line_tables": False,  # two thirds of a package, and only for debuggers
        "aot_inductor.metadata": metadata,
    }
    # To find out whether the compiler knows this CPU's vector instructions, PyTorch compiles a probe for each set of
    # them, which takes as long as the program itself. Nearly every compiler does; ask only if this one does not.
    for known in ({"cpp.vec_isa_ok": True}, {}):
        try:
            aoti_compile_and_package(
                program, package_path=str(package.absolute()), inductor_configs=configuration | known
            )
        except CppCompileError:
            if not known:
                raise
        else:
            return


def _check(outputs: Arrays, compiled: Arrays) -> None:
    """Refuse a package whose outputs differ from those of the program it was compiled from.

    Raises:
        Unsupported: the outputs differ.
    """
    import torch

    for expected, actual in zip(outputs, compiled, strict=True):
        noise, signal = float(((actual - expected) ** 2).mean()), float(expected.var())
        if noise > _TOLERATED * signal:
            raise Unsupported(
                f"PyTorch {torch.__version__} compiles this model wrongly: the outputs of the package differ from the "
                f"graph's by a mean square of {noise:.2g}, and their variance is {signal:.2g}",
                fix="ship a build of another engine, or try another version of PyTorch",
            )


def _quantizer(module: Any, recipe: Recipe) -> Any:
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer

    from bitpick.conversion import pytorch_file

    configuration = x86_inductor_quantizer.get_default_x86_inductor_quantization_config(
        reduce_range=_REDUCED in recipe.options
    )
    if gridded_passes(recipe):
        configuration = replace(configuration, weight=_on_grid(configuration.weight))
    quantizer = x86_inductor_quantizer.X86InductorQuantizer().set_global(configuration)
    for name in excluded(recipe, pytorch_file.layers(module)):
        quantizer.set_module_name_qconfig(name, None)
    return quantizer


def _on_grid(weights: Any) -> Any:
    """Return the specification of weights with the grid that passes rounded them to.

    By default, one end of the grid is a step further out than the other, and scales stop at 2⁻¹², which is too large
    for channels of small weights.
    """
    from torchao.quantization.pt2e import PerChannelMinMaxObserver

    return replace(weights, quant_min=-127, observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(eps=1e-12))


class _PyTorchSession(Session):
    """A package or a module, with its fixed batch size; None if it takes any."""

    def __init__(self, call: Any, fixed: int | None, settings: SessionSettings) -> None:
        import torch

        torch.set_num_threads(settings.threads)
        self._torch = torch
        self._call = call
        self._fixed_batch = fixed

    def prepare(self, batch: Arrays) -> Any:
        return len(batch[0]), [tuple(map(self._torch.from_numpy, part)) for part in pieces(batch, self._fixed_batch)]

    def run(self, native: Any) -> Any:
        count, parts = native
        with self._torch.inference_mode():
            return count, [self._call(*part) for part in parts]

    def outputs(self, native: Any) -> Arrays:
        count, parts = native
        return join([pytorch.arrays(part) for part in parts], count, self._fixed_batch)
