"""Run ONNX graphs in float64: exact, as far as float32 is concerned."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import onnx_file
from bitpick.conversion.onnx_precision import widen

if TYPE_CHECKING:
    import onnx

PIECE = 4  # largest number of samples to run at once: the reference implementation keeps every tensor
_SECONDS = 120.0  # run no further samples after this time


def run(model: onnx.ModelProto, batch: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Run a float32 model on a batch in float64, with ONNX's own reference implementation.

    Args:
        model: the model; modified in place.
        batch: an array of shape (n, …) for each input.

    Raises:
        Exception: whatever the reference implementation raises, e.g. for an operator that it does not know.
    """
    return runner(model)(batch)


def for_samples(path: Path, batch: Sequence[NDArray[Any]], at_once: int = PIECE) -> list[NDArray[Any]]:
    """Run a float32 ONNX file on samples in float64; only on the first ones if all would take minutes.

    Args:
        path: the file.
        batch: an array of shape (n, …) for each input.
        at_once: how many samples to run together, if the graph takes any number.

    Returns:
        An array for each output, of shape (m, …), with m at most n.

    Raises:
        Exception: see `run`.
    """
    model = onnx_file.load(path)
    size = onnx_file.fixed_batch(model) or at_once
    run = runner(model)
    parts, start, count = [], time.monotonic(), len(batch[0])
    for first in range(0, count, size):
        piece = [each[np.arange(first, first + size) % count] for each in batch]  # the last piece is padded
        parts.append(run(piece))
        if time.monotonic() - start > _SECONDS:
            break
    return [np.concatenate(each)[:count] for each in zip(*parts, strict=True)]


def runner(model: onnx.ModelProto) -> Callable[[Sequence[NDArray[Any]]], list[NDArray[Any]]]:
    """Return a function that runs the model, which is modified in place, on a batch; see `run`."""
    from onnx import TensorProto
    from onnx.reference import ReferenceEvaluator

    for narrow in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16):
        widen(model, narrow, TensorProto.DOUBLE)
    evaluator = ReferenceEvaluator(model, new_ops=operators())

    def call(batch: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        wide = [each.astype(np.float64) if each.dtype == np.float32 else each for each in batch]
        outputs = evaluator.run(None, dict(zip(evaluator.input_names, wide, strict=True)))
        return [np.asarray(each) for each in outputs]

    return call


def operators() -> list[type[Any]]:
    """Return replacements for operators that the reference implementation computes in float32, or in a Python loop."""
    from onnx.reference.op_run import OpRun
    from onnx.reference.ops import op_max_pool
    from scipy.special import erf

    slow: Any = op_max_pool.MaxPool

    class Erf(OpRun):
        op_domain = ""

        def _run(self, x: NDArray[Any]) -> tuple[NDArray[Any]]:
            return (erf(x),)

    class MaxPool(slow):  # type: ignore[misc]
        op_domain = ""

        def _run(self, x: NDArray[Any], **options: Any) -> tuple[NDArray[Any], ...]:
            kernel, axes = options["kernel_shape"], x.ndim - 2
            special = options["auto_pad"] not in (None, "NOTSET", "VALID") or options["ceil_mode"]
            if special or any(d != 1 for d in options["dilations"] or ()) or len(self.onnx_node.output) > 1:
                return super()._run(x, **options)  # type: ignore[no-any-return]
            pads = options["pads"] or [0] * (2 * axes)
            widths = [(0, 0), (0, 0), *zip(pads[:axes], pads[axes:], strict=True)]
            padded = np.pad(x, widths, constant_values=-np.inf)
            windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=tuple(range(2, x.ndim)))
            steps = (slice(None), slice(None), *(slice(None, None, s) for s in options["strides"] or [1] * axes))
            return (windows[steps].max(axis=tuple(range(-axes, 0))),)

    return [Erf, MaxPool]
