"""Run jobs in the order of their needs, one at a time in each environment, several environments side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from bitpick.errors import BitpickError
from bitpick.executors.executor import Executor, Outcome
from bitpick.pipeline.job import Job

Result = Outcome | BitpickError


def run(
    jobs: Sequence[Job],
    executor: Executor,
    parallel: int,
    started: Callable[[Job], None],
    finished: Callable[[Job, Result], Result],
) -> None:
    """Run every job whose needs succeed.

    Args:
        jobs: in the order in which to prefer them; each needs only jobs of this list.
        executor: runs them.
        parallel: how many at once.
        started: is told of each job as it starts, in this thread.
        finished: is told of each outcome, in this thread, and returns the outcome to go on with. A job whose needs
            failed is never started; it gets their error.

    An exception from a callback, or a KeyboardInterrupt, leaves at once; the caller then closes the executor, which
    ends what still runs.
    """
    waiting = list(jobs)
    results: dict[str, Result] = {}
    running: dict[Future[Outcome], Job] = {}
    pool = ThreadPoolExecutor(max_workers=max(1, parallel), thread_name_prefix="bitpick")
    try:
        while waiting or running:
            settled = False
            for job in list(waiting):
                needed = [results.get(need) for need in job.needs]
                if error := next((r for r in needed if isinstance(r, BitpickError)), None):
                    waiting.remove(job)
                    results[job.id] = finished(job, error)
                    settled = True
                elif (
                    len(running) < parallel
                    and job.environment not in {other.environment for other in running.values()}
                    and None not in needed
                ):
                    waiting.remove(job)
                    started(job)
                    running[pool.submit(executor.run, job.environment, job.path, job.payload)] = job
            if running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    job = running.pop(future)
                    try:
                        result: Result = future.result()
                    except BitpickError as error:
                        result = error
                    results[job.id] = finished(job, result)
            elif waiting and not settled:
                raise ValueError(f"jobs wait for jobs that are not there: {[job.id for job in waiting]}")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
