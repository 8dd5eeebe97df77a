from __future__ import annotations

import numpy as np

from bitpick.datasets import columns


def test_arrays_are_columns_some_rows_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "_ROWS", 2)
    arrays = {"a": np.arange(5), "kind": np.array(["x", "yy", "z", "x", "z"])}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    table = columns.Columns("the samples", {name: tmp_path / f"{name}.npy" for name in arrays}, [])
    assert (table.columns, table.features) == (("a", "kind"), ("a",))
    chunks = list(table.chunks(["kind", "a"]))
    assert [len(chunk["a"]) for chunk in chunks] == [2, 2, 1]
    for name, array in arrays.items():
        np.testing.assert_array_equal(np.concatenate([chunk[name] for chunk in chunks]), array)
