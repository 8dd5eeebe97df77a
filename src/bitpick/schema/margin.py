"""Parse the margin, the largest acceptable drop, as users write it."""

from __future__ import annotations

import math

from bitpick.errors import RequestError
from bitpick.schema.evidence import Metric


def margin_of(text: str, metric: Metric | None = None, base: float | None = None) -> float:
    """Parse a margin such as `1%` of the float32's value, or `0.5`, and return it in the metric's unit.

    Args:
        text: a share, e.g. `1%`; or a number, in points if the metric is a fraction, else in its unit.
        metric: the float32's metric; an accuracy of 1 if None.
        base: what a share is a share of, if it is not the metric's value.

    Raises:
        RequestError: the text is not a margin above 0.
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
