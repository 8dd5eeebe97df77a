"""Run jobs in dependency order: environments in parallel, and a second worker for a busy one if it pays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial

from bitpick.errors import BitpickError
from bitpick.executors.executor import Outcome
from bitpick.pipeline.job import Job
from bitpick.pipeline.listener import Listener
from bitpick.pipeline.running import Runner, needed

Result = Outcome | BitpickError
_WORTH = 3  # waiting jobs of an environment that make a second worker worth its start


def run(
    jobs: Sequence[Job],
    runner: Runner,
    parallel: int,
    listener: Listener,
    finished: Callable[[Job, Result], Result],
) -> None:
    """Run every wanted job and the jobs that it needs, unless their results are stored.

    An exception from a callback, or a KeyboardInterrupt, propagates at once; the caller then closes the executor,
    which ends the jobs still running.

    Args:
        jobs: the jobs by preference, each after the jobs that it needs.
        runner: runs the jobs.
        parallel: how many jobs run at once.
        listener: hears of each job as it starts, and of its progress.
        finished: called in this thread with each job and its result; returns the result to go on with. A job whose
            needs failed is never started; it gets their error.

    Raises:
        ValueError: a job needs one that is not in `jobs`, which is a bug in the caller.
    """
    all_ids = {job.id for job in jobs}
    if unmet := [job.id for job in jobs if not all_ids.issuperset(job.needs)]:
        raise ValueError(f"jobs wait for jobs that are not there: {unmet}")
    waiting = needed(jobs, runner)
    ids = {job.id for job in waiting}
    results: dict[str, Result] = {}
    running: dict[Future[Outcome], Job] = {}
    pool = ThreadPoolExecutor(max_workers=max(1, parallel), thread_name_prefix="bitpick")

    def failed(job: Job) -> BitpickError | None:
        return next((outcome for need in job.needs if isinstance(outcome := results.get(need), BitpickError)), None)

    try:
        while waiting or running:
            for job in list(waiting):  # a job comes after those that it needs
                if (error := failed(job)) is not None:
                    waiting.remove(job)
                    results[job.id] = finished(job, error)
            ready = [job for job in waiting if all(need in results for need in job.needs if need in ids)]
            for job in _chosen(ready, running.values(), runner, parallel):
                waiting.remove(job)
                listener.started(job)
                running[pool.submit(runner.run, job, partial(listener.progressed, job))] = job
            for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                job = running.pop(future)
                try:
                    result: Result = future.result()
                except BitpickError as error:
                    result = error
                results[job.id] = finished(job, result)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _chosen(ready: Sequence[Job], running: Iterable[Job], runner: Runner, parallel: int) -> list[Job]:
    """Return the jobs to start: those of idle environments first, then of busy ones with enough work and memory."""
    busy = Counter(job.environment for job in running)
    free = parallel - busy.total()
    chosen: list[Job] = []
    for busy_too in (False, True):
        for job in ready:
            if len(chosen) >= free or job in chosen:
                continue
            environment = job.environment
            remaining = sum(other.environment == environment and other not in chosen for other in ready)
            if not busy[environment] or (
                busy_too and remaining >= _WORTH and busy[environment] < runner.places(environment)
            ):
                busy[environment] += 1
                chosen.append(job)
    return chosen
