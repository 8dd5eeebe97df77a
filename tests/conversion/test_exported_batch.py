"""Programs of `torch.export` that have their batch on another axis than the first, or none."""

from __future__ import annotations

import numpy as np
import pytest

from bitpick.errors import ModelError
from tests.conversion.exported_batch_steps import samples

pytestmark = pytest.mark.frameworks


@pytest.fixture(scope="module")
def folder(pool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    np.save(folder / "steps.npy", samples())
    np.save(folder / "rate.npy", np.full(4, 2, np.float32))
    np.savez(folder / "one.npz", samples())
    np.savez(folder / "two.npz", np.full(4, 2, np.float32), samples())  # in another order than the program's
    pool.run("pytorch", "exported_batch_steps:write", {"folder": folder})
    return folder


def made(pool, folder, name, out):
    names = ["rate", "steps"] if name in ("scaled", "groups") else ["steps"]
    inputs = folder / ("two.npz" if len(names) == 2 else "one.npz")
    payload = {"out": out, "source": folder / f"{name}.pt2", "kind": "PROGRAM", "inputs": inputs, "names": names}
    return pool.run("pytorch", "bitpick.conversion.exported_maker:make", payload).value["notes"]


@pytest.mark.parametrize(
    ("name", "size", "told"),
    [
        ("whole", 1, "have no batch axis, so builds run one sample at a time"),
        ("scaled", 1, "rate has no batch axis, so builds run one sample at a time"),
        ("squeezed", 1, "has no batch axis, so builds run one sample at a time"),
        ("one", None, "the batch is axis 1 of steps: builds have it as the first axis"),
        ("three", None, "the batch is axis 1 of steps, axis 1 of "),
        ("free", None, "the batch is axis 1 of steps, axis 1 of "),
        ("branching", 1, "the graph chooses a branch for a whole batch, so builds run one sample at a time"),
        ("turned", None, "the batch is axis 1 of "),
        ("both_free", None, "the batch is axis 1 of steps: builds"),
    ],
)
def test_its_batch_comes_first_and_it_computes_what_it_did(pool, folder, tmp_path, name, size, told):
    (note,) = made(pool, folder, name, tmp_path / "made.pt2")
    assert told in note
    inputs = [folder / "steps.npy", *([folder / "rate.npy"] if name == "scaled" else [])]
    found = pool.run("pytorch", "exported_batch_steps:run", {"source": tmp_path / "made.pt2", "inputs": inputs}).value
    assert found["names"] == ["steps", "rate"][: len(inputs)]
    assert found["size"] == size
    assert {shape[0] for shape in found["shapes"]} == {size or 4}
    np.testing.assert_allclose(found["found"], np.load(folder / f"{name}.npy"), rtol=1e-5, atol=1e-6)


def test_a_batch_of_one_is_not_freed_where_a_branch_would_be_chosen_for_several(pool, folder, tmp_path):
    assert made(pool, folder, "branching_one", tmp_path / "made.pt2") == []
    found = pool.run(
        "pytorch", "exported_batch_steps:run", {"source": tmp_path / "made.pt2", "inputs": [folder / "steps.npy"]}
    )
    assert found.value["size"] == 1


def test_an_input_for_several_samples_beside_one_without_a_batch_is_refused(pool, folder, tmp_path):
    with pytest.raises(ModelError, match=r"take different numbers of samples at once: steps \(3, 6, 10\); rate \(\)"):
        made(pool, folder, "groups", tmp_path / "made.pt2")


def test_samples_of_another_model_tell_nothing(pool, folder, tmp_path):
    payload = {"out": tmp_path / "made.pt2", "source": folder / "whole.pt2", "kind": "PROGRAM"}
    np.savez(tmp_path / "other.npz", np.zeros((4, 7), np.float32))
    payload |= {"inputs": tmp_path / "other.npz", "names": ["steps"]}
    assert pool.run("pytorch", "bitpick.conversion.exported_maker:make", payload).value["notes"] == []
