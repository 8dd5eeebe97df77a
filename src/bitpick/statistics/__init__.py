"""Statistical tests and intervals: numbers in, numbers out."""

from bitpick.statistics.bca import Replicates
from bitpick.statistics.draws import MeanOverDraws, mean_over_draws
from bitpick.statistics.multiplicity import holm, max_t
from bitpick.statistics.proportions import (
    at_most,
    mcnemar_midp,
    noninferiority_score,
    samples_to_show,
    tango_interval,
    tango_score,
    wilson_interval,
)
from bitpick.statistics.resamples import Combined, of_means, of_places
from bitpick.statistics.resampling import Bootstrapped, bootstrap, paired_bootstrap

__all__ = [
    "Bootstrapped",
    "Combined",
    "MeanOverDraws",
    "Replicates",
    "at_most",
    "bootstrap",
    "holm",
    "max_t",
    "mcnemar_midp",
    "mean_over_draws",
    "noninferiority_score",
    "of_means",
    "of_places",
    "paired_bootstrap",
    "samples_to_show",
    "tango_interval",
    "tango_score",
    "wilson_interval",
]
