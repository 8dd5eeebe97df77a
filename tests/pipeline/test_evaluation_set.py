"""What stays known of a run's evaluation set, and what is given to devices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bitpick.datasets.dataset import Samples
from bitpick.datasets.sampling import digest
from bitpick.errors import DataError, OutputError, RequestError
from bitpick.pipeline import evaluation_set
from bitpick.pipeline.evaluation_set import EvaluationSet
from bitpick.preprocessing import Preprocessing
from bitpick.tasks.classification import Classification
from bitpick.tasks.custom import Custom

TASK = Classification(classes=("a", "b"))


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (20, 3, 2), dtype=np.uint8), rng.normal(size=(20, 5)).astype(np.float32)


def known(folder, *arrays, indices=None) -> EvaluationSet:
    paths = []
    for number, array in enumerate(arrays):
        np.save(folder / f"{number}.npy", array)
        paths.append(folder / f"{number}.npy")
    order = np.arange(len(arrays[0])) if indices is None else indices
    if indices is not None:
        np.save(folder / "indices.npy", indices)
    samples = Samples(
        inputs=tuple(paths),
        indices=None if indices is None else folder / "indices.npy",
        count=len(order),
        sha256="0",
        preprocessing=(Preprocessing(scale=2.0), *[Preprocessing()] * (len(arrays) - 1)),
    )
    digests = np.array([digest([array[i] for array in arrays]) for i in order], dtype="S32")
    names = ("image", "mask")[: len(arrays)]
    return EvaluationSet(samples, names, digests, np.zeros(len(order), np.int64), TASK, folder)


def test_samples_are_evenly_spaced_and_named_by_their_place(arrays, tmp_path):
    written = evaluation_set.export(known(tmp_path, arrays[0]), tmp_path / "out", 5)
    assert [path.name for path in written] == ["00.npy", "04.npy", "09.npy", "14.npy", "19.npy"]
    for path in written:
        found = np.load(path)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, arrays[0][int(path.stem)])


def test_several_inputs_come_in_one_file(arrays, tmp_path):
    (path, *_) = evaluation_set.export(known(tmp_path, *arrays), tmp_path / "out", 2)
    with np.load(path) as file:
        assert file.files == ["image", "mask"]
        np.testing.assert_array_equal(file["mask"], arrays[1][0])


def test_places_are_those_of_the_evaluation_set(arrays, tmp_path):
    found = known(tmp_path, arrays[0], indices=np.array([7, 3, 5]))
    written = evaluation_set.export(found, tmp_path / "out", 100)
    assert len(written) == 3
    np.testing.assert_array_equal(np.load(written[1]), arrays[0][3])
    (inputs,) = found.inputs(np.array([2, 0]))
    np.testing.assert_array_equal(inputs, arrays[0][[5, 7]] / np.float32(2))


def test_samples_that_are_others_by_now_are_not_given_out(arrays, tmp_path):
    found = known(tmp_path, arrays[0])
    np.save(tmp_path / "0.npy", arrays[0] + 1)
    with pytest.raises(DataError, match="no longer in"):
        evaluation_set.export(found, tmp_path / "out", 5)
    assert not (tmp_path / "out").exists()
    (tmp_path / "0.npy").unlink()
    with pytest.raises(DataError, match="no longer in"):
        found.inputs(np.array([0]))


def test_nothing_is_overwritten(arrays, tmp_path):
    found = known(tmp_path, arrays[0])
    with pytest.raises(OutputError, match="not an empty directory"):
        evaluation_set.export(found, tmp_path, 5)
    with pytest.raises(RequestError, match="out of range"):
        evaluation_set.export(found, tmp_path / "out", 0)


def test_a_file_that_is_none_is_told(tmp_path):
    (tmp_path / "evaluation.npz").write_bytes(b"PK")
    with pytest.raises(OutputError, match="does not say which samples"):
        evaluation_set.read(tmp_path / "evaluation.npz", "0")


def test_samples_and_code_elsewhere_are_asked_about(arrays, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path / "cache"))
    evaluation = replace(known(tmp_path, arrays[0]), root=tmp_path / "run")
    with pytest.raises(OutputError, match=r"are read from .*0\.npy[\s\S]*--trust-run"):
        evaluation.stored(np.arange(3))
    assert len(replace(evaluation, trusted=True).stored(np.arange(3))) == 3
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path))
    assert len(evaluation.stored(np.arange(3))) == 3
    evaluation.check_code()
    code = replace(evaluation, task=Custom(path="mine:metric", outputs=("y",), name="m"))
    with pytest.raises(OutputError, match=r"judged by mine:metric, which is code[\s\S]*--trust-run"):
        code.check_code()
    replace(code, trusted=True).check_code()
