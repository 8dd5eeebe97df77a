"""bitpick: which quantized build of my model should I ship?

In the examples of this package `model` is the path of an ONNX classifier; `images` and `labels` are arrays of 400
samples.

>>> import bitpick
>>> comparison = bitpick.compare(model, (images, labels), preset="basic", engines=["onnxruntime"], bench_seconds=0)
>>> comparison.run.state
'complete'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bitpick.version import __version__ as __version__

if TYPE_CHECKING:
    from bitpick.api import (
        Comparison,
        DataOptions,
        Recipe,
        Settings,
        Source,
        bench,
        cache_usage,
        clear_cache,
        compare,
        convert,
        data,
        diagnose,
        engine_table,
        evaluate,
        gate,
        merge,
        quantize,
        report,
        samples,
        search,
    )
    from bitpick.errors import BitpickError

__all__ = [
    "BitpickError",
    "Comparison",
    "DataOptions",
    "Recipe",
    "Settings",
    "Source",
    "bench",
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


def __getattr__(name: str) -> Any:
    """Load the API on first use, so that `import bitpick` alone loads no library."""
    if name not in __all__:
        raise AttributeError(f"module 'bitpick' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("bitpick.errors" if name == "BitpickError" else "bitpick.api"), name)
