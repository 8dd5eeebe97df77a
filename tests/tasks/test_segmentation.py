from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from bitpick.models.model import Tensor
from bitpick.tasks.segmentation import Segmentation, class_axes

RNG = np.random.default_rng(0)


def test_a_mask_by_hand():
    task = Segmentation(threshold=0.0)
    logits = np.array([[[[1.0, -1.0], [2.0, -3.0]]], [[[-1.0, 1.0], [1.0, 1.0]]]], np.float32)
    mask = np.array([[[[1, 1], [1, 0]]], [[[0, 0], [1, 1]]]])
    answers = task.answers((), (logits,), None)
    assert answers.tolist() == [[1, 0, 1, 0], [0, 1, 1, 1]]
    assert task.metric(answers, mask).value == 6 / 8
    [overlap] = task.metrics(answers, (logits,), mask)
    assert (overlap.name, overlap.label, overlap.value) == ("iou", "IoU", 4 / 6)  # 4 both, 6 either


@pytest.mark.parametrize(("scores", "threshold"), [([[0.2, 0.9]], 0.5), ([[-0.2, 0.9]], 0.0)])
def test_the_threshold_is_that_of_probabilities_or_of_others(scores, threshold):
    task = Segmentation()
    assert task.unsettled
    assert task.settled((np.array(scores, np.float32),), None).threshold == threshold


@pytest.mark.parametrize("axis", [1, 3])
def test_class_maps_beside_scores_of_either_layout(axis):
    scores = RNG.normal(size=(30, 6, 5, 4)).astype(np.float32)  # four classes last
    classes = scores.argmax(axis=3)
    wrong = RNG.random(classes.shape) < 0.2
    labels = np.where(wrong, (classes + 1) % 4, classes)
    given = np.moveaxis(scores, 3, axis)
    task = Segmentation(axes=(axis,), count=4)
    answers = task.answers((), (given,), None)
    assert answers.dtype == np.uint8
    assert task.metric(answers, labels).value == pytest.approx(1 - wrong.mean())
    overlap = Segmentation(axes=(axis,), count=4, judged_by="iou").metric(answers, labels)
    assert overlap.value == pytest.approx(jaccard_score(labels.ravel(), answers.ravel(), average="macro"))


def test_where_two_axes_could_hold_the_classes_the_float_model_shows_which():
    scores = RNG.normal(size=(20, 4, 4, 4)).astype(np.float32)
    task = Segmentation(axes=(1, 3), count=4)
    assert task.unsettled
    for axis in (1, 3):
        assert task.settled((scores,), scores.argmax(axis=axis)).axes == (axis,)


def test_positions_without_a_class_count_for_nothing():
    scores = np.eye(3, dtype=np.float32)[[[0, 1, 2], [0, 0, 0]]]
    labels = np.array([[0, 1, -100], [0, -100, 2]])
    task = Segmentation(axes=(2,), count=3, ignored=-100)
    answers = task.answers((), (scores,), None)
    assert task.metric(answers, labels).value == 3 / 4
    [overlap] = task.metrics(answers, (scores,), labels)
    assert overlap.value == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert task.losses(answers, answers, labels) is None


def test_samples_are_what_varies_and_not_their_positions():
    """Samples that are right or wrong as a whole are as uncertain as so many single answers."""
    right = RNG.random(200) < 0.5
    answers = np.repeat(right[:, None], 1000, axis=1).astype(np.uint8)
    low, high = Segmentation(threshold=0.5).metric(answers, np.ones((200, 1000))).interval
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 200), rel=0.1)


def test_what_a_build_loses():
    floats = RNG.integers(0, 2, (100, 8)).astype(np.uint8)
    other = floats.copy()
    other[:10, 0] ^= 1
    task = Segmentation(threshold=0.5)
    assert task.versus(floats, other, floats).drop == pytest.approx(10 / 800)
    assert task.losses(floats, other, floats).mean() == pytest.approx(10 / 800)
    assert task.differing(floats, other).sum() == 10


def test_the_axes_on_which_an_output_may_have_classes():
    assert class_axes(Tensor("y", (5, 8, 8)), (8, 8)) == (1,)
    assert class_axes(Tensor("y", (8, 8, 5)), (8, 8)) == (3,)
    assert class_axes(Tensor("y", (5, None, None)), (8, 8)) == (1,)
    assert class_axes(Tensor("y", (12, 9)), (12,)) == (2,)
    assert class_axes(Tensor("y", (5, 8, 8)), (1, 8, 8)) == (1,)
    assert class_axes(Tensor("y", (4, 4, 4)), (4, 4)) == (1, 3)
    assert class_axes(Tensor("y", (1, 8, 8)), (8, 8)) == ()
    assert class_axes(Tensor("y", (5, 9, 8)), (8, 8)) == ()


def test_a_map_of_class_numbers_is_its_own_prediction():
    task = Segmentation(numbers=True, count=3, ignored=255)
    assert not task.unsettled
    answers = task.answers((), (np.array([[[0, 2], [7, 1]]], np.float32),), None)
    true = np.array([[[0, 1], [2, 255]]])
    assert task.metric(answers, true).value == 1 / 3
    [overlap] = task.metrics(answers, (), true)
    assert overlap.value == 1 / 3  # 1 of 1 of the first class, nothing of the two others


def test_a_mask_of_0_and_255_is_of_two_classes():
    logits, mask = np.array([[[-1.0, 2.0], [3.0, -4.0]]], np.float32), np.array([[[0, 255], [0, 0]]])
    task = Segmentation(second=255).settled((logits,), None)
    assert task.threshold == 0
    assert task.metric(task.answers((), (logits,), None), mask).value == 3 / 4
    drawn = np.where(logits > 0, 200.0, 20.0)  # as a picture
    assert Segmentation(second=255).settled((drawn,), None).threshold == 127.5
    [overlap] = task.metrics(task.answers((), (logits,), None), (logits,), mask)
    assert overlap.value == 1 / 2
