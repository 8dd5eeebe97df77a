"""What comes back from a device."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bitpick.deployment import results
from bitpick.errors import DataError

SAMPLE = {"name": "0.npy", "digest": "00", "outputs": [[0.5, 0.25], [[1]]]}
FOUND = {"schema_version": 1, "recipe": "fake:float32", "files": {"model.npz": "0" * 64}, "samples": [SAMPLE, SAMPLE]}


def written(tmp_path, **fields):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(FOUND | fields))
    return path


def test_outputs_are_arrays(tmp_path):
    found = results.read(written(tmp_path))
    assert [each.shape for each in found.outputs] == [(2, 2), (2, 1, 1)]
    assert all(each.dtype == np.float32 for each in found.outputs)


def test_times_become_quantiles_and_nothing_is_compared(tmp_path):
    times = {"nanoseconds": list(range(1000, 1101)), "batch": 1, "threads": 2}
    found = results.read(written(tmp_path, latency=times, versions={"x": "1"}, more="of one's own")).device("ff")
    assert (found.p50, found.p90) == (pytest.approx(1.05e-6), pytest.approx(1.09e-6))
    assert (found.runs, found.threads, found.versions, found.results_sha256) == (101, 2, {"x": "1"}, "ff")
    bare = results.read(written(tmp_path)).device("ff")
    assert bare.p50 is None


@pytest.mark.parametrize("fields", [{"samples": []}, {"latency": {"nanoseconds": []}}, {"files": 3}])
def test_what_holds_no_results_is_refused_with_the_place(tmp_path, fields):
    with pytest.raises(DataError, match=f"holds no results: {next(iter(fields))}") as caught:
        results.read(written(tmp_path, **fields))
    assert "run.py" in caught.value.expected


def test_what_is_no_json_is_refused(tmp_path):
    path = tmp_path / "results.json"
    path.write_bytes(b"\xff{")
    with pytest.raises(DataError, match="holds no results"):
        results.read(path)
    with pytest.raises(DataError, match="cannot be read"):
        results.read(tmp_path)
