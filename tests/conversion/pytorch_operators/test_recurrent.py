from __future__ import annotations

import pytest
from hypothesis import strategies as st

from tests.conversion.pytorch_operators.nodes import (
    Family,
    Node,
    numbers,
)

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
pytestmark = pytest.mark.frameworks

family = Family("recurrent")


@family("LSTM", "GRU", "RNN")
def recurrent(draw, operator):
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator]
    length, batch, inner, size = draw(st.tuples(*[st.integers(1, 4)] * 4))
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    directions = 2 if direction == "bidirectional" else 1
    shapes = [(length, batch, inner), (directions, gates * size, inner), (directions, gates * size, size)]
    inputs = [numbers(draw, *shape) for shape in shapes]
    with_bias, with_states = draw(st.booleans()), draw(st.booleans())
    inputs += [numbers(draw, directions, 2 * gates * size) if with_bias else None, None]
    if with_states:
        inputs += [numbers(draw, directions, batch, size) for _ in range(2 if operator == "LSTM" else 1)]
    attributes = {"hidden_size": size, "direction": direction}
    if operator == "GRU":
        attributes["linear_before_reset"] = draw(st.integers(0, 1))
    if operator == "RNN" and draw(st.booleans()):
        attributes["activations"] = ["Relu"] * directions
    stored = draw(st.sampled_from([{1, 2, 3}, {1, 2, 3, 5, 6}]))
    return Node(operator, inputs, stored, attributes, 14, 3 if operator == "LSTM" else 2)


test_recurrent = family.test()


def test_no_operator_is_forgotten():
    assert family.missing() == set()
