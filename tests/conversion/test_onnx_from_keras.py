from __future__ import annotations

import numpy as np
import onnx
import pytest

from bitpick.conversion.onnx_from_keras import refuse_foreign
from bitpick.models.source import Source
from tests.conversion.formats import check_clean_graph, check_free_sizes_in_onnx, clean, run


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["keras", "h5"])
def test_the_clean_graph_computes_what_the_model_does(pool, files, tmp_path, name):
    check_clean_graph(pool, files, tmp_path, name)


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["any.keras"])
def test_free_sizes_stay_free(pool, free, tmp_path, name):
    check_free_sizes_in_onnx(pool, free, tmp_path, name)


def test_what_the_converter_left_of_tensorflow_is_no_onnx():
    nodes = [onnx.helper.make_node(kind, ["x"], ["y"]) for kind in ("Relu", "XlaSort", "BitcastTf")]
    nodes.append(onnx.helper.make_node("Gelu2", ["x"], ["y"], domain="a.library.of.its.own"))
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], []))
    with pytest.raises(ValueError, match=r"ONNX has no operator BitcastTf, XlaSort$"):
        refuse_foreign(model)
    del model.graph.node[1:3]
    refuse_foreign(model)


@pytest.mark.frameworks
def test_several_inputs_and_outputs_of_keras_keep_their_order(pool, files, tmp_path):
    a, b = np.array([[3.0, 2, 1]], np.float32), np.array([[1.0, 1, 5]], np.float32)
    found = clean(pool, Source(str(files / "two.keras")), files / "inputs.npz", tmp_path)
    np.testing.assert_allclose(run(found, a, b)[1], a * b)
    assert [value.name for value in onnx.load(found).graph.input] == ["b_first", "a_second"]
