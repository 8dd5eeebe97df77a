"""Numbers and rows as people read them; values of a metric are told by `evidence.Measure`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from bitpick.schema.diagnosis import Change
from bitpick.schema.fingerprint import Fingerprint, Grid
from bitpick.schema.run import HostRecord, Recommendation, Row, Run

DTYPE_WORDS = {
    "s8": "int8",
    "u8": "uint8",
    "dynamic": "int8 at run time",
    "float32": "float32",
    "float16": "float16",
    "bfloat16": "bfloat16",
}

# Control characters, and those that turn the direction of the text around them.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    r"""Text whose unseen characters are seen: U+202E becomes `\u202e`."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def sentence(text: str) -> str:
    """Text that ends as a sentence does."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def cell(text: str) -> str:
    """Text that cannot break out of a Markdown table cell."""
    flat = visible(" ".join(text.split()))
    for mark in "\\`*_[]<>|":
        flat = flat.replace(mark, "\\" + mark)
    return flat


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
    """The target of a row and how it was measured there, e.g. `my-phone (imported, 83 µs)`."""
    how: list[str] = [] if row.measured == "native" else [row.measured]
    if row.device is not None and row.device.p50 is not None:
        how.append(microseconds(row.device.p50))
    return f"{row.target} ({', '.join(how)})" if how else row.target


def most_samples(rows: Sequence[Row]) -> str:
    """The number of samples of the row that has the most."""
    return f"{max((row.samples or 0 for row in rows), default=0):,}"


def dtypes(row: Row) -> str:
    """The data types of a row, e.g. `int8 / uint8, per channel`: weights, then activations."""
    recipe = row.quantization
    if recipe.weights == recipe.activations and not recipe.static:
        return DTYPE_WORDS[recipe.weights]
    granularity = f", {recipe.granularity.replace('_', ' ')}" if recipe.granularity else ""
    return f"{DTYPE_WORDS[recipe.weights]} / {DTYPE_WORDS[recipe.activations]}{granularity}"


def reduction(row: Row) -> str:
    """How much smaller than its baseline, e.g. `63%`."""
    return "" if row.size_ratio is None else f"{round(100 * (1 - row.size_ratio))}%"


def size_beside(row: Row) -> str:
    """The size beside its baseline's in words, e.g. `63% smaller` or `97% larger`."""
    if row.size_ratio is None:
        return ""
    return f"{round(100 * abs(1 - row.size_ratio))}% {'larger' if row.size_ratio > 1 else 'smaller'}"


def result(row: Row) -> str:
    """The metric of a row, or why it has none in one word."""
    return row.metric.shown() if row.metric else row.status


def drop(row: Row) -> str:
    """The drop of a row without its unit, against its baseline, or its own files here; empty for a baseline."""
    versus = row.versus_native or row.versus_baseline
    return changed(row, versus.drop) if versus else ""


def changed(row: Row, drop: float) -> str:
    """A difference of a row's metric as people read it, without its unit: in points, for fractions."""
    return points(drop) if row.metric is None else row.metric.change(drop)


def between(row: Row, bounds: tuple[float, float]) -> str:
    """The interval of a drop of a row, e.g. `-0.20 to 0.46`."""
    low, high = bounds
    return f"{changed(row, low)} to {changed(row, high)}"


def drop_with_interval(row: Row) -> str:
    """The drop of a row with its interval, e.g. `0.13 (-0.20 to 0.46)`; empty for a baseline."""
    versus = row.versus_baseline
    return "" if versus is None else f"{changed(row, versus.drop)} ({between(row, versus.drop_interval)})"


def good_enough(row: Row) -> str:
    """Whether a row is shown to be good enough, and how surely; empty where it was not tested."""
    versus = row.versus_baseline
    if versus is None or versus.noninferior is None or versus.noninferiority_p is None:
        return ""
    p = versus.noninferiority_p
    return f"{'shown' if versus.noninferior else 'not shown'}, p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"


def over_draws(row: Row) -> str:
    """What a row's recipe loses over calibration draws, apart from what its one file loses; empty where not known."""
    over, versus = row.over_draws, row.versus_baseline
    if over is None or versus is None:
        return f"not built from other calibration draws: {row.no_over_draws}" if row.no_over_draws else ""
    drops = [draw.drop for draw in over.draws]
    unit = "points" if row.metric is None else row.metric.change_unit
    file = f"this file loses {drop_with_interval(row)} {unit}".rstrip()
    span = f"from {changed(row, min(drops))} to {changed(row, max(drops))}"
    spread = f"{changed(row, over.drop)} ({between(row, over.drop_interval)}), {span}"
    shown = f"{'shown' if over.noninferior else 'not shown'} to lose less than {changed(row, versus.margin)}"
    missing = "".join(f"; draw {seed} failed: {reason}" for seed, reason in over.failed.items())
    return f"{file}; the recipe, over {len(drops)} draws, loses {spread}, and is {shown}{missing}"


def selection(found: Recommendation) -> str:
    """How choosing and judging on the same samples was kept from flattering the choice."""
    if found.selection == "cross-fit":
        return "Selection: cross-fit. A build is chosen on one half of the samples and judged on the other, both ways."
    return "Selection: simultaneous. All builds are tested at once, so that choosing the best of them flatters none."


def flips(row: Row) -> str:
    """How many predictions differ from the baseline's, or from those of the same files on this host."""
    versus = row.versus_native or row.versus_baseline
    return f"{versus.flips:,}" if versus and versus.flips is not None else ""


def integer(row: Row) -> str:
    """The share of multiply-accumulates on integers, e.g. `57%`, or `57%, 2 not counted`; only all of them is 100%."""
    if row.coverage is None or row.kind != "quantized":
        return ""
    left = len(row.coverage.uncounted)
    return f"{math.floor(100 * row.coverage.macs)}%" + (f", {left} not counted" if left else "")


def integer_weights(row: Row) -> str:
    """The share of weights that are kept as 8-bit integers, e.g. `99%`."""
    return "" if row.coverage is None else f"{math.floor(100 * row.coverage.weights)}%"


def ends(fingerprint: Fingerprint) -> str:
    """The dtypes of input, output and softmax, e.g. `float32 / float32 / uint8`."""
    found = (fingerprint.input, fingerprint.output, fingerprint.softmax or "none")
    return " / ".join(DTYPE_WORDS.get(dtype, dtype) for dtype in found)


def saturation(host: HostRecord, values: str = "accuracies") -> str:
    """What the CPU's instruction set means for 8-bit products; empty where there is nothing to say.

    Args:
        host: the machine.
        values: what the run measured, as a plural.
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
    """The numbers of a tensor, e.g. `int8, per channel, symmetric, 7 bits`."""
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


def size(row: Row) -> str:
    """The size of a row."""
    return "" if row.size_bytes is None else kilobytes(row.size_bytes)


def ordered(run: Run) -> list[Row]:
    """Rows as tables show them: baselines, quantized rows by accuracy, other CPUs, then those without a build."""
    kinds = {"baseline": 0, "reduced_precision": 1, "quantized": 1}

    def rank(row: Row) -> tuple[bool, str, int, float, str]:
        quality = row.metric.quality if row.metric else 0.0
        target = "" if row.target == "host" else row.target
        return (row.status != "ok", target, kinds[row.kind], -quality if row.kind != "baseline" else 0, row.id)

    return sorted((row for row in run.rows if not row.out_of_reach), key=rank)


def per_class_drops(row: Row, baseline: Row | None) -> dict[str, float]:
    """Each class's drop against the baseline, as a fraction; empty where either has no accuracy."""
    if row.accuracy is None or baseline is None or baseline.accuracy is None:
        return {}
    return {name: baseline.accuracy.per_class[name] - value for name, value in row.accuracy.per_class.items()}


def standing(row: Row) -> str:
    """Where a row stands: `float32`, `good enough`, `not shown`, `flagged`, `not tested`, or why it is missing."""
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
    """23.41 → `23.4 dB`; empty where there is no noise, or it is not known."""
    return "" if value is None else f"{value:.1f} dB"


def change(found: Change | None) -> str:
    """The drop of a build with some layers in float, in points with its interval; empty where it was not made."""
    if found is None:
        return ""
    low, high = found.drop_interval
    return f"{points(found.drop)} ({points(low)} to {points(high)})"


def interval(low: float, high: float, digits: int = 2) -> str:
    """0.44, 0.46 → `0.44 to 0.46`."""
    return f"{low + 0.0:.{digits}f} to {high + 0.0:.{digits}f}"
