"""Run jobs in the order of their needs, several environments side by side, and one of them twice where that pays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from bitpick.errors import BitpickError
from bitpick.executors.executor import Outcome
from bitpick.pipeline.job import Job
from bitpick.pipeline.running import Runner, needed

Result = Outcome | BitpickError
_WORTH = 3  # jobs of one environment that wait, before another worker loads its framework


def run(
    jobs: Sequence[Job],
    runner: Runner,
    parallel: int,
    started: Callable[[Job], None],
    finished: Callable[[Job, Result], Result],
) -> None:
    """Run every job that somebody reads, and those that it needs, as far as they were not done before.

    An exception from a callback, or a KeyboardInterrupt, leaves at once; the caller then closes the executor, which
    ends what still runs.

    Args:
        jobs: in the order in which to prefer them, each after those of this list that it needs.
        runner: runs them.
        parallel: how many at once.
        started: is told of each job as it starts, in this thread.
        finished: is told of each outcome, in this thread, and returns the outcome to go on with. A job whose needs
            failed is never started; it gets their error.

    Raises:
        ValueError: a job waits for one that is not in `jobs`, which is a mistake in the caller.
    """
    known = {job.id for job in jobs}
    if lost := [job.id for job in jobs if not known.issuperset(job.needs)]:
        raise ValueError(f"jobs wait for jobs that are not there: {lost}")
    waiting = needed(jobs, runner)
    here = {job.id for job in waiting}
    results: dict[str, Result] = {}
    running: dict[Future[Outcome], Job] = {}
    pool = ThreadPoolExecutor(max_workers=max(1, parallel), thread_name_prefix="bitpick")

    def failed(job: Job) -> BitpickError | None:
        return next((each for need in job.needs if isinstance(each := results.get(need), BitpickError)), None)

    try:
        while waiting or running:
            for job in list(waiting):  # each comes after those that it needs
                if (error := failed(job)) is not None:
                    waiting.remove(job)
                    results[job.id] = finished(job, error)
            ready = [job for job in waiting if all(need in results for need in job.needs if need in here)]
            for job in _chosen(ready, running.values(), runner, parallel):
                waiting.remove(job)
                started(job)
                running[pool.submit(runner.run, job)] = job
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
    """The jobs to start: of environments that are idle first, then of those with more to do and room for it."""
    busy = Counter(job.environment for job in running)
    free = parallel - busy.total()
    chosen: list[Job] = []
    for again in (False, True):
        for job in ready:
            if len(chosen) >= free or job in chosen:
                continue
            name = job.environment
            left = sum(other.environment == name and other not in chosen for other in ready)
            if not busy[name] or (again and left >= _WORTH and busy[name] < runner.places(name)):
                busy[name] += 1
                chosen.append(job)
    return chosen
