from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets.dataset import Samples
from bitpick.preprocessing import Preprocessing


def test_batches_cover_the_split_in_order(dataset):
    samples = dataset.samples(dataset.evaluation)
    batches = [batch for (batch,) in samples.batches(128)]
    assert [len(b) for b in batches] == [128, 128, 128, 128, 88]
    assert np.array_equal(np.concatenate(batches), dataset.evaluation.inputs["image"])
    assert all(b.dtype == np.float32 for b in batches)
    assert np.array_equal(samples.targets(), dataset.evaluation.labels)


def test_indices_choose_and_order(dataset, tmp_path):
    order = np.array([5, 3, 300, 3])
    np.save(tmp_path / "i.npy", order)
    samples = dataset.samples(dataset.evaluation).model_copy(update={"indices": tmp_path / "i.npy", "count": 4})
    assert np.array_equal(
        np.concatenate([batch for (batch,) in samples.batches(3)]), dataset.evaluation.inputs["image"][order]
    )
    assert np.array_equal(samples.targets(), dataset.evaluation.labels[order])


def test_head_is_short_and_its_targets_fit(dataset):
    head = dataset.samples(dataset.evaluation).head(7)
    assert sum(len(batch) for (batch,) in head.batches(3)) == len(head.targets()) == 7
    assert dataset.samples(dataset.evaluation).head(10_000).count == 600


def test_samples_cross_as_json(dataset):
    samples = dataset.samples(dataset.evaluation).model_copy(update={"preprocessing": (Preprocessing(scale=255),)})
    assert Samples.model_validate_json(samples.model_dump_json()) == samples


def test_unknown_fields_do_not_cross(dataset):
    with pytest.raises(ValueError, match="extra"):
        Samples.model_validate(dataset.samples(dataset.evaluation).model_dump() | {"extra": 1})


def test_samples_are_found_by_their_places(dataset, tmp_path):
    np.save(tmp_path / "i.npy", np.array([5, 3, 300, 3]))
    samples = dataset.samples(dataset.evaluation)
    chosen = samples.model_copy(update={"indices": tmp_path / "i.npy", "count": 4})
    (found,) = chosen.at(np.array([2, 0]))
    assert np.array_equal(found, dataset.evaluation.inputs["image"][[300, 5]])
    assert np.array_equal(samples.at(np.array([7]))[0], dataset.evaluation.inputs["image"][[7]])


def test_without_a_word_about_the_model_its_activations_are_taken_for_a_few_times_what_is_usual(tmp_path):
    np.save(tmp_path / "small.npy", np.zeros((2, 32, 32, 3), np.uint8))
    np.save(tmp_path / "large.npy", np.zeros((2, 512, 512, 3), np.uint8))
    small, large = (Samples(inputs=(tmp_path / f"{n}.npy",), count=2, sha256="x") for n in ("small", "large"))
    assert (small.at_once(100), large.at_once(100)) == (100, 1)
