"""The parent's side of one worker process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
from pydantic_core import to_jsonable_python

from bitpick.artifacts import temporary
from bitpick.errors import BitpickError, InstructionError, WorkerError
from bitpick.executors.executor import Outcome, Payload, unheard
from bitpick.executors.progress import Report
from bitpick.library_errors import LIMIT

# Variables that limit the thread pools of libraries.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


@dataclass(frozen=True)
class Launch:
    """How the workers of a target are started.

    Attributes:
        prefix: command put before the interpreter, such as an emulator or a remote shell.
        interpreter: Python interpreter that runs the worker.
    """

    prefix: tuple[str, ...] = ()
    interpreter: str = sys.executable


@dataclass(frozen=True)
class Limits:
    """What a single call may use before its worker process is killed; None for no limit.

    Attributes:
        seconds: wall time, from the last report of progress if the function makes any.
        bytes: resident memory of the process and its children, measured from outside: address space limits would break
            frameworks that reserve more memory than they use.
    """

    seconds: float | None = None
    bytes: int | None = None


NO_LIMITS = Limits()
HERE = Launch()
_WATCH_INTERVAL = 0.1  # seconds
_TAIL = 4000  # bytes read from the end of a log


class _Watch(threading.Thread):
    """Kills a process that exceeds its limits during a call, and records the reason."""

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits) -> None:
        super().__init__(daemon=True, name="bitpick-watch")
        self.reason: str | None = None
        self._process = process
        self._limits = limits
        self._done = threading.Event()
        self._alive = time.monotonic()

    def restart(self) -> None:
        """Count the time from now on: the function reported progress."""
        self._alive = time.monotonic()

    def run(self) -> None:
        self.restart()
        while self.reason is None and not self._done.wait(_WATCH_INTERVAL):
            limit = self._limits
            if limit.seconds is not None and time.monotonic() - self._alive > limit.seconds:
                self.reason = f"took longer than {limit.seconds:g} s"
            elif limit.bytes is not None and (used := resident(self._process.pid)) > limit.bytes:
                self.reason = f"used {used / 1e9:.2f} GB of memory, more than {limit.bytes / 1e9:g} GB"
        if self.reason is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        if self._limits != NO_LIMITS:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()


def _progress(answer: bytes) -> str | None:
    """Return what a line of a worker's output reports; None if it is an answer."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(answer)["progress"])
    return None


def resident(pid: int) -> int:
    """Return the resident bytes of a process and its descendants; processes that just ended do not count."""
    total = 0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total


class Worker:
    """One worker process that runs functions, one at a time.

    Args:
        name: name in messages.
        log: file for the process's output; None discards it.
        threads: number of threads that libraries in the process may use.
        launch: how the process is started.
        limits: limits of a single call.
    """

    def __init__(
        self,
        name: str,
        log: Path | None = None,
        threads: int = 1,
        launch: Launch = HERE,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self.name = name
        self._limits = limits
        self.log = log
        self._command = [*launch.prefix, launch.interpreter, "-P", "-m", "bitpick.executors.worker"]
        self._environment = dict.fromkeys(_THREAD_VARIABLES, str(threads)) | {"TF_NUM_INTEROP_THREADS": "1"}
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._log_start = 0  # size of the log when the call began
        self._start_lock = threading.Lock()
        self._call_lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Process id; None if the process is not running."""
        return None if self._process is None else self._process.pid

    def run(self, function: str, payload: Payload, progress: Report = unheard) -> Outcome:
        """See `Executor.run`; a second caller waits for its turn."""
        with self._call_lock:
            return self._run(function, payload, progress)

    def close(self) -> None:
        """Kill the process at once. Other threads may call this while a call is running."""
        with self._start_lock:
            self._closed = True
            if self._process is not None:
                _kill(self._process)

    def _run(self, function: str, payload: Payload, progress: Report) -> Outcome:
        process = self._running_process()
        self._log_start = self.log.stat().st_size if self.log is not None and self.log.is_file() else 0
        assert process.stdin is not None
        assert process.stdout is not None
        request = json.dumps({"function": function, "payload": to_jsonable_python(payload)})
        with _Watch(process, self._limits) as watch:
            try:
                process.stdin.write(request.encode() + b"\n")
                process.stdin.flush()
                while (text := _progress(answer := process.stdout.readline())) is not None:
                    watch.restart()
                    progress(text)
            except (BrokenPipeError, ValueError):  # the process died before, or was closed while this call waited
                answer = b""
        try:
            fields = json.loads(answer)
        except ValueError:
            if answer.endswith(b"\n") and watch.reason is None:
                _kill(process)
                output = answer[:80].decode(errors="replace").strip()
                raise WorkerError(
                    f"the worker {self.name} wrote {output!r} where an answer was due",
                    expected="a command that writes nothing of its own to standard output",
                ) from None
            # The process died before or during its answer.
            raise self._death_error(process, watch.reason) from None
        if "error" in fields:
            raise BitpickError.from_dict(fields["error"])
        return Outcome(**fields)

    def _running_process(self) -> subprocess.Popen[bytes]:
        with self._start_lock:
            if self._closed:
                raise WorkerError(f"the worker {self.name} is closed")
            if self._process is not None and self._process.poll() is not None:
                _kill(self._process)
                self._process = None
            if self._process is None:
                self._process = self._start()
            return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        log = None
        if self.log is not None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            log = self.log.open("ab")
        try:
            # A new session, so that Ctrl-C reaches only the parent, which decides what to do.
            return subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log or subprocess.DEVNULL,
                env=os.environ | self._environment | {"TMPDIR": str(temporary.root())},
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerError(
                f"the worker {self.name} could not be started: {error}",
                expected=f"a runnable {' '.join(self._command)}",
            ) from error
        finally:
            if log is not None:
                log.close()

    def _death_error(self, process: subprocess.Popen[bytes], reason: str | None) -> WorkerError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)  # its pipe is closed, so it is about to end: wait for the exit code
        _kill(process)
        if reason is not None:
            return WorkerError(
                f"the job {reason}, and its worker process {self.name} was ended",
                fix="raise the limit (--timeout, --memory-limit)",
            )
        code = process.returncode
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        where = f"; its log is {self.log}" if self.log else ""
        if code == -signal.SIGILL:
            return InstructionError(
                f"the build has instructions that this CPU does not have (SIGILL in the worker process {self.name})",
                fix="make it on the CPU that is to run it",
            )
        message = f"the worker process {self.name} {how}{where}"
        if code == -signal.SIGKILL:
            return WorkerError(
                f"{message}. This usually means that the system ran out of memory",
                fix="free some memory, or run fewer jobs at once (--jobs 1)",
            )
        log_end = f", which ends with: {last}" if (last := self._last_log_line()) else ""
        return WorkerError(f"{message}{log_end}", fix="look into that log" if self.log else "")

    def _last_log_line(self) -> str:
        """Return the last line that the process printed during this call; empty if there is none."""
        if self.log is None or not self.log.is_file():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(self._log_start, self.log.stat().st_size - _TAIL))
            lines = log.read().decode(errors="replace").splitlines()
        return next((" ".join(line.split())[:LIMIT] for line in reversed(lines) if line.strip()), "")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its descendants. This is safe because everything they write is written atomically."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # a request that was not read
                pipe.close()
