from __future__ import annotations

import onnx
import pytest

from tests.conversion.formats import check_clean_graph, check_free_sizes_in_onnx, clean, source_of

pytestmark = pytest.mark.frameworks


@pytest.mark.parametrize("name", ["program", "program of one sample"])
def test_the_clean_graph_computes_what_the_model_does(pool, programs, tmp_path, name):
    check_clean_graph(pool, programs, tmp_path, name)


@pytest.mark.parametrize("name", ["any.pt2", "any_one.pt2"])
def test_free_sizes_stay_free(pool, free_programs, tmp_path, name):
    check_free_sizes_in_onnx(pool, free_programs, tmp_path, name)


def test_nodes_have_the_names_of_the_users_modules(pool, programs, tmp_path):
    graph = onnx.load(clean(pool, source_of(programs, "program"), programs / "inputs.npz", tmp_path)).graph
    weighted = [node.name for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert weighted == ["conv", "depthwise", "dense"]
    assert [value.name for value in graph.input] == ["image"]
