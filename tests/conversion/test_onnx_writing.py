from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from bitpick.conversion.onnx_writing import Expansion, KeepNode, text


def writing(operator="FusedConv", inputs=("x",), outputs=("y",), name="the.node", opset=17, **stored):
    node = helper.make_node(operator, list(inputs), list(outputs), name, domain="com.microsoft")
    return Expansion(node, opset, {key: onnx.numpy_helper.from_array(each, key) for key, each in stored.items()}, {})


def test_the_main_node_keeps_the_name_and_the_others_are_named_after_it():
    made = writing()
    first = made.add("Conv", "x")
    made.add("Relu", first)
    made.add("Relu", first)
    assert [node.name for node in made.nodes] == ["the.node", "the.node/Relu1", "the.node/Relu2"]
    assert made.nodes[1].input == made.nodes[0].output
    outputs = [node.output[0] for node in made.nodes]
    assert len(set(outputs)) == len(outputs)


def test_nodes_of_one_without_a_name_are_named_after_what_it_gives():
    made = writing(operator="QuickGelu", name="")
    made.add("Sigmoid", "x")
    assert made.nodes[0].name == "y/Sigmoid0"


def test_new_stored_tensors_have_names_and_types_of_their_own():
    made = writing()
    names = [made.constant(0.5), made.constant([-1], np.int64)]
    assert names == [each.name for each in made.initializers]
    assert len(set(names)) == 2
    arrays = [onnx.numpy_helper.to_array(each) for each in made.initializers]
    assert [each.dtype for each in arrays] == [np.float32, np.int64]
    assert [each.tolist() for each in arrays] == [0.5, [-1]]


def test_an_input_that_is_left_out_has_no_name():
    made = writing(inputs=["x", "", "b"])
    assert [made.input(place) for place in range(4)] == ["x", "", "b", ""]


def test_a_node_whose_other_outputs_are_read_is_left_as_it_is():
    made = writing(outputs=["y", "", "mask", "sum"])
    made.keep_if_outputs_beyond(2, 3)
    with pytest.raises(KeepNode):
        made.keep_if_outputs_beyond(2)
    writing(outputs=["y", "", ""]).keep_if_outputs_beyond()


def test_a_weight_that_is_computed_leaves_the_node_as_it_is():
    made = writing(inputs=["x", "w"], w=np.arange(3))
    assert made.array("w").tolist() == [0, 1, 2]
    with pytest.raises(KeepNode):
        made.array("x")


def test_an_activation_has_its_parameters_as_its_operator_takes_them():
    made = writing()
    for name, parameters in (("LeakyRelu", [0.25]), ("HardSigmoid", [0.5, 0.75]), ("Clip", [0.0, 6.0]), ("Tanh", [])):
        made.add_activation("x", name, parameters)
    leaky, hard, clip, tanh = made.nodes
    assert {a.name: a.f for a in leaky.attribute} == {"alpha": 0.25}
    assert {a.name: a.f for a in hard.attribute} == {"alpha": 0.5, "beta": 0.75}
    assert list(clip.input) == ["x", *(each.name for each in made.initializers)]
    assert not tanh.attribute
    with pytest.raises(KeepNode):
        made.add_activation("x", "Softplus", [])


@pytest.mark.parametrize("opset", [17, 18])
def test_the_axes_of_a_mean_are_where_the_operator_set_has_them(opset):
    made = writing(opset=opset)
    made.add_mean("x")
    (node,) = made.nodes
    assert [a.name for a in node.attribute] == (["axes"] if opset == 17 else [])
    assert len(node.input) == (1 if opset == 17 else 2)


def test_a_word_is_one_however_onnx_has_it():
    assert text(b"Relu") == text("Relu") == "Relu"
