"""What test workers run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from bitpick.errors import DataError
from bitpick.executors.progress import report

calls: list[int] = []


def echo(**payload):
    calls.append(1)
    return {"payload": payload, "pid": os.getpid(), "calls": len(calls)}


def say(text):
    sys.stdout.write(text)
    os.write(1, b"from C\n")
    sys.stderr.write("to stderr\n")


def fail_on_purpose():
    raise DataError("no data", expected="data", fix="bring some")


def fail_by_accident():
    raise ZeroDivisionError("first line\nsecond line")


def import_what_is_absent():
    import no_such_library.part  # noqa: F401


def exhaust_memory():
    raise MemoryError


def die(code, words=""):
    os.write(2, words.encode())
    os._exit(code)


def kill_self(signal):
    os.kill(os.getpid(), signal)


def sleep(seconds):
    time.sleep(seconds)


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def environment(name):
    return os.environ.get(name)


def open_onnx():
    import onnxruntime

    from bitpick.api import bundled_model

    return onnxruntime.InferenceSession(bundled_model().with_suffix(".onnx")).get_providers()[-1:]


def bloat(megabytes, seconds):
    kept = bytearray(megabytes * 1_000_000)
    kept[::4096] = b"x" * len(kept[::4096])
    time.sleep(seconds)


def count(steps, seconds):
    for step in range(steps):
        time.sleep(seconds)
        report(f"step {step}")
    return steps


def start_compiler():
    """Start a process that outlives its parent, as compilers do, and return its id."""
    return subprocess.Popen(["sleep", "60"]).pid


def temporary_folder():
    return tempfile.gettempdir()
