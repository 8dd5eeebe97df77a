"""Tests and intervals: numbers in, numbers out."""

from bitpick.statistics.multiplicity import holm, max_t
from bitpick.statistics.proportions import (
    mcnemar_midp,
    noninferiority_score,
    samples_to_show,
    tango_interval,
    tango_score,
    wilson_interval,
)

__all__ = [
    "holm",
    "max_t",
    "mcnemar_midp",
    "noninferiority_score",
    "samples_to_show",
    "tango_interval",
    "tango_score",
    "wilson_interval",
]
