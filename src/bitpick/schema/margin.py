"""The largest drop that does no harm, as users write it."""

from __future__ import annotations

import math

from bitpick.errors import RequestError
from bitpick.schema.evidence import Metric


def margin_of(text: str, metric: Metric | None = None, base: float | None = None) -> float:
    """The margin that a text says, in the metric's own unit: `1%` of the float32's value, or `0.5`.

    Args:
        text: a share, as `1%`; or a number, of points where the metric is a fraction, else of its unit.
        metric: the float32's; without one, an accuracy of 1.
        base: what a share is a share of, where that is not the metric's value.

    Raises:
        RequestError: it says none, or one that is not above 0.
    """
    share = text.endswith("%")
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = 0.0
    fraction = metric is None or metric.unit == "fraction"
    if not 0 < value < (100 if share or fraction else math.inf):
        raise RequestError(
            f"the margin {text!r} is no margin", expected="a share of the float32's value, as 1%, or points, as 0.5"
        )
    if not share:
        return value / 100 if fraction else value
    return value / 100 * (base if base is not None else 1.0 if metric is None else abs(metric.value))
