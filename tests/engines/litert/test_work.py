from __future__ import annotations

import pytest

from bitpick.engines.litert.work import MULTIPLIES, NO_WEIGHTS, TABLES

# Nobody can tell what they do: they are listed as uncounted where they occur.
UNKNOWN = {
    "CONCAT_EMBEDDINGS", "CUSTOM", "LSH_PROJECTION", "PLACEHOLDER_FOR_GREATER_OP_CODES", "SKIP_GRAM",
    "STABLEHLO_COMPOSITE", "STABLEHLO_CUSTOM_CALL",
}  # fmt: skip


def test_each_operator_of_the_format_counts_or_has_no_weights_or_is_listed_as_unknown():
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    known = {name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    lists = [set(MULTIPLIES), set(TABLES), set(NO_WEIGHTS), UNKNOWN]
    assert known == set().union(*lists)
    assert sum(map(len, lists)) == len(known)
    words = ("CONV", "MATMUL", "LSTM", "RNN", "FULLY", "DOT", "SVDF", "EMBEDDING")
    assert [name for name in NO_WEIGHTS if any(word in name for word in words) and "CONVERT" not in name] == []


SHAPES = {
    "CONV_2D": ([(1, 8, 8, 3), (5, 3, 3, 3)], (1, 6, 6, 5), 5 * 27 * 36),
    "DEPTHWISE_CONV_2D": ([(1, 8, 8, 3), (1, 3, 3, 6)], (1, 6, 6, 6), 54 * 36),
    "CONV_3D": ([(1, 4, 4, 4, 3), (2, 2, 2, 3, 5)], (1, 3, 3, 3, 5), 120 * 27),
    "TRANSPOSE_CONV": ([(4,), (5, 2, 2, 3), (1, 4, 4, 3)], (1, 8, 8, 5), 60 * 16),
    "CONV_3D_TRANSPOSE": ([(5,), (2, 2, 2, 5, 3), (1, 2, 2, 2, 3)], (1, 4, 4, 4, 5), 120 * 8),
    "FULLY_CONNECTED": ([(1, 7, 3), (5, 3)], (1, 7, 5), 7 * 15),
    "BATCH_MATMUL": ([(2, 4, 3), (2, 3, 5)], (2, 4, 5), 2 * 60),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": ([(1, 7, 3), *[(2, 3)] * 4, *[(2, 2)] * 4, *[()] * 15], (1, 7, 2), 7 * 4 * 10),
    "UNIDIRECTIONAL_SEQUENCE_RNN": ([(1, 7, 3), (2, 3), (2, 2), (2,), (1, 2)], (1, 7, 2), 7 * 10),
    "SVDF": ([(1, 3), (4, 3), (4, 6), (4,), (1, 24)], (1, 4), 4 * 3 + 4 * 6),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_work_is_that_of_the_loops_that_compute_it(kind):
    inputs, output, macs = SHAPES[kind]
    assert MULTIPLIES[kind].macs(inputs, output) == macs


def test_a_product_with_a_side_transposed_sums_the_same():
    assert MULTIPLIES["BATCH_MATMUL"].macs([(3, 4), (3, 5)], (4, 5)) == 60
