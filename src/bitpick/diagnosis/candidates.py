"""Propose changes to a recipe from what its layers show: granularity, calibration, layers left in float."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bitpick.diagnosis.scoped import changed
from bitpick.engines.engine import Engine
from bitpick.recipe import Recipe
from bitpick.schema.diagnosis import Change, Layer

FAR_OUT = 4.0  # a maximum this many times the 99.99th percentile wastes two of eight bits
_CLIPPING = ("percentile99.99", "percentile99.9", "mse", "histogram", "entropy")
_NOT_CLIPPING = ("minmax", "moving_average")
_SHOWN = 3


def granularities(recipe: Recipe, layers: Sequence[Layer], engine: Engine) -> list[tuple[Recipe, str]]:
    """Return the recipe with per-channel weight scales, if its engine has them, and the reason to try it."""
    if recipe.granularity != "per_tensor":
        return []
    noisy = sorted((layer for layer in layers if layer.weight_sqnr_db is not None), key=_weight_decibels)
    reason = "the weights have one scale for a whole tensor"
    if noisy:
        reason += f", which leaves them {_list((layer.name, f'{layer.weight_sqnr_db:.1f} dB') for layer in noisy)}"
    return _possible([(changed(recipe, granularity="per_channel"), reason)], engine)


def calibrations(recipe: Recipe, layers: Sequence[Layer], engine: Engine) -> list[tuple[Recipe, str]]:
    """Return the recipe with calibration methods that clip, if its engine has them, and the reason to try each."""
    if not recipe.static or recipe.calibration not in _NOT_CLIPPING:
        return []
    reason = "ranges from minima and maxima follow single values"
    by_outliers = sorted(
        (layer for layer in layers if layer.outlier_ratio), key=lambda layer: -(layer.outlier_ratio or 0)
    )
    noisy = sorted((layer for layer in layers if layer.activation_sqnr_db is not None), key=_activation_decibels)
    if far_out := [layer for layer in by_outliers if (layer.outlier_ratio or 0) >= FAR_OUT]:
        reason += (
            f": the largest is {_list((layer.name, f'{layer.outlier_ratio:.0f} times') for layer in far_out)} "
            "the 99.99th percentile"
        )
    elif noisy:
        reason += (
            f"; the noisiest outputs are {_list((layer.name, f'{layer.activation_sqnr_db:.1f} dB') for layer in noisy)}"
        )
    return _possible([(changed(recipe, calibration=method), reason) for method in _CLIPPING], engine)


def _possible(candidates: list[tuple[Recipe, str]], engine: Engine) -> list[tuple[Recipe, str]]:
    return [(recipe, reason) for recipe, reason in candidates if engine.refusal(recipe) is None]


def _list(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in list(pairs)[:_SHOWN])


def ranked(layers: Sequence[Layer], whole: Change) -> list[Layer]:
    """Return the layers whose exclusion helps, the most helpful first: by correct predictions if clear, else by noise.

    Each layer was left in float alone. A few more correct predictions are luck; a lower output noise is not.
    """

    def worth(layer: Layer) -> tuple[float, float]:
        assert layer.only_float is not None
        # They are clear if the whole recipe drops more than it could with the layer left in float.
        gained = (layer.only_float.correct - whole.correct) * (layer.only_float.drop_interval[1] < whole.drop)
        return float(gained), _decibels(layer.only_float.sqnr_db) - _decibels(whole.sqnr_db)

    measured = [layer for layer in layers if layer.only_float is not None]
    return sorted((layer for layer in measured if max(worth(layer)) > 0), key=worth, reverse=True)


def noisiest(layers: Sequence[Layer], count: int) -> list[Layer]:
    """Return the `count` layers that add most noise, in their weights or outputs, in graph order.

    Outputs carry the noise of all earlier layers; a layer adds what its output has more than the one before.
    """
    added, previous = [], 0.0
    for layer in layers:
        output = previous if layer.activation_sqnr_db is None else _ratio(layer.activation_sqnr_db)
        added.append(max(output - previous, _ratio(layer.weight_sqnr_db)))
        previous = output
    order = sorted(range(len(layers)), key=lambda index: (-added[index], index))
    return [layers[index] for index in sorted(order[:count])]


def _ratio(decibels: float | None) -> float:
    """Return noise over signal; 0 if unknown."""
    return 0.0 if decibels is None else float(10 ** (-decibels / 10))


def _weight_decibels(layer: Layer) -> float:
    return _decibels(layer.weight_sqnr_db)


def _activation_decibels(layer: Layer) -> float:
    return _decibels(layer.activation_sqnr_db)


def _decibels(value: float | None) -> float:
    """Return a comparable number; an unknown value counts as no noise."""
    return float("inf") if value is None else value
