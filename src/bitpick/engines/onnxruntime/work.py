"""What the operators of ONNX and of ONNX Runtime multiply: where their weights are, and how much work they do."""

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
    """One run of a node: the shapes of what went in, by its place, and of what came out. None if unknown."""

    node: onnx.NodeProto
    inputs: Sequence[Shape | None]
    outputs: Sequence[Shape | None]

    def into(self, place: int) -> Shape:
        """The shape of an input.

        Raises:
            Unknown: nobody tells it.
        """
        return _known(self.inputs, place)

    def out(self, place: int = 0) -> Shape:
        """The shape of an output.

        Raises:
            Unknown: nobody tells it.
        """
        return _known(self.outputs, place)

    def has(self, place: int) -> bool:
        """Whether the node has an input at a place."""
        return place < len(self.node.input) and bool(self.node.input[place])

    @property
    def attributes(self) -> dict[str, Any]:
        """The node's attributes."""
        return attributes(self.node)


class Unknown(Exception):  # noqa: N818 - no error: the node is listed as uncounted
    """An unknown shape."""


@dataclass(frozen=True)
class Operand:
    """Where an operator's operand is, and its scale and its zero point, where integers have them beside."""

    at: int
    scale: int | None = None
    zero: int | None = None


@dataclass(frozen=True)
class Kind:
    """What one kind of operator multiplies.

    Attributes:
        operands: those that are multiplied with each other. The stored ones of them are weights.
        macs: multiply-accumulates of one call.
        attributes: attributes that hold weights.
        integer: whether it computes on integers where its weights are integers.
        floats: multiply-accumulates of one call that it computes in float all the same, beside `macs`.
    """

    operands: tuple[Operand, ...]
    macs: Callable[[Call], int]
    attributes: tuple[str, ...] = ()
    integer: bool = False
    floats: Callable[[Call], int] | None = None


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node, as Python has them."""
    import onnx

    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


def _known(shapes: Sequence[Shape | None], place: int) -> Shape:
    shape = shapes[place] if place < len(shapes) else None
    if shape is None:
        raise Unknown
    return shape


def _convolution(weight: int) -> Callable[[Call], int]:
    # The kernel's first axis is the channels that come out.
    return lambda call: counting.convolution(call.into(weight), call.out(), call.into(weight)[0])


def _transposed(call: Call) -> int:
    # The kernel's first axis is the channels that go in.
    return counting.transposed_convolution(call.into(1), call.into(0), call.into(1)[0])


def _product(second: int) -> Callable[[Call], int]:
    def macs(call: Call) -> int:
        shape, flipped = call.into(second), bool(call.attributes.get("transB"))
        return counting.product(call.out(), shape[-1] if flipped or len(shape) == 1 else shape[-2])

    return macs


def _recurrent(call: Call) -> int:
    return counting.recurrent(math.prod(call.into(1)) + math.prod(call.into(2)), call.into(0))


def _einsum(call: Call) -> int:
    equation = call.attributes["equation"].decode()
    return counting.einsum(equation, [call.into(place) for place in range(len(call.node.input))])


def _attention(call: Call) -> int:
    keys = call.into(1)[-2] + (call.into(4)[-2] if call.has(4) else 0)
    return counting.attention(call.into(0), call.out(), keys)


def _multi_head(call: Call) -> int:
    queries = call.into(0)
    if not call.has(1):  # queries, keys and values in one: batch, steps, heads, three, size
        return counting.attention(call.out(), call.out(), queries[1])
    keys = call.into(1)[1] if len(call.into(1)) == 5 else call.into(1)[-2]  # keys and values in one
    return counting.attention(queries, call.out(), keys + (call.into(6)[-2] if call.has(6) else 0))


def _projections(call: Call) -> int:
    # The weight is that of queries, keys and values side by side.
    weight = call.into(1)
    return counting.product((*call.into(0)[:-1], weight[-1]), weight[0])


def _scores(past: int) -> Callable[[Call], int]:
    def macs(call: Call) -> int:
        keys = call.into(0)[-2] + (call.into(past)[-2] if call.has(past) else 0)
        return counting.attention(call.out(), call.out(), keys)

    return macs


def _blocks(call: Call) -> int:
    return counting.product(call.out(), call.attributes["K"])


def _linear(call: Call) -> int:
    found = call.attributes
    rows = call.into(0)[0] if len(call.into(0)) > 1 else 1
    return rows * sum(len(found.get(name, ())) for name in ("coefficients", "support_vectors"))


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
# The same name means another operator in ONNX Runtime's own domain: there it has the projections inside.
OF_DOMAIN: Mapping[tuple[str, str], Kind] = {
    ("Attention", ""): Kind((), _attention),
    ("Attention", "com.microsoft"): Kind((_WEIGHT,), _projections, floats=_scores(4)),
}
# Operators that look up rows, and where the tables are.
TABLES: Mapping[str, tuple[int, ...]] = {
    "Gather": (0,),
    "GatherND": (0,),
    "GatherBlockQuantized": (0,),
    "EmbedLayerNormalization": (2, 3, 4),
    "QEmbedLayerNormalization": (2, 3, 4),
}
# Operators whose stored operands are no weights: elementwise, of a normalisation, or numbers that are only moved.
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
    # normalisations, and what scales each feature
    "BatchNormalization", "GroupNorm", "GroupNormalization", "InstanceNormalization", "LRN", "LayerNormalization",
    "LpNormalization", "MeanVarianceNormalization", "RMSNormalization", "SimplifiedLayerNormalization",
    "SkipGroupNorm", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "Imputer", "Normalizer", "Scaler",
    # reductions, pooling, and what compares
    "ArgMax", "ArgMin", "AveragePool", "CumProd", "CumSum", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool",
    "Hardmax", "LogSoftmax", "LpPool", "MaxPool", "MaxRoiPool", "MaxUnpool", "NhwcMaxPool", "NonMaxSuppression",
    "QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearReduceMean", "QLinearSoftmax", "ReduceL1", "ReduceL2",
    "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "ReduceSumSquare", "RoiAlign", "Softmax", "TopK", "Unique",
    # what only moves numbers, makes them, or writes them in another format
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
    """What a node multiplies; None where it multiplies nothing, or that is unknown."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    return OF_DOMAIN.get((node.op_type, domain)) or MULTIPLIES.get(node.op_type)
