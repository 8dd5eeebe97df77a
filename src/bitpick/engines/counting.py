"""What counts as a weight and as a multiply-accumulate: one rule that the graph readers of all engines follow.

**Weights** are the numbers of a stored operand that an operator multiplies and sums (the kernel of a convolution,
either side of a matrix product or of an einsum, the W and R of a recurrent operator, the coefficients of a linear
model), and the numbers of a lookup table (an embedding). Biases, scales and shifts of normalizations, slopes, and
operands of elementwise operators are not weights. A weight that several operators share counts once for each format
that it is stored in.

**Multiply-accumulates** are counted for one sample, by the operator's own formula, with the shapes of a real run if the
runtime reports them. This covers convolutions, matrix products, einsums, recurrent operators, and attention, whether or
not an operand is stored. Lookups and elementwise operators have none. Operators in a subgraph count like those of the
main graph: a loop's body as often as it runs, and of an `If` the branch with the most work.

An operator with weights or products that no formula here covers, or whose shapes are unknown, is *uncounted*: it is
listed, and the shares state that they leave it out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

Shape = Sequence[int]


def product(output: Shape, inner: int) -> int:
    """Return the multiply-accumulates of a matrix product: each output element sums `inner` products."""
    return math.prod(output) * inner


def convolution(weight: Shape, output: Shape, channels: int) -> int:
    """Return the multiply-accumulates of a convolution, grouped or not: each weight is used once per output position.

    Args:
        weight: shape of the kernel.
        output: shape of the output.
        channels: number of output channels, on whichever axis.
    """
    return math.prod(weight) * (math.prod(output) // channels)


def transposed_convolution(weight: Shape, data: Shape, channels: int) -> int:
    """Return the multiply-accumulates of a transposed convolution: each weight is used once per input position.

    Args:
        weight: shape of the kernel.
        data: shape of the input.
        channels: number of input channels, on whichever axis.
    """
    return math.prod(weight) * (math.prod(data) // channels)


def recurrent(weights: int, data: Shape) -> int:
    """Return the multiply-accumulates of an LSTM, GRU or plain recurrent operator: each weight is used once per step.

    Args:
        weights: number of weights of all gates and both directions, for the input and the state together.
        data: shape of the input; its last axis holds the features of a step.
    """
    return weights * math.prod(data[:-1])


def attention(queries: Shape, output: Shape, keys: int) -> int:
    """Return the multiply-accumulates of attention without projections: queries by keys, and scores by values.

    Args:
        queries: shape of the queries of all heads.
        output: shape of the output of all heads.
        keys: number of keys for each query.
    """
    return (math.prod(queries) + math.prod(output)) * keys


def einsum(equation: str, shapes: Sequence[Shape]) -> int:
    """Return the multiply-accumulates of an einsum, with operands combined in pairs from left to right, as runtimes do.

    A pair that sums over no axis is elementwise and has none.

    Args:
        equation: e.g. `hi,nij->nhj`; it may have an ellipsis, and the arrow is optional.
        shapes: shapes of the operands.
    """
    terms, output_labels = _terms(equation, shapes)
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, size in zip(term, shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))  # a size of one is broadcast
    result, total = set(terms[0]), 0
    for place, operand in enumerate(terms[1:], start=2):
        kept = set(output_labels).union(*terms[place:])
        if summed := result & set(operand) - kept:
            all_labels = (result | set(operand)) & kept
            total += math.prod(sizes[label] for label in all_labels | summed)
        result = (result | set(operand)) & kept
    return total


def _terms(equation: str, shapes: Sequence[Shape]) -> tuple[list[list[str]], list[str]]:
    """Return the labels of each operand of an einsum and of its output. Axes of an ellipsis are labelled by numbers."""
    operands, arrow, output = equation.replace(" ", "").partition("->")
    inputs = operands.split(",")
    hidden_axes = max(
        (len(shape) - len(term.replace("...", "")) for term, shape in zip(inputs, shapes, strict=True)), default=0
    )

    def labels(term: str, axes: int) -> list[str]:
        numbered = [str(number) for number in range(hidden_axes - axes, hidden_axes)]
        return [
            label for part in re.findall(r"\.\.\.|\w", term) for label in (numbered if part == "..." else [part])
        ]  # counted from the right, the way axes are broadcast

    terms = [
        labels(term, len(shape) - len(term.replace("...", ""))) for term, shape in zip(inputs, shapes, strict=True)
    ]
    if arrow:
        return terms, labels(output, hidden_axes)
    letters = [label for term in terms for label in term]
    return terms, [label for label in dict.fromkeys(letters) if label.isdigit() or letters.count(label) == 1]
