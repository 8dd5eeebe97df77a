from __future__ import annotations

from pathlib import Path

import pytest

from bitpick.conversion.pytorch_operators import registry as module


def test_a_second_converter_for_an_operator_is_refused():
    module.converters()
    with pytest.raises(ValueError, match="Conv has a converter already: convolution"):
        module.operator("Conv")(lambda context: None)


def test_every_converter_says_what_it_makes():
    for each in module.coverage():
        assert each.form, each.operator
        assert "`" in each.form or each.form.startswith(("Known", "Indexing", "The input itself")), each


def test_limits_are_told():
    (conv,) = [each for each in module.coverage() if each.operator == "Conv"]
    assert conv.limits == "computed weights; more than three spatial axes"
    assert [each.limits for each in module.coverage() if each.operator == "Relu"] == [""]


def test_every_family_has_tests_of_its_own():
    for family in {each.family for each in module.coverage()}:
        assert f'Family("{family}")' in Path(__file__).with_name(f"test_{family}.py").read_text()
