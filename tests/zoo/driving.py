"""bitpick run on an entry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import bitpick
from bitpick.errors import BitpickError
from tests.zoo.entry import Made

STATIC = {
    "onnxruntime": "onnxruntime:s8u8-per_channel-minmax+reduced_range",
    "openvino": "openvino:s8u8-per_channel-minmax",
    "litert": "litert:s8s8-per_channel-minmax",
    "pytorch_fx": "pytorch_fx:s8u8-per_channel-histogram+x86",
    "pytorch_pt2e": "pytorch_pt2e:s8u8-per_channel-histogram",
    "executorch": "executorch:s8s8-per_channel-histogram",
}
"""One static recipe of each engine."""
PREPARED = "onnxruntime:s8u8-per_channel-minmax+adaround+reduced_range"


def compare(made: Made, out: Path, engines: Sequence[str], recipes: Sequence[str] = ()) -> BitpickError | None:
    """Compare builds of an entry's model, without timing and on this CPU alone.

    Returns:
        Why it was refused, or failed; None where it went well.
    """
    options = {"calibration_size": 64, "targets": ["host"], "bench_seconds": 0, "jobs": 1, **made.options}
    source = bitpick.Source(str(made.model), trusted=bool(options.pop("trust", False)))
    chosen = list(recipes) or [STATIC[name] for name in engines if name in STATIC]
    try:
        bitpick.compare(source, made.data, engines=list(engines), recipes=chosen, out=out, **options)
    except BitpickError as error:
        return error
    return None
