from __future__ import annotations

import numpy as np
import pytest

from bitpick.conversion import litert_file
from bitpick.models.source import Source
from tests.conversion.formats import check_free_sizes_in_litert, check_litert, clean, run

pytestmark = pytest.mark.frameworks


@pytest.mark.parametrize("name", ["keras", "keras2"])
def test_litert_from_the_source_itself_computes_it_too(pool, files, tmp_path, name):
    check_litert(pool, files, tmp_path, name)


@pytest.mark.parametrize("name", ["any.keras"])
def test_free_sizes_are_fixed(pool, free, tmp_path, name):
    check_free_sizes_in_litert(pool, free, tmp_path, name)


def test_several_inputs_and_outputs_keep_their_order(pool, files, tmp_path):
    convert = "bitpick.conversion.litert_from_keras:convert"
    pool.run("keras", convert, {"source": files / "two.keras", "out": tmp_path / "m.tflite"})
    interpreter = litert_file.load(tmp_path / "m.tflite")
    inputs, outputs = litert_file.inputs_and_outputs(interpreter)
    assert [each["shape"].tolist() for each in outputs] == [[1, 2], [1, 3]]
    x = np.random.default_rng(0).normal(size=(2, 1, 3)).astype(np.float32)
    np.save(tmp_path / "a.npy", x[0])
    for each, array in zip(inputs, x, strict=True):
        interpreter.set_tensor(each["index"], array)
    interpreter.invoke()
    found = [interpreter.get_tensor(each["index"]) for each in outputs]
    graph = clean(pool, Source(str(files / "two.keras")), files / "inputs.npz", tmp_path)
    for mine, theirs in zip(found, run(graph, *x), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
