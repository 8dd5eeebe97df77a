"""Weight-only quantization by NNCF: weights in 8 or 4 bits, each dequantized where it is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def compress(model: Any, bits: int, exclude: Sequence[str] = ()) -> Any:
    """Return a model with symmetric signed weights and one scale, in half precision, for each output channel.

    Args:
        model: an `openvino.Model` with float weights, which is changed.
        bits: 8 or 4.
        exclude: names of the operators that keep their float weights.
    """
    import nncf

    nncf.set_log_level(40)
    modes = nncf.CompressWeightsMode
    scope = nncf.IgnoredScope(names=list(exclude), validate=False)
    if bits == 8:
        return nncf.compress_weights(model, mode=modes.INT8_SYM, ignored_scope=scope)
    with _four_bits_in_convolutions():
        return nncf.compress_weights(
            model, mode=modes.INT4_SYM, ratio=1.0, group_size=-1, all_layers=True, ignored_scope=scope
        )


@contextmanager
def _four_bits_in_convolutions() -> Iterator[None]:
    """Make NNCF use its primary precision for all layers; by itself it keeps convolutions to the backup, 8 bits."""
    from nncf.quantization.algorithms.weight_compression.algorithm import WeightCompression

    name = "_get_ratio_defining_params"
    original = getattr(WeightCompression, name)
    setattr(WeightCompression, name, lambda _, parameters, __: list(parameters))
    try:
        yield
    finally:
        setattr(WeightCompression, name, original)
