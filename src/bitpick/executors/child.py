"""One worker process, as its parent sees it."""

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

from bitpick.errors import BitpickError, InstructionError, WorkerError
from bitpick.executors.executor import Outcome, Payload
from bitpick.library_errors import LIMIT

# Thread pools that a library sizes by itself, each with its own variable.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


@dataclass(frozen=True)
class Launch:
    """How the children of a target are started.

    Attributes:
        prefix: a command put before the interpreter, such as an emulator or a remote shell.
        interpreter: the Python that runs the child.
    """

    prefix: tuple[str, ...] = ()
    interpreter: str = sys.executable


@dataclass(frozen=True)
class Limits:
    """What one call in a worker may use before its process is ended; None is no limit.

    Attributes:
        seconds: wall time.
        bytes: resident memory of the process and its children. Watched from outside: limits on the address space break
            frameworks that reserve more than they use.
    """

    seconds: float | None = None
    bytes: int | None = None


NO_LIMITS = Limits()
HERE = Launch()
_WATCH_INTERVAL = 0.1  # seconds
_TAIL = 4000  # bytes of a log's end


class _Watch(threading.Thread):
    """Ends a process that goes past its limits in the middle of a call, and knows why it did."""

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits) -> None:
        super().__init__(daemon=True, name="bitpick-watch")
        self.reason: str | None = None
        self._process = process
        self._limits = limits
        self._over = threading.Event()

    def run(self) -> None:
        began = time.monotonic()
        while self.reason is None and not self._over.wait(_WATCH_INTERVAL):
            limit = self._limits
            if limit.seconds is not None and time.monotonic() - began > limit.seconds:
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
        self._over.set()


def resident(pid: int) -> int:
    """Resident bytes of a process and its descendants; what has just ended counts nothing."""
    total = 0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total


class Worker:
    """One child process that runs functions, one at a time.

    Args:
        name: for messages.
        log: file that gets what the child prints; None discards it.
        threads: how many threads libraries in the child may use.
        launch: how it is started.
        limits: what one call may use.
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
        self._variables = dict.fromkeys(_THREAD_VARIABLES, str(threads)) | {"TF_NUM_INTEROP_THREADS": "1"}
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._logged = 0  # bytes of the log when the call began
        self._starting = threading.Lock()
        self._busy = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The child's process id while it lives."""
        return None if self._process is None else self._process.pid

    def run(self, function: str, payload: Payload) -> Outcome:
        """See `Executor.run`; a second caller waits for its turn."""
        with self._busy:
            return self._run(function, payload)

    def close(self) -> None:
        """End the child at once. Safe to call from another thread than the one that runs."""
        with self._starting:
            self._closed = True
            if self._process is not None:
                _end(self._process)

    def _run(self, function: str, payload: Payload) -> Outcome:
        process = self._alive()
        self._logged = self.log.stat().st_size if self.log is not None and self.log.is_file() else 0
        assert process.stdin is not None
        assert process.stdout is not None
        request = json.dumps({"function": function, "payload": to_jsonable_python(payload)})
        with _Watch(process, self._limits) as watch:
            try:
                process.stdin.write(request.encode() + b"\n")
                process.stdin.flush()
                answer = process.stdout.readline()
            except (BrokenPipeError, ValueError):  # it died before, or was closed while we waited
                answer = b""
        try:
            fields = json.loads(answer)
        except ValueError:
            if answer.endswith(b"\n") and watch.reason is None:
                _end(process)
                wrote = answer[:80].decode(errors="replace").strip()
                raise WorkerError(
                    f"the worker {self.name} wrote {wrote!r} where an answer was due",
                    expected="a command that writes nothing of its own to standard output",
                ) from None
            # It died before its answer, or in the middle of it.
            raise self._death(process, watch.reason) from None
        if "error" in fields:
            raise BitpickError.from_dict(fields["error"])
        return Outcome(**fields)

    def _alive(self) -> subprocess.Popen[bytes]:
        with self._starting:
            if self._closed:
                raise WorkerError(f"the worker {self.name} is closed")
            if self._process is not None and self._process.poll() is not None:
                _end(self._process)
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
            # A session of its own: Ctrl-C reaches the parent alone, which then decides.
            return subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log or subprocess.DEVNULL,
                env=os.environ | self._variables,
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

    def _death(self, process: subprocess.Popen[bytes], reason: str | None) -> WorkerError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)  # its pipe is closed, so it is about to end: learn how
        _end(process)
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
        what = f"the worker process {self.name} {how}{where}"
        if code == -signal.SIGKILL:
            return WorkerError(
                f"{what}. This usually means that the system ran out of memory",
                fix="free some memory, or run fewer jobs at once (--jobs 1)",
            )
        ends = f", which ends with: {last}" if (last := self._last_words()) else ""
        return WorkerError(f"{what}{ends}", fix="look into that log" if self.log else "")

    def _last_words(self) -> str:
        """The last line that the child printed in this call; empty where it printed nothing."""
        if self.log is None or not self.log.is_file():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(self._logged, self.log.stat().st_size - _TAIL))
            lines = log.read().decode(errors="replace").splitlines()
        return next((" ".join(line.split())[:LIMIT] for line in reversed(lines) if line.strip()), "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a child and what it started. No need to be gentle: whatever it writes is written atomically."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # a request that it no longer reads
                pipe.close()
