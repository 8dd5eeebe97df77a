"""Add recipes if all of a preset's builds of an engine failed or lost too much: recipes without fixed ranges.

A few outliers can blow up a range and ruin static builds. Builds that compute scales at run time, or quantize weights
alone, may keep the model's full quality.
"""

from __future__ import annotations

from collections.abc import Sequence

from bitpick.engines.capability import Offer
from bitpick.engines.registry import engine
from bitpick.models.model import Model
from bitpick.recipe import WIDEST, baseline
from bitpick.schema.run import RequestRecord, Row
from bitpick.selection.judge import OF_METRIC
from bitpick.targets.host import Host

_REPEATED = "reference"  # the preset that repeats a published comparison


def offers(native: Sequence[Row], request: RequestRecord, model: Model, host: Host) -> list[Offer]:
    """Return recipes with dynamic activations or weights alone, for engines whose quantized rows all failed or lost.

    There are none if the request names recipes, or repeats a published comparison, which must stay as it is.

    The rows' results decide which recipes are added, and then all rows are tested again together with the added ones.
    Looking at the same samples twice could claim too much, but this adds at most 1/40 to the level. Rows are added only
    if every other row failed or has a 95% interval above the margin, which a row at the margin has one time in 40; and
    samples that show a row to be worse than the margin do not also show it to be good enough.

    Args:
        native: the measured rows of this host.
        request: the request.
        model: the model.
        host: this machine.
    """
    if request.recipes or request.preset == _REPEATED:
        return []
    rows = {row.id: row for row in native}
    added = []
    for name in dict.fromkeys(row.engine for row in native if row.deprecated is None):
        float_row = rows.get(baseline(name).id)
        quantized = [row for row in native if row.engine == name and row.kind == "quantized"]
        if float_row is None or float_row.status != "ok" or not any(row.quantization.static for row in quantized):
            continue
        if all(map(_failed_or_lost, quantized)):
            added += [
                offer for offer in engine(name).recipes(model, host) if _robust(offer) and offer.recipe.id not in rows
            ]
    return added


def notes(added: Sequence[Offer]) -> list[str]:
    """Return why these rows were added, one sentence per engine."""

    def joined(ids: Sequence[str]) -> str:
        return " and ".join(part for part in (", ".join(ids[:-1]), ids[-1]) if part)

    by_engine: dict[str, list[str]] = {}
    for offer in added:
        by_engine.setdefault(offer.recipe.engine, []).append(offer.recipe.id)
    return [
        f"every quantized build of {name} in the preset failed, has a flag, or lost more than the margin, so "
        f"{joined(ids)} {'was' if len(ids) == 1 else 'were'} tried too"
        for name, ids in by_engine.items()
    ]


def _robust(offer: Offer) -> bool:
    """Whether a recipe is immune to outliers in the calibration samples."""
    recipe = offer.recipe
    return WIDEST in offer.presets and recipe.kind == "quantized" and not recipe.static and offer.unsupported is None


def _failed_or_lost(row: Row) -> bool:
    """Whether a row failed, is not what was asked for, or is shown to lose more than the margin."""
    if row.status != "ok" or any(flag.code not in OF_METRIC for flag in row.faults):
        return True
    versus = row.versus_baseline
    return versus is not None and versus.drop_interval[0] > versus.margin
