from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from bitpick.engines import registry
from bitpick.engines.fake.engine import FakeEngine
from bitpick.engines.keras.engine import KerasEngine
from bitpick.errors import RecipeError


class Absent(FakeEngine):
    """An engine whose library is not installed."""

    name = "absent"
    packages = ("numpy", "no-such-distribution")
    extra = "absent"


@dataclass
class Point:
    """An entry point."""

    name: str
    made: Any
    value: str = "m:Made"
    dist: Any = None

    def load(self):
        return self.made


@pytest.fixture
def points(monkeypatch):
    """Replace the entry points that distributions have."""

    def use(*found):
        monkeypatch.setattr(registry.metadata, "entry_points", lambda group: list(found) * (group == registry.GROUP))

    return use


def test_an_unknown_engine_gets_a_hint():
    from bitpick.engines.registry import engine

    with pytest.raises(RecipeError, match="did you mean onnxruntime"):
        engine("onnx_runtime")


def test_engines_come_in_the_order_of_their_names_whoever_has_them(points):
    points(Point("keras", KerasEngine), Point("absent", Absent), Point("fake", FakeEngine))
    found = registry.engines.__wrapped__()
    assert list(found) == ["absent", "fake", "keras"]
    assert type(found["fake"]) is FakeEngine


@pytest.mark.parametrize("twice", [True, False])
def test_a_name_that_is_not_the_engines_own_or_is_another_ones_costs_that_engine_alone(points, twice):
    points(Point("keras", KerasEngine), *([Point("fake", FakeEngine)] * 2 if twice else [Point("fakes", FakeEngine)]))
    found = registry.engines.__wrapped__()
    assert type(found["keras"]) is KerasEngine
    reason = found["fake" if twice else "fakes"].missing()
    assert ("two distributions have" if twice else "= m:Made names an engine 'fake'") in reason


@pytest.mark.parametrize("error", [ImportError("no module named x"), SystemExit(3), ZeroDivisionError()])
def test_an_engine_that_does_not_load_costs_its_rows_and_no_command(points, error):
    class Breaks(FakeEngine):
        def __init__(self):
            raise error

    points(Point("breaks", Breaks, dist=SimpleNamespace(name="bitpick-breaks", version="1")), Point("fake", FakeEngine))
    found = registry.engines.__wrapped__()
    assert type(found["fake"]) is FakeEngine
    reason = found["breaks"].missing()
    assert reason.startswith(f"the engine does not load ({type(error).__name__}")
    assert reason.endswith("update or remove bitpick-breaks")


def test_distributions_of_others_are_told_with_their_versions(points):
    own, other = (SimpleNamespace(name=name, version="1.2") for name in ("bitpick", "bitpick-more"))
    points(Point("keras", None, dist=own), Point("more", None, dist=other), Point("most", None, dist=other))
    assert registry.outside_distributions.__wrapped__() == {"bitpick-more": "1.2"}


def test_the_table_tells_what_an_engine_can_do_here(use_engines):
    use_engines(FakeEngine(), Absent(), KerasEngine())
    fake, absent, keras = registry.engine_table()
    assert (fake["missing"], fake["versions"]) == (None, {})
    assert absent["missing"] == "no-such-distribution is not installed: pip install 'bitpick[absent]'"
    assert list(absent["versions"]) == ["numpy"]
    assert (fake["starts_from"], keras["starts_from"]) == (["onnx"], ["keras", "saved_model"])
    assert (fake["recipe_files"], keras["recipe_files"]) == (["exclude", "weights"], [])
    (block,) = fake["capabilities"]
    assert block["dtypes"] == ["s8s8", "s8u8"]
    assert (block["granularities"], block["calibrations"]) == (["per_tensor", "per_channel"], ["minmax"])
    assert block["options"]["nan"] == "the scores are not finite"
    assert keras["capabilities"] == []


def test_what_has_no_static_scales_lists_neither_granularities_nor_calibrations(use_engines):
    from bitpick.engines.litert.engine import LiteRtEngine

    use_engines(LiteRtEngine())
    (litert,) = registry.engine_table()
    assert [block["calibrations"] for block in litert["capabilities"]] == [[], ["minmax", "moving_average"]]
