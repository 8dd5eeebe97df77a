"""What an engine says it can do: the recipes that it offers, and those that it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bitpick.passes.registry import passes
from bitpick.recipe import Recipe


@dataclass(frozen=True)
class Offer:
    """A recipe that an engine proposes.

    Attributes:
        recipe: the recipe.
        presets: the presets it belongs to.
        unsupported: why the engine cannot do it; None where it can. Such an offer becomes a row that says so, for the
            recipes that people look for.
    """

    recipe: Recipe
    presets: frozenset[str]
    unsupported: str | None = None


@dataclass(frozen=True)
class Capability:
    """A block of the recipe space that an engine covers: every combination of what is listed.

    Attributes:
        dtypes: weights then activations, as in a recipe id.
        granularities: of the weights' scales.
        calibrations: ways to find activation ranges.
        options: each option with what it does.
        conflicts: sets of options of which a recipe may have one.
    """

    dtypes: tuple[str, ...]
    granularities: tuple[str | None, ...] = (None,)
    calibrations: tuple[str | None, ...] = (None,)
    options: Mapping[str, str] = field(default_factory=dict)
    conflicts: tuple[frozenset[str], ...] = ()

    def refusal(self, recipe: Recipe) -> str | None:
        """Why this block does not cover a recipe; None where it does."""
        for what, has, can in (
            ("dtypes", recipe.dtypes, self.dtypes),
            ("granularity", recipe.granularity, self.granularities),
            ("calibration", recipe.calibration, self.calibrations),
        ):
            if has not in can:
                return f"{what} {has or 'none'} with {recipe.dtypes}: it has {', '.join(c or 'none' for c in can)}"
        for option, value in recipe.options.items():
            if option not in self.options and option not in passes():
                known = f"it has {', '.join(sorted(self.options))}" if self.options else "it has none"
                return f"the option {option} with {recipe.dtypes}: {known}"
            if value:
                return f"a value for the option {option}, which is a flag"
        for together in self.conflicts:
            if len(chosen := sorted(together & recipe.options.keys())) > 1:
                return f"{' and '.join(chosen)} at once"
        return None
