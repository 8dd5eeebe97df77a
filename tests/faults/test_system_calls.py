"""Calls of the system that fail: a message, its exit code, and a directory to continue in. Needs a C compiler."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest

from tests.faults.conftest import Disturbed, leftovers, outcome
from tests.faults.served import KINDS, Fault

ERRORS = {
    "open": errno.EMFILE,
    "write": errno.ENOSPC,
    "rename": errno.EIO,
    "sync": errno.EIO,
    "make a folder": errno.EACCES,
    "read": errno.EIO,
}
SHARE = int(
    os.environ.get("BITPICK_FAULTS_EVERY", "97")
)  # each so many-th call fails in a command of its own: 1 for all


def clear(done: subprocess.CompletedProcess[str]) -> None:
    """A command that did what it could, or says in a message what it could not."""
    assert done.returncode in (0, 2, 3), done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    if done.returncode:
        assert done.stderr.startswith("bitpick: "), done.stderr
        assert "a defect of bitpick" not in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_one_call_that_fails_costs_a_message_and_nothing_that_was_done(disturbed: Disturbed, undisturbed, kind):
    """Every so many-th call of a kind, until none fails."""
    disturbed.anew()
    disturbed.compare(Fault(kind, 0))
    counted, first = disturbed.machine.calls, 1
    assert counted > 20
    while first <= counted:
        disturbed.anew()
        clear(disturbed.compare(Fault(kind, first, ERRORS[kind])))
        again = disturbed.compare()
        assert again.returncode == 0, again.stderr
        assert outcome(disturbed.run) == undisturbed, f"call {first}"
        assert leftovers(disturbed.place) == [], f"call {first}"
        first += SHARE


@pytest.mark.parametrize(("kind", "first"), [("write", 40), ("write", 120), ("sync", 30), ("make a folder", 30)])
def test_a_disk_that_stays_full_ends_a_run_that_continues_when_there_is_room(disturbed, undisturbed, kind, first):
    disturbed.anew()
    full = disturbed.compare(Fault(kind, first, errno.ENOSPC, every=1))
    clear(full)
    assert full.returncode != 0
    again = disturbed.compare()
    assert again.returncode == 0, again.stderr
    assert outcome(disturbed.run) == undisturbed
    assert leftovers(disturbed.place) == []


@pytest.mark.parametrize("first", [25, 150])
def test_calls_that_fail_in_workers_cost_no_more(disturbed, undisturbed, first):
    disturbed.anew()
    clear(disturbed.compare(Fault("wrsm", first, errno.EIO, every=50), workers=True))
    again = disturbed.compare(workers=True)
    assert again.returncode == 0, again.stderr
    assert outcome(disturbed.run) == undisturbed
    assert leftovers(disturbed.place) == []
