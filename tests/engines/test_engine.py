from __future__ import annotations

from pathlib import Path

import pytest

from bitpick.engines.capability import Capability
from bitpick.engines.engine import Build
from bitpick.engines.fake.engine import FakeEngine
from bitpick.models.model import Format
from bitpick.recipe import Recipe, baseline


class Plain(FakeEngine):
    """The fake engine without what an engine can do without."""

    name = "plain"
    scopes = False
    mixes = frozenset()
    capabilities = (Capability(("s8dynamic",)), Capability(("float16",), options={"wide": "x"}))
    runs = (Format.ONNX,)


FAKE, PLAIN = FakeEngine(), Plain()


def scoped(engine, dtypes="s8s8", *exclude, **settings):
    scheme = {} if dtypes != "s8s8" else {"granularity": "per_tensor", "calibration": "minmax"}
    return Recipe(engine=engine, dtypes=dtypes, exclude=exclude, settings=settings, name="own", **scheme)


MIXED = Recipe(engine="plain", dtypes="s8dynamic", weights={"dense": "s4"}, name="own")


@pytest.mark.parametrize(
    ("engine", "recipe", "told"),
    [
        (FAKE, Recipe.parse("fake:float32+equalize"), "float32 is the model as it is, and equalize prepares it"),
        (FAKE, scoped("fake", "float32", "dense"), "float32 quantizes nothing: there is nothing to exclude"),
        (PLAIN, scoped("plain", "s8dynamic", "dense"), "plain cannot leave single layers in float (exclude)"),
        (PLAIN, MIXED, "plain gives all layers the same weights with s8dynamic (weights)"),
        (PLAIN, scoped("plain", "s8dynamic", key="1"), "plain takes no session settings (settings)"),
        (PLAIN, Recipe.parse("plain:s8weights"), "plain does not have dtypes s8weights: it has s8dynamic, float16, fl"),
        (PLAIN, Recipe.parse("plain:float16+deep"), "plain does not have the option deep with float16: it has wide"),
    ],
)
def test_a_refusal_says_what_the_engine_lacks(engine, recipe, told):
    assert engine.refusal(recipe).startswith(told)


def test_an_option_of_the_baseline_is_refused_as_an_option():
    assert "the option wide" in PLAIN.refusal(Recipe.parse("plain:float32+wide"))


def test_what_is_covered_is_not_refused():
    assert PLAIN.refusal(baseline("plain")) is None
    assert PLAIN.refusal(Recipe.parse("plain:float16+wide")) is None
    assert FAKE.refusal(scoped("fake", "s8s8", "dense*")) is None


def test_only_formats_that_an_engine_verifies_have_a_float_recipe():
    assert PLAIN.float_recipe(Format.ONNX) == baseline("plain")
    assert PLAIN.float_recipe(Format.KERAS) is None
    assert FAKE.float_recipe(Format.ONNX) is None


def test_a_runtime_opens_the_first_file_of_a_build():
    assert Build(baseline("fake"), Path("out"), ("model.xml", "model.bin")).main == Path("out/model.xml")


def test_what_is_missing_is_told_with_the_line_that_installs_it():
    class Absent(FakeEngine):
        packages = ("numpy", "no-such-distribution", "nor-such")
        extra = "absent"

    assert Absent().missing() == ("no-such-distribution and nor-such are not installed: pip install 'bitpick[absent]'")
    Absent.packages = ("no-such-distribution",)
    assert Absent().missing() == "no-such-distribution is not installed: pip install 'bitpick[absent]'"
    Absent.packages = ("numpy",)
    assert Absent().missing() is None
