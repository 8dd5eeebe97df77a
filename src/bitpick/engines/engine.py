"""The contract of an engine: a runtime together with its quantizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from bitpick.datasets.activations import Activations
from bitpick.datasets.dataset import Samples
from bitpick.engines.capability import Capability, Offer, refused_setting
from bitpick.engines.executed import Executed
from bitpick.engines.insides import Insides
from bitpick.models.interface import Interface
from bitpick.models.model import Format, Model
from bitpick.passes.registry import gridded_passes, passes_of
from bitpick.passes.weight_grid import WeightGrid
from bitpick.preprocessing import Arrays
from bitpick.recipe import DTYPES, Recipe, baseline
from bitpick.schema.evidence import FindingCode
from bitpick.targets.host import Host
from bitpick.version import not_installed

CALIBRATION_BATCH = 50


@dataclass(frozen=True)
class SessionSettings:
    """How a build is run.

    Attributes:
        threads: number of threads inside one inference.
        optimize: whether the runtime may optimize the graph. Only engines with `optimizes` can turn this off.
    """

    threads: int = 1
    optimize: bool = True


@dataclass(frozen=True)
class Build:
    """The files and session settings that a recipe produced.

    Attributes:
        recipe: the recipe.
        folder: the folder that holds the files.
        files: file names; the runtime opens the first one.
        settings: session settings that the runtime needs to open the build; they ship with it.
        interface: the model's inputs and outputs; None if unknown.
        notes: remarks for the user.
        activations: memory that the float model's activations take for one sample; None if unknown.
    """

    recipe: Recipe
    folder: Path
    files: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    interface: Interface | None = None
    notes: tuple[str, ...] = ()
    activations: Activations | None = None

    @property
    def main(self) -> Path:
        """The file that the runtime opens."""
        return self.folder / self.files[0]


class Session(AbstractContextManager["Session"]):
    """A build, opened from its files. Inference is split into three steps so that only the middle one is timed.

    Attributes:
        one_at_a_time: whether to evaluate the build on one sample at a time, because its output for a sample depends
            on the rest of the batch. This happens when a scale is computed over the whole batch.
    """

    one_at_a_time: bool = False

    @abstractmethod
    def prepare(self, batch: Arrays) -> Any:
        """Convert a batch, one array of shape (n, …) for each model input, to the runtime's own inputs."""

    @abstractmethod
    def run(self, native: Any) -> Any:
        """Run the build on inputs from `prepare`."""

    @abstractmethod
    def outputs(self, native: Any) -> Arrays:
        """Return the model's outputs in the model's order, each of shape (n, …), dequantized to float32."""

    def __exit__(self, *_: object) -> None:
        """Release what the runtime holds; nothing by default."""


class Engine(ABC):
    """A runtime with its quantizer. Each engine has a folder of its own; no other code refers to it by name.

    Attributes:
        name: the engine's name, as users write it.
        environment: the worker environment it runs in; engines of one framework share one.
        packages: the distributions that must be installed.
        extra: the extra of the bitpick distribution that installs them.
        accepts: the formats it can start from, best first.
        runs: the formats that it runs to verify conversions; each format has one such engine.
        capabilities: the recipes it covers in addition to `float32`, which every engine has.
        weight_levels: the largest multiple of the scale in quantized weights, by dtype, see `WeightGrid`.
        deprecated: why nobody should start using it today; None if it is not deprecated. The builds of a deprecated
            engine are measured but never recommended.
        scopes: whether a recipe can leave layers in float.
        mixes: the dtypes with which a recipe can give single layers other weights.
        configures: the session settings of the runtime that a recipe may set. Recipes and builds may come from someone
            else, so none of these names a file, loads a library or runs code.
        own_settings: the other session settings that its builds ship with.
        signed_activations: whether activations that can be negative are signed even if the recipe says unsigned.
        optimizes: whether the runtime optimizes the graph when it opens a build, and can be told not to.
        fixed_shapes: whether a build takes only samples of the data set's shape, even if the model has free axes.
        runner: the module whose `Build` class goes into the build's `run.py`; None if the engine ships no `run.py`.
    """

    name: ClassVar[str]
    environment: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    extra: ClassVar[str]
    accepts: ClassVar[tuple[Format, ...]]
    runs: ClassVar[tuple[Format, ...]] = ()
    capabilities: ClassVar[tuple[Capability, ...]] = ()
    weight_levels: ClassVar[Mapping[str, int]] = {}
    deprecated: ClassVar[str | None] = None
    scopes: ClassVar[bool] = False
    mixes: ClassVar[frozenset[str]] = frozenset()
    configures: ClassVar[frozenset[str]] = frozenset()
    own_settings: ClassVar[frozenset[str]] = frozenset()
    signed_activations: ClassVar[bool] = False
    optimizes: ClassVar[bool] = False
    fixed_shapes: ClassVar[bool] = False
    runner: ClassVar[str | None] = None

    def missing(self) -> str | None:
        """Return which packages are missing and the command that installs them; None if none is."""
        return not_installed(self.packages, self.extra)

    def refusal(self, recipe: Recipe) -> str | None:
        """Return why the engine's capabilities do not cover a recipe; None if they do."""
        if recipe == baseline(self.name):
            return None
        if recipe.kind == "baseline" and (pass_names := passes_of(recipe)):
            return f"{recipe.dtypes} is the model as it is, and {pass_names[0]} prepares it to be quantized"
        if (scoping := self._scoping_refusal(recipe)) is not None:
            return scoping
        if recipe.kind == "baseline" and not any(recipe.dtypes in c.dtypes for c in self.capabilities):
            option = next(iter(recipe.options), "")
            return f"{self.name} does not have the option {option} with {recipe.dtypes}: it has none"
        if (gridded := gridded_passes(recipe)) and self.weight_grid(recipe) is None:
            return (
                f"{gridded[0]} needs weights on a symmetric grid, which {self.name} does not use with {recipe.dtypes}"
            )
        if gridded and recipe.exclude and recipe.weight_dtype == "s4" and recipe.dtypes not in self.mixes:
            return f"{gridded[0]} prepares all layers for four bits, also those that exclude leaves in float"
        reasons = [c.refusal(recipe) for c in self.capabilities]
        if None in reasons:
            return None
        nearest = [r for c, r in zip(self.capabilities, reasons, strict=True) if recipe.dtypes in c.dtypes]
        dtypes = {d for c in self.capabilities for d in c.dtypes} | {"float32"}
        dtypes_reason = f"dtypes {recipe.dtypes}: it has {', '.join(d for d in DTYPES if d in dtypes)}"
        return f"{self.name} does not have {nearest[0] if nearest else dtypes_reason}"

    def _scoping_refusal(self, recipe: Recipe) -> str | None:
        """Return why a recipe cannot treat single layers differently or set session settings; None if it can."""
        if recipe.exclude and recipe.kind == "baseline":
            return f"{recipe.dtypes} quantizes nothing: there is nothing to exclude"
        if recipe.exclude and not self.scopes:
            return f"{self.name} cannot leave single layers in float (exclude)"
        if recipe.weights and recipe.dtypes not in self.mixes:
            able = ", ".join(dtypes for dtypes in DTYPES if dtypes in self.mixes)
            only = f": it mixes them only with {able}" if able else ""
            return f"{self.name} gives all layers the same weights with {recipe.dtypes} (weights){only}"
        return refused_setting(self.name, recipe.settings, self.configures) if recipe.settings else None

    def runs_code(self, build: Build) -> str:  # noqa: ARG002 - some engines use it
        """Return why opening a build can run code that its files hold; empty if it cannot."""
        return ""

    def form(self, recipe: Recipe) -> tuple[Format, ...]:  # noqa: ARG002 - some engines use it
        """Return the formats that a recipe can start from, best first."""
        return self.accepts

    def float_recipe(self, source: Format) -> Recipe | None:
        """Return the recipe that runs a format unchanged in float32; None if another engine verifies that format."""
        return baseline(self.name) if source in self.runs else None

    @abstractmethod
    def recipes(self, model: Model, host: Host) -> list[Offer]:
        """Return the recipes worth trying for a model on a host, with their presets; the baseline comes first."""

    def calibration_key(self, recipe: Recipe) -> str | None:  # noqa: ARG002 - some engines use it
        """Return a key that recipes with the same calibration share; None if calibration is part of the build."""
        return None

    def calibrate(self, source: Path, recipe: Recipe, samples: Samples, out: Path) -> None:
        """Write the activation ranges that recipes with the same calibration key share. Called only if there is a key.

        Raises:
            NotImplementedError: the engine shares no ranges; then none of its recipes has a key.
        """
        raise NotImplementedError

    @abstractmethod
    def build(self, source: Path, recipe: Recipe, samples: Samples, ranges: Path | None, folder: Path) -> Build:
        """Write a build.

        Args:
            source: the model, in the format that `form` returned.
            recipe: a recipe that `refusal` accepts.
            samples: the calibration set.
            ranges: the file that `calibrate` wrote; None if the recipe has no calibration key.
            folder: an empty folder for the files.

        Raises:
            Unsupported: this installation cannot build the recipe.
        """

    @abstractmethod
    def open(self, build: Build, settings: SessionSettings) -> Session:
        """Open a build from its files."""

    @abstractmethod
    def inspect(self, build: Build, sample: Arrays) -> Executed:
        """Return the graph that the runtime executes when it opens a build on this machine.

        Args:
            build: the build.
            sample: a batch of one sample, for runtimes that show their graph only when they run.
        """

    def layers(self, source: Path, recipe: Recipe) -> list[tuple[str, str]]:
        """Return the layers that a recipe quantizes and that `exclude` can name. Called only if `scopes` is true.

        Args:
            source: the model, in the format that `form` returned.
            recipe: a quantized recipe; its `exclude` is ignored.

        Returns:
            Name and operator type of each layer, in graph order. The names are unique.

        Raises:
            NotImplementedError: the engine cannot leave layers in float; then `scopes` is false.
        """
        raise NotImplementedError

    def layer_weights(self, source: Path) -> Iterator[tuple[Sequence[str], NDArray[Any]]]:
        """Yield the layers with stored weights, as a recipe's patterns can call each of them, with their weights.

        A layer's name in `layers` comes first among its names. Called only if `mixes` has something.

        Args:
            source: the model, in the format that `form` returned.

        Raises:
            NotImplementedError: the engine mixes no weights.
        """
        raise NotImplementedError

    def insides(self, floats: Build, build: Build) -> Insides | None:  # noqa: ARG002 - some engines use it
        """Open two builds side by side to compare weights and activations; None if the runtime shows neither.

        Args:
            floats: the float32 build of the same model file.
            build: a quantized build.
        """
        return None

    def weight_grid(self, recipe: Recipe) -> WeightGrid | None:
        """Return the grid that the quantizer gives a recipe's weights; None if it is not symmetric or not known."""
        levels = self.weight_levels.get(recipe.weight_dtype)
        return (
            None
            if levels is None
            else WeightGrid(levels, recipe.granularity != "per_tensor", recipe.weight_dtype == "s4")
        )

    def weight_dtype(self, recipe: Recipe) -> str:
        """Return the dtype in which the runtime should hold a build's weights once it has opened the build."""
        return recipe.weight_dtype

    def constants(self, build: Build) -> Iterator[tuple[str, NDArray[Any]]]:  # noqa: ARG002 - some engines use it
        """Yield name and value of each constant in a build's files; nothing if the files do not list constants."""
        return iter(())

    def slow_kernels(self, recipe: Recipe) -> str:  # noqa: ARG002 - some engines use it
        """Return why the kernels of a recipe's build are slow on this machine; empty if no reason is known."""
        return ""

    def fix(self, recipe: Recipe, code: FindingCode) -> str:  # noqa: ARG002 - some engines use it
        """Return how to fix a finding about a recipe's build; empty if no fix is known."""
        return ""

    def repairs(self, recipe: Recipe) -> list[Recipe]:  # noqa: ARG002 - some engines use it
        """Return variants of a recipe that do not saturate on x86 CPUs without VNNI, the most promising first."""
        return []
