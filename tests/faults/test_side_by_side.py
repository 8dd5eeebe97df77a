"""Runs side by side: over one store, with and without room in it, and in one directory."""

from __future__ import annotations

import os
import time

import pytest

from bitpick.artifacts.locks import lock
from tests.faults.conftest import leftovers, outcome

AT_ONCE = 8
LIMITS = ["60 kB", "20 GB"] if "BITPICK_SOAK" in os.environ else ["60 kB"]  # the former has no room for one run


@pytest.mark.parametrize("limit", LIMITS)
def test_runs_over_one_cold_store_all_end_as_one_alone(disturbed, undisturbed, limit):
    disturbed.anew()
    runs = [disturbed.place / f"run{number}" for number in range(AT_ONCE)]
    processes = [disturbed.start(run, BITPICK_CACHE_LIMIT=limit) for run in runs]
    for process in processes:
        _, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
    assert all(outcome(run) == undisturbed for run in runs)
    assert leftovers(disturbed.place) == []


def test_a_second_run_in_one_directory_is_refused_with_the_id_of_the_first(disturbed, undisturbed):
    disturbed.anew()
    first = disturbed.start()
    while not (disturbed.run / "run.json").exists() and first.poll() is None:
        time.sleep(0.02)
    second = disturbed.compare()
    assert first.communicate(timeout=300)[1] == ""
    assert first.returncode == 0
    assert second.returncode == 2
    assert f"is in use by another run (process {first.pid} on " in second.stderr
    assert outcome(disturbed.run) == undisturbed


def test_the_lock_of_another_machine_or_container_holds_too(disturbed, undisturbed):
    """It is no process id."""
    disturbed.anew()
    disturbed.run.mkdir()
    held = lock(disturbed.run / ".lock")
    assert held is not None
    held.note("process 1 on another")
    assert "in use by another run (process 1 on another)" in disturbed.compare().stderr
    held.release()
    assert disturbed.compare().returncode == 0
    assert outcome(disturbed.run) == undisturbed
