from __future__ import annotations

import numpy as np
import pytest

from bitpick.engines.pytorch_pt2e.runner import Build
from tests.engines.pytorch_pt2e.programs import write

pytestmark = pytest.mark.frameworks


@pytest.mark.parametrize(("size", "batch"), [(None, 1), (3, 3)])
def test_a_program_runs_as_it_is_with_inputs_one_by_one_and_outputs_in_a_row(tmp_path, size, batch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
    threads = torch.get_num_threads()
    write(tmp_path / "model.pt2", size)
    alone = Build(tmp_path, ["model.pt2"], {}, 1)
    assert alone.batch == batch
    sample = np.arange(4 * batch, dtype=np.float32).reshape(batch, 4)
    more, sums = alone.outputs(alone.run(alone.prepare([sample])))
    np.testing.assert_array_equal(more, sample + 1)
    np.testing.assert_array_equal(sums, sample.sum(axis=1, keepdims=True))
    torch.set_num_threads(threads)
