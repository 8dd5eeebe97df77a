"""The contract: what an engine can do with a recipe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from bitpick.datasets.activations import Activations
from bitpick.datasets.dataset import Samples
from bitpick.engines.capability import Capability, Offer
from bitpick.engines.executed import Executed
from bitpick.engines.insides import Insides
from bitpick.errors import EngineError
from bitpick.models.interface import Interface
from bitpick.models.model import Format, Model
from bitpick.passes.registry import passes_of
from bitpick.preprocessing import Arrays
from bitpick.recipe import DTYPES, Recipe, baseline
from bitpick.schema.evidence import FindingCode
from bitpick.targets.host import Host
from bitpick.version import installed_version

CALIBRATION_BATCH = 50
_SHOWN = 12  # layers named in an error


@dataclass(frozen=True)
class SessionSettings:
    """How a build is run.

    Attributes:
        threads: inside one inference.
        optimize: whether the runtime may rewrite the graph. Only engines whose `optimizes` is true can do without.
    """

    threads: int = 1
    optimize: bool = True


@dataclass(frozen=True)
class Build:
    """The files that a recipe gave.

    Attributes:
        recipe: the recipe.
        folder: where they are.
        files: their names; the first is the one that a runtime opens.
        settings: what the runtime must be told when it opens them; part of what ships.
        interface: what goes in and comes out; None where nobody said.
        notes: what whoever asked for it should know, in words.
        activations: the memory that the float model takes for a sample; None where nobody knows.
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
        """The file that a runtime opens."""
        return self.folder / self.files[0]


def excluded(recipe: Recipe, layers: Iterable[str]) -> list[str]:
    """The layers that a recipe leaves in float.

    Raises:
        EngineError: one of its patterns matches no layer.
    """
    known = list(layers)
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    for pattern in recipe.exclude:
        alone = recipe.model_copy(update={"exclude": (pattern,)})
        if not any(alone.excludes(layer) for layer in known):
            raise EngineError(
                f"no layer of this model is called like {pattern!r}",
                expected=f"a pattern that matches one of {', '.join(known[:_SHOWN])}{more}",
                fix="change the recipe's exclude",
            )
    return [layer for layer in known if recipe.excludes(layer)]


class Session(AbstractContextManager["Session"]):
    """A build, opened from its files. The three steps are apart so that only the middle one is timed.

    Attributes:
        alone: whether it is judged on one sample at a time, because what it answers for a sample depends on the others
            in its batch: a scale that is found for a whole batch does that.
    """

    alone: bool = False

    @abstractmethod
    def prepare(self, batch: Arrays) -> Any:
        """Turn a batch, an array of shape (n, …) for each input of the model, into what the runtime takes."""

    @abstractmethod
    def run(self, native: Any) -> Any:
        """Run the build on prepared inputs."""

    @abstractmethod
    def outputs(self, native: Any) -> Arrays:
        """The outputs of the model in its order, each of shape (n, …), float32, dequantized."""

    def __exit__(self, *_: object) -> None:
        """Release what the runtime holds. Nothing, by default."""


class Engine(ABC):
    """A runtime with its quantizer. One file an engine; nothing else learns its name.

    Attributes:
        name: as users write it.
        environment: the worker environment it runs in; engines of one framework share one.
        packages: the distributions that must be installed.
        extra: the extra of the bitpick distribution that installs them.
        accepts: the formats it can start from, best first.
        runs: the formats whose conversions are verified by running them in this engine; each has one engine.
        capabilities: the recipes it covers beside `float32`, which every engine has.
        deprecated: why nobody should start with it today, where that is so: its rows are measured and never
            recommended.
        scopes: whether it can leave layers in float.
        configures: whether a recipe can name session settings for its runtime.
        signs: whether activations that can be negative are signed, also where a recipe has unsigned ones.
        optimizes: whether its runtime rewrites the graph when it opens a build, and can be told not to.
        sized: whether its builds take samples of the data's own shape alone, also where the model leaves axes free.
        runner: the module whose `Build` opens a build in its `run.py`, see `engines.runners`; None ships none.
    """

    name: ClassVar[str]
    environment: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    extra: ClassVar[str]
    accepts: ClassVar[tuple[Format, ...]]
    runs: ClassVar[tuple[Format, ...]] = ()
    capabilities: ClassVar[tuple[Capability, ...]] = ()
    deprecated: ClassVar[str | None] = None
    scopes: ClassVar[bool] = False
    configures: ClassVar[bool] = False
    signs: ClassVar[bool] = False
    optimizes: ClassVar[bool] = False
    sized: ClassVar[bool] = False
    runner: ClassVar[str | None] = None

    def missing(self) -> str | None:
        """What is not installed and the line that installs it; None where nothing is missing."""
        absent = [p for p in self.packages if installed_version(p) is None]
        if not absent:
            return None
        verb = "is" if len(absent) == 1 else "are"
        return f"{' and '.join(absent)} {verb} not installed: pip install 'bitpick[{self.extra}]'"

    def refusal(self, recipe: Recipe) -> str | None:
        """Why the engine cannot do a recipe, by its capabilities; None where it can."""
        if recipe == baseline(self.name):
            return None
        if recipe.kind == "baseline" and (wanted := passes_of(recipe)):
            return f"{recipe.dtypes} is the model as it is, and {wanted[0]} prepares it to be quantized"
        if recipe.exclude and recipe.kind == "baseline":
            return f"{recipe.dtypes} quantizes nothing: there is nothing to exclude"
        if recipe.exclude and not self.scopes:
            return f"{self.name} cannot leave single layers in float (exclude)"
        if recipe.settings and not self.configures:
            return f"{self.name} takes no session settings (settings)"
        if recipe.kind == "baseline" and not any(recipe.dtypes in each.dtypes for each in self.capabilities):
            option = next(iter(recipe.options), "")
            return f"{self.name} does not have the option {option} with {recipe.dtypes}: it has none"
        reasons = [capability.refusal(recipe) for capability in self.capabilities]
        if None in reasons:
            return None
        nearest = [r for c, r in zip(self.capabilities, reasons, strict=True) if recipe.dtypes in c.dtypes]
        known = {d for c in self.capabilities for d in c.dtypes} | {"float32"}
        by_dtypes = f"dtypes {recipe.dtypes}: it has {', '.join(d for d in DTYPES if d in known)}"
        return f"{self.name} does not have {nearest[0] if nearest else by_dtypes}"

    def form(self, recipe: Recipe) -> tuple[Format, ...]:  # noqa: ARG002 - some engines look
        """The formats a recipe can start from, best first."""
        return self.accepts

    def float_recipe(self, source: Format) -> Recipe | None:
        """The recipe that runs a format as it is, in float32; None where verifying it is not this engine's part."""
        return baseline(self.name) if source in self.runs else None

    @abstractmethod
    def recipes(self, model: Model, host: Host) -> list[Offer]:
        """The recipes worth trying on a model, on a host, each with its presets; the baseline first."""

    def calibration_key(self, recipe: Recipe) -> str | None:  # noqa: ARG002 - some engines look
        """Recipes with the same key share one calibration; None where a recipe calibrates, if at all, as it builds."""
        return None

    def calibrate(self, source: Path, recipe: Recipe, samples: Samples, out: Path) -> None:
        """Write the activation ranges that recipes with the same calibration key share. Not called without a key.

        Raises:
            NotImplementedError: the engine shares no ranges; no recipe of it has a key then.
        """
        raise NotImplementedError

    @abstractmethod
    def build(self, source: Path, recipe: Recipe, samples: Samples, ranges: Path | None, folder: Path) -> Build:
        """Write a build.

        Args:
            source: the model, in the format that `form` asked for.
            recipe: a recipe that `refusal` does not refuse.
            samples: the calibration set.
            ranges: what `calibrate` wrote, where the recipe has a calibration key.
            folder: an empty folder for the files.

        Raises:
            Unsupported: this installation cannot do the recipe after all.
        """

    @abstractmethod
    def open(self, build: Build, settings: SessionSettings) -> Session:
        """Open a build from its files."""

    @abstractmethod
    def inspect(self, build: Build, sample: Arrays) -> Executed:
        """Read off what the runtime really executes when it opens a build on this machine.

        Args:
            build: the build.
            sample: a batch of one sample, for runtimes that only tell while they run.
        """

    def layers(self, source: Path, recipe: Recipe) -> list[tuple[str, str]]:
        """The layers that a recipe quantizes and that its `exclude` can name. Not called where `scopes` is false.

        Args:
            source: the model, in the format that `form` asked for.
            recipe: a quantized recipe; what it excludes does not matter.

        Returns:
            Name and operator type of each, in the graph's order. Each name is that of one layer.

        Raises:
            NotImplementedError: the engine does not do this; its `scopes` is false then.
        """
        raise NotImplementedError

    def insides(self, floats: Build, build: Build) -> Insides | None:  # noqa: ARG002 - some runtimes show them
        """Look at the weights and the activations inside two builds; None where the runtime shows neither.

        Args:
            floats: the float32 build that was made from the same file.
            build: a quantized build.
        """
        return None

    def kept_as(self, recipe: Recipe) -> str:
        """The dtype that the runtime, once it has opened a recipe's build, should keep the weights in."""
        return recipe.weights

    def constants(self, build: Build) -> Iterator[tuple[str, NDArray[Any]]]:  # noqa: ARG002 - some engines can tell
        """The constants in a build's files, by name; none where the files do not tell them apart."""
        return iter(())

    def slow_kernels(self, recipe: Recipe) -> str:  # noqa: ARG002 - some engines know something
        """What makes the kernels of a recipe's build slow on this machine, in words; empty where nothing is known."""
        return ""

    def fix(self, recipe: Recipe, code: FindingCode) -> str:  # noqa: ARG002 - some engines know something
        """What to change about a finding of a recipe's build, in words; empty where nothing is known."""
        return ""

    def repairs(self, recipe: Recipe) -> list[Recipe]:  # noqa: ARG002 - some engines have one
        """Recipes like this one whose 8-bit products do not saturate on x86 CPUs without VNNI, the likeliest first."""
        return []
