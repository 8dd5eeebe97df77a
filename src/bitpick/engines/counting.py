"""What counts as a weight and as a multiply-accumulate: one rule, which the readers of all engines follow.

**Weights** are the numbers of a stored operand that an operator multiplies and sums with something (the kernel of a
convolution, either side of a matrix product or of an einsum, the W and R of a recurrent operator, the coefficients of a
linear model), and those of a table from which rows are looked up (an embedding). Biases, scales and shifts of
normalisations, slopes, and operands of elementwise operators are no weights. A weight that several operators share
counts once for each format that it is stored in.

**Multiply-accumulates** are counted for one sample, by the operator's own formula, from the shapes of a run where the
runtime tells them: convolutions, matrix products, einsums, recurrent operators, and attention, with a stored operand or
without. Looking up a row, and everything elementwise, has none. What a subgraph executes counts as what the main graph
does: the body of a loop as often as it runs, and of an `If` the branch that does the most.

What has weights or products that no formula here covers, or whose shapes nobody tells, is *uncounted*: it is listed,
and the shares say that they are without it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

Shape = Sequence[int]


def product(output: Shape, inner: int) -> int:
    """Multiply-accumulates of a matrix product: each number that comes out sums `inner` products."""
    return math.prod(output) * inner


def convolution(weight: Shape, output: Shape, channels: int) -> int:
    """Multiply-accumulates of a convolution, grouped or not: each weight works once at each position of the output.

    Args:
        weight: shape of the kernel.
        output: shape of the output.
        channels: how many channels the output has, wherever they are.
    """
    return math.prod(weight) * (math.prod(output) // channels)


def transposed_convolution(weight: Shape, data: Shape, channels: int) -> int:
    """Multiply-accumulates of a transposed convolution: each weight works once at each position of the input.

    Args:
        weight: shape of the kernel.
        data: shape of the input.
        channels: how many channels the input has, wherever they are.
    """
    return math.prod(weight) * (math.prod(data) // channels)


def recurrent(weights: int, data: Shape) -> int:
    """Multiply-accumulates of an LSTM, a GRU or a plain recurrent operator: each weight works once at each step.

    Args:
        weights: how many it has, for all gates and both directions, those of the input and those of the state.
        data: shape of the input, whose last axis is the features of a step.
    """
    return weights * math.prod(data[:-1])


def attention(queries: Shape, output: Shape, keys: int) -> int:
    """Multiply-accumulates of attention without its projections: queries with keys, and their scores with values.

    Args:
        queries: shape of the queries, of all heads.
        output: shape of what comes out, of all heads.
        keys: how many keys a query meets.
    """
    return (math.prod(queries) + math.prod(output)) * keys


def einsum(equation: str, shapes: Sequence[Shape]) -> int:
    """Multiply-accumulates of an einsum, whose operands are taken in pairs from left to right, as runtimes do it.

    A pair that sums over nothing is elementwise and has none.

    Args:
        equation: e.g. `hi,nij->nhj`; it may have an ellipsis, and need not have an arrow.
        shapes: of the operands.
    """
    terms, kept = _terms(equation, shapes)
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, size in zip(term, shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))  # a size of one is stretched
    left, total = set(terms[0]), 0
    for place, right in enumerate(terms[1:], start=2):
        needed = set(kept).union(*terms[place:])
        if shared := left & set(right) - needed:
            both = (left | set(right)) & needed
            total += math.prod(sizes[label] for label in both | shared)
        left = (left | set(right)) & needed
    return total


def _terms(equation: str, shapes: Sequence[Shape]) -> tuple[list[list[str]], list[str]]:
    """The labels of each operand of an einsum, and those of its output. An axis of an ellipsis has a number."""
    given, arrow, output = equation.replace(" ", "").partition("->")
    inputs = given.split(",")
    spread = max(
        (len(shape) - len(term.replace("...", "")) for term, shape in zip(inputs, shapes, strict=True)), default=0
    )

    def labels(term: str, axes: int) -> list[str]:
        hidden = [str(number) for number in range(spread - axes, spread)]
        return [
            label for part in re.findall(r"\.\.\.|\w", term) for label in (hidden if part == "..." else [part])
        ]  # counted from the right, as axes are broadcast

    terms = [
        labels(term, len(shape) - len(term.replace("...", ""))) for term, shape in zip(inputs, shapes, strict=True)
    ]
    if arrow:
        return terms, labels(output, spread)
    letters = [label for term in terms for label in term]
    return terms, [label for label in dict.fromkeys(letters) if label.isdigit() or letters.count(label) == 1]
