"""Check that a conversion kept the model's outputs, and find the first node where it did not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import rounding
from bitpick.errors import ConversionError, system_cause
from bitpick.library_errors import telling_line
from bitpick.preprocessing import Arrays
from bitpick.schema.hop import Exact
from bitpick.schema.hop import Hop as HopRecord

EXACT_SAMPLES = 32
"""How many of the samples that differ most to run in float64, to tell a defect from rounding."""

RunExact = Callable[[NDArray[np.int64]], Arrays]


def compare(
    sides: tuple[str, str],
    reference: Arrays,
    outputs: Arrays,
    run_exact: RunExact | None = None,
    classes: bool = False,
) -> HopRecord:
    """Compare the outputs of both sides of a hop, or of a pass, on the same samples.

    Args:
        sides: the source and the target form.
        reference: each output of the source, of shape (n, …), float32.
        outputs: each output of the target, of the same shapes.
        run_exact: takes indices of samples and returns the graph's float64 outputs for them, or for at least the first
            of them; called if the sides differ by more than rounding explains for certain.
        classes: whether the first output holds class scores.

    Returns:
        The record, with the measures of the output that differs most relative to its bound. `passed` says whether all
        outputs are within their bounds, or both sides are about equally far from exact arithmetic.
    """
    differences = rounding.differences(reference, outputs)
    worst = max(differences, key=lambda each: each.worst / each.bound)
    record = HopRecord(
        name=" → ".join(sides),
        source=sides[0],
        target=sides[1],
        samples=len(reference[0]),
        max_abs_diff=_finite(worst.largest),
        rms_diff=_finite(worst.rms),
        channel_diff=_finite(worst.channel),
        bound=worst.bound,
        top1_agreement=_agreement(reference, outputs) if classes else None,
        passed=all(each.passed for each in differences),
    )
    if record.passed or run_exact is None or not all(np.isfinite(each.worst) for each in differences):
        return record
    indices = rounding.worst_samples(reference, outputs, EXACT_SAMPLES)
    try:
        exact = run_exact(indices)
        indices = indices[: len(exact[0])]
        exactness = rounding.exactness(tuple(e[indices] for e in reference), tuple(e[indices] for e in outputs), exact)
    except Exception as error:  # an operator that float64 lacks must not end a sound run
        if system_cause(error):
            raise
        return record.model_copy(update={"no_exact": telling_line(error)})
    decisive = min(exactness, key=lambda each: each.passed)
    distances = Exact(samples=len(indices), source=decisive.reference, target=decisive.outputs)
    return record.model_copy(update={"exact": distances, "passed": decisive.passed})


def _finite(number: float) -> float | None:
    return number if np.isfinite(number) else None


def _agreement(reference: Arrays, outputs: Arrays) -> float | None:
    """Return the share of samples with the same top score in the first output; None if it does not hold scores."""
    first, second = reference[0], outputs[0] if outputs else reference[0][:0]
    if first.ndim != 2 or first.shape[1] < 2:
        return None
    return float((first.argmax(1) == second.argmax(1)).mean()) if first.shape == second.shape else 0.0


def check(reference: Arrays, outputs: Arrays, what: str, dtype: Any = np.float32) -> None:
    """Refuse outputs that differ by more than rounding.

    Args:
        reference: the expected outputs, each of shape (n, …).
        outputs: the outputs of the other side.
        what: the step that made the other side, e.g. `exporting model.pt`.
        dtype: the float dtype that both sides compute in, or the coarser of the two.

    Raises:
        ConversionError: they differ by more than rounding.
    """
    worst = max(rounding.differences(reference, outputs, dtype), key=lambda each: each.worst / each.bound)
    if not worst.passed:
        raise ConversionError(
            f"{what} changed the model: its outputs differ by {worst.worst:.2g} of their size (root mean square), and "
            f"by up to {worst.largest:.3g}",
            expected=f"at most {worst.bound:.0e} of the outputs' size",
        )


def first_difference(
    reference: Mapping[str, NDArray[np.float32]], outputs: Mapping[str, NDArray[np.float32]]
) -> tuple[str, float] | None:
    """Find the first node, in the source's order, whose output differs by more than rounding.

    Args:
        reference: the output of each node of the source, by name.
        outputs: the output of each node of the target, by name.

    Returns:
        The node's name and its largest absolute difference; None if no node differs.
    """
    for name, expected in reference.items():
        actual = outputs.get(name)
        if actual is None or actual.size != expected.size:
            continue
        (difference,) = rounding.differences((expected,), (actual.reshape(expected.shape),))
        if not difference.passed:
            return name, difference.largest
    return None


def failure(record: HopRecord, where: tuple[str, float] | None, unsteady: str = "") -> ConversionError:
    """Return the error for a hop that did not pass.

    Args:
        record: the measurements.
        where: the first node that differs and its largest difference, if known.
        unsteady: the form whose outputs change when it is run twice; empty if both are repeatable.
    """
    if unsteady:
        return ConversionError(
            f"the conversion {record.name} cannot be verified: the {unsteady} model gives different outputs when it is "
            "run twice on the same samples",
            expected="the same outputs for the same samples",
            fix="export it in evaluation mode (model.eval(), or training=False in Keras) and without random numbers",
        )
    agree = "" if record.top1_agreement is None else f" {record.top1_agreement:.1%} of the top-1 classes agree."
    node = f" The first node that differs is {where[0]}, by up to {where[1]:.3g}." if where else ""
    return ConversionError(
        f"the conversion {record.name} changed the model: over {record.samples} samples "
        f"{_describe_difference(record)}.{agree}{node}",
        expected=f"at most {record.bound:.0e} of the outputs' size, or both sides equally near to exact arithmetic",
        fix="the model is probably fine and the converter wrong: please report it"
        + (", with the node named above" if where else ""),
    )


def _describe_difference(record: HopRecord) -> str:
    """Describe how far apart the two sides of a hop are."""
    if record.max_abs_diff is None or record.rms_diff is None:
        return "its outputs have another shape, or are not finite"
    text = (
        f"its outputs differ by {max(record.rms_diff, record.channel_diff or 0):.2g} of their size (root mean square), "
        f"and by up to {record.max_abs_diff:.3g}"
    )
    if record.exact is not None:
        text += (
            f"; from exact arithmetic (float64) {record.source} is {record.exact.source:.2g} away and {record.target} "
            f"{record.exact.target:.2g}"
        )
    if record.no_exact is not None:
        text += f"; the graph does not run in float64 ({record.no_exact}), so rounding cannot be told from a defect"
    return text
