"""Format numbers and rows for readers; `evidence.Measure` formats the values of a metric."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from bitpick.library_errors import LONGEST, visible
from bitpick.schema.diagnosis import Change
from bitpick.schema.fingerprint import Fingerprint, Grid
from bitpick.schema.run import HostRecord, Recommendation, Row, Run

DTYPE_WORDS = {
    "s8": "int8",
    "u8": "uint8",
    "s4": "int4",
    "s16": "int16",
    "dynamic": "int8 at run time",
    "float32": "float32",
    "float16": "float16",
    "bfloat16": "bfloat16",
}

# What begins a tag, a comment or an address in angle brackets, and what ends the text of a link; after an even number
# of backslashes, because an odd one escapes it.
_MARKUP = re.compile(r"(?<!\\)((?:\\\\)*)(<(?=[A-Za-z/!?])|\](?=[(\[:]))")
_ENTITIES = {"<": "&lt;", "]": "&#93;"}


def shortened(text: str) -> str:
    """Cut a text that is longer than any message should be, and say how much is missing."""
    more = len(text) - LONGEST
    return text if more <= 0 else f"{text[:LONGEST]} … and {more:,} more characters"


def sentence(text: str) -> str:
    """End a text with a full stop, unless it already ends like a sentence."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def cell(text: str) -> str:
    """Escape text for a Markdown table cell."""
    flat = visible(" ".join(shortened(text).split()))
    for mark in "\\`*_[]<>|":
        flat = flat.replace(mark, "\\" + mark)
    return flat


def unmarked(text: str) -> str:
    """Make any text harmless in Markdown: on one line, without tags of HTML and without links.

    A mark that is escaped already stays as it is.
    """
    return _MARKUP.sub(lambda match: match[1] + _ENTITIES[match[2]], visible(" ".join(text.splitlines())))


def percent(fraction: float) -> str:
    """0.8719 → `87.19%`."""
    return f"{100 * fraction:.2f}%"


def points(fraction: float) -> str:
    """0.0044 → `0.44`, -0.0002 → `-0.02`: percentage points."""
    return f"{100 * fraction + 0.0:.2f}"


def kilobytes(size: int) -> str:
    """115297 → `115.3 kB`; a kB is 1,000 bytes."""
    return f"{size / 1000:.1f} kB"


def microseconds(seconds: float) -> str:
    """0.000263 → `263 µs`, 0.0123 → `12.3 ms`."""
    return f"{1e6 * seconds:.0f} µs" if seconds < 0.01 else f"{1e3 * seconds:.1f} ms"


def where(row: Row) -> str:
    """Name the target of a row and how it was measured, e.g. `my-phone (imported, 83 µs)`."""
    details: list[str] = [] if row.measured == "native" else [row.measured]
    if row.device is not None and row.device.p50 is not None:
        details.append(microseconds(row.device.p50))
    return f"{row.target} ({', '.join(details)})" if details else row.target


def most_samples(rows: Sequence[Row]) -> str:
    """Format the largest number of samples of any row."""
    return f"{max((row.samples or 0 for row in rows), default=0):,}"


def dtypes(row: Row) -> str:
    """Name the data types of weights and activations, e.g. `int8 / uint8, per channel`."""
    recipe = row.quantization
    if recipe.weight_dtype == recipe.activation_dtype and not recipe.static:
        return DTYPE_WORDS[recipe.weight_dtype]
    granularity = f", {recipe.granularity.replace('_', ' ')}" if recipe.granularity else ""
    return f"{DTYPE_WORDS[recipe.weight_dtype]} / {DTYPE_WORDS[recipe.activation_dtype]}{granularity}"


def reduction(row: Row) -> str:
    """Format how much smaller a row is than its baseline, e.g. `63%`."""
    return "" if row.size_ratio is None else f"{round(100 * (1 - row.size_ratio))}%"


def size_beside(row: Row) -> str:
    """Compare the size with the baseline's, e.g. `63% smaller` or `97% larger`."""
    if row.size_ratio is None:
        return ""
    return f"{round(100 * abs(1 - row.size_ratio))}% {'larger' if row.size_ratio > 1 else 'smaller'}"


def result(row: Row) -> str:
    """Format the metric of a row; the status if it has none."""
    return row.metric.shown() if row.metric else row.status


def drop(row: Row) -> str:
    """Format the drop of a row without its unit, against its baseline or the same files here; empty for a baseline."""
    versus = row.versus_native or row.versus_baseline
    return changed(row, versus.drop) if versus else ""


def changed(row: Row, drop: float) -> str:
    """Format a difference of a row's metric without its unit; for fractions, in points."""
    return points(drop) if row.metric is None else row.metric.change(drop)


def between(row: Row, bounds: tuple[float, float]) -> str:
    """Format the interval of a row's drop, e.g. `-0.20 to 0.46`."""
    low, high = bounds
    return f"{changed(row, low)} to {changed(row, high)}"


def drop_with_interval(row: Row) -> str:
    """Format the drop of a row with its interval, e.g. `0.13 (-0.20 to 0.46)`; empty for a baseline."""
    versus = row.versus_baseline
    return "" if versus is None else f"{changed(row, versus.drop)} ({between(row, versus.drop_interval)})"


def good_enough(row: Row) -> str:
    """Say whether a row is shown to be good enough, with the p-value; empty if it was not tested."""
    versus = row.versus_baseline
    if versus is None or versus.noninferior is None or versus.noninferiority_p is None:
        return ""
    p_value = versus.noninferiority_p
    return f"{'shown' if versus.noninferior else 'not shown'}, p {'< 0.001' if p_value < 0.001 else f'= {p_value:.3f}'}"


def over_draws(row: Row) -> str:
    """Compare what a row's file loses with what its recipe loses over calibration draws; empty if not known."""
    draws_record, versus = row.over_draws, row.versus_baseline
    if draws_record is None or versus is None:
        return f"not built from other calibration draws: {row.no_over_draws}" if row.no_over_draws else ""
    drops = [draw.drop for draw in draws_record.draws]
    unit = "points" if row.metric is None else row.metric.change_unit
    file = f"this file loses {drop_with_interval(row)} {unit}".rstrip()
    span = f"from {changed(row, min(drops))} to {changed(row, max(drops))}"
    spread = f"{changed(row, draws_record.drop)} ({between(row, draws_record.drop_interval)}), {span}"
    shown = f"{'shown' if draws_record.noninferior else 'not shown'} to lose less than {changed(row, versus.margin)}"
    missing = "".join(f"; draw {seed} failed: {reason}" for seed, reason in draws_record.failed.items())
    return f"{file}; the recipe, over {len(drops)} draws, loses {spread}, and is {shown}{missing}"


def selection(recommendation: Recommendation) -> str:
    """Say how the bias of choosing and judging on the same samples was avoided."""
    if recommendation.selection == "cross-fit":
        return "Selection: cross-fit. A build is chosen on one half of the samples and judged on the other, both ways."
    return "Selection: simultaneous. All builds are tested at once, so that choosing the best of them flatters none."


def flips(row: Row) -> str:
    """Format how many predictions differ from the baseline's, or from those of the same files on this host."""
    versus = row.versus_native or row.versus_baseline
    return f"{versus.flips:,}" if versus and versus.flips is not None else ""


def integer(row: Row) -> str:
    """Format the integer share of multiply-accumulates, rounded down, e.g. `57%` or `57%, 2 not counted`."""
    if row.coverage is None or row.kind != "quantized":
        return ""
    uncounted = len(row.coverage.uncounted)
    return f"{math.floor(100 * row.coverage.macs)}%" + (f", {uncounted} not counted" if uncounted else "")


def integer_weights(row: Row) -> str:
    """Format the share of weights stored as integers, rounded down, e.g. `99%`."""
    return "" if row.coverage is None else f"{math.floor(100 * row.coverage.weights)}%"


def ends(fingerprint: Fingerprint) -> str:
    """Name the dtypes of input, output and softmax, e.g. `float32 / float32 / uint8`."""
    formats = (fingerprint.input, fingerprint.output, fingerprint.softmax or "none")
    return " / ".join(DTYPE_WORDS.get(dtype, dtype) for dtype in formats)


def saturation(host: HostRecord, values: str = "accuracies") -> str:
    """Explain what the CPU's instruction set means for 8-bit products; empty if it does not matter.

    Args:
        host: the machine.
        values: the plural for what the run measured.
    """
    if not any(feature in host.isa for feature in ("sse4_2", "avx2")):
        return ""
    if {"avx512_vnni", "avx_vnni"} & set(host.isa):
        return (
            "It has VNNI: sums of 8-bit products are exact here, and saturate on x86 CPUs without it, where a runtime "
            "multiplies unsigned by signed numbers of 8 bits."
        )
    return f"It has no VNNI: sums of products of unsigned and signed 8-bit numbers saturate, and the {values} show it."


def grid(numbers: Grid | None) -> str:
    """Describe a quantization grid, e.g. `int8, per channel, symmetric, 7 bits`."""
    if numbers is None:
        return ""
    parts = [DTYPE_WORDS.get(numbers.dtype, numbers.dtype)]
    if numbers.dynamic:
        parts.append("dynamic")
    if numbers.granularity:
        parts.append(numbers.granularity.replace("_", " "))
    if numbers.symmetric:
        parts.append("symmetric")
    if numbers.bits not in (None, 8):
        parts.append(f"{numbers.bits} bits")
    return ", ".join(parts)


def weights(numbers: Fingerprint) -> str:
    """Describe the weights of a build, e.g. `int4, per channel, symmetric, 4 bits; 12% int8`."""
    total = sum((numbers.mix or {}).values())
    main = "" if numbers.weights is None else numbers.weights.dtype
    rest = [(dtype, count) for dtype, count in (numbers.mix or {}).items() if dtype != main]
    return "; ".join([grid(numbers.weights), *(f"{100 * n / total:.0f}% {DTYPE_WORDS.get(d, d)}" for d, n in rest)])


def size(row: Row) -> str:
    """Format the size of a row."""
    return "" if row.size_bytes is None else kilobytes(row.size_bytes)


def ordered(run: Run) -> list[Row]:
    """Sort rows for tables: baselines, quantized rows by accuracy, other CPUs, then rows without a build."""
    kinds = {"baseline": 0, "reduced_precision": 1, "quantized": 1}

    def rank(row: Row) -> tuple[bool, str, int, float, str]:
        quality = row.metric.quality if row.metric else 0.0
        target = "" if row.target == "host" else row.target
        return (row.status != "ok", target, kinds[row.kind], -quality if row.kind != "baseline" else 0, row.id)

    return sorted((row for row in run.rows if not row.out_of_reach), key=rank)


def per_class_drops(row: Row, baseline: Row | None) -> dict[str, float]:
    """Return each class's drop against the baseline, as a fraction; empty if either row has no accuracy."""
    if row.accuracy is None or baseline is None or baseline.accuracy is None:
        return {}
    return {name: baseline.accuracy.per_class[name] - value for name, value in row.accuracy.per_class.items()}


def standing(row: Row) -> str:
    """Return the standing of a row: `float32`, `good enough`, `not shown`, `flagged`, `not tested`, or its status."""
    if row.status != "ok":
        return row.status
    if row.kind == "baseline":
        return "float32"
    if row.faults:
        return "flagged"
    versus = row.versus_baseline
    if versus is None or versus.noninferior is None:
        return "not tested"
    return "good enough" if versus.noninferior else "not shown"


def megabytes(size: int) -> str:
    """12345678 → `12.3 MB`; a MB is 1,000,000 bytes."""
    return f"{size / 1e6:.1f} MB"


def decibels(value: float | None) -> str:
    """23.41 → `23.4 dB`; empty for None."""
    return "" if value is None else f"{value:.1f} dB"


def change(result: Change | None) -> str:
    """Format the drop of a build with some layers in float, in points with its interval; empty without a build."""
    if result is None:
        return ""
    low, high = result.drop_interval
    return f"{points(result.drop)} ({points(low)} to {points(high)})"


def interval(low: float, high: float, digits: int = 2) -> str:
    """0.44, 0.46 → `0.44 to 0.46`."""
    return f"{low + 0.0:.{digits}f} to {high + 0.0:.{digits}f}"
