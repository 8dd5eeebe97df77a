from __future__ import annotations

import pytest

from bitpick.engines.capability import Capability, refused_setting
from bitpick.passes.registry import passes
from bitpick.recipe import Recipe

BLOCK = Capability(
    ("s8s8", "s8u8"),
    granularities=("per_channel",),
    calibrations=("minmax", "entropy"),
    options={"fast": "quickly", "slow": "with care", "small": "in little room"},
    conflicts=(frozenset({"fast", "slow"}),),
)
PASSES = ", ".join(passes())
BARE = Capability(("s8dynamic", "s8weights"))


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (BLOCK, "s8s8-per_channel-minmax"),
        (BLOCK, "s8u8-per_channel-entropy+fast+small"),
        (BLOCK, "s8u8-per_channel-minmax+equalize"),  # a pass is the graph's, whatever quantizes it
        (BARE, "s8dynamic"),
    ],
)
def test_a_block_covers_every_combination_of_what_it_lists(block, text):
    assert block.refusal(Recipe.parse(f"e:{text}")) is None


@pytest.mark.parametrize(
    ("block", "text", "told"),
    [
        (BLOCK, "u8u8-per_channel-minmax", "dtypes u8u8 with u8u8: it has s8s8, s8u8"),
        (BLOCK, "s8u8-per_tensor-minmax", "granularity per_tensor with s8u8: it has per_channel"),
        (BLOCK, "s8u8-per_channel-mse", "calibration mse with s8u8: it has minmax, entropy"),
        (BARE, "s8dynamic-per_channel-minmax", "granularity per_channel with s8dynamic: it has none"),
        (
            BLOCK,
            "s8u8-per_channel-minmax+huge",
            f"the option huge with s8u8: it has fast, slow, small, and the passes {PASSES}",
        ),
        (BARE, "s8weights+fast", f"the option fast with s8weights: it has none, and the passes {PASSES}"),
        (BLOCK, "s8u8-per_channel-minmax+fast=2", "a value for the option fast, which is a flag"),
        (BLOCK, "s8u8-per_channel-minmax+equalize=2", "a value for the option equalize, which is a flag"),
        (BLOCK, "s8u8-per_channel-minmax+fast+slow", "fast and slow at once"),
    ],
)
def test_what_a_block_lacks_is_told_with_what_it_has(block, text, told):
    assert block.refusal(Recipe.parse(f"e:{text}")) == told


ALLOWED = frozenset({"precise", "spin"})


@pytest.mark.parametrize("value", ["1", "0.5", "A;B", "a_name", ""])
def test_a_session_setting_of_the_list_is_taken(value):
    assert refused_setting("e", {"precise": value}, ALLOWED) is None


@pytest.mark.parametrize(
    ("settings", "allowed", "told"),
    [
        ({"precise": "1"}, frozenset(), "e takes no session settings (settings)"),
        (
            {"precise": "1", "file": "x"},
            ALLOWED,
            "'file' is not one of the session settings that e takes: precise, spin",
        ),
        ({"precise": "../x"}, ALLOWED, "the session setting precise is '../x', which is no number or name"),
        ({"spin": "a b"}, ALLOWED, "the session setting spin is 'a b', which is no number or name"),
        ({"spin": "x" * 201}, ALLOWED, f"the session setting spin is '{'x' * 201}', which is no number or name"),
    ],
)
def test_another_session_setting_is_refused(settings, allowed, told):
    assert refused_setting("e", settings, allowed) == told
