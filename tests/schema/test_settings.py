from __future__ import annotations

import dataclasses
import inspect

import pytest
import typer

import bitpick
from bitpick.cli import app
from bitpick.errors import RequestError
from bitpick.schema.groups import GROUPS, Claims
from bitpick.schema.option import options
from bitpick.schema.other_groups import GateRules
from bitpick.schema.run import RequestRecord
from bitpick.schema.settings import Settings, only_options

NAMES = [name for group in GROUPS for name in options(group)]


def test_the_signature_follows():
    signature = inspect.signature(bitpick.compare)
    assert set(NAMES) <= signature.parameters.keys()
    for group in GROUPS:
        for field in dataclasses.fields(group):
            assert signature.parameters[field.name].default == field.default


def test_run_json_has_all_that_change_results():
    recorded = Settings().recorded("builds", "verdict").keys()
    judged = {"task", "metric", "unit", "lower_is_better"}
    assert recorded - judged <= RequestRecord.model_fields.keys()
    assert "jobs" not in recorded


def test_units_of_people_become_those_of_run_json():
    found = Settings().but(max_drop=0.5, max_size=100.0004, flag_drop=2, recipes=["a:b"]).recorded("builds", "verdict")
    assert (found["max_drop"], found["max_size"], found["flag_drop"]) == (0.005, 100_000, 0.02)
    assert found["recipes"] == ["a:b"]
    assert found["min_accuracy"] is None


def test_settings_are_a_value():
    first = Settings()
    second = first.but(alpha=0.01)
    assert (first.claims.alpha, second.claims.alpha) == (0.05, 0.01)
    assert second == Settings(claims=Claims(alpha=0.01))
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.claims.alpha = 0.5


def test_an_option_that_there_is_not():
    with pytest.raises(TypeError, match="no option 'aplha': did you mean alpha"):
        Settings().but(aplha=0.1)


def test_a_function_takes_its_own_options_alone():
    assert only_options(["seed"], {"seed": 3}) == Settings().but(seed=3)
    with pytest.raises(TypeError, match="no option 'margin': choose one of calibration_size, seed"):
        bitpick.quantize("model.onnx", "fake:float32", "build", margin="1%")
    with pytest.raises(TypeError, match="no rule 'max_dorp': did you mean max_drop"):
        bitpick.gate("run", max_dorp=1)


@pytest.mark.parametrize("name", ["diagnose", "evaluate", "gate", "quantize"])
def test_what_a_function_takes_by_name_is_in_its_signature_and_on_the_command_line(name):
    signature = inspect.signature(getattr(bitpick, name))
    assert not any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values())
    said = {parameter.name: parameter for parameter in typer.main.get_command(app).commands[name].params}
    code = getattr(bitpick, name).__code__
    own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    taken = [each for each in signature.parameters.values() if each.name not in own]
    assert taken
    for each in taken:
        assert said[each.name].default == each.default


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"max_drop": -0.5}, "the largest drop -0.5 is out of range\nexpected: a number from 0"),
        ({"max_latency_ratio": float("inf")}, "the largest latency ratio inf is out of range"),
        ({"min_coverage": 1.5}, "the coverage 1.5 is out of range\nexpected: a share from 0 to 1"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(rules, says):
    with pytest.raises(RequestError) as error:
        GateRules(**rules)
    assert says in str(error.value)


def test_a_limit_on_times_needs_times():
    with pytest.raises(RequestError, match="a limit on latency ratios needs measured times"):
        Settings().but(max_latency_ratio=0.5, bench_seconds=0)
    assert Settings().but(max_latency_ratio=0.5).limits.max_latency_ratio == 0.5
