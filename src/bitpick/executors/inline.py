"""Run functions in this process, for tests and wherever a separate process is not wanted."""

from __future__ import annotations

import json
import time

from pydantic_core import to_jsonable_python

from bitpick.executors.executor import Outcome, Payload, call, unheard
from bitpick.executors.progress import LISTENER, Report


class InlineExecutor:
    """An executor without processes. It still passes payloads and results through JSON, so code cannot rely on more."""

    def run(
        self,
        environment: str,  # noqa: ARG002 - the contract
        function: str,
        payload: Payload,
        progress: Report = unheard,
    ) -> Outcome:
        """See `Executor.run`."""
        arguments = json.loads(json.dumps(to_jsonable_python(payload)))
        start, cpu_start = time.perf_counter(), time.process_time()
        token = LISTENER.set(progress)
        try:
            value = json.loads(json.dumps(to_jsonable_python(call(function, arguments))))
        finally:
            LISTENER.reset(token)
        return Outcome(value, time.perf_counter() - start, time.process_time() - cpu_start)

    def slots(self, environment: str) -> int:  # noqa: ARG002 - the contract
        """See `Executor.slots`."""
        return 1

    def close(self) -> None:
        """Do nothing: nothing was started."""
