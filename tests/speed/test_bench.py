from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from bitpick.errors import ModelError
from bitpick.executors.inline import InlineExecutor
from bitpick.measures import latency
from bitpick.pipeline.listener import Silent
from bitpick.recipe import Recipe
from bitpick.speed.bench import bench


class Counting(InlineExecutor):
    """Counts rounds, and what each call timed."""

    rounds: ClassVar[list[Counting]] = []

    def __init__(self):
        self.opened, self.orders, self.closed = [], [], False
        Counting.rounds.append(self)

    def run(self, environment, function, payload, *progress):
        if function.endswith("bench_open"):
            self.opened.append(payload["key"])
        else:
            self.orders.append(list(payload["keys"]))
        return super().run(environment, function, payload, *progress)

    def close(self):
        self.closed = True


@pytest.fixture
def builds(fake_engine, model_file, dataset, tmp_path, monkeypatch):
    from bitpick.pipeline.build_job import build, open_build

    monkeypatch.setattr(latency, "_WARM_SECONDS", 0.01)
    monkeypatch.setattr(Counting, "rounds", [])
    made = []
    for text in ("fake:float32", "fake:s8s8-per_tensor-minmax"):
        folder = tmp_path / "builds" / text.replace(":", "__")
        build(model_file, Recipe.parse(text), dataset.samples(dataset.calibration), None, folder)
        made.append(open_build(folder))
    return made


def test_builds_are_timed_in_pairs_in_random_order_in_fresh_processes(builds, dataset):
    done = bench(
        builds, [dataset.samples(dataset.evaluation)] * len(builds), Counting, Silent(), batch=3, processes=3, pairs=10
    )
    assert (done.batch, done.processes, done.pairs) == (3, 3, 10)
    assert len(Counting.rounds) == 3
    for workers in Counting.rounds:
        assert workers.closed
        assert sorted(workers.opened) == ["build 1", "control", "reference"]
        assert len(workers.orders) == 20
        assert all(len(order) == 2 and "reference" in order for order in workers.orders)
        assert 0 < sum(order[0] == "reference" for order in workers.orders) < 20
    reference, other = done.rows
    assert (reference.recipe, reference.ratio, reference.verdict) == ("fake:float32", None, None)
    assert np.shape(other.samples) == (3, 10)
    assert np.shape(reference.samples) == (6, 10)  # beside the other and beside itself
    assert 0 < other.p50 <= other.p90
    assert other.ratio_interval[0] <= other.ratio <= other.ratio_interval[1]
    assert other.verdict in ("faster", "slower", "no difference shown", "not resolvable here")


def test_workers_are_closed_where_a_build_does_not_open(builds, dataset):
    builds[1].main.unlink()
    with pytest.raises(ModelError, match=r"model\.npz is not there"):
        bench(builds, [dataset.samples(dataset.evaluation)] * len(builds), Counting, Silent(), processes=2, pairs=2)
    assert [workers.closed for workers in Counting.rounds] == [True]
