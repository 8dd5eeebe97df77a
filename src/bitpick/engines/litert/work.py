"""The work of LiteRT operators: which operands are data and weights, and how many multiply-accumulates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bitpick.engines import counting
from bitpick.engines.counting import Shape

# Takes the shapes of the inputs by position, and the shape of the output.
Work = Callable[[Sequence[Shape], Shape], int]


@dataclass(frozen=True)
class Kind:
    """What one kind of operator multiplies.

    Attributes:
        data: the position of the data that is multiplied with weights.
        operands: the positions of the operands that may be stored; stored ones are weights.
        macs: multiply-accumulates of one call; None if there is no formula.
        channels: the axis of the weights that holds the output channels; None if there are several.
    """

    data: int
    operands: tuple[int, ...]
    macs: Work | None
    channels: int | None = None


def _recurrent(*places: int) -> Work:
    return lambda inputs, _: counting.recurrent(
        sum(math.prod(inputs[place]) for place in places if place < len(inputs) and inputs[place]), inputs[0]
    )


def _product(inputs: Sequence[Shape], output: Shape) -> int:
    # Either side may be transposed: the axis that is not a row of the output is summed.
    return counting.product(output, math.prod(inputs[0][-2:]) // output[-2])


_CONVOLUTION: Work = lambda inputs, out: counting.convolution(inputs[1], out, out[-1])  # noqa: E731
_TRANSPOSED: Work = lambda inputs, _: counting.transposed_convolution(inputs[1], inputs[2], inputs[2][-1])  # noqa: E731
_LSTM, _BOTH_LSTM = (*range(1, 9), 16), (*range(1, 9), 16, *range(18, 26), 33, *range(40, 48))
_BOTH_RNN = (1, 2, 5, 6, 10, 11)

# Operators that multiply and sum.
MULTIPLIES: Mapping[str, Kind] = {
    "CONV_2D": Kind(0, (1,), _CONVOLUTION, 0),
    "CONV_3D": Kind(0, (1,), _CONVOLUTION, -1),
    "DEPTHWISE_CONV_2D": Kind(0, (1,), _CONVOLUTION, -1),
    "TRANSPOSE_CONV": Kind(2, (1,), _TRANSPOSED, 0),
    "CONV_3D_TRANSPOSE": Kind(2, (1,), _TRANSPOSED, -2),
    "FULLY_CONNECTED": Kind(0, (1, 0), lambda inputs, out: counting.product(out, inputs[1][-1]), 0),
    "BATCH_MATMUL": Kind(0, (1, 0), _product),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": Kind(0, _LSTM, _recurrent(*_LSTM)),
    "BIDIRECTIONAL_SEQUENCE_LSTM": Kind(0, _BOTH_LSTM, _recurrent(*_BOTH_LSTM)),
    "UNIDIRECTIONAL_SEQUENCE_RNN": Kind(0, (1, 2), _recurrent(1, 2)),
    "BIDIRECTIONAL_SEQUENCE_RNN": Kind(0, _BOTH_RNN, _recurrent(*_BOTH_RNN)),
    "RNN": Kind(0, (1, 2), _recurrent(1, 2)),
    "SVDF": Kind(0, (1, 2), _recurrent(1, 2)),
    "LSTM": Kind(0, _LSTM, None),  # it has two layouts
    "STABLEHLO_CONVOLUTION": Kind(0, (1, 0), None),
    "STABLEHLO_DOT_GENERAL": Kind(0, (1, 0), None),
}
# Operators that look up rows, with the position of the table.
TABLES: Mapping[str, int] = {
    "EMBEDDING_LOOKUP": 1, "EMBEDDING_LOOKUP_SPARSE": 4, "GATHER": 0, "GATHER_ND": 0, "STABLEHLO_GATHER": 0,
}  # fmt: skip
# Operators whose stored operands are not weights: elementwise operators, normalizations, and data movement.
NO_WEIGHTS = frozenset({
    "ABS", "ADD", "ADD_N", "ARG_MAX", "ARG_MIN", "ASSIGN_VARIABLE", "ATAN2", "AVERAGE_POOL_2D", "BATCH_TO_SPACE_ND",
    "BITCAST", "BITWISE_XOR", "BROADCAST_ARGS", "BROADCAST_TO", "BUCKETIZE", "CALL", "CALL_ONCE", "CAST", "CEIL",
    "COMPLEX_ABS", "CONCATENATION", "COS", "CUMSUM", "DELEGATE", "DENSIFY", "DEPTH_TO_SPACE", "DEQUANTIZE", "DILATE",
    "DIV", "DYNAMIC_UPDATE_SLICE", "ELU", "EQUAL", "EXP", "EXPAND_DIMS", "FAKE_QUANT", "FILL", "FLOOR", "FLOOR_DIV",
    "FLOOR_MOD", "GELU", "GREATER", "GREATER_EQUAL", "HARD_SWISH", "HASHTABLE", "HASHTABLE_FIND", "HASHTABLE_IMPORT",
    "HASHTABLE_LOOKUP", "HASHTABLE_SIZE", "IF", "IMAG", "L2_NORMALIZATION", "L2_POOL_2D", "LEAKY_RELU", "LESS",
    "LESS_EQUAL", "LOCAL_RESPONSE_NORMALIZATION", "LOG", "LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR", "LOGISTIC",
    "LOG_SOFTMAX", "MATRIX_DIAG", "MATRIX_SET_DIAG", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MIRROR_PAD", "MUL",
    "MULTINOMIAL", "NEG", "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5", "NOT_EQUAL", "ONE_HOT", "PACK", "PAD",
    "PADV2", "POW", "PRELU", "QUANTIZE", "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM", "RANGE", "RANK", "READ_VARIABLE",
    "REAL", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_WINDOW", "RELU", "RELU6",
    "RELU_0_TO_1", "RELU_N1_TO_1", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "REVERSE_SEQUENCE",
    "REVERSE_V2", "RFFT2D", "RIGHT_SHIFT", "ROUND", "RSQRT", "SCATTER_ND", "SEGMENT_SUM", "SELECT", "SELECT_V2",
    "SHAPE", "SIGN", "SIN", "SLICE", "SOFTMAX", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPARSE_TO_DENSE", "SPLIT",
    "SPLIT_V", "SQRT", "SQUARE", "SQUARED_DIFFERENCE", "SQUEEZE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TILE",
    "TOPK_V2", "TRANSPOSE", "UNIQUE", "UNPACK", "UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_MIN",
    "UNSORTED_SEGMENT_PROD", "UNSORTED_SEGMENT_SUM", "VAR_HANDLE", "WHERE", "WHILE", "ZEROS_LIKE",
    *(f"STABLEHLO_{name}" for name in (
        "ABS", "ADD", "AND", "BROADCAST_IN_DIM", "CASE", "CBRT", "CLAMP", "COMPARE", "CONCATENATE", "CONVERT", "COSINE",
        "DIVIDE", "DYNAMIC_SLICE", "DYNAMIC_UPDATE_SLICE", "EXPONENTIAL", "FLOOR", "IOTA", "LOG", "LOGISTIC", "MAXIMUM",
        "MINIMUM", "MULTIPLY", "NEGATE", "OR", "PAD", "POWER", "REDUCE", "REDUCE_WINDOW", "REMAINDER", "RESHAPE",
        "RNG_BIT_GENERATOR", "RSQRT", "SCATTER", "SELECT", "SHIFT_LEFT", "SLICE", "SORT", "SUBTRACT", "TANH",
        "TRANSPOSE", "WHILE",
    )),
})  # fmt: skip
