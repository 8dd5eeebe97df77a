from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bitpick.datasets.dataset import Samples
from bitpick.pipeline.examples import COUNT, examples, write
from bitpick.recipe import file_name
from bitpick.schema.run import Recommendation
from bitpick.tasks.classification import Classification
from tests.comparing import new_directory
from tests.records import row

OWN, PICK, OTHER = "e:float32", "e:s8u8-per_channel-minmax", "e:u8u8-per_tensor-minmax"
CLASSES = ("ant", "bee", "cow")
TASK = Classification(classes=CLASSES)
N = 40
PETS = Classification(classes=("cat", "dog"))


@pytest.fixture
def store(tmp_path, model_file):
    """A run of three rows over 40 samples; both quantized ones predict otherwise than the float32 on the last 20."""
    store = new_directory(tmp_path / "run", model_file, engines=["onnxruntime"], calibration_size=10)
    versus = {
        "baseline": OWN, "drop": 0.0, "drop_interval": (0, 0), "flips": 20, "only_baseline": 0, "only_row": 0,
        "p_value": 1.0, "margin": 0.01, "score": 0.0,
    }  # fmt: skip
    for row_id, correct in ((OWN, 30), (PICK, 20), (OTHER, 25)):
        metric = {"name": "accuracy", "value": correct / N}
        fields = {} if row_id == OWN else {"versus_baseline": versus}
        store.put(row(row_id, metric=metric, **fields))
        folder = tmp_path / "run" / "builds" / file_name(row_id)
        folder.mkdir(parents=True)
        scores = np.zeros((N, 3), np.float32)
        scores[:, 0] = 1 + np.arange(N) / N  # the float32 is surer of the later ones
        np.savez(folder / "predictions.npz", predictions=scores.argmax(1).astype(np.int32), output0=scores)
    return store


def given(tmp_path, shape=(4, 4, 3), indices=None) -> Samples:
    inputs = np.broadcast_to(np.arange(N, dtype=np.uint8).reshape(N, *[1] * len(shape)), (N, *shape))
    np.save(tmp_path / "inputs.npy", inputs)
    np.save(tmp_path / "labels.npy", np.arange(N) % 3)
    return Samples(
        inputs=(tmp_path / "inputs.npy",), labels=tmp_path / "labels.npy", indices=indices, count=N, sha256="x"
    )


def predicted() -> dict:
    float32 = np.zeros(N, np.int32)
    changed = np.where(np.arange(N) < N // 2, 0, 1).astype(np.int32)
    return {OWN: float32, PICK: changed, OTHER: np.where(changed == 1, 2, 0).astype(np.int32)}


def test_the_surest_disagreements_of_the_recommended_build_come_first(store, tmp_path):
    store.update(recommendation=Recommendation(id=PICK, because=[]))
    found = examples(store, predicted(), given(tmp_path), TASK)
    assert [e.sample for e in found] == list(range(N - 1, N - 1 - COUNT, -1))
    assert found[0].predictions == {OWN: "ant", PICK: "bee"}
    assert [e.label for e in found[:3]] == [CLASSES[s % 3] for s in (39, 38, 37)]
    for example in found:
        assert example.image == f"examples/{example.sample}.png"
        pixels = np.asarray(Image.open(store.root / example.image))
        assert pixels.shape == (4, 4, 3)
        assert (pixels == example.sample).all()


def test_where_none_is_recommended_it_is_the_most_accurate_one(store, tmp_path):
    store.update(recommendation=Recommendation(id=None, because=[]))
    assert set(examples(store, predicted(), given(tmp_path), TASK)[0].predictions) == {OWN, OTHER}


def test_indices_say_which_image_a_sample_is(store, tmp_path):
    np.save(tmp_path / "indices.npy", np.arange(N)[::-1])
    store.update(recommendation=Recommendation(id=PICK, because=[]))
    found = examples(store, predicted(), given(tmp_path, indices=tmp_path / "indices.npy"), TASK)
    assert (np.asarray(Image.open(store.root / found[0].image)) == N - 1 - found[0].sample).all()


def test_what_is_no_image_gives_none(store, tmp_path):
    store.update(recommendation=Recommendation(id=PICK, because=[]))
    assert examples(store, predicted(), given(tmp_path, shape=(7,)), TASK) == []
    assert not store.examples.exists()


def test_nothing_quantized_gives_none(store, tmp_path):
    store.update(rows=tuple(store.run.rows[:1]))
    assert examples(store, predicted(), given(tmp_path), TASK) == []


def test_what_an_earlier_run_left_goes(store, tmp_path):
    store.examples.mkdir()
    (store.examples / "old.png").write_bytes(b"")
    store.update(recommendation=Recommendation(id=PICK, because=[]))
    same = dict.fromkeys((OWN, PICK, OTHER), np.zeros(N, np.int32))
    assert examples(store, same, given(tmp_path), TASK) == []
    assert not store.examples.exists()


def kept(folder, images) -> Samples:
    np.save(folder / "x.npy", images)
    np.save(folder / "y.npy", np.zeros(4, int))
    np.save(folder / "order.npy", np.array([3, 2, 1, 0]))
    return Samples(
        inputs=(folder / "x.npy",), labels=folder / "y.npy", indices=folder / "order.npy", count=4, sha256="0"
    )


def test_samples_are_written_as_images(tmp_path):
    images = np.arange(4 * 2 * 2 * 3, dtype=np.uint8).reshape(4, 2, 2, 3)
    samples = kept(tmp_path, images)
    (found,) = write(
        np.array([1]), samples, PETS, {"f": np.zeros(4, int), "q": np.array([1, 1, 0, 0])}, tmp_path, "worst"
    )
    assert (np.asarray(Image.open(tmp_path / found.image)) == images[2]).all()  # the second in this order
    assert found.image == "worst/1.png"
    assert (found.label, found.predictions) == ("cat", {"f": "cat", "q": "dog"})


def test_samples_that_are_no_images_give_none(tmp_path):
    samples = kept(tmp_path, np.zeros((4, 7), np.float32))
    assert write(np.array([0, 1]), samples, PETS, {"f": np.zeros(4, int)}, tmp_path, "worst") == []
    assert not (tmp_path / "worst").exists()
