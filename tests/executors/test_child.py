from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from bitpick.errors import DataError, EngineError, InstructionError, MemoryLimitError, WorkerError
from bitpick.executors.child import Launch, Limits, Worker
from tests.executors.conftest import gone


@pytest.fixture
def worker(functions, tmp_path):
    worker = Worker("test", tmp_path / "logs" / "test.log", threads=3)
    yield worker
    worker.close()


def test_it_is_another_process_started_once_and_reused(worker):
    assert worker.pid is None
    first = worker.run("functions:echo", {"path": Path("/a"), "n": 1}).value
    second = worker.run("functions:echo", {}).value
    assert first["payload"] == {"path": "/a", "n": 1}
    assert first["pid"] == second["pid"] == worker.pid != os.getpid()
    assert (first["calls"], second["calls"]) == (1, 2)


def test_what_libraries_print_goes_to_the_log(worker):
    assert worker.run("functions:say", {"text": "hello"}).value is None
    assert worker.run("functions:echo", {}).value["payload"] == {}
    log = worker.log.read_text()
    assert "from C" in log
    assert "to stderr" in log


def test_errors_come_back_as_what_they_were(worker):
    with pytest.raises(DataError) as error:
        worker.run("functions:fail_on_purpose", {})
    assert str(error.value) == "no data\nexpected: data\nto fix it: bring some"
    with pytest.raises(EngineError, match=r"^ZeroDivisionError: first line$"):
        worker.run("functions:fail_by_accident", {})
    with pytest.raises(MemoryLimitError, match="out of memory"):
        worker.run("functions:exhaust_memory", {})
    with pytest.raises(EngineError, match=r"^ModuleNotFoundError: No module named 'no_such_library'") as error:
        worker.run("functions:import_what_is_absent", {})
    assert "install the package that has no_such_library: pip install 'bitpick[all]'" in error.value.fix
    assert "second line" in worker.log.read_text()


@pytest.mark.parametrize(
    ("function", "payload", "says"),
    [
        ("functions:die", {"code": 7}, "ended with exit code 7"),
        ("functions:kill_self", {"signal": int(signal.SIGKILL)}, "was ended by SIGKILL"),
        ("functions:kill_self", {"signal": int(signal.SIGSEGV)}, "was ended by SIGSEGV"),
    ],
)
def test_a_worker_that_dies_says_how_and_is_started_again(worker, function, payload, says):
    before = worker.run("functions:echo", {}).value["pid"]
    with pytest.raises(WorkerError, match=says) as error:
        worker.run(function, payload)
    assert str(worker.log) in str(error.value)
    after = worker.run("functions:echo", {}).value
    assert after["pid"] != before
    assert after["calls"] == 1


def test_the_last_line_of_a_worker_that_died_is_told_and_no_earlier_one(worker):
    with pytest.raises(WorkerError, match="which ends with: Check failed: a < b") as error:
        worker.run("functions:die", {"code": 7, "words": "starting\nCheck failed: a < b\n\n"})
    assert error.value.fix == "look into that log"
    with pytest.raises(WorkerError) as error:
        worker.run("functions:die", {"code": 7})
    assert "ends with" not in error.value.what


def test_a_worker_that_died_between_two_calls_is_started_again(worker):
    before = worker.run("functions:echo", {}).value["pid"]
    os.kill(before, signal.SIGKILL)
    worker._process.wait(5)
    assert worker.run("functions:echo", {}).value["pid"] != before


def test_what_it_cost_is_reported(worker):
    outcome = worker.run("functions:burn", {"seconds": 0.2})
    assert outcome.cpu_seconds >= 0.2
    assert outcome.seconds >= 0.2
    assert worker.run("functions:sleep", {"seconds": 0.2}).cpu_seconds < 0.1


def test_libraries_are_told_their_threads(worker):
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        assert worker.run("functions:environment", {"name": name}).value == "3"


def test_close_ends_a_running_call_at_once(worker):
    worker.run("functions:echo", {})
    pid = worker.pid
    errors = []

    def call():
        try:
            worker.run("functions:sleep", {"seconds": 60})
        except WorkerError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    time.sleep(0.2)
    worker.close()
    thread.join(5)
    assert not thread.is_alive()
    assert gone(pid)
    assert len(errors) == 1
    with pytest.raises(WorkerError, match="closed"):
        worker.run("functions:echo", {})


@pytest.mark.parametrize(
    ("limits", "function", "payload", "says"),
    [
        (Limits(seconds=0.5), "functions:sleep", {"seconds": 30}, "took longer than 0.5 s"),
        (
            Limits(bytes=200_000_000),
            "functions:bloat",
            {"megabytes": 400, "seconds": 30},
            "GB of memory, more than 0.2 GB",
        ),
    ],
)
def test_a_call_past_its_limits_ends_its_process_and_the_next_one_runs(functions, limits, function, payload, says):
    worker = Worker("limited", limits=limits)
    try:
        before = worker.run("functions:echo", {}).value["pid"]
        began = time.monotonic()
        with pytest.raises(WorkerError) as error:
            worker.run(function, payload)
        assert says in str(error.value)
        assert time.monotonic() - began < 20
        assert gone(before)
        assert worker.run("functions:echo", {}).value["pid"] != before
    finally:
        worker.close()


def test_a_call_within_its_limits_is_left_alone(functions):
    worker = Worker("limited", limits=Limits(seconds=30, bytes=2_000_000_000))
    try:
        assert worker.run("functions:sleep", {"seconds": 0.3}).value is None
        assert worker.run("functions:bloat", {"megabytes": 50, "seconds": 0.3}).value is None
    finally:
        worker.close()


def test_an_interpreter_that_is_not_there_is_one_clear_error(tmp_path):
    worker = Worker("odd", launch=Launch(interpreter=str(tmp_path / "python")))
    with pytest.raises(WorkerError, match="could not be started"):
        worker.run("functions:echo", {})


def test_a_prefix_that_writes_where_answers_are_due_is_told_so(functions, tmp_path):
    greeting = tmp_path / "greet"
    greeting.write_text('#!/bin/sh\necho "Welcome to the server"\nexec "$@"\n')
    greeting.chmod(0o755)
    worker = Worker("greeted", launch=Launch(prefix=(str(greeting),)))
    try:
        with pytest.raises(WorkerError, match="wrote 'Welcome to the server' where an answer was due"):
            worker.run("functions:echo", {})
    finally:
        worker.close()


def test_an_instruction_that_the_cpu_lacks_is_an_error_of_its_own(functions):
    worker = Worker("illegal")
    try:
        with pytest.raises(InstructionError, match="instructions that this CPU does not have"):
            worker.run("functions:kill_self", {"signal": int(signal.SIGILL)})
    finally:
        worker.close()


def test_the_prefix_runs_the_interpreter(functions):
    worker = Worker("prefixed", launch=Launch(prefix=("env", "BITPICK_TEST=yes")))
    try:
        assert worker.run("functions:environment", {"name": "BITPICK_TEST"}).value == "yes"
    finally:
        worker.close()


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_are_gone_with_their_parent(functions, how, busy):
    """The parent dies without a chance to clean up, with its worker idle or in the middle of a call."""
    code = (
        "from bitpick.executors.child import Worker; import threading, time\n"
        "w = Worker('x'); w.run('functions:echo', {}); print(w.pid, flush=True)\n"
        + (
            "threading.Thread(target=w.run, args=('functions:sleep', {'seconds': 60}), daemon=True).start()\n"
            if busy
            else ""
        )
        + "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert psutil.pid_exists(child)
    time.sleep(0.2)
    parent.send_signal(how)
    parent.wait(10)
    parent.stdout.close()
    assert gone(child)


def test_progress_is_told_as_it_is_made_and_then_the_answer_comes(worker):
    told = []
    outcome = worker.run("functions:count", {"steps": 3, "seconds": 0}, told.append)
    assert told == ["step 0", "step 1", "step 2"]
    assert outcome.value == 3
    assert worker.run("functions:count", {"steps": 1, "seconds": 0}).value == 1  # nobody listens


def test_a_call_that_tells_its_progress_may_take_longer_than_its_limit(functions):
    worker = Worker("limited", limits=Limits(seconds=1.0))
    try:
        assert worker.run("functions:count", {"steps": 5, "seconds": 0.4}).value == 5
        with pytest.raises(WorkerError, match="took longer than 1 s"):
            worker.run("functions:count", {"steps": 1, "seconds": 30})
    finally:
        worker.close()


def test_its_temporary_files_are_in_the_folder_of_its_parent(worker):
    from bitpick.artifacts import temporary

    assert worker.run("functions:temporary_folder", {}).value == str(temporary.root())
