from __future__ import annotations

import numpy as np

from bitpick.datasets.dataset import Samples
from bitpick.tasks.deviation import Deviation
from bitpick.tasks.parts import packed, unpacked


def outputs(seed=0, count=6):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 2)).astype(np.float32), rng.normal(size=(count, 3, 4)).astype(np.float32)


def test_outputs_are_fields_of_one_array_that_is_cut_and_stored_as_any_other(tmp_path):
    found = outputs()
    answers = packed(found, ("scores", "boxes"))
    assert answers.shape == (6,)
    np.save(tmp_path / "answers.npy", answers)
    stored = Samples(inputs=(), labels=tmp_path / "answers.npy", count=4, sha256="").targets()
    parts = unpacked(np.concatenate([stored, answers[4:]]))
    for name, expected in zip(("scores", "boxes"), found, strict=True):
        np.testing.assert_array_equal(parts[name], expected)


def test_a_single_output_stays_as_it_is():
    first = outputs()[0]
    assert packed((first,), ("scores",)) is first
    assert unpacked(first)[""] is first


def test_a_sample_differs_where_any_part_does():
    task = Deviation(outputs=("scores", "boxes"))
    own, other = packed(outputs(), task.outputs), packed(outputs(), task.outputs)
    other["boxes"][2, 0, 0] += 1
    assert task.differing(own, other).tolist() == [False, False, True, False, False, False]
