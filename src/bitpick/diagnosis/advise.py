"""What a diagnosis found, in words and numbers, and nothing that the samples do not show."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from bitpick.diagnosis.search import Tried
from bitpick.recipe import Recipe
from bitpick.schema.diagnosis import Change, Layer
from bitpick.schema.evidence import VersusBaseline

_SHOWN = 3
_LITTLE_DB = 0.45  # a tenth of the noise


def found(
    versus: VersusBaseline, total: int, whole: Change, samples: int, layers: Sequence[Layer], lose: Sequence[Layer]
) -> list[str]:
    """What the recipe loses, and with which layers.

    Args:
        versus: the recipe beside its float32, on the whole evaluation set.
        total: samples of that.
        whole: the same on the samples that single layers were measured on.
        samples: how many those are.
        layers: what the layers show.
        lose: those that are shown to lose accuracy when they alone are quantized.
    """
    lines = [f"The recipe loses {_points(versus.drop, versus.drop_interval)} on {total:,} samples{_doubt(versus)}."]
    if samples < total:
        lines.append(
            f"Single layers were measured on {samples:,} of them, on which it loses "
            f"{_points(whole.drop, whole.drop_interval)}."
        )
    if lose:
        worst = sorted(lose, key=lambda each: -each.only_quantized.drop if each.only_quantized else 0)[:_SHOWN]
        told = "; ".join(f"{e.name} {_points(e.only_quantized.drop)}" for e in worst if e.only_quantized)
        lines.append(f"Shown to lose accuracy when it alone is quantized, all layers tested at once: {told}.")
    elif any(each.only_quantized for each in layers):
        lines.append(
            f"No layer is shown to lose accuracy when it alone is quantized: {samples:,} samples, all layers tested at "
            "once."
        )
    return lines + _noise(layers, whole)


def _noise(layers: Sequence[Layer], whole: Change) -> list[str]:
    """Where the noise in the outputs comes from, which needs no labels and shows more than single predictions."""
    if whole.sqnr_db is None:
        return []
    gains = [
        (each.only_float.sqnr_db - whole.sqnr_db, each)
        for each in layers
        if each.only_float is not None and each.only_float.sqnr_db is not None
    ]
    lines = [f"The outputs' signal is {whole.sqnr_db:.1f} dB over their noise."]
    for gain, each in sorted((pair for pair in gains if pair[0] > _LITTLE_DB), key=lambda pair: -pair[0])[:_SHOWN]:
        assert each.only_float is not None
        share = 100 * (1 - 10 ** (-gain / 10))
        lines.append(f"Left in float, {each.name} takes {share:.0f}% of the noise away{_cost(each.only_float, whole)}.")
    return [" ".join(lines) if len(lines) > 1 else f"{lines[0]} No single layer in float takes much of it away."]


def nothing_to_fix(samples: int, total: int) -> str:
    """Where no drop is shown."""
    more = f" More than {total:,} samples might show one." if samples == total else ""
    return f"No drop is shown: there is nothing to win back that these samples could show.{more}"


def tried(found: Sequence[Tried], recipe: Recipe) -> list[str]:
    """What the recipes that were measured on the way to the next one do, by what speaks for them."""
    lines = []
    for why, alike in groupby(found, key=lambda each: each.why):
        outcomes = [
            f"{_change(each.recipe, recipe)} wins back {_points(each.gain, each.interval)}, {_verdict(each.interval)}"
            for each in alike
        ]
        lines.append(f"{why[0].upper()}{why[1:]}. Tried: {'; '.join(outcomes)}.")
    return lines


def next_recipe(each: Tried | None, recipe: Recipe, whole: Change, samples: int) -> str:
    """The recipe to try next, with what it costs."""
    if each is None:
        told = f"Nothing that was tried promises to help, on {samples:,} samples: the next recipe is left to you."
        weak = whole.drop_interval[0] <= 0
        return f"{told} They are too few to show the drop itself; --samples gives more." if weak else told
    doubt = "" if each.shown else f"; {samples:,} samples do not show that it helps"
    rest = _points(each.change.drop, each.change.drop_interval)
    cost = _cost(each.change, whole)
    return f"Next: {_change(each.recipe, recipe)}, which loses {rest} on {samples:,} samples{cost}{doubt}."


def applied(
    drop: float,
    interval: tuple[float, float],
    won: float,
    won_interval: tuple[float, float],
    samples: int,
    unseen: bool,
) -> str:
    """What the next recipe does on samples.

    Args:
        drop: what it loses against the float32, as a fraction.
        interval: of that.
        won: what it wins back against the diagnosed recipe.
        won_interval: of that.
        samples: how many.
        unseen: whether they had no part in choosing it.
    """
    where = f"the {samples:,} samples that had no part in choosing it" if unseen else f"all {samples:,} samples"
    back = f"{_points(won, won_interval)}, {_verdict(won_interval)}"
    return f"Applied, on {where}: it loses {_points(drop, interval)}, and wins back {back}."


def failures(count: int, first: str) -> str:
    """Builds of single layers that failed."""
    return f"{count} of the builds of single layers failed, the first with: {' '.join(first.split())}"


def left_out(names: Sequence[str], known: bool) -> str:
    """Layers that were not built alone, with whether it is known how much noise each adds."""
    which = "those that add least noise" if known else "the last ones, for nothing is known of their noise"
    return f"{len(names)} layers have no builds of their own, {which}; --layers changes that."


def _verdict(interval: tuple[float, float]) -> str:
    """What an interval of what is won back shows."""
    return "shown" if interval[0] > 0 else "shown to lose more" if interval[1] < 0 else "not shown"


def _change(recipe: Recipe, before: Recipe) -> str:
    """What is other in a recipe than in another."""
    parts = [
        str(getattr(recipe, f)) for f in ("granularity", "calibration") if getattr(recipe, f) != getattr(before, f)
    ]
    if more := [each for each in recipe.exclude if each not in before.exclude]:
        parts.append(f"without {', '.join(more)}")
    return " ".join(parts)


def _cost(change: Change, whole: Change) -> str:
    """What a change costs in multiply-accumulates that become float."""
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
