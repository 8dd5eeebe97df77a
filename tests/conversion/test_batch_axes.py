"""Which axes of an input can be the batch, and what is said of them."""

from __future__ import annotations

import pytest

from bitpick.conversion.batch_axes import Axes, possible_axes


@pytest.mark.parametrize(
    ("shape", "sample", "axes"),
    [
        ((None, 40), (40,), [0, 1]),
        ((2, 40), (40,), [0]),
        ((6, 1, 40), (6, 40), [1]),
        ((6, None, 40), (6, 40), [0, 1, 2]),
        ((6, 40), (6, 40), [None]),
        ((), (), [None]),
        ((6, 40), (7,), []),
    ],
)
def test_the_axes_that_a_sample_leaves_over(shape, sample, axes):
    assert possible_axes(shape, sample) == axes


def test_notes_tell_what_is_not_as_usual():
    assert Axes((0,), (0,), (2,)).notes(["x"], ["y"]) == []
    assert Axes((1,), (0,), (2,)).notes(["x"], ["y"]) == ["the batch is axis 1 of x: builds have it as the first axis"]
    assert Axes((None, 0), (None,), (1,), 1).notes(["x", "z"], ["y"]) == [
        "x, y have no batch axis, so builds run one sample at a time, with a first axis of size 1"
    ]
