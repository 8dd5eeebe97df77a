"""What could help a recipe, by what its layers show: another granularity or calibration, layers left in float."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bitpick.diagnosis.scoped import changed
from bitpick.engines.engine import Engine
from bitpick.recipe import Recipe
from bitpick.schema.diagnosis import Change, Layer

FAR_OUT = 4.0  # a largest magnitude of so many times the 99.99th percentile wastes two of eight bits
_CLIPPING = ("percentile99.99", "percentile99.9", "mse", "histogram", "entropy")
_NOT_CLIPPING = ("minmax", "moving_average")
_SHOWN = 3


def granularities(recipe: Recipe, layers: Sequence[Layer], engine: Engine) -> list[tuple[Recipe, str]]:
    """The recipe with finer scales of the weights, where its engine has them, and what speaks for it."""
    if recipe.granularity != "per_tensor":
        return []
    known = sorted((each for each in layers if each.weight_sqnr_db is not None), key=_weight_decibels)
    told = "the weights have one scale for a whole tensor"
    if known:
        told += f", which leaves them {_list((e.name, f'{e.weight_sqnr_db:.1f} dB') for e in known)}"
    return _possible([(changed(recipe, granularity="per_channel"), told)], engine)


def calibrations(recipe: Recipe, layers: Sequence[Layer], engine: Engine) -> list[tuple[Recipe, str]]:
    """The recipe with ranges that are clipped, where its engine has them, and what speaks for it."""
    if not recipe.static or recipe.calibration not in _NOT_CLIPPING:
        return []
    told = "ranges from minima and maxima follow single values"
    by_reach = sorted((each for each in layers if each.outlier_ratio), key=lambda each: -(each.outlier_ratio or 0))
    noisy = sorted((e for e in layers if e.activation_sqnr_db is not None), key=_activation_decibels)
    if far := [each for each in by_reach if (each.outlier_ratio or 0) >= FAR_OUT]:
        told += (
            f": the largest is {_list((e.name, f'{e.outlier_ratio:.0f} times') for e in far)} the 99.99th percentile"
        )
    elif noisy:
        told += f"; the noisiest outputs are {_list((e.name, f'{e.activation_sqnr_db:.1f} dB') for e in noisy)}"
    return _possible([(changed(recipe, calibration=method), told) for method in _CLIPPING], engine)


def _possible(found: list[tuple[Recipe, str]], engine: Engine) -> list[tuple[Recipe, str]]:
    return [(each, reason) for each, reason in found if engine.refusal(each) is None]


def _list(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in list(pairs)[:_SHOWN])


def ranked(layers: Sequence[Layer], whole: Change) -> list[Layer]:
    """The layers whose exclusion helps, the most helpful first: by right predictions where they tell, else by noise.

    Each alone was left in float. A few right predictions are luck; how much of the outputs' noise goes is not.
    """

    def worth(layer: Layer) -> tuple[float, float]:
        assert layer.only_float is not None
        # They tell where the whole recipe's drop is more than what the layer's exclusion could still lose.
        won = (layer.only_float.correct - whole.correct) * (layer.only_float.drop_interval[1] < whole.drop)
        return float(won), _decibels(layer.only_float.sqnr_db) - _decibels(whole.sqnr_db)

    known = [layer for layer in layers if layer.only_float is not None]
    return sorted((each for each in known if max(worth(each)) > 0), key=worth, reverse=True)


def noisiest(layers: Sequence[Layer], count: int) -> list[Layer]:
    """At most so many layers, in the graph's order: those that add most noise, in their weights or their outputs.

    Outputs have the noise of all layers before them; what a layer adds is what it has more than the one before.
    """
    added, before = [], 0.0
    for layer in layers:
        output = before if layer.activation_sqnr_db is None else _ratio(layer.activation_sqnr_db)
        added.append(max(output - before, _ratio(layer.weight_sqnr_db)))
        before = output
    order = sorted(range(len(layers)), key=lambda place: (-added[place], place))
    return [layers[place] for place in sorted(order[:count])]


def _ratio(decibels: float | None) -> float:
    """Noise over signal; 0 where nothing is known."""
    return 0.0 if decibels is None else float(10 ** (-decibels / 10))


def _weight_decibels(layer: Layer) -> float:
    return _decibels(layer.weight_sqnr_db)


def _activation_decibels(layer: Layer) -> float:
    return _decibels(layer.activation_sqnr_db)


def _decibels(value: float | None) -> float:
    """A number to compare with; where nothing is known there may be no noise."""
    return float("inf") if value is None else value
