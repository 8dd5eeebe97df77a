"""Equalize the channels that a layer normalization writes with the rows of the weights that read them.

As in SmoothQuant (G. Xiao et al., 2023, equation 4, exponent one half). The range of a channel is taken from
the norm itself: what it scales has mean 0 and variance 1, so that no data are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bitpick.passes.graphs import Graph, attributes

if TYPE_CHECKING:
    import onnx

_NORMS = ("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
_DEVIATIONS = 3  # a normalized value is seldom larger


def equalize(graph: Graph, worthwhile: float) -> list[str]:
    """Divide what norms write by a factor for each channel, and multiply the weights that read it.

    Args:
        graph: the graph to change.
        worthwhile: a norm is changed only if its largest factor exceeds its smallest by this ratio.

    Returns:
        The names of the norms that were changed.
    """
    changed = []
    for norm in graph.proto.node:
        readers = graph.readers[norm.output[0]] if norm.op_type in _NORMS else []
        if not readers or not _scalable(graph, norm, readers):
            continue
        scales = [np.array(graph.constant(name), np.float64) for name in norm.input[1:]]
        rows = np.max([np.abs(_by_row(graph, reader)).max(axis=1) for reader in readers], axis=0)
        sizes = _DEVIATIONS * np.abs(scales[0]) + sum(np.abs(each) for each in scales[1:])
        scalable = (sizes > 0) & (rows > 0)
        factors = np.where(scalable, np.sqrt(sizes / np.where(scalable, rows, 1)), 1)
        if factors[scalable].max(initial=0) <= worthwhile * factors[scalable].min(initial=np.inf):
            continue
        for name, scale in zip(norm.input[1:], scales, strict=True):
            graph.store(name, (scale / factors).astype(np.float32))
        for reader in readers:
            weight = _by_row(graph, reader) * factors[:, None]
            graph.store(reader.input[1], (weight.T if _is_transposed(reader) else weight).astype(np.float32))
        changed.append(norm.name)
    return changed


def _scalable(graph: Graph, norm: onnx.NodeProto, readers: list[onnx.NodeProto]) -> bool:
    """Return whether a norm has one scale for each channel, and only products with stored weights read it."""
    scale = graph.constant(norm.input[1])
    if scale is None or scale.ndim != 1 or not all(graph.owned(norm, place) for place in range(1, len(norm.input))):
        return False
    if any(norm.output[1:]) or not graph.private(norm.output[0]):
        return False
    return all(
        reader.op_type in ("MatMul", "Gemm")
        and reader.input[0] == norm.output[0]
        and graph.owned(reader, 1)
        and not attributes(reader).get("transA")
        and _by_row(graph, reader).ndim == 2
        for reader in readers
    )


def _is_transposed(reader: onnx.NodeProto) -> bool:
    return bool(attributes(reader).get("transB"))


def _by_row(graph: Graph, reader: onnx.NodeProto) -> NDArray[np.float64]:
    """Return the weights of a product, shape (channels read, channels written)."""
    weight = np.array(graph.constant(reader.input[1]), np.float64)
    return weight.T if _is_transposed(reader) else weight
