"""Whether a conversion kept the model's outputs, and where it did not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion.hop import Hop
from bitpick.errors import ConversionError
from bitpick.preprocessing import Arrays
from bitpick.result import Hop as HopRecord

# Float32 kernels of two runtimes add up in different orders. Over the bundled and the MLPerf Tiny model the largest
# relative difference measured was 3e-6; a wrong padding or a lost bias gives 1e-2 and more.
ABSOLUTE_TOLERANCE = 1e-5
RELATIVE_TOLERANCE = 5e-5


def compare(hop: Hop, reference: Arrays, outputs: Arrays) -> HopRecord:
    """Compare what both sides of a hop computed for the same samples.

    Args:
        hop: the conversion.
        reference: each output of its source, of shape (n, …), float32.
        outputs: those of its target, of the same shapes.

    Returns:
        The record, of the output that differs most for its tolerance; `passed` says whether the largest difference of
        each is within `atol + rtol · max|reference|`.
    """
    if len(reference) != len(outputs):
        pairs = [(float("inf"), ABSOLUTE_TOLERANCE)]
    else:
        pairs = [_difference(*both) for both in zip(reference, outputs, strict=True)]
    difference, tolerance = max(pairs, key=lambda pair: pair[0] / pair[1] if pair[0] == pair[0] else float("inf"))
    return HopRecord(
        name=hop.name,
        source=hop.source,
        target=hop.target,
        samples=len(reference[0]),
        max_abs_diff=difference,
        tolerance=tolerance,
        top1_agreement=_agreement(reference, outputs),
        passed=bool(difference <= tolerance),  # False for NaN too
    )


def _difference(reference: NDArray[np.float32], found: NDArray[np.float32]) -> tuple[float, float]:
    """The largest difference, and what is tolerated."""
    tolerance = ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * float(np.abs(reference).max(initial=0.0))
    same = reference.shape == found.shape
    return (float(np.abs(reference - found).max(initial=0.0)) if same else float("inf")), tolerance


def _agreement(reference: Arrays, found: Arrays) -> float | None:
    """Share of samples with the same best score in the first output; None where it has no scores to choose from."""
    first, second = reference[0], found[0] if found else reference[0][:0]
    if first.ndim != 2 or first.shape[1] < 2:
        return None
    return float((first.argmax(1) == second.argmax(1)).mean()) if first.shape == second.shape else 0.0


def first_difference(
    reference: Mapping[str, NDArray[np.float32]], outputs: Mapping[str, NDArray[np.float32]]
) -> tuple[str, float] | None:
    """The first node, in the source's order, whose output differs beyond tolerance, and by how much; None if none."""
    for name, expected in reference.items():
        found = outputs.get(name)
        if found is None or found.size != expected.size:
            continue
        difference = float(np.abs(expected - found.reshape(expected.shape)).max())
        if not difference <= ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * float(np.abs(expected).max()):
            return name, difference
    return None


def failure(record: HopRecord, where: tuple[str, float] | None) -> ConversionError:
    """The error of a hop that did not pass."""
    agree = "" if record.top1_agreement is None else f" and {record.top1_agreement:.1%} of the top-1 classes agree"
    node = f" The first node that differs is {where[0]}, by {where[1]:.3g}." if where else ""
    return ConversionError(
        f"the conversion {record.name} changed the model: over {record.samples} samples its outputs differ by up to "
        f"{record.max_abs_diff:.3g}{agree}.{node}",
        expected=f"a difference of at most {record.tolerance:.3g}",
        mend="this is a defect of the converter, not of the model: please report it with the node named above"
        if where
        else "this is a defect of the converter, not of the model: please report it",
    )
