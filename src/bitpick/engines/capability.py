"""What an engine can do: the recipes that it offers and the recipes that it covers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bitpick.passes.registry import passes
from bitpick.recipe import Recipe

PREPARED = "+adaround+equalize+pool_as_mean"
"""The passes of the prepared recipes in presets. A preset leaves out those that have nothing to do in a model."""

_SETTING_VALUE = re.compile(r"[\w.,;+-]{0,200}")  # of a session setting: never the path of a file


@dataclass(frozen=True)
class Offer:
    """A recipe that an engine proposes.

    Attributes:
        recipe: the recipe.
        presets: the presets that include it.
        unsupported: why the engine cannot do it; None if it can. An unsupported offer becomes a row with this reason,
            for recipes that people look for.
    """

    recipe: Recipe
    presets: frozenset[str]
    unsupported: str | None = None


@dataclass(frozen=True)
class Capability:
    """A block of the recipe space: an engine covers every combination of the listed values.

    Attributes:
        dtypes: weights then activations, as in a recipe id.
        granularities: granularities of the weights' scales.
        calibrations: methods that find activation ranges.
        options: each option with a description of what it does.
        conflicts: sets of options that exclude each other.
    """

    dtypes: tuple[str, ...]
    granularities: tuple[str | None, ...] = (None,)
    calibrations: tuple[str | None, ...] = (None,)
    options: Mapping[str, str] = field(default_factory=dict)
    conflicts: tuple[frozenset[str], ...] = ()

    def refusal(self, recipe: Recipe) -> str | None:
        """Return why this block does not cover a recipe; None if it does."""
        for field_, wanted, known in (
            ("dtypes", recipe.dtypes, self.dtypes),
            ("granularity", recipe.granularity, self.granularities),
            ("calibration", recipe.calibration, self.calibrations),
        ):
            if wanted not in known:
                return (
                    f"{field_} {wanted or 'none'} with {recipe.dtypes}: it has {', '.join(c or 'none' for c in known)}"
                )
        for option, value in recipe.options.items():
            if option not in self.options and option not in passes():
                own = ", ".join(sorted(self.options)) or "none"
                return f"the option {option} with {recipe.dtypes}: it has {own}, and the passes {', '.join(passes())}"
            if value:
                return f"a value for the option {option}, which is a flag"
        for exclusive in self.conflicts:
            if len(chosen := sorted(exclusive & recipe.options.keys())) > 1:
                return f"{' and '.join(chosen)} at once"
        return None


def refused_setting(engine: str, settings: Mapping[str, str], allowed: frozenset[str]) -> str | None:
    """Return why an engine opens no session with these settings; None if it may.

    Args:
        engine: the engine's name.
        settings: the session settings, from a recipe or a build.
        allowed: the names that they may have.
    """
    if not allowed:
        return f"{engine} takes no session settings (settings)"
    if other := sorted(settings.keys() - allowed):
        return f"{other[0]!r} is not one of the session settings that {engine} takes: {', '.join(sorted(allowed))}"
    odd = next((name for name, value in settings.items() if not _SETTING_VALUE.fullmatch(value)), None)
    return None if odd is None else f"the session setting {odd} is {settings[odd]!r}, which is no number or name"
