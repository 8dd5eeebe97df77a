"""The child's side of a worker process: `python -m bitpick.executors.worker`.

Reads one JSON request a line from standard input, `{"function", "payload"}`, and answers each with one line,
`{"value", "seconds", "cpu_seconds"}` or `{"error"}`. Whatever a library prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
from typing import Any

from pydantic_core import to_jsonable_python

from bitpick.errors import BitpickError, raised_by_library
from bitpick.executors.executor import resolve


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    began, cpu = time.perf_counter(), time.process_time()
    try:
        value = to_jsonable_python(resolve(request["function"])(**request["payload"]))
    except BitpickError as error:
        traceback.print_exc()
        return {"error": error.to_dict()}
    except Exception as error:  # noqa: BLE001 - a library may raise anything; it costs its row, not the worker
        traceback.print_exc()
        return {"error": raised_by_library(error).to_dict()}
    return {"value": value, "seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}


def _stop_telemetry() -> None:
    """Keep libraries from reporting to their makers, and from keeping an id of this user in the home folder.

    ONNX Runtime does both when its first session opens, OpenVINO and NNCF when they are imported. It is done here, and
    not in the environment that the parent gives, because a target's command may pass none on.
    """
    os.environ |= {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: its import fails


def main() -> None:
    """Serve requests until standard input ends."""
    _stop_telemetry()
    # Libraries print to standard output, some of them from C; the answers get a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            requests.put(line)
        # The parent closed the pipe or is gone, by whatever means. Leave at once: interpreters with frameworks in them
        # take seconds to tear down, and a native call may be running.
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        answers.write(json.dumps(_answer(json.loads(requests.get()))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
