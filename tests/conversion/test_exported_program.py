from __future__ import annotations

import numpy as np
import onnx
import pytest

from bitpick.conversion import exported_program
from bitpick.errors import ModelError
from bitpick.models.source import Source
from tests.conversion.formats import clean, run

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")

import torch

pytestmark = pytest.mark.frameworks


def test_a_batch_is_cut_or_begins_again():
    batch = (torch.arange(3), torch.arange(6).reshape(3, 2))
    assert [each.tolist() for each in exported_program.take_samples(batch, 2)] == [[0, 1], [[0, 1], [2, 3]]]
    assert exported_program.take_samples(batch, 5)[0].tolist() == [0, 1, 2, 0, 1]
    assert exported_program.take_samples(batch, None) == batch


def test_outputs_come_out_of_whatever_holds_them():
    def structured(x):
        return {"scores": (x, [x + 1]), "count": 3, "none": None}

    found = exported_program.arrays(structured, (torch.zeros(2),))
    assert [each.tolist() for each in found] == [[0, 0], [1, 1]]


def test_a_batch_that_is_not_taken_is_refused_with_its_shapes():
    layer = torch.nn.Linear(3, 2)
    with pytest.raises(ModelError, match=r"does not take a batch of shape \(4, 5\): ") as error:
        exported_program.run(layer, (torch.zeros(4, 5),))
    assert "\n" not in error.value.what


def test_a_file_that_is_no_program_is_refused(tmp_path):
    (tmp_path / "m.pt2").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match=r"PyTorch cannot read .*m\.pt2"):
        exported_program.load(tmp_path / "m.pt2")


def test_a_batch_that_cannot_be_freed_stays(pool, tmp_path):
    pool.run("pytorch", "format_steps:write_stubborn", {"out": tmp_path / "m.pt2"})
    source = Source(str(tmp_path / "m.pt2"), True)
    found = clean(pool, source, tmp_path / "none", tmp_path)
    x = np.random.default_rng(0).random((2, 6), dtype=np.float32)
    assert onnx.load(found).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2
    np.testing.assert_allclose(run(found, x)[0], x.reshape(4, 3).cumsum(0).reshape(2, 6), atol=1e-5)
