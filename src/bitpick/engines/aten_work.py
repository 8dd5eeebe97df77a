"""The work of PyTorch's operators: which of their operands are multiplied, and their multiply-accumulates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bitpick.engines import counting
from bitpick.engines.counting import Shape

_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d", "convolution", "_convolution")
_TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
# Operators that multiply and sum, with the positions of their operands; the likeliest weight comes first.
OPERANDS: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys((*_CONVOLUTIONS, *_TRANSPOSED), (1,)),
    **dict.fromkeys(("linear", "mm", "bmm", "matmul", "mv", "dot"), (1, 0)),
    **dict.fromkeys(("addmm", "baddbmm", "addbmm", "addmv"), (2, 1)),
}
# Operators that take a list of weights, with its position.
RECURRENT: Mapping[str, int] = {"lstm": 2, "gru": 2, "rnn_tanh": 2, "rnn_relu": 2}
TABLES: Mapping[str, int] = {"embedding": 0, "embedding_bag": 0}
# Operators that multiply and have no formula here.
UNKNOWN = frozenset({
    "bilinear", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell", "mkldnn_rnn_layer", "cdist",
    "_cdist_forward", "_native_multi_head_attention", "_transformer_encoder_layer_fwd", "_thnn_fused_lstm_cell",
    "_trilinear", "deform_conv2d",
})  # fmt: skip


def name_of(kind: str) -> str:
    """Return an operator's name without namespace and overload: `mm` for `aten::mm` and for `aten.mm.default`."""
    return kind.removeprefix("aten::").removeprefix("aten.").partition(".")[0]


def macs(name: str, shapes: Sequence[Shape], output: Shape, transposed: bool = False) -> int:
    """Return the multiply-accumulates of one call.

    Args:
        name: the operator's name, as `name_of` returns it.
        shapes: shapes of the operands in call order, without biases and addends.
        output: shape of the output.
        transposed: whether a convolution is transposed.
    """
    if name in _TRANSPOSED or (name in _CONVOLUTIONS and transposed):
        return counting.transposed_convolution(shapes[1], shapes[0], shapes[0][1])
    if name in _CONVOLUTIONS:
        return counting.convolution(shapes[1], output, output[1])
    if name == "scaled_dot_product_attention":
        return counting.attention(shapes[0], output, shapes[1][-2])
    return counting.product(output, shapes[0][-1])
