"""Format the measurements of each conversion of the model for reports."""

from __future__ import annotations

from collections.abc import Sequence

from bitpick.reports import words
from bitpick.schema.hop import Hop


def columns(hops: Sequence[Hop]) -> list[str]:
    """Return the column heads after the name; top-1 agreement only if there are classes."""
    classes = any(hop.top1_agreement is not None for hop in hops)
    return ["samples", "typical difference", "largest difference", "held to", *(["top-1 agreement"] if classes else [])]


def cells(hop: Hop, hops: Sequence[Hop]) -> list[str]:
    """Format a hop's numbers for these columns; typical differences are shares of the output's size."""
    shares = [share for share in (hop.rms_diff, hop.channel_diff) if share is not None]
    texts = [
        str(hop.samples),
        _number(max(shares, default=None)),
        _number(hop.max_abs_diff),
        _held_to(hop),
        "" if hop.top1_agreement is None else words.percent(hop.top1_agreement),
    ]
    return texts[: len(columns(hops))]


def _held_to(hop: Hop) -> str:
    if hop.exact is not None:
        return f"float64: {_number(hop.exact.source)} and {_number(hop.exact.target)} away"
    return _number(hop.tolerance if hop.bound is None else hop.bound)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"
