from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from bitpick.conversion.pytorch_operators import sizes as module
from bitpick.conversion.pytorch_operators.sizes import Batch
from tests.conversion.pytorch_operators.nodes import check_graph, graph_of


@pytest.mark.parametrize(
    ("seen", "size"),
    [((4, 4), 4), ((2, 3), Batch()), ((8, 12), Batch(4)), ((3, 4), None), ((5, 7), None), ((3, 2), None)],
)
def test_a_size_is_a_number_a_multiple_of_the_batch_or_unknown(seen, size):
    assert module.size_of(*seen) == size


def test_arithmetic_with_the_batch():
    assert Batch(2) * 3 == 3 * Batch(2) == Batch(6)
    assert Batch(6) // 3 == Batch(2)
    assert Batch(6) // Batch(2) == 3


@pytest.mark.parametrize("text", ["Batch() + 1", "Batch(3) // 2", "Batch() * Batch()", "Batch() // Batch(2)"])
def test_what_is_no_multiple_of_the_batch_is_not_computed(text):
    with pytest.raises(TypeError):
        eval(text)


def folded(operator, *inputs, **attributes):
    node = helper.make_node(operator, [f"x{i}" for i in range(len(inputs))], ["y"], **attributes)
    found = module.fold(node, [module.packed(each) for each in inputs], 17)
    return None if found is None else found[0].tolist()


N = Batch()


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes", "result"),
    [
        ("Gather", ([N, 3, 4], 0), {}, N),
        ("Gather", ([N, 3, 4], [1, -1]), {}, [3, 4]),
        ("Concat", ([N], [-1], [8]), {"axis": 0}, [N, -1, 8]),
        ("Slice", ([N, 3, 4, 5], [1], [2**63 - 1]), {}, [3, 4, 5]),
        ("Slice", ([N, 3, 4, 5], [0], [4], [0], [2]), {}, [N, 4]),
        ("Unsqueeze", (N, [0]), {}, [N]),
        ("Squeeze", ([N], [0]), {}, N),
        ("Mul", (N, 4), {}, Batch(4)),
        ("Div", (Batch(8), 4), {}, Batch(2)),
        ("Max", ([N, 3, 1], [1, 4, Batch(2)]), {}, [N, 4, Batch(2)]),
        ("Max", ([N, 3], [N, 4]), {}, [N, 4]),
        ("Max", ([N, 3], [2, 4]), {}, None),
        ("Equal", ([N, -1], [-1, -1]), {}, [False, True]),
        ("Where", ([True, False], [1, 1], [N, 7]), {}, [1, 7]),
        ("ReduceProd", ([N, 3, 4],), {}, [Batch(12)]),
        ("Reshape", (N, [1]), {}, [N]),
        ("Shape", ([N, 3],), {}, [2]),
        ("Size", ([N, 3],), {}, 2),
        ("Cast", ([N, 3],), {"to": 7}, [N, 3]),
        ("Add", ([1, 2], 3), {}, [4, 5]),
        ("Add", ([N, 2], 3), {}, None),
        ("Floor", ([N, 2],), {}, None),
    ],
)
def test_what_is_done_with_shapes_is_done_at_import(operator, inputs, attributes, result):
    assert folded(operator, *inputs, **attributes) == result


@pytest.mark.frameworks
def test_a_target_computed_from_a_shape_keeps_the_batch_free():
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
    graph = graph_of(
        [
            ("Shape", ["x"], ["s"], {}),
            ("Gather", ["s", "zero"], ["n"], {"axis": 0}),
            ("Mul", ["n", "two"], ["2n"], {}),
            ("Unsqueeze", ["2n", "front"], ["2n_"], {}),
            ("Concat", ["2n_", "rest"], ["target"], {"axis": 0}),
            ("Reshape", ["x", "target"], ["halves"], {}),
            ("ConstantOfShape", ["target"], ["zeros"], {}),
            ("Expand", ["token", "target"], ["tokens"], {}),
            ("Add", ["halves", "zeros"], ["sum"], {}),
            ("Concat", ["tokens", "sum"], ["y"], {"axis": 1}),
            ("Tile", ["row", "2n_"], ["rows"], {}),
        ],
        [("x", ["n", 6])],
        ["y", "rows"],
        {"zero": 0, "two": 2, "front": [0], "rest": [3], "token": np.float32([[7]]), "row": np.float32([1])},
    )
    check_graph(graph, [[np.ones((n, 6), np.float32)] for n in (1, 2, 5)])
