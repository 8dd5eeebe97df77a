from __future__ import annotations

import pytest

from bitpick.engines import aten_work


@pytest.mark.parametrize("kind", ["mm", "aten::mm", "aten.mm", "aten.mm.default", "aten::mm.out"])
def test_an_operator_has_one_name_in_scripts_and_in_programs(kind):
    assert aten_work.name_of(kind) == "mm"


# The shapes of what is multiplied and of the output, and the products counted by hand.
CALLS = {
    "conv2d": ([(1, 4, 6, 6), (8, 2, 3, 3)], (1, 8, 4, 4), 8 * 2 * 9 * 16),  # in two groups
    "conv1d": ([(1, 4, 9), (6, 4, 3)], (1, 6, 7), 6 * 4 * 3 * 7),
    "_convolution": ([(1, 4, 6, 6), (8, 4, 1, 1)], (1, 8, 6, 6), 8 * 4 * 36),
    "conv_transpose2d": ([(1, 3, 4, 4), (3, 5, 2, 2)], (1, 5, 8, 8), 3 * 5 * 4 * 16),
    "linear": ([(1, 7, 3), (5, 3)], (1, 7, 5), 7 * 5 * 3),
    "addmm": ([(1, 3), (3, 5)], (1, 5), 15),
    "bmm": ([(2, 7, 3), (2, 3, 4)], (2, 7, 4), 2 * 7 * 3 * 4),
    "mv": ([(6, 4), (4,)], (6,), 24),
    "scaled_dot_product_attention": (
        [(1, 2, 5, 8), (1, 2, 7, 8), (1, 2, 7, 6)],
        (1, 2, 5, 6),
        2 * 5 * 7 * 8 + 2 * 5 * 7 * 6,
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_work_is_that_of_the_loops_that_compute_it(name):
    shapes, output, macs = CALLS[name]
    assert aten_work.macs(name, shapes, output) == macs


def test_a_convolution_that_is_transposed_works_at_each_position_of_its_input():
    shapes, output, macs = CALLS["conv_transpose2d"]
    assert aten_work.macs("convolution", shapes, output, transposed=True) == macs
    assert aten_work.macs("convolution", *CALLS["conv2d"][:2]) == CALLS["conv2d"][2]


def test_an_operator_is_in_one_list():
    lists = [aten_work.OPERANDS, aten_work.RECURRENT, aten_work.TABLES, aten_work.UNKNOWN]
    assert sum(map(len, lists)) == len(set().union(*lists))
