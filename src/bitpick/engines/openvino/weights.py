"""Weight-only quantization by NNCF: weights in 8 or 4 bits, each dequantized where it is used."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def compress(model: Any, bits: int, exclude: Sequence[str] = (), others: Collection[str] = ()) -> Any:
    """Return a model with symmetric signed weights and one scale, in half precision, for each output channel.

    Args:
        model: an `openvino.Model` with float weights, which is changed.
        bits: 8 or 4. Lookup tables always have 8.
        exclude: names of the operators that keep their float weights.
        others: names of the operators whose weights have 4 bits instead of 8, or 8 instead of 4.
    """
    import nncf

    nncf.set_log_level(40)
    modes = nncf.CompressWeightsMode
    scope = nncf.IgnoredScope(names=list(exclude), validate=False)
    if bits == 8 and not others:
        return nncf.compress_weights(model, mode=modes.INT8_SYM, ignored_scope=scope)
    backup = nncf.BackupMode.INT8_SYM
    with _four_bits(lambda name: (bits == 4) != (name in others)):
        return nncf.compress_weights(model, mode=modes.INT4_SYM, group_size=-1, backup_mode=backup, ignored_scope=scope)


@contextmanager
def _four_bits(has_four: Callable[[str], bool]) -> Iterator[None]:
    """Make NNCF use four bits for some layers, by name, and its backup for the others and for lookup tables.

    By itself it uses the backup for convolutions and for the last layer. No pass prepares lookup tables.
    """
    from nncf.quantization.algorithms.weight_compression.algorithm import WeightCompression

    name = "_get_ratio_defining_params"
    original = getattr(WeightCompression, name)

    def chosen(algorithm: Any, parameters: Sequence[Any], _: bool) -> list[Any]:
        tables = algorithm._backend_entity.embedding_metatypes  # noqa: SLF001 - there is no public way
        layers = (each for each in parameters if each.node_with_weight.metatype not in tables)
        return [each for each in layers if has_four(each.node_with_weight.node_name)]

    setattr(WeightCompression, name, chosen)
    try:
        yield
    finally:
        setattr(WeightCompression, name, original)
