"""The work of ONNX and ONNX Runtime operators: which operands are weights, and how many multiply-accumulates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bitpick.engines import counting
from bitpick.engines.counting import Shape

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Call:
    """One run of a node, with the shapes of its inputs and outputs by position; None if a shape is unknown."""

    node: onnx.NodeProto
    inputs: Sequence[Shape | None]
    outputs: Sequence[Shape | None]

    def input(self, place: int) -> Shape:
        """Return the shape of an input.

        Raises:
            Unknown: the shape is unknown.
        """
        return _shape_at(self.inputs, place)

    def output(self, place: int = 0) -> Shape:
        """Return the shape of an output.

        Raises:
            Unknown: the shape is unknown.
        """
        return _shape_at(self.outputs, place)

    def has(self, place: int) -> bool:
        """Return whether the node has an input at this position."""
        return place < len(self.node.input) and bool(self.node.input[place])

    @property
    def attributes(self) -> dict[str, Any]:
        """The node's attributes."""
        return attributes(self.node)


class Unknown(Exception):  # noqa: N818 - not an error: the node is listed as uncounted
    """A shape is unknown."""


@dataclass(frozen=True)
class Operand:
    """The input positions of an operand, and of its scale and zero point if the operator takes them as inputs."""

    at: int
    scale: int | None = None
    zero: int | None = None


@dataclass(frozen=True)
class Kind:
    """What one kind of operator multiplies.

    Attributes:
        operands: the operands that are multiplied with each other; those that are stored are weights.
        macs: multiply-accumulates of one call.
        attributes: attributes that hold weights.
        integer: whether it computes in integers if its weights are integers.
        floats: multiply-accumulates of one call that are always in float, in addition to `macs`.
    """

    operands: tuple[Operand, ...]
    macs: Callable[[Call], int]
    attributes: tuple[str, ...] = ()
    integer: bool = False
    floats: Callable[[Call], int] | None = None


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes of a node as Python values."""
    import onnx

    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


def _shape_at(shapes: Sequence[Shape | None], place: int) -> Shape:
    shape = shapes[place] if place < len(shapes) else None
    if shape is None:
        raise Unknown
    return shape


def _convolution(weight: int) -> Callable[[Call], int]:
    # The kernel's first axis holds the output channels.
    return lambda call: counting.convolution(call.input(weight), call.output(), call.input(weight)[0])


def _transposed(call: Call) -> int:
    # The kernel's first axis holds the input channels.
    return counting.transposed_convolution(call.input(1), call.input(0), call.input(1)[0])


def _product(second: int) -> Callable[[Call], int]:
    def macs(call: Call) -> int:
        shape, transposed = call.input(second), bool(call.attributes.get("transB"))
        return counting.product(call.output(), shape[-1] if transposed or len(shape) == 1 else shape[-2])

    return macs


def _recurrent(call: Call) -> int:
    return counting.recurrent(math.prod(call.input(1)) + math.prod(call.input(2)), call.input(0))


def _einsum(call: Call) -> int:
    equation = call.attributes["equation"].decode()
    return counting.einsum(equation, [call.input(place) for place in range(len(call.node.input))])


def _attention(call: Call) -> int:
    keys = call.input(1)[-2] + (call.input(4)[-2] if call.has(4) else 0)
    return counting.attention(call.input(0), call.output(), keys)


def _multi_head(call: Call) -> int:
    queries = call.input(0)
    if not call.has(1):  # packed queries, keys and values: batch, steps, heads, three, size
        return counting.attention(call.output(), call.output(), queries[1])
    keys = call.input(1)[1] if len(call.input(1)) == 5 else call.input(1)[-2]  # packed keys and values
    return counting.attention(queries, call.output(), keys + (call.input(6)[-2] if call.has(6) else 0))


def _projections(call: Call) -> int:
    # The weights of queries, keys and values lie side by side.
    weight = call.input(1)
    return counting.product((*call.input(0)[:-1], weight[-1]), weight[0])


def _scores(past: int) -> Callable[[Call], int]:
    def macs(call: Call) -> int:
        keys = call.input(0)[-2] + (call.input(past)[-2] if call.has(past) else 0)
        return counting.attention(call.output(), call.output(), keys)

    return macs


def _blocks(call: Call) -> int:
    return counting.product(call.output(), call.attributes["K"])


def _linear(call: Call) -> int:
    values = call.attributes
    rows = call.input(0)[0] if len(call.input(0)) > 1 else 1
    return rows * sum(len(values.get(name, ())) for name in ("coefficients", "support_vectors"))


_DATA, _WEIGHT = Operand(0), Operand(1)
_ROUNDED = (Operand(0, 1, 2), Operand(3, 4, 5))
_COEFFICIENTS = ("coefficients", "support_vectors")

# Operators that multiply and sum.
MULTIPLIES: Mapping[str, Kind] = {
    **dict.fromkeys(("Conv", "FusedConv", "NhwcFusedConv", "DeformConv"), Kind((_DATA, _WEIGHT), _convolution(1))),
    **dict.fromkeys(("ConvTranspose", "ConvTransposeWithDynamicPads"), Kind((_DATA, _WEIGHT), _transposed)),
    **dict.fromkeys(
        ("MatMul", "FusedMatMul", "TransposeMatMul", "FusedMatMulActivation", "Gemm", "FusedGemm"),
        Kind((_DATA, _WEIGHT), _product(1)),
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), Kind((Operand(1), Operand(2)), _recurrent)),
    "Einsum": Kind((), _einsum),  # any operand may be stored
    "MultiHeadAttention": Kind((), _multi_head),
    "QAttention": Kind((Operand(1, 4, 7),), _projections, integer=True, floats=_scores(8)),
    "QLinearConv": Kind(_ROUNDED, _convolution(3), integer=True),
    **dict.fromkeys(("QLinearMatMul", "QGemm"), Kind(_ROUNDED, _product(3), integer=True)),
    "ConvInteger": Kind((Operand(0, None, 2), Operand(1, None, 3)), _convolution(1), integer=True),
    "MatMulInteger": Kind((Operand(0, None, 2), Operand(1, None, 3)), _product(1), integer=True),
    "MatMulIntegerToFloat": Kind((Operand(0, 2, 4), Operand(1, 3, 5)), _product(1), integer=True),
    "DynamicQuantizeMatMul": Kind((Operand(0), Operand(1, 2, 3)), _product(1), integer=True),
    "DynamicQuantizeLSTM": Kind((Operand(1, 8, 9), Operand(2, 10, 11)), _recurrent, integer=True),
    **dict.fromkeys(("MatMulNBits", "MatMulBnb4"), Kind((_WEIGHT,), _blocks)),
    **dict.fromkeys(
        ("LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor"), Kind((), _linear, _COEFFICIENTS)
    ),
}  # fmt: skip
# In ONNX Runtime's own domain, the same name means another operator, which includes the projections.
OF_DOMAIN: Mapping[tuple[str, str], Kind] = {
    ("Attention", ""): Kind((), _attention),
    ("Attention", "com.microsoft"): Kind((_WEIGHT,), _projections, floats=_scores(4)),
}
# Operators that look up rows, with the positions of their tables.
TABLES: Mapping[str, tuple[int, ...]] = {
    "Gather": (0,),
    "GatherND": (0,),
    "GatherBlockQuantized": (0,),
    "EmbedLayerNormalization": (2, 3, 4),
    "QEmbedLayerNormalization": (2, 3, 4),
}
# Operators whose stored operands are not weights: elementwise operators, normalizations, and data movement.
NO_WEIGHTS = frozenset({
    # elementwise
    "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BiasDropout", "BiasGelu", "BiasAdd",
    "BiasSoftmax", "BiasSplitGelu", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Ceil", "Celu",
    "Clip", "Cos", "Cosh", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "FastGelu", "Floor", "Gelu", "Greater",
    "GreaterOrEqual", "HardSigmoid", "HardSwish", "IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max",
    "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "QLinearAdd", "QLinearLeakyRelu",
    "QLinearMul", "QLinearSigmoid", "QLinearWhere", "QuickGelu", "Reciprocal", "Relu", "RotaryEmbedding", "Round",
    "ScaledTanh", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum",
    "Swish", "Tan", "Tanh", "ThresholdedRelu", "Where", "Xor",
    # normalizations and feature scaling
    "BatchNormalization", "GroupNorm", "GroupNormalization", "InstanceNormalization", "LRN", "LayerNormalization",
    "LpNormalization", "MeanVarianceNormalization", "RMSNormalization", "SimplifiedLayerNormalization",
    "SkipGroupNorm", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "Imputer", "Normalizer", "Scaler",
    # reductions, pooling, comparisons
    "ArgMax", "ArgMin", "AveragePool", "CumProd", "CumSum", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool",
    "Hardmax", "LogSoftmax", "LpPool", "MaxPool", "MaxRoiPool", "MaxUnpool", "NhwcMaxPool", "NonMaxSuppression",
    "QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearReduceMean", "QLinearSoftmax", "ReduceL1", "ReduceL2",
    "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "ReduceSumSquare", "RoiAlign", "Softmax", "TopK", "Unique",
    # operators that only move data, create it, or convert its format
    "AffineGrid", "ArrayFeatureExtractor", "Bernoulli", "Binarizer", "BlackmanWindow", "Cast", "CastLike", "CastMap",
    "CategoryMapper", "CenterCropPad", "Col2Im", "Compress", "Concat", "ConcatFromSequence", "Constant",
    "ConstantOfShape", "CropAndResize", "DepthToSpace", "DequantizeLinear", "DictVectorizer", "DynamicQuantizeLinear",
    "Expand", "EyeLike", "FeatureVectorizer", "Flatten", "GatherElements", "GridSample", "HammingWindow", "HannWindow",
    "Identity", "If", "ImageDecoder", "LabelEncoder", "Loop", "MaxpoolWithMask", "Multinomial", "NonZero", "OneHot",
    "OneHotEncoder", "Optional", "OptionalGetElement", "OptionalHasElement", "Pad", "QLinearConcat", "QuantizeLinear",
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Range", "RegexFullMatch",
    "ReorderInput", "ReorderOutput", "Resize", "Reshape", "ReverseSequence", "Scan", "Scatter", "ScatterElements",
    "ScatterND", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert",
    "SequenceLength", "SequenceMap", "Shape", "Size", "Slice", "SpaceToDepth", "Split", "SplitToSequence", "Squeeze",
    "StringConcat", "StringNormalizer", "StringSplit", "STFT", "TensorScatter", "TfIdfVectorizer", "Tile", "Tokenizer",
    "Transpose", "Trilu", "Unsqueeze", "Upsample", "ZipMap",
})  # fmt: skip


def kind_of(node: onnx.NodeProto) -> Kind | None:
    """Return what a node multiplies; None if it multiplies nothing or is unknown."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    return OF_DOMAIN.get((node.op_type, domain)) or MULTIPLIES.get(node.op_type)
