"""The parent's side of worker processes: started when needed, reused, started again when dead."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import psutil

from bitpick.errors import WorkerError
from bitpick.executors.child import HERE, NO_LIMITS, Launch, Limits, Worker, resident
from bitpick.executors.executor import Outcome, Payload

__all__ = ["Launch", "Limits", "WorkerPool"]

_ROOM = 3  # times what a worker takes must be free for another


class WorkerPool:
    """An executor with worker processes for each environment; `<environment>@<target>` is one on a target.

    Args:
        logs: folder for what the children print; None discards it.
        threads: how many threads libraries in each child may use.
        limits: what one call may use.
        launches: how the children of each target are started.
        most: how many children an environment may have; a target's has one.
    """

    def __init__(
        self,
        logs: Path | None = None,
        threads: int = 1,
        limits: Limits = NO_LIMITS,
        launches: Mapping[str, Launch] | None = None,
        most: int = 1,
    ) -> None:
        self._launches = {"": HERE} | dict(launches or {})
        self._logs = logs
        self._limits = limits
        self._threads = threads
        self._most = most
        self._workers: dict[str, list[Worker]] = {}
        self._calls: Counter[Worker] = Counter()
        self._lock = threading.Lock()
        self._closed = False

    def places(self, environment: str) -> int:
        """See `Executor.places`: as many as there are children, and one more if there is memory for it."""
        with self._lock:
            workers = list(self._workers.get(environment, ()))
        if not workers or len(workers) >= self._most or "@" in environment:
            return max(1, len(workers))
        largest = max(resident(worker.pid) if worker.pid is not None else 0 for worker in workers)
        return len(workers) + (psutil.virtual_memory().available > _ROOM * largest)

    def run(self, environment: str, function: str, payload: Payload) -> Outcome:
        """See `Executor.run`; a call that finds every child busy waits for one."""
        worker = self._chosen(environment)
        try:
            return worker.run(function, payload)
        finally:
            with self._lock:
                self._calls[worker] -= 1

    def _chosen(self, environment: str) -> Worker:
        """The child for a call: one that is idle, else a new one, else the one with the fewest calls."""
        with self._lock:
            if self._closed:
                raise WorkerError("the workers are closed")
            workers = self._workers.setdefault(environment, [])
            most = 1 if "@" in environment else self._most
            if len(workers) < most and all(self._calls[worker] for worker in workers):
                name = environment if not workers else f"{environment}-{len(workers) + 1}"
                log = None if self._logs is None else self._logs / f"{name}.log"
                launch = self._launches[environment.partition("@")[2]]
                workers.append(Worker(name, log, self._threads, launch, self._limits))
            worker = min(workers, key=self._calls.__getitem__)
            self._calls[worker] += 1
            return worker

    def close(self) -> None:
        """End all children; none is started afterwards."""
        with self._lock:
            self._closed = True
            workers = [worker for each in self._workers.values() for worker in each]
        for worker in workers:
            worker.close()
