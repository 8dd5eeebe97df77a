"""Whether a conversion kept the model's outputs, and where it did not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion.hop import Hop
from bitpick.errors import ConversionError
from bitpick.result import Hop as HopRecord

# Float32 kernels of two runtimes add up in different orders. Over the bundled and the MLPerf Tiny model the largest
# relative difference measured was 3e-6; a wrong padding or a lost bias gives 1e-2 and more.
ABSOLUTE_TOLERANCE = 1e-5
RELATIVE_TOLERANCE = 5e-5


def compare(hop: Hop, reference: NDArray[np.float32], outputs: NDArray[np.float32]) -> HopRecord:
    """Compare what both sides of a hop computed for the same samples.

    Args:
        hop: the conversion.
        reference: outputs of its source, of shape (n, classes), float32.
        outputs: outputs of its target, of the same shape.

    Returns:
        The record; `passed` says whether the largest difference is within `atol + rtol · max|reference|`.
    """
    tolerance = ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * float(np.abs(reference).max())
    same_shape = reference.shape == outputs.shape
    difference = float(np.abs(reference - outputs).max()) if same_shape else float("inf")
    agreement = float((reference.argmax(1) == outputs.argmax(1)).mean()) if same_shape else 0.0
    return HopRecord(
        name=hop.name,
        source=hop.source,
        target=hop.target,
        samples=len(reference),
        max_abs_diff=difference,
        tolerance=tolerance,
        top1_agreement=agreement,
        passed=bool(difference <= tolerance),  # False for NaN too
    )


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
    node = f" The first node that differs is {where[0]}, by {where[1]:.3g}." if where else ""
    return ConversionError(
        f"the conversion {record.name} changed the model: over {record.samples} samples its outputs differ by up to "
        f"{record.max_abs_diff:.3g} and {record.top1_agreement:.1%} of the top-1 classes agree.{node}",
        expected=f"a difference of at most {record.tolerance:.3g}",
        mend="this is a defect of the converter, not of the model: please report it with the node named above"
        if where
        else "this is a defect of the converter, not of the model: please report it",
    )
