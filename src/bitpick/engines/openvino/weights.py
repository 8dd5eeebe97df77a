"""Weight-only quantization by NNCF: weights in 8 or 4 bits, each dequantized where it is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def compress(model: Any, bits: int, exclude: Sequence[str] = ()) -> Any:
    """Return a model with symmetric signed weights and one scale, in half precision, for each output channel.

    Args:
        model: an `openvino.Model` with float weights, which is changed.
        bits: 8 or 4. Lookup tables always have 8.
        exclude: names of the operators that keep their float weights.
    """
    import nncf

    nncf.set_log_level(40)
    modes = nncf.CompressWeightsMode
    scope = nncf.IgnoredScope(names=list(exclude), validate=False)
    if bits == 8:
        return nncf.compress_weights(model, mode=modes.INT8_SYM, ignored_scope=scope)
    backup = nncf.BackupMode.INT8_SYM
    with _four_bits_in_all_layers():
        return nncf.compress_weights(model, mode=modes.INT4_SYM, group_size=-1, backup_mode=backup, ignored_scope=scope)


@contextmanager
def _four_bits_in_all_layers() -> Iterator[None]:
    """Make NNCF use four bits for all layers, and its backup for lookup tables alone, which no pass prepares.

    By itself it uses the backup for convolutions and for the last layer, too.
    """
    from nncf.quantization.algorithms.weight_compression.algorithm import WeightCompression

    name = "_get_ratio_defining_params"
    original = getattr(WeightCompression, name)

    def layers(algorithm: Any, parameters: Sequence[Any], _: bool) -> list[Any]:
        tables = algorithm._backend_entity.embedding_metatypes  # noqa: SLF001 - there is no public way
        return [each for each in parameters if each.node_with_weight.metatype not in tables]

    setattr(WeightCompression, name, layers)
    try:
        yield
    finally:
        setattr(WeightCompression, name, original)
