from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpick.datasets import sampling
from bitpick.datasets.dataset import Samples
from bitpick.errors import DataError


@given(st.lists(st.integers(0, 5), min_size=1, max_size=300), st.data())
def test_a_draw_has_each_class_its_share_and_no_repeats(classes, data):
    labels = np.array(classes)
    size = data.draw(st.integers(1, len(labels)))
    drawn = sampling.stratified(labels, size, seed=data.draw(st.integers(0, 2**32)))
    assert len(drawn) == len(set(drawn.tolist())) == size
    for c in set(classes):
        exact = size * classes.count(c) / len(classes)
        assert abs((labels[drawn] == c).sum() - exact) < 1


def test_the_seed_decides_the_draw():
    labels = np.arange(1000) % 10
    first, again, other = (sampling.stratified(labels, 100, seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert set(first) != set(other)


def test_the_draw_does_not_come_sorted_by_class():
    labels = np.repeat(np.arange(10), 100)
    assert len(set(labels[sampling.stratified(labels, 100, 0)[:20]])) > 2


def test_overlap_counts_images_of_the_evaluation_set(dataset):
    clean = sampling.draw(dataset, 40, 0)
    assert clean.overlap == 0
    path = dataset.calibration.paths["image"]
    images = np.load(path)
    images[clean.indices[:3]] = dataset.evaluation.inputs["image"][:3]
    np.save(path, images)
    assert sampling.draw(dataset, 40, 0).overlap == 3


def test_a_draw_is_recorded(dataset):
    drawn = sampling.draw(dataset, 40, 0)
    counts = np.bincount(np.asarray(dataset.calibration.labels)[drawn.indices], minlength=4)
    assert drawn.per_class == dict(zip(dataset.classes, counts.tolist(), strict=True))
    assert drawn.sha256 == sampling.draw(dataset, 40, 0).sha256 != sampling.draw(dataset, 40, 1).sha256


def test_a_label_that_is_no_class_is_refused(dataset):
    labels = np.load(dataset.calibration.labels_path)
    labels[7] = 9
    np.save(dataset.calibration.labels_path, labels)
    with pytest.raises(DataError, match="has the label 9"):
        sampling.draw(dataset, 40, 0)


@pytest.mark.parametrize("size", [0, -1, 401])
def test_a_size_that_the_split_cannot_give_is_refused(dataset, size):
    with pytest.raises(DataError) as error:
        sampling.draw(dataset, size, 0)
    assert "--calibration-size from 1 to 400" in str(error.value)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 80), st.booleans())
def test_a_part_stands_for_the_whole(classes, count, shuffled):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels = np.array(classes if shuffled else sorted(classes), np.uint8)
        np.save(folder / "labels.npy", labels)
        np.save(folder / "inputs.npy", np.arange(len(labels), dtype=np.float32).reshape(-1, 1))
        whole = Samples(
            inputs=(folder / "inputs.npy",), labels=folder / "labels.npy", count=len(labels), sha256="x",
        )  # fmt: skip
        found, places = sampling.part(whole, count, folder / "indices.npy")
        assert found.count == len(places) == min(count, len(labels))
        assert len(set(places)) == len(places)
        assert (found.targets() == labels[places]).all()
        assert (np.concatenate([batch for (batch,) in found.batches(7)]).ravel() == places).all()
        if count >= len(labels):
            assert (places == np.arange(len(labels))).all()


def test_a_part_of_sorted_samples_is_spread_over_them(tmp_path):
    np.save(tmp_path / "labels.npy", np.repeat(np.arange(4, dtype=np.uint8), 25))
    np.save(tmp_path / "inputs.npy", np.zeros((100, 1), np.float32))
    whole = Samples(inputs=(tmp_path / "inputs.npy",), labels=tmp_path / "labels.npy", count=100, sha256="x")
    found, _ = sampling.part(whole, 20, tmp_path / "indices.npy")
    assert np.bincount(found.targets()).tolist() == [5, 5, 5, 5]
    assert found.sha256 != whole.sha256


def test_a_further_draw_is_what_its_seed_alone_would_draw(tmp_path):
    labels = np.arange(200) % 4
    np.save(tmp_path / "labels.npy", labels)
    np.save(tmp_path / "first.npy", sampling.stratified(labels, 40, 0))
    np.save(tmp_path / "i.npy", np.zeros((200, 1)))
    first = Samples(
        inputs=(tmp_path / "i.npy",),
        labels=tmp_path / "labels.npy",
        indices=tmp_path / "first.npy",
        count=40,
        sha256="1",
    )
    second = sampling.redraw(first, 7, tmp_path / "second.npy")
    np.testing.assert_array_equal(np.load(second.indices), sampling.stratified(labels, 40, 7))
    assert second.count == 40
    assert second.sha256 not in (first.sha256, sampling.redraw(first, 8, tmp_path / "third.npy").sha256)
    assert sampling.redraw(first, 7, tmp_path / "again.npy").sha256 == second.sha256
    other = first.model_copy(update={"sha256": "2"})  # the same places in another data set
    assert sampling.redraw(other, 7, tmp_path / "again.npy").sha256 != second.sha256


def test_where_there_are_fewer_than_nobody_asked_for_all_of_them_are_drawn(dataset):
    assert len(sampling.draw(dataset, sampling.DEFAULT_SIZE, 0).indices) == 400


def test_classes_that_the_calibration_split_lacks_are_not_counted(dataset, tmp_path):
    """What an autoencoder learns from is normal alone."""
    np.save(tmp_path / "labels.npy", np.zeros(dataset.calibration.count, np.int64))
    normal = replace(dataset.calibration, labels_path=tmp_path / "labels.npy")
    assert sampling.draw(replace(dataset, calibration=normal), 50, 0).per_class == {dataset.classes[0]: 50}
