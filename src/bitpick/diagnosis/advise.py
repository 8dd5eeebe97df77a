"""Write the advice of a diagnosis, with numbers, and without anything that the samples do not show."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from bitpick.diagnosis.search import Attempt
from bitpick.recipe import Recipe
from bitpick.schema.diagnosis import Change, Layer
from bitpick.schema.evidence import VersusBaseline

_SHOWN = 3
_LITTLE_DB = 0.45  # dB; a tenth of the noise


def findings(
    versus: VersusBaseline, total: int, whole: Change, samples: int, layers: Sequence[Layer], lose: Sequence[Layer]
) -> list[str]:
    """Return what the recipe loses, and because of which layers.

    Args:
        versus: the recipe beside its float32, on the whole evaluation set.
        total: the number of samples in that set.
        whole: the recipe beside its float32, on the samples that single layers were measured on.
        samples: the number of those samples.
        layers: the measured layers.
        lose: the layers that are shown to lose accuracy when they alone are quantized.
    """
    lines = [f"The recipe loses {_points(versus.drop, versus.drop_interval)} on {total:,} samples{_doubt(versus)}."]
    if samples < total:
        lines.append(
            f"Single layers were measured on {samples:,} of them, on which it loses "
            f"{_points(whole.drop, whole.drop_interval)}."
        )
    if lose:
        worst = sorted(lose, key=lambda layer: -layer.only_quantized.drop if layer.only_quantized else 0)[:_SHOWN]
        losses = "; ".join(
            f"{layer.name} {_points(layer.only_quantized.drop)}" for layer in worst if layer.only_quantized
        )
        lines.append(f"Shown to lose accuracy when it alone is quantized, all layers tested at once: {losses}.")
    elif any(layer.only_quantized for layer in layers):
        lines.append(
            f"No layer is shown to lose accuracy when it alone is quantized: {samples:,} samples, all layers tested at "
            "once."
        )
    return lines + _noise(layers, whole)


def _noise(layers: Sequence[Layer], whole: Change) -> list[str]:
    """Return where the noise in the outputs comes from; it needs no labels and shows more than single predictions."""
    if whole.sqnr_db is None:
        return []
    gains = [
        (layer.only_float.sqnr_db - whole.sqnr_db, layer)
        for layer in layers
        if layer.only_float is not None and layer.only_float.sqnr_db is not None
    ]
    lines = [f"The outputs' signal is {whole.sqnr_db:.1f} dB over their noise."]
    for gain, layer in sorted((pair for pair in gains if pair[0] > _LITTLE_DB), key=lambda pair: -pair[0])[:_SHOWN]:
        assert layer.only_float is not None
        share = 100 * (1 - 10 ** (-gain / 10))
        lines.append(
            f"Left in float, {layer.name} takes {share:.0f}% of the noise away{_cost(layer.only_float, whole)}."
        )
    return [" ".join(lines) if len(lines) > 1 else f"{lines[0]} No single layer in float takes much of it away."]


def nothing_to_fix(samples: int, total: int) -> str:
    """Return the advice if no drop is shown."""
    more = f" More than {total:,} samples might show one." if samples == total else ""
    return f"No drop is shown: there is nothing to win back that these samples could show.{more}"


def tried(attempts: Sequence[Attempt], recipe: Recipe) -> list[str]:
    """Return the results of the recipes tried on the way to the next one, grouped by the reason to try them."""
    lines = []
    for reason, group in groupby(attempts, key=lambda attempt: attempt.why):
        outcomes = [
            f"{_change(attempt.recipe, recipe)} wins back {_points(attempt.gain, attempt.interval)}, "
            f"{_verdict(attempt.interval)}"
            for attempt in group
        ]
        lines.append(f"{reason[0].upper()}{reason[1:]}. Tried: {'; '.join(outcomes)}.")
    return lines


def next_recipe(attempt: Attempt | None, recipe: Recipe, whole: Change, samples: int) -> str:
    """Return the advice on the recipe to try next, with its cost."""
    if attempt is None:
        advice = f"Nothing that was tried promises to help, on {samples:,} samples: the next recipe is left to you."
        drop_unclear = whole.drop_interval[0] <= 0
        return f"{advice} They are too few to show the drop itself; --samples gives more." if drop_unclear else advice
    caveat = "" if attempt.shown else f"; {samples:,} samples do not show that it helps"
    drop = _points(attempt.change.drop, attempt.change.drop_interval)
    cost = _cost(attempt.change, whole)
    return f"Next: {_change(attempt.recipe, recipe)}, which loses {drop} on {samples:,} samples{cost}{caveat}."


def applied(
    drop: float,
    interval: tuple[float, float],
    won: float,
    won_interval: tuple[float, float],
    samples: int,
    unseen: bool,
) -> str:
    """Return how the next recipe does on samples.

    Args:
        drop: its drop against the float32, as a fraction.
        interval: the interval of the drop.
        won: what it wins back against the diagnosed recipe, as a fraction.
        won_interval: the interval of that.
        samples: the number of samples.
        unseen: whether the samples played no part in choosing it.
    """
    on = f"the {samples:,} samples that had no part in choosing it" if unseen else f"all {samples:,} samples"
    gain = f"{_points(won, won_interval)}, {_verdict(won_interval)}"
    return f"Applied, on {on}: it loses {_points(drop, interval)}, and wins back {gain}."


def failures(count: int, first: str) -> str:
    """Return a note on builds of single layers that failed."""
    return f"{count} of the builds of single layers failed, the first with: {' '.join(first.split())}"


def left_out(names: Sequence[str], known: bool) -> str:
    """Return a note on layers that were not built alone; `known` says whether their noise was measured."""
    which = "those that add least noise" if known else "the last ones, for nothing is known of their noise"
    return f"{len(names)} layers have no builds of their own, {which}; --layers changes that."


def _verdict(interval: tuple[float, float]) -> str:
    """Return what the interval of a gain shows."""
    return "shown" if interval[0] > 0 else "shown to lose more" if interval[1] < 0 else "not shown"


def _change(recipe: Recipe, before: Recipe) -> str:
    """Return what a recipe changes in another."""
    parts = [
        str(getattr(recipe, field))
        for field in ("granularity", "calibration")
        if getattr(recipe, field) != getattr(before, field)
    ]
    if excluded := [pattern for pattern in recipe.exclude if pattern not in before.exclude]:
        parts.append(f"without {', '.join(excluded)}")
    return " ".join(parts)


def _cost(change: Change, whole: Change) -> str:
    """Return what a change costs: the multiply-accumulates that become float."""
    if change.integer_macs is None or whole.integer_macs is None:
        return ""
    lost = whole.integer_macs - change.integer_macs
    return (
        f"; {100 * lost:.1f}% of the multiply-accumulates become float"
        if lost > 0
        else "; no multiply-accumulate becomes float"
    )


def _doubt(versus: VersusBaseline) -> str:
    return "" if versus.drop_interval[0] > 0 else ": no drop is shown"


def _points(fraction: float, interval: tuple[float, float] | None = None) -> str:
    bounds = f" (95% interval {100 * interval[0] + 0.0:.2f} to {100 * interval[1] + 0.0:.2f})" if interval else ""
    return f"{100 * fraction + 0.0:.2f} points{bounds}"
