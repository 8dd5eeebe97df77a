"""What to try where all of a preset's builds of an engine failed or lost: recipes that fix no ranges beforehand.

A range that a few values blow up ruins static builds alone. Where scales are found while the model runs, or weights
alone are integers, a model can keep all it had.
"""

from __future__ import annotations

from collections.abc import Sequence

from bitpick.engines.capability import Offer
from bitpick.engines.registry import engine
from bitpick.models.model import Model
from bitpick.recipe import baseline
from bitpick.schema.run import RequestRecord, Row
from bitpick.selection.judge import OF_METRIC
from bitpick.targets.host import Host

_REPEATED = "reference"  # the preset that repeats a published comparison, as it is
_WIDEST = "full"  # the preset that has all recipes of an engine


def offers(native: Sequence[Row], request: RequestRecord, model: Model, host: Host) -> list[Offer]:
    """The recipes with dynamic activations, or with weights alone, of engines whose quantized rows are all lost.

    None where the request names recipes, or repeats a published comparison: whoever does wants these.

    What the rows showed decides which are added, and all rows are tested again at once, those added among them. Two
    looks at the same samples could claim too much; these add at most a fortieth to the level. Rows are added only where
    every other one failed or has a 95% interval above the margin, which a row at the margin has once in forty times,
    and samples that show a row to be worse than the margin do not also show it to be good enough.

    Args:
        native: the rows of this host, measured.
        request: what was asked for.
        model: the model.
        host: this machine.
    """
    if request.recipes or request.preset == _REPEATED:
        return []
    rows = {row.id: row for row in native}
    added = []
    for name in dict.fromkeys(row.engine for row in native if row.deprecated is None):
        floats = rows.get(baseline(name).id)
        mine = [row for row in native if row.engine == name and row.kind == "quantized"]
        if floats is None or floats.status != "ok" or not any(row.quantization.static for row in mine):
            continue
        if all(map(_lost, mine)):
            added += [
                each for each in engine(name).recipes(model, host) if _robust(each) and each.recipe.id not in rows
            ]
    return added


def notes(added: Sequence[Offer]) -> list[str]:
    """Why these rows are there, a sentence for each engine."""

    def listed(ids: Sequence[str]) -> str:
        return " and ".join(part for part in (", ".join(ids[:-1]), ids[-1]) if part)

    by_engine: dict[str, list[str]] = {}
    for each in added:
        by_engine.setdefault(each.recipe.engine, []).append(each.recipe.id)
    return [
        f"every quantized build of {name} in the preset failed, has a flag, or lost more than the margin, so "
        f"{listed(ids)} {'was' if len(ids) == 1 else 'were'} tried too"
        for name, ids in by_engine.items()
    ]


def _robust(offer: Offer) -> bool:
    """Whether no outlier of the calibration samples can spoil a recipe."""
    recipe = offer.recipe
    return _WIDEST in offer.presets and recipe.kind == "quantized" and not recipe.static and offer.unsupported is None


def _lost(row: Row) -> bool:
    """Whether a row failed, is not what was asked for, or loses more than the margin beyond doubt."""
    if row.status != "ok" or any(flag.code not in OF_METRIC for flag in row.faults):
        return True
    versus = row.versus_baseline
    return versus is not None and versus.drop_interval[0] > versus.margin
