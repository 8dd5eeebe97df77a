from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpick.engines import counting


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("hi,nij->nhj", [(64, 16), (1, 16, 12)], 64 * 16 * 12),
        ("nij,ij->nij", [(5, 3, 4), (3, 4)], 0),  # elementwise
        ("nij,kij->nk", [(2, 3, 4), (5, 3, 4)], 2 * 5 * 3 * 4),
        ("...i,io->...o", [(2, 7, 3), (3, 4)], 2 * 7 * 3 * 4),
        ("b...qd,b...kd->b...qk", [(1, 4, 6, 8), (1, 4, 5, 8)], 4 * 6 * 5 * 8),
        ("ij , jk", [(2, 3), (3, 4)], 2 * 3 * 4),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)], 2 * 3 * 4 + 2 * 4 * 5),
        ("ij->j", [(2, 3)], 0),
        ("ij,kl->il", [(2, 3), (4, 5)], 0),  # each side is summed by itself before
    ],
)
def test_an_einsum_counts_as_its_loops_do(equation, shapes, macs):
    assert counting.einsum(equation, shapes) == macs


@given(rows=st.integers(1, 4), inner=st.integers(1, 4), columns=st.integers(1, 4), batch=st.integers(1, 3))
def test_a_product_written_as_an_einsum_counts_the_same(rows, inner, columns, batch):
    shapes = [(batch, rows, inner), (inner, columns)]
    assert counting.einsum("bri,ic->brc", shapes) == counting.product((batch, rows, columns), inner)


@given(
    groups=st.sampled_from([1, 2, 4]), kernel=st.integers(1, 3), size=st.integers(3, 6), wide=st.sampled_from([4, 8])
)
def test_a_convolution_counts_each_product_that_it_computes(groups, kernel, size, wide):
    out = size - kernel + 1
    products = 0
    for _ in np.ndindex(wide, out, out):  # each number that comes out
        products += (4 // groups) * kernel * kernel
    assert counting.convolution((wide, 4 // groups, kernel, kernel), (1, wide, out, out), wide) == products


def test_a_transposed_convolution_works_at_each_position_of_its_input():
    assert counting.transposed_convolution((3, 64, 3, 3), (1, 3, 16, 16), 3) == 3 * 64 * 9 * 16 * 16


def test_a_recurrent_operator_works_at_each_step_in_both_directions():
    gates, hidden, features, steps = 4, 16, 12, 16
    weights = 2 * gates * hidden * (features + hidden)
    assert counting.recurrent(weights, (steps, 1, features)) == steps * 2 * gates * hidden * (features + hidden)


def test_attention_meets_each_key_twice():
    assert counting.attention((1, 2, 5, 8), (1, 2, 5, 6), 7) == 2 * 5 * 7 * 8 + 2 * 5 * 7 * 6
