from __future__ import annotations

import pytest

pytestmark = pytest.mark.frameworks


def copied(pool, saved_models, name, out, **options):
    out.mkdir()
    payload = {"source": saved_models / name, "out": out, **options}
    return pool.run("keras", "hop_steps:copy_saved_model", payload).value


@pytest.mark.parametrize(
    ("name", "needed", "mixed"),
    [("trained", True, False), ("mixed", True, True), ("unsigned", False, False)],
)
def test_a_copy_has_neither_slots_nor_half_precision(pool, saved_models, tmp_path, name, needed, mixed):
    told = copied(pool, saved_models, name, tmp_path / "copy")
    assert told == {"needed": [needed, False], "mixed": [mixed, False]}
    inside = {each.relative_to(tmp_path / "copy") for each in (tmp_path / "copy").rglob("*")}
    assert inside == {each.relative_to(saved_models / name) for each in (saved_models / name).rglob("*")}


def test_half_precision_stays_where_that_is_asked_for(pool, saved_models, tmp_path):
    assert copied(pool, saved_models, "mixed", tmp_path / "copy", float32=False)["mixed"] == [True, True]


def test_the_model_that_is_copied_stays_as_it_is(pool, saved_models, tmp_path):
    before = (saved_models / "trained" / "saved_model.pb").read_bytes()
    copied(pool, saved_models, "trained", tmp_path / "copy")
    assert (saved_models / "trained" / "saved_model.pb").read_bytes() == before
    assert (tmp_path / "copy" / "saved_model.pb").read_bytes() != before
