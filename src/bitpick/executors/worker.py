"""The worker process: `python -m bitpick.executors.worker`.

It reads one JSON request per line from standard input, `{"function", "payload"}`, and answers each with one line,
`{"value", "seconds", "cpu_seconds"}` or `{"error"}`; lines with `{"progress"}` may come before it. Everything that
libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from bitpick.artifacts.cache import cache_root
from bitpick.errors import BitpickError, raised_by_library
from bitpick.executors.executor import call
from bitpick.executors.progress import LISTENER
from bitpick.library_errors import visible


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    start, cpu_start = time.perf_counter(), time.process_time()
    try:
        value = to_jsonable_python(call(request["function"], request["payload"]))
    except BitpickError as error:
        _log()
        return {"error": error.to_dict()}
    except Exception as error:  # noqa: BLE001 - a library may raise anything; it fails its row, not the worker
        _log()
        return {"error": raised_by_library(error).to_dict()}
    return {"value": value, "seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu_start}


def _log() -> None:
    """Write the traceback of the current exception, with all of its message, to the log."""
    sys.stderr.write(visible(traceback.format_exc()))


def _keep_to_itself() -> None:
    """Keep libraries from sending telemetry, and from writing in the home folder.

    ONNX Runtime does both when it opens its first session, OpenVINO and NNCF when they are imported; Keras writes its
    settings when it is imported. The variables are set here, not by the parent, because a target's command may not
    pass them on.
    """
    os.environ |= {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None makes its import fail
    keras_home = Path(os.path.expanduser("~/.keras"))  # noqa: PTH111 - there may be no home folder
    if not keras_home.exists():  # otherwise the user's own code may need what is in it
        os.environ.setdefault("KERAS_HOME", str(cache_root() / "keras"))


def main() -> None:
    """Serve requests until standard input ends."""
    _keep_to_itself()
    # Libraries print to standard output, some of them from C code, so answers get a separate descriptor.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            requests.put(line)
        # The parent closed the pipe or is gone. End at once, with compilers that were started here: an interpreter with
        # a framework loaded takes seconds to tear down, and a native call may be running.
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(0)

    def write(fields: dict[str, Any]) -> None:
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    LISTENER.set(lambda text: write({"progress": text}))
    threading.Thread(target=read, daemon=True).start()
    while True:
        write(_answer(json.loads(requests.get())))


if __name__ == "__main__":
    main()
