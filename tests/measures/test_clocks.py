from __future__ import annotations

import sys
import threading
import time

import numpy as np
import pytest

from bitpick.measures import clocks
from bitpick.measures.clocks import Block

TICK = clocks.tick
# What was measured here: blocks of one run on a quiet machine, and beside four busy processes on two cores.
QUIET = Block(wall=1e-3, cpu=1e-3, thread=1e-3, waits=0.0)
INTERRUPTED = Block(wall=3e-3, cpu=1e-3, thread=1e-3, waits=0.0)


def chosen(*blocks, threads=1, other=None):
    builds = {"it": np.array(blocks)} | ({} if other is None else {"the reference": np.array(other)})
    return clocks.choose(builds, threads, 1e-3)


@pytest.fixture(autouse=True)
def fine_clock(monkeypatch):
    monkeypatch.setattr(clocks, "tick", lambda: 1e-6)


@pytest.mark.parametrize("blocks", [[QUIET] * 20, [INTERRUPTED] * 20, [QUIET] * 5 + [INTERRUPTED] * 15])
def test_cpu_time_decides_for_work_on_one_thread_however_often_it_is_interrupted(blocks):
    assert chosen(*blocks) == ("cpu", None)


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (Block(wall=1e-3, cpu=2e-3, thread=1e-3, waits=0.0), "it works on other threads than the one that calls it"),
        (Block(wall=1e-3, cpu=1e-3, thread=1e-5, waits=1.0), "it works on other threads than the one that calls it"),
        (Block(wall=1e-3, cpu=1e-4, thread=1e-4, waits=1.0), "it waits for work that is done elsewhere"),
        (Block(wall=1e-3, cpu=1e-4, thread=1e-4, waits=float("nan")), "it waits for work that is done elsewhere"),
    ],
    ids=["side by side", "handed over", "a delegate", "a system that does not tell"],
)
def test_wall_time_decides_where_work_is_done_elsewhere(block, why):
    assert chosen(*[block] * 20) == ("wall", why)
    assert chosen(*[QUIET] * 20, other=[block] * 20) == ("wall", why.replace("it ", "the reference ", 1))


def test_wall_time_decides_with_several_threads_or_a_coarse_clock(monkeypatch):
    assert chosen(QUIET, threads=2) == ("wall", "an inference has 2 threads")
    monkeypatch.setattr(clocks, "tick", lambda: 0.0156)
    assert chosen(QUIET) == ("wall", "the CPU clock of this system moves in steps of 15.6 ms")


def test_a_rare_wait_is_no_work_elsewhere():
    waits = Block(wall=2e-3, cpu=1e-3, thread=1e-3, waits=1.0)
    assert chosen(*[INTERRUPTED] * 12, *[waits] * 8)[0] == "cpu"


@pytest.mark.skipif(sys.platform == "win32", reason="its CPU clock is coarse")
def test_the_clocks_of_this_system_tell_work_from_waiting_and_from_other_threads():
    def work():
        end = time.thread_time() + 5e-3
        while time.thread_time() < end:
            pass

    def taken(run):
        began = clocks.now()
        run()
        return np.subtract(clocks.now(), began)

    def elsewhere():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert 0 < TICK() < 1e-4
    busy, asleep, moved = taken(work), taken(lambda: time.sleep(5e-3)), taken(elsewhere)
    assert min(busy[1:3]) >= 5e-3
    assert asleep[0] >= 5e-3 > 2 * asleep[1]
    assert asleep[3] >= 1
    assert moved[1] >= 5e-3 > 2 * moved[2]
