"""The limits of a request: which builds are not recommended, however good they are."""

from __future__ import annotations

from collections.abc import Sequence

from bitpick.schema.run import RequestRecord, Row
from bitpick.schema.uses import USES
from bitpick.selection.judge import scale

_FLOATS = ("float32", "float16", "bfloat16")


def within(row: Row, request: RequestRecord) -> bool:
    """Return whether a row keeps the limits of a request.

    Args:
        row: a row that is ok and has a baseline.
        request: the request.
    """
    assert row.versus_baseline is not None
    if row.faults:
        return False
    if request.use is not None and USES[request.use].integer and not is_integer(row):
        return False
    if request.max_size is not None and (row.size_bytes or 0) > request.max_size:
        return False
    if request.max_latency_ratio is not None:
        time = time_interval(row)
        if time is None or time[1] > request.max_latency_ratio:
            return False
    return request.max_drop is None or row.versus_baseline.drop <= request.max_drop * scale(row)


def limits(shown: Sequence[Row], request: RequestRecord) -> list[str]:
    """Return a request's limits on good enough rows, as verb phrases."""
    phrases = []
    if request.use is not None and USES[request.use].integer:
        phrases.append("are integer from input to output, with fixed scales")
    if request.max_drop is not None:
        metric = shown[0].metric if shown else None
        unit = " points" if metric is None or metric.unit == "fraction" else f"% of the float32's {metric.label}"
        phrases.append(f"lose at most {100 * request.max_drop:g}{unit}")
    if request.max_size is not None:
        phrases.append(f"have at most {request.max_size / 1000:.1f} kB")
    if request.max_latency_ratio is not None:
        unknown = sum(time_interval(row) is None for row in shown)
        unknown_note = f" (of {unknown} the time is not known)" if unknown else ""
        phrases.append(f"are shown to take at most {request.max_latency_ratio:g} of the reference's time{unknown_note}")
    if any(row.faults for row in shown):
        phrases.append("are not flagged")
    return phrases


def is_integer(row: Row) -> bool:
    """Return whether a build is integer from input to output, with fixed scales: what a microcontroller can run."""
    numbers = row.fingerprint
    if numbers is None or row.coverage is None or row.coverage.float_operators:
        return False
    ends = numbers.input in _FLOATS or numbers.output in _FLOATS
    return not ends and numbers.activations is not None and not numbers.activations.dynamic


def is_dynamic(row: Row) -> bool:
    """Return whether a build computes the scales of its activations while it runs."""
    numbers = row.fingerprint
    return numbers is not None and numbers.activations is not None and numbers.activations.dynamic


def time_interval(row: Row) -> tuple[float, float] | None:
    """Return the interval of a row's time over the reference's; None if there is none."""
    return row.latency.ratio_reference_interval if row.latency is not None else None
