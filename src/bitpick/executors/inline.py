"""Runs functions in this process: for tests, and wherever a process of its own is not wanted."""

from __future__ import annotations

import json
import time

from pydantic_core import to_jsonable_python

from bitpick.executors.executor import Outcome, Payload, resolve


class InlineExecutor:
    """An executor without processes. Payloads and results cross JSON all the same, so nothing else gets relied on."""

    def run(self, environment: str, function: str, payload: Payload) -> Outcome:  # noqa: ARG002 - the contract's form
        """See `Executor.run`."""
        arguments = json.loads(json.dumps(to_jsonable_python(payload)))
        began, cpu = time.perf_counter(), time.process_time()
        value = json.loads(json.dumps(to_jsonable_python(resolve(function)(**arguments))))
        return Outcome(value, time.perf_counter() - began, time.process_time() - cpu)

    def places(self, environment: str) -> int:  # noqa: ARG002 - the contract's form
        """See `Executor.places`."""
        return 1

    def close(self) -> None:
        """Nothing was started."""
