from __future__ import annotations

import numpy as np
import pytest

from bitpick.engines.litert.file import File, Graph, Op, turns
from tests.engines.litert import files


def number(*values):
    return b"".join(value.to_bytes(4, "little") for value in values), "INT32"


START, STEP, LIMIT = number(2), number(1), number(6)


def loop(limit=LIMIT, start=START, step=STEP, compare="LESS"):
    """A WHILE that counts from 2 to 6."""
    whole = Graph(0, (), (), (), _values={0: start})
    condition = Graph(1, (Op(compare, (0, 1), (2,)),), (0,), (2,), _values={1: limit})
    body = Graph(2, (Op("ADD", (0, 1), (2,)),), (0,), (2,), _values={1: step})
    return Op("WHILE", (0,), (1,), (1, 2)), whole, condition, body


def test_a_loop_that_counts_tells_how_often_it_turns():
    assert turns(*loop()) == 4
    assert turns(*loop(limit=number(0))) == 0


@pytest.mark.parametrize("odd", [{"compare": "GREATER"}, {"step": number(2)}, {"start": (None, "INT32")}])
def test_of_any_other_loop_nobody_knows(odd):
    assert turns(*loop(**odd)) is None


def test_a_loop_that_goes_on_while_two_counters_are_low_ends_with_the_first():
    whole = Graph(0, (), (), (), _values={0: number(0), 1: number(5)})
    compare = (Op("LESS", (0, 2), (3,)), Op("LESS", (1, 2), (4,)), Op("LOGICAL_AND", (3, 4), (5,)))
    condition = Graph(1, compare, (0, 1), (5,), _values={2: number(9)})
    body = Graph(2, (Op("ADD", (0, 2), (3,)), Op("ADD", (1, 2), (4,))), (0, 1), (3, 4), _values={2: number(1)})
    assert turns(Op("WHILE", (0, 1), (2, 3), (1, 2)), whole, condition, body) == 4


def test_the_numbers_of_a_tensor_are_those_that_its_type_says():
    found = Graph(0, (), (0,), (), _values={1: (b"\xff\x01", "INT8"), 2: (b"\x00\x3c", "FLOAT16"), 3: number(7)})
    assert found.value(1).tolist() == [-1, 1]
    assert found.value(3).tolist() == [7]
    assert found.value(2) is None  # a type that is no weight's here
    assert found.value(0) is None  # computed


OUTER = Graph(0, (), (0,), (), _values={5: number(1)})


def test_a_branch_finds_what_the_graph_around_it_stores_behind_the_condition():
    branch = Graph(1, (), (0, 1), (2,), OUTER, Op("IF", (9, 0, 5), (8,), (1,)), {3: number(1)})
    assert branch.stored(1) == (OUTER, 5)
    assert branch.stored(3) == (branch, 3)
    assert branch.stored(0) is None  # an input of the graph around it
    assert branch.stored(2) is None  # computed


@pytest.mark.parametrize("outputs", [(1, 7), (7, 1), (7,)])
def test_a_loop_has_stored_only_what_it_hands_on_unchanged(outputs):
    body = Graph(2, (), (0, 1), outputs, OUTER, Op("WHILE", (0, 5), (8, 9), (1, 2)))
    assert body.stored(1) == ((OUTER, 5) if outputs == (7, 1) else None)


def test_a_tensor_is_made_by_the_operator_that_gives_it():
    found = Graph(0, (Op("SPLIT", (0,), (1, 2)), Op("ADD", (1, 2), (3,))), (0,), (3,))
    assert [op and op.kind for op in map(found.maker, (0, 1, 2, 3))] == [None, "SPLIT", "SPLIT", "ADD"]


@pytest.mark.frameworks
def test_graphs_are_read_from_a_file_as_its_schema_has_them(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install 'bitpick[litert]'")
    x, y = (files.Tensor(name, (1, 3)) for name in "xy")
    kept = files.stored("w", np.arange(9, dtype=np.float32).reshape(3, 3))
    main = files.Graph(
        [x, files.stored("yes", np.array(True)), y],
        [files.op("IF", "yes x -> y", thenSubgraphIndex=1, elseSubgraphIndex=2)],
        "x",
        "y",
    )
    then = files.Graph([x, kept, y], [files.op("FULLY_CONNECTED", "x w - -> y")], "x", "y")
    other = files.Graph([files.Tensor("p", (1, 3)), files.Tensor("q", (1, 3))], [files.op("RELU", "p -> q")], "p", "q")
    found = File(files.write(tmp_path / "m.tflite", main, then, other))
    assert found.graph().ops == (Op("IF", (1, 0), (2,), (1, 2)),)
    assert (found.graph().inputs, found.graph().outputs) == ((0,), (2,))
    assert found.graph(1).ops == (Op("FULLY_CONNECTED", (0, 1, -1), (2,)),)
    assert found.graph(1).value(1).tolist() == list(range(9))
    assert found.names_inside() == ["x", "w", "y", "p", "q"]
