from __future__ import annotations

from bitpick.schema.robustness import Draw, OverDraws


def test_why_a_draw_is_missing_is_found_by_its_seed_once_it_was_in_a_file():
    draws = [Draw(seed=0, total=100, correct=90, drop=0.01)]
    found = OverDraws(draws=draws, drop=0.01, drop_interval=(0, 0.02), noninferior=False, failed={3: "it broke"})
    again = OverDraws.model_validate_json(found.model_dump_json(exclude_none=True))
    assert again == found
    assert again.failed[3] == "it broke"
