"""A search with the fake engine, in this process."""

from __future__ import annotations

import numpy as np
import pytest

from bitpick.engines.fake.engine import FakeEngine
from bitpick.errors import BitpickError, EngineError, RunError
from bitpick.schema.other_groups import Hunt
from bitpick.searching import search as module
from bitpick.searching.search import Search


@pytest.fixture
def run(compare, monkeypatch):
    """Run a comparison of what a search chooses; the evaluation set has 600 samples."""
    monkeypatch.setattr(module, "FIRST", 40)
    monkeypatch.setattr(module, "GROWTH", 2)

    def searched(goal="size", **options):
        return compare(choose=Search(Hunt(goal, 100.0), lambda: 0.0).choose, **options)

    return searched


def test_rows_are_judged_on_samples_that_the_search_did_not_look_at(run, compare):
    result = run()
    record = result.search
    assert (record.searched, record.confirmed) == (300, 300)
    assert result.state == "complete"
    assert {row.id for row in result.rows if row.kind == "quantized"} == set(record.front)
    assert all(row.samples == 300 for row in result.rows if row.status == "ok")
    folder = compare.directory.root / "search"
    looked = np.concatenate([np.load(each) for each in sorted(folder.glob("stage*.npy"))])
    confirmed = np.load(folder / "confirming.npy")
    assert sorted([*looked, *confirmed]) == list(range(600))


def test_every_look_is_recorded_with_why_it_ended(run):
    record = run().search
    assert len(record.looks) == record.space  # there is time for all of them
    assert len({look.recipe for look in record.looks}) == len(record.looks)
    whole = [look for look in record.looks if look.ended is None]
    assert all(look.samples == 300 and look.drop is not None and look.size_bytes for look in whole)
    assert {look.recipe for look in whole} >= set(record.front)


def test_the_builds_that_were_tried_are_deleted(run, compare):
    run()
    assert {path.suffix for path in (compare.directory.root / "search").iterdir()} == {".npy"}


def test_too_few_samples_are_refused(run, monkeypatch):
    monkeypatch.setattr(module, "FEWEST", 601)
    with pytest.raises(BitpickError, match="600 evaluation samples are too few for a search"):
        run()


def test_an_engine_whose_float_model_fails_takes_no_part(run, compare, monkeypatch):
    real = FakeEngine.build

    def broken(self, source, recipe, *rest):
        if recipe.kind == "baseline":
            raise EngineError("no memory")
        return real(self, source, recipe, *rest)

    monkeypatch.setattr(FakeEngine, "build", broken)
    with pytest.raises(RunError, match="no engine can run the float model: no memory"):
        run()


def test_the_same_search_finds_the_same(run):
    assert run(out="a").search.front == run(out="b").search.front


def test_a_search_that_has_no_time_left_tries_some_recipes_nevertheless(compare):
    times = iter(range(1000))
    result = compare(choose=Search(Hunt("size", 0.001), lambda: float(next(times))).choose)
    assert 0 < len(result.search.looks) <= module.TOGETHER
    assert result.search.front
