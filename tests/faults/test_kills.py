"""Runs that are killed at random moments: the same command, repeated, ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import time

import psutil
import pytest

from tests.faults.conftest import leftovers, outcome

ROUNDS = int(os.environ.get("BITPICK_SOAK", "3"))
KILLS = 4  # in a round, at most


@pytest.fixture(scope="module")
def usual(disturbed) -> float:
    """How many seconds the comparison takes."""
    disturbed.anew()
    began = time.monotonic()
    process = disturbed.start()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return time.monotonic() - began


def gone(processes: list[psutil.Process]) -> bool:
    """Whether processes end within ten seconds."""
    return not psutil.wait_procs(processes, timeout=10)[1]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(disturbed, undisturbed, usual, number):
    chance = random.Random(number)
    disturbed.anew()
    for _ in range(KILLS):
        process = disturbed.start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.1, 1.0) * usual)
        if process.poll() is not None:
            process.communicate()
            break
        started = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate()
        assert gone(started), "a worker outlived its parent"
        if (disturbed.run / "run.json").exists():
            json.loads((disturbed.run / "run.json").read_text())  # whole at any moment
    process = disturbed.start()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert outcome(disturbed.run) == undisturbed
    assert leftovers(disturbed.place) == []
