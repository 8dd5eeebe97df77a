"""What commands and notebooks call."""

from bitpick.api.builds import bench, convert, evaluate, quantize
from bitpick.api.comparing import bundled_model, compare, data
from bitpick.api.diagnosing import diagnose
from bitpick.api.runs import Comparison, gate, merge, report, samples
from bitpick.datasets.options import DataOptions
from bitpick.engines.registry import engine_table
from bitpick.models.source import Source
from bitpick.recipe import Recipe

__all__ = [
    "Comparison",
    "DataOptions",
    "Recipe",
    "Source",
    "bench",
    "bundled_model",
    "compare",
    "convert",
    "data",
    "diagnose",
    "engine_table",
    "evaluate",
    "gate",
    "merge",
    "quantize",
    "report",
    "samples",
]
