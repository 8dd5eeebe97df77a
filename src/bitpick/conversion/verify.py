"""Whether a conversion kept the model's outputs, and where it did not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import rounding
from bitpick.errors import ConversionError
from bitpick.library_errors import telling_line
from bitpick.preprocessing import Arrays
from bitpick.schema.hop import Exact
from bitpick.schema.hop import Hop as HopRecord

EXACT_SAMPLES = 32
"""Of the samples on which two sides differ most, so many are run in float64 where rounding has to be told apart."""

RunExact = Callable[[NDArray[np.int64]], Arrays]


def compare(
    sides: tuple[str, str],
    reference: Arrays,
    outputs: Arrays,
    run_exact: RunExact | None = None,
    classes: bool = False,
) -> HopRecord:
    """Compare what both sides of a hop, or of a pass, computed for the same samples.

    Args:
        sides: the forms that it leads from and to.
        reference: each output of its source, of shape (n, …), float32.
        outputs: those of its target, of the same shapes.
        run_exact: gives what the graph computes in float64 for some of the samples, the first of them at least; called
            where the sides differ by more than rounding makes for certain.
        classes: whether the first output has the scores of classes.

    Returns:
        The record, with the measures of the output that differs most for its bound. `passed` says whether all outputs
        are within it, or both sides are about as far from exact arithmetic.
    """
    found = rounding.differences(reference, outputs)
    worst = max(found, key=lambda each: each.worst / each.bound)
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
        passed=all(each.passed for each in found),
    )
    if record.passed or run_exact is None or not all(np.isfinite(each.worst) for each in found):
        return record
    which = rounding.odd_samples(reference, outputs, EXACT_SAMPLES)
    try:
        exact = run_exact(which)
        which = which[: len(exact[0])]
        exactness = rounding.exactness(tuple(e[which] for e in reference), tuple(e[which] for e in outputs), exact)
    except Exception as error:  # noqa: BLE001 - no operator that is missing there may end a run that is sound
        return record.model_copy(update={"no_exact": telling_line(error)})
    decisive = min(exactness, key=lambda each: each.passed)
    told = Exact(samples=len(which), source=decisive.reference, target=decisive.outputs)
    return record.model_copy(update={"exact": told, "passed": decisive.passed})


def _finite(number: float) -> float | None:
    return number if np.isfinite(number) else None


def _agreement(reference: Arrays, outputs: Arrays) -> float | None:
    """Share of samples with the same best score in the first output; None where it has no scores to choose from."""
    first, second = reference[0], outputs[0] if outputs else reference[0][:0]
    if first.ndim != 2 or first.shape[1] < 2:
        return None
    return float((first.argmax(1) == second.argmax(1)).mean()) if first.shape == second.shape else 0.0


def check(reference: Arrays, outputs: Arrays, what: str, dtype: Any = np.float32) -> None:
    """Refuse outputs that differ by more than rounding.

    Args:
        reference: the outputs as they should be, each of shape (n, …).
        outputs: those of the other side.
        what: what made the other side, e.g. `exporting model.pt`.
        dtype: what both sides compute in, or the coarser of the two: a float dtype.

    Raises:
        ConversionError: they differ by more.
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
    """The first node, in the source's order, whose output differs by more than rounding, and by how much at most.

    Args:
        reference: what each node of the source computes, by its name.
        outputs: what the nodes of the target compute.

    Returns:
        The node and the largest absolute difference; None where no node differs.
    """
    for name, expected in reference.items():
        found = outputs.get(name)
        if found is None or found.size != expected.size:
            continue
        (difference,) = rounding.differences((expected,), (found.reshape(expected.shape),))
        if not difference.passed:
            return name, difference.largest
    return None


def failure(record: HopRecord, where: tuple[str, float] | None, unsteady: str = "") -> ConversionError:
    """The error of a hop that did not pass.

    Args:
        record: what was measured.
        where: the first node that differs, and by how much, where that is known.
        unsteady: the form of the model that gives other outputs when it is run again; empty where both are steady.
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
        f"the conversion {record.name} changed the model: over {record.samples} samples {_apart(record)}.{agree}{node}",
        expected=f"at most {record.bound:.0e} of the outputs' size, or both sides equally near to exact arithmetic",
        fix="the model is probably fine and the converter wrong: please report it"
        + (", with the node named above" if where else ""),
    )


def _apart(record: HopRecord) -> str:
    """How far apart the sides of a hop are, in words."""
    if record.max_abs_diff is None or record.rms_diff is None:
        return "its outputs have another shape, or are not finite"
    told = (
        f"its outputs differ by {max(record.rms_diff, record.channel_diff or 0):.2g} of their size (root mean square), "
        f"and by up to {record.max_abs_diff:.3g}"
    )
    if record.exact is not None:
        told += (
            f"; from exact arithmetic (float64) {record.source} is {record.exact.source:.2g} away and {record.target} "
            f"{record.exact.target:.2g}"
        )
    if record.no_exact is not None:
        told += f"; the graph does not run in float64 ({record.no_exact}), so rounding cannot be told from a defect"
    return told
