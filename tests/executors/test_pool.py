from __future__ import annotations

import threading
import time

import pytest

from bitpick.errors import WorkerError
from bitpick.executors.pool import Launch, WorkerPool
from tests.executors.conftest import gone


def pid(pool, environment):
    return pool.run(environment, "functions:echo", {}).value["pid"]


def test_a_pool_has_one_worker_for_each_environment(functions, tmp_path):
    pool = WorkerPool(tmp_path / "logs")
    try:
        pids = [pool.run(name, "functions:echo", {}).value["pid"] for name in ("a", "b", "a")]
        assert pids[0] == pids[2] != pids[1]
        assert sorted(p.name for p in (tmp_path / "logs").iterdir()) == ["a.log", "b.log"]
    finally:
        pool.close()
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize(("environment", "others"), [("a", 1), ("a@here", 0)])
def test_a_call_beside_a_busy_child_gets_one_of_its_own_but_on_a_target(functions, environment, others):
    pool = WorkerPool(launches={"here": Launch()}, max_workers=2)
    try:
        first = pid(pool, environment)
        assert pid(pool, environment) == first  # the one that there is was idle
        busy = threading.Thread(target=pool.run, args=(environment, "functions:sleep", {"seconds": 0.5}))
        busy.start()
        time.sleep(0.2)
        second = pid(pool, environment)
        busy.join()
        assert len({second} - {first}) == others
        assert pid(pool, environment) in (first, second)
    finally:
        pool.close()


def test_a_targets_children_are_started_as_it_says(functions):
    pool = WorkerPool(launches={"board": Launch(("env", "BITPICK_TEST=yes"))})
    try:
        asked = [pool.run(name, "functions:environment", {"name": "BITPICK_TEST"}) for name in ("a@board", "a")]
        assert [each.value for each in asked] == ["yes", None]
    finally:
        pool.close()


def test_a_closed_pool_starts_nothing(functions):
    pool = WorkerPool()
    pool.close()
    with pytest.raises(WorkerError, match="the workers are closed"):
        pid(pool, "a")
