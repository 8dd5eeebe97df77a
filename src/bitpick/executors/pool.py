"""A pool of worker processes: started when needed, reused, restarted when they die."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import psutil

from bitpick.errors import WorkerError
from bitpick.executors.child import HERE, NO_LIMITS, Launch, Limits, Worker, resident
from bitpick.executors.executor import Outcome, Payload, unheard
from bitpick.executors.progress import Report

__all__ = ["Launch", "Limits", "WorkerPool"]

_MEMORY_MARGIN = 3  # free memory required to start another worker, as a multiple of the largest one's


class WorkerPool:
    """An executor with worker processes for each environment; `<environment>@<target>` runs on a target.

    Args:
        logs: folder for the workers' output; None discards it.
        threads: number of threads that libraries in each worker may use.
        limits: limits of a single call.
        launches: by target, how its workers are started.
        max_workers: maximum number of workers per environment; environments on a target have one.
    """

    def __init__(
        self,
        logs: Path | None = None,
        threads: int = 1,
        limits: Limits = NO_LIMITS,
        launches: Mapping[str, Launch] | None = None,
        max_workers: int = 1,
    ) -> None:
        self._launches = {"": HERE} | dict(launches or {})
        self._logs = logs
        self._limits = limits
        self._threads = threads
        self._max_workers = max_workers
        self._workers: dict[str, list[Worker]] = {}
        self._calls: Counter[Worker] = Counter()
        self._lock = threading.Lock()
        self._closed = False

    def slots(self, environment: str) -> int:
        """See `Executor.slots`: the number of workers, plus one if there is memory for another."""
        with self._lock:
            workers = list(self._workers.get(environment, ()))
        if not workers or len(workers) >= self._max_workers or "@" in environment:
            return max(1, len(workers))
        largest = max(resident(worker.pid) if worker.pid is not None else 0 for worker in workers)
        return len(workers) + (psutil.virtual_memory().available > _MEMORY_MARGIN * largest)

    def run(self, environment: str, function: str, payload: Payload, progress: Report = unheard) -> Outcome:
        """See `Executor.run`; if every worker is busy, the call waits."""
        worker = self._choose_worker(environment)
        try:
            return worker.run(function, payload, progress)
        finally:
            with self._lock:
                self._calls[worker] -= 1

    def _choose_worker(self, environment: str) -> Worker:
        """Choose the worker for a call: an idle one, else a new one, else the one with the fewest calls."""
        with self._lock:
            if self._closed:
                raise WorkerError("the workers are closed")
            workers = self._workers.setdefault(environment, [])
            limit = 1 if "@" in environment else self._max_workers
            if len(workers) < limit and all(self._calls[worker] for worker in workers):
                name = environment if not workers else f"{environment}-{len(workers) + 1}"
                log = None if self._logs is None else self._logs / f"{name}.log"
                launch = self._launches[environment.partition("@")[2]]
                workers.append(Worker(name, log, self._threads, launch, self._limits))
            worker = min(workers, key=self._calls.__getitem__)
            self._calls[worker] += 1
            return worker

    def close(self) -> None:
        """Stop all workers; none is started afterwards."""
        with self._lock:
            self._closed = True
            workers = [worker for group in self._workers.values() for worker in group]
        for worker in workers:
            worker.close()
