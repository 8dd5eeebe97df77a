from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")

from bitpick.passes.training.objective import Objective  # noqa: E402

pytestmark = pytest.mark.frameworks


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_scores_of_classes_are_compared_with_the_float_networks_and_with_labels():
    labels = torch.arange(30) % 5
    scores = random(30, 5) + 3 * torch.nn.functional.one_hot(labels, 5)
    objective = Objective([1], [scores], labels)
    assert objective.uses_labels
    right = torch.nn.functional.one_hot(labels, 5) * 20.0
    alone = objective([scores], [scores], labels)
    assert alone == pytest.approx(0.5 * float(torch.nn.functional.cross_entropy(scores, labels)), rel=1e-5)
    assert objective([right], [right], labels) < 1e-3
    assert objective([scores + 3], [scores], labels) == pytest.approx(float(alone), rel=1e-4)  # softmax ignores a shift
    assert objective([random(30, 5, seed=1)], [scores], labels) > alone


def test_scores_without_a_softmax_are_classes_if_labels_say_so():
    scores = random(30, 5)
    assert Objective([None], [scores], torch.arange(30) % 5).has_classes
    assert not Objective([None], [scores], None).has_classes


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [
        ([(30, 5)], None),
        ([(30, 5)], torch.arange(30.0)),
        ([(30, 5)], torch.arange(30)),
        ([(30, 5)], torch.zeros(30, 5, dtype=torch.int64)),
        ([(30, 1)], torch.zeros(30, dtype=torch.int64)),
        ([(30, 5, 4)], torch.zeros(30, dtype=torch.int64)),
        ([(30, 5), (30, 2)], torch.zeros(30, dtype=torch.int64)),
    ],
    ids=["none", "values", "too large", "several", "one score", "maps", "two outputs"],
)
def test_other_labels_are_not_used(outputs, labels):
    examples = [random(*shape) for shape in outputs]
    objective = Objective([None] * len(examples), examples, labels)
    assert not objective.uses_labels
    assert objective(examples, examples, labels) == 0


def test_outputs_of_unlike_scales_count_alike():
    large, small = 1000 * random(50, 3), random(50, 3, seed=1)
    objective = Objective([None, None], [large, small], None)
    off = [float(objective([large + 1000, small], [large, small], None)),
           float(objective([large, small + 1], [large, small], None))]  # fmt: skip
    assert off[0] == pytest.approx(off[1], rel=0.3)


def test_labels_that_the_float_network_does_not_know_are_not_used():
    labels = torch.arange(30) % 5
    scores = torch.nn.functional.one_hot(labels, 5) * 5.0
    assert Objective([1], [scores], labels).uses_labels
    assert not Objective([1], [scores], (labels + 1) % 5).uses_labels
