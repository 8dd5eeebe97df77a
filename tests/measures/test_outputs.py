from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bitpick.datasets.activations import BATCH_BYTES, Activations
from bitpick.errors import EngineError, ModelError
from bitpick.measures.outputs import all_outputs, check_independence
from tests.measures.function_session import FunctionSession


def test_scores_come_in_the_order_of_the_samples(dataset):
    first_pixels = lambda batch: batch.reshape(len(batch), -1)[:, :4]  # noqa: E731
    (found,) = all_outputs(FunctionSession(first_pixels), dataset.samples(dataset.evaluation), [(4,)])
    assert np.array_equal(found, dataset.evaluation.inputs["image"].reshape(600, -1)[:, :4])


def test_batches_are_as_large_as_activations_let_them_be(dataset):
    sizes = []

    def first_pixels(batch):
        sizes.append(len(batch))
        return batch.reshape(len(batch), -1)[:, :4]

    samples = dataset.samples(dataset.evaluation)
    all_outputs(FunctionSession(first_pixels), samples, [(4,)])
    large = samples.model_copy(update={"activations": Activations(peak=BATCH_BYTES // 150, total=BATCH_BYTES)})
    all_outputs(FunctionSession(first_pixels), large, [(4,)])
    assert sizes == [250, 250, 100, 150, 150, 150, 150]


def test_large_outputs_are_gathered_in_a_file_that_goes_with_them(dataset, tmp_path):
    masks = lambda batch: np.repeat(batch.reshape(len(batch), -1)[:, :1], 40_000, axis=1).astype(np.float32)  # noqa: E731
    (tmp_path / "beside").mkdir()
    (found,) = all_outputs(
        FunctionSession(masks), dataset.samples(dataset.evaluation), [(40_000,)], tmp_path / "beside"
    )
    assert isinstance(found.base, np.memmap)
    assert not list((tmp_path / "beside").iterdir())
    assert np.array_equal(found[:, 39_999], dataset.evaluation.inputs["image"].reshape(600, -1)[:, 0])


def test_samples_that_must_not_see_each_other_are_run_one_by_one(dataset):
    sizes = set()

    def scaled(batch):
        sizes.add(len(batch))
        return batch.reshape(len(batch), -1)[:, :4] / batch.max()

    session = FunctionSession(scaled)
    session.one_at_a_time = True
    samples = dataset.samples(dataset.evaluation).head(20)
    (found,) = all_outputs(session, samples, [(4,)])
    assert sizes == {1}
    pixels = dataset.evaluation.inputs["image"][:20].reshape(20, -1)
    np.testing.assert_allclose(found, pixels[:, :4] / pixels.max(axis=1, keepdims=True))


def test_a_score_that_is_not_finite_is_named(dataset):
    def broken(batch):
        scores = np.zeros((len(batch), 4), np.float32)
        if len(batch) < 250:  # the last batch
            scores[7, 2] = np.inf
        return scores

    with pytest.raises(EngineError, match="first for sample 507"):
        all_outputs(FunctionSession(broken), dataset.samples(dataset.evaluation), [(4,)])


@pytest.mark.parametrize("shape", [(250, 3), (1, 4), (250,), (250, 4, 1)])
def test_scores_of_another_shape_are_refused(dataset, shape):
    with pytest.raises(EngineError, match=r"expected: \(250, 4\)"):
        all_outputs(FunctionSession(lambda _: np.zeros(shape, np.float32)), dataset.samples(dataset.evaluation), [(4,)])


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda batch: batch - batch.mean(axis=0), "depends on the other samples in its batch: alone, y of sample 0"),
        (lambda batch: batch[: len(batch) // 2 + 1], "does not have one row for each sample: its shape is"),
        (lambda batch: np.repeat(batch, 2, axis=0), "does not have one row for each sample: its shape is"),
        (lambda batch: batch[:, : 1 + len(batch)], "does not have one row for each sample: its shape is"),
        (lambda batch: batch + RNG.normal(size=batch.shape), "gives a different answer each time: y differs"),
        (lambda batch: np.where(len(batch) > 1, np.nan, batch), "depends on the other samples in its batch"),
    ],
)
def test_a_model_whose_answer_depends_on_the_batch_is_refused(dataset, function, told):
    session = FunctionSession(
        lambda batch: function(batch.reshape(len(batch), -1)[:, :4].astype(np.float32)).astype(np.float32)
    )
    with pytest.raises(ModelError, match=told):
        check_independence(session, dataset.samples(dataset.evaluation), ["y"], "m.onnx")


def test_rounding_and_numbers_that_are_never_finite_are_no_dependence(dataset):
    def rounded(batch):
        found = batch.reshape(len(batch), -1)[:, :4] * np.float32(1 + 1e-6 * len(batch))
        found[:, 3] = np.inf
        return found.astype(np.float32)

    check_independence(FunctionSession(rounded), dataset.samples(dataset.evaluation), ["y"], "m.onnx")


def peak_memory(count: int, folder) -> int:
    """Peak resident bytes of a process that evaluates so many samples of 3 kB."""
    code = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from bitpick.datasets.dataset import Samples
from bitpick.measures.outputs import all_outputs
from tests.measures.function_session import FunctionSession

folder = Path({str(folder)!r})
samples = Samples(inputs=(folder / "images.npy",), labels=folder / "labels.npy", count={count}, sha256="0")
all_outputs(FunctionSession(lambda batch: batch.reshape(len(batch), -1)[:, :4]), samples, [(4,)])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)


def test_peak_memory_does_not_grow_with_the_number_of_samples(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((40_000, 32, 32, 3), np.uint8))
    np.save(tmp_path / "labels.npy", np.zeros(40_000, np.uint8))
    few, many = (peak_memory(count, tmp_path) for count in (1_000, 40_000))
    # 39,000 more samples are 120 MB as stored and 480 MB as float32; their scores are 0.6 MB.
    assert many - few < 8_000_000
