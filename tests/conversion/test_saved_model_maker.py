from __future__ import annotations

import numpy as np
import pytest

from bitpick.errors import ModelError
from bitpick.models.source import Source
from tests.conversion import format_steps as steps
from tests.conversion.formats import check_clean_graph, clean, run, start

pytestmark = pytest.mark.frameworks


@pytest.mark.parametrize("name", ["weights"])
def test_the_clean_graph_computes_what_the_model_does(pool, files, tmp_path, name):
    check_clean_graph(pool, files, tmp_path, name)


def test_a_function_that_builds_no_model_of_keras_is_refused(pool, files, tmp_path):
    other = Source(str(files / "net.weights.h5"), True, keras_builder="format_steps:weights")
    with pytest.raises(ModelError, match="format_steps:weights returns a dict") as error:
        start(pool, other, files / "inputs.npz", tmp_path / "made")
    assert error.value.expected == "a keras.Model, built"


def test_a_function_among_the_layers_of_keras_is_run_by_tensorflow(pool, files, tmp_path):
    found = clean(pool, Source(str(files / "lambda.keras"), True), files / "inputs.npz", tmp_path)
    np.testing.assert_allclose(run(found, steps.samples())[0], np.load(files / "scaled.npy"), atol=1e-5)


def test_weights_of_another_net_are_refused(pool, files, tmp_path):
    other = Source(str(files / "net.weights.h5"), True, keras_builder="format_steps:build_scaled")
    with pytest.raises(ModelError, match="do not fit"):
        start(pool, other, files / "inputs.npz", tmp_path / "made")
