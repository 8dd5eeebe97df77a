from __future__ import annotations

import threading
import time

import pytest

from bitpick.errors import BitpickError, EngineError
from bitpick.executors.executor import Outcome
from bitpick.pipeline import schedule
from bitpick.pipeline.job import Job
from bitpick.pipeline.listener import Silent


class Recorder:
    """A runner that notes what ran beside what, and fails where a payload says so."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.beside: dict[str, set[str]] = {}
        self.most = 0
        self.room = 1
        self.done: set[str] = set()
        self._now: set[str] = set()
        self._lock = threading.Lock()

    def expect(self, job):
        pass

    def knows(self, job):
        return job.id in self.done

    def places(self, environment):
        return self.room

    def run(self, job, progress):
        progress(f"{job.id} is half done")
        environment, payload, name = job.environment, job.payload, job.id
        with self._lock:
            self.order.append(name)
            self._now.add(f"{environment}/{name}")
            self.most = max(self.most, len(self._now))
            for other in self._now:
                self.beside.setdefault(other, set()).update(self._now - {other})
        time.sleep(0.02)
        with self._lock:
            self._now.remove(f"{environment}/{name}")
        if payload.get("fails"):
            raise EngineError(f"{name} failed")
        return Outcome(name, 0.0, 0.0)


def job(name, environment="a", needs=(), wanted=True, **payload):
    return Job(name, environment, "m", "f", payload, needs=tuple(needs), wanted=wanted)


def run(jobs, parallel=4, executor=None, finished=None, listener=None):
    results = {}

    def note(done, result):
        results[done.id] = result
        return result

    executor = executor or Recorder()
    schedule.run(jobs, executor, parallel, listener or Silent(), finished or note)
    return executor, results


def test_jobs_wait_for_what_they_need():
    executor, _ = run([job("a"), job("b", "b", needs=["a"]), job("c", needs=["b"])])
    assert executor.order == ["a", "b", "c"]


def test_an_environment_runs_one_at_a_time_and_others_run_beside_it():
    executor, _ = run([job(f"{e}{i}", e) for i in range(4) for e in "ab"])
    for name, others in executor.beside.items():
        assert not [o for o in others if o[0] == name[0]]
    assert any(executor.beside.values())


def test_no_more_than_asked_at_once():
    executor, _ = run([job(e, e) for e in "abcdef"], parallel=2)
    assert executor.most == 2


def test_a_failure_costs_what_needs_it_and_nothing_else():
    executor, results = run(
        [job("bad", fails=True), job("child", needs=["bad"]), job("grandchild", needs=["child"]), job("other")]
    )
    assert set(executor.order) == {"bad", "other"}
    assert {n for n, r in results.items() if isinstance(r, BitpickError)} == {"bad", "child", "grandchild"}
    assert str(results["grandchild"]) == "bad failed"
    assert results["other"].value == "other"


def test_the_callback_decides_what_goes_on():
    def refuse(done, result):
        return EngineError("not good enough") if done.id == "a" else result

    executor, _ = run([job("a"), job("b", needs=["a"])], finished=refuse)
    assert executor.order == ["a"]


def test_an_exception_of_the_callback_leaves_at_once():
    def stop(done, result):
        raise KeyboardInterrupt

    executor = Recorder()
    with pytest.raises(KeyboardInterrupt):
        run([job("a"), job("b", needs=["a"])], executor=executor, finished=stop)
    assert executor.order == ["a"]


def test_a_need_that_is_not_there_is_a_mistake_not_a_hang():
    with pytest.raises(ValueError, match="wait for jobs that are not there"):
        run([job("a", needs=["nobody"])])


def test_an_environment_with_much_to_do_gets_more_workers_where_there_is_room():
    executor = Recorder()
    executor.room = 2
    run([job(f"a{i}") for i in range(8)], executor=executor)
    assert executor.most == 2
    few = Recorder()
    few.room = 2
    run([job(f"a{i}") for i in range(3)], executor=few)
    assert few.most == 1


def test_what_nobody_reads_is_made_for_those_alone_that_need_it():
    jobs = [job("a", wanted=False), job("b", needs=["a"], wanted=False), job("c", needs=["b"])]
    executor = Recorder()
    executor.done = {"c"}
    assert set(run(jobs, executor=executor)[1]) == {"c"}
    executor = Recorder()
    executor.done = {"a"}
    assert set(run(jobs, executor=executor)[1]) == {"a", "b", "c"}
    assert set(run(jobs[:2])[1]) == set()


def test_nothing_to_do():
    assert run([])[1] == {}


def test_the_progress_of_each_job_is_told():
    class Listener(Silent):
        def __init__(self):
            self.told = set()

        def progressed(self, job, text):
            self.told.add((job.id, text))

    listener = Listener()
    run([job("a"), job("b", "b")], listener=listener)
    assert listener.told == {("a", "a is half done"), ("b", "b is half done")}
