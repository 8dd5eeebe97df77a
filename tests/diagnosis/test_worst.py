from __future__ import annotations

import numpy as np
from PIL import Image

from bitpick.data.dataset import Samples
from bitpick.diagnosis.worst import examples, harmed

FLOATS = np.array([[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.8, 0.2]], np.float32)
SCORES = np.array([[0.4, 0.6], [0.45, 0.55], [0.7, 0.3], [0.7, 0.3]], np.float32)
TARGETS = np.array([0, 0, 0, 0])


def test_only_what_was_right_and_is_not_any_more_counts_the_worst_first():
    assert harmed(FLOATS, SCORES, TARGETS).tolist() == [0, 1]
    assert harmed(FLOATS, SCORES, TARGETS, most=1).tolist() == [0]
    assert harmed(FLOATS, FLOATS, TARGETS).tolist() == []


def kept(folder, images) -> Samples:
    np.save(folder / "x.npy", images)
    np.save(folder / "y.npy", TARGETS)
    np.save(folder / "order.npy", np.array([3, 2, 1, 0]))
    return Samples(inputs=folder / "x.npy", labels=folder / "y.npy", indices=folder / "order.npy", count=4, sha256="0")


def test_samples_are_written_as_images(tmp_path):
    images = np.arange(4 * 2 * 2 * 3, dtype=np.uint8).reshape(4, 2, 2, 3)
    samples = kept(tmp_path, images)
    (found,) = examples(np.array([1]), samples, ("cat", "dog"), {"f": FLOATS, "q": SCORES}, tmp_path, "worst")
    assert (np.asarray(Image.open(tmp_path / found.image)) == images[2]).all()  # the second in this order
    assert found.image == "worst/1.png"
    assert (found.label, found.predictions) == ("cat", {"f": "cat", "q": "dog"})


def test_samples_that_are_no_images_give_none(tmp_path):
    samples = kept(tmp_path, np.zeros((4, 7), np.float32))
    assert examples(np.array([0, 1]), samples, ("cat", "dog"), {"f": FLOATS}, tmp_path, "worst") == []
    assert not (tmp_path / "worst").exists()
