from __future__ import annotations

import numpy as np
import pytest

from bitpick.conversion import keras_legacy
from tests.conversion.formats import check_clean_graph


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["keras2"])
def test_the_clean_graph_computes_what_the_model_does(pool, files, tmp_path, name):
    check_clean_graph(pool, files, tmp_path, name)


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("name", "version", "legacy"),
    [("m.h5", "2.15.0", True), ("m.h5", b"2.4.3", True), ("m.h5", "3.5.0", False), ("m.h5", None, True)],
)
def test_the_version_that_wrote_a_file_tells(tmp_path, name, version, legacy):
    import h5py

    with h5py.File(tmp_path / name, "w") as file:
        if version is not None:
            file.attrs["keras_version"] = version
    assert keras_legacy.is_legacy(tmp_path / name) is legacy


def test_keras_2_wrote_no_file_of_keras_3(tmp_path):
    assert not keras_legacy.is_legacy(tmp_path / "not-even-there.keras")


def layer(kind, **config):
    return {"class_name": kind, "config": config}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (layer("DepthwiseConv2D", groups=1, strides=2), {"strides": 2}),
        (layer("Conv2D", groups=1), {"groups": 1}),
        (layer("Conv2DTranspose", groups=2), {"groups": 2}),
        (layer("LSTM", time_major=False, units=3), {"units": 3}),
        (layer("LSTM", time_major=True), {"time_major": True}),
        (layer("SeparableConv1D", kernel_initializer={}, kernel_constraint=None, groups=1), {}),
        (layer("BatchNormalization", axis=[3]), {"axis": 3}),
        (layer("BatchNormalization", axis=[1, 2]), {"axis": [1, 2]}),
        (layer("Dense", dtype=layer("Policy", name="mixed_float16")), {"dtype": "mixed_float16"}),
    ],
)
def test_layers_are_described_as_keras_3_has_them(old, new):
    wrapped = layer("TimeDistributed", layer=old)
    found = keras_legacy.modernize({"layers": [wrapped]})
    assert found["layers"][0]["config"]["layer"]["config"] == new


def test_slashes_in_names_become_dots_wherever_the_name_is():
    dense = layer("Dense", name="block/dense", units=3) | {"inbound_nodes": [[["in/put", 0, 0, {}]]]}
    config = {"layers": [layer("InputLayer", name="in/put"), dense], "output_layers": [["block/dense", 0, 0]]}
    found = keras_legacy.modernize(config | {"note": "a/b"})
    assert found["output_layers"] == [["block.dense", 0, 0]]
    assert found["layers"][1]["inbound_nodes"] == [[["in.put", 0, 0, {}]]]
    assert found["note"] == "a/b"


def test_constants_of_a_function_move_from_the_graph_into_its_layer():
    node = ["_CONSTANT_VALUE", -1, 2.0, {"y": ["x", 0, 0], "name": None}]
    function = layer("TFOpLambda", name="minus", function="math.subtract") | {"inbound_nodes": [node]}
    found = keras_legacy.modernize(function)
    assert found["config"]["constants"] == [2.0, None]
    assert found["inbound_nodes"] == [[["x", 0, 0, {}]]]


@pytest.mark.frameworks
def test_functions_that_keras_2_saved_as_layers(pool, tmp_path):
    found = pool.run("keras", "format_steps:run_legacy_functions", {"out": tmp_path / "model.keras"}).value
    np.testing.assert_allclose(found, [0, 0.25, 0])


@pytest.mark.frameworks
def test_keras_runs_what_keras_2_wrote(pool, files, tmp_path):
    payload = {"source": files / "legacy.h5", "inputs": files / "samples.npy", "out": tmp_path / "out.npy"}
    pool.run("keras", "format_steps:run_keras", payload)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), np.load(files / "expected.npy"), atol=1e-6)
