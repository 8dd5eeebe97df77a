"""The functions that commands and notebooks call."""

from bitpick.api.builds import bench, convert, evaluate, quantize
from bitpick.api.caching import cache_usage, clear_cache
from bitpick.api.comparing import bundled_model, compare, data
from bitpick.api.diagnosing import diagnose
from bitpick.api.runs import Comparison, gate, merge, report, samples
from bitpick.api.searching import search
from bitpick.datasets.options import DataOptions
from bitpick.engines.registry import engine_table
from bitpick.models.source import Source
from bitpick.recipe import Recipe
from bitpick.schema.settings import Settings

__all__ = [
    "Comparison",
    "DataOptions",
    "Recipe",
    "Settings",
    "Source",
    "bench",
    "bundled_model",
    "cache_usage",
    "clear_cache",
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
    "search",
]
