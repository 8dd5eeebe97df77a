"""Commands whose calls of the system fail when told to.

This file, as a program started with the library of `faults.c`, forks itself for each command, see `tests.forked`.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT = 120  # seconds
KINDS = {"open": "o", "write": "w", "rename": "r", "sync": "s", "make a folder": "m", "read": "R"}
_CONTROL = "@llll16s"


@dataclass(frozen=True)
class Fault:
    """Which calls fail.

    Attributes:
        kind: one of `KINDS`, or several of their letters.
        first: the number of the first call that fails; 0 for none.
        number: its errno.
        every: each so many-th call after that fails, too; 0 for no other.
    """

    kind: str
    first: int
    number: int = 0
    every: int = 0


NO_FAULT = Fault("", 0)


class Machine:
    """A place whose files can fail: commands run there, one at a time.

    Args:
        library: the library made of `faults.c`.
        place: a folder; faults are below it.
        site: a folder with the fake engine's distribution.
    """

    def __init__(self, library: Path, place: Path, site: Path) -> None:
        self.place = place
        self._control = place.with_name(f"{place.name}.control")
        self._control.write_bytes(bytes(struct.calcsize(_CONTROL)))
        path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.variables = os.environ | {
            "PYTHONPATH": path,
            "ORT_DISABLE_TELEMETRY": "1",  # as in workers
            "LD_PRELOAD": str(library),
            "BITPICK_FAULTS": f"{self._control}:{place}/",
        }
        self._server = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.variables,
            text=True,
        )

    def start(self, words: list[object], **variables: str) -> subprocess.Popen[str]:
        """Start a command as a process of its own, without faults."""
        environment = self.variables | variables
        for name in ("LD_PRELOAD", "BITPICK_FAULTS"):
            environment.pop(name)
        command = [sys.executable, "-m", "bitpick", *map(str, words)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.place, env=environment, stdout=pipe, stderr=pipe, text=True)

    def close(self) -> None:
        """End the process that forks itself."""
        self._server.kill()
        self._server.communicate()

    @property
    def calls(self) -> int:
        """How many calls counted in the last command."""
        return struct.unpack(_CONTROL, self._control.read_bytes())[0]

    def run(
        self, words: list[object], fault: Fault = NO_FAULT, workers: bool = False, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the place.

        Args:
            words: its arguments.
            fault: which calls fail in it.
            workers: whether it has workers of its own; otherwise its jobs run in its process.
            variables: of its environment.
        """
        kind = KINDS.get(fault.kind, fault.kind).encode()
        self._control.write_bytes(struct.pack(_CONTROL, 0, fault.first, fault.every, fault.number, kind))
        out, err = self.place.with_name("stdout"), self.place.with_name("stderr")
        request = {"words": [*map(str, words)], "place": str(self.place), "environment": self.variables | variables}
        request |= {"out": str(out), "err": str(err), "workers": workers}
        for each in (out, err):
            each.unlink(missing_ok=True)
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        self._control.write_bytes(struct.pack(_CONTROL, self.calls, 0, 0, 0, b""))
        assert code != -signal.SIGALRM, f"{words} took more than {TIMEOUT} s"
        return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())


def _serve() -> None:
    sys.path.insert(0, str(ROOT))
    from tests import forked

    forked.TIMEOUT = TIMEOUT
    fsync = os.fsync
    forked._import()
    os.fsync = fsync  # that of the library waits no more than its stand-in, and can fail
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        child = os.fork()
        if child == 0:
            if not request["workers"]:
                _without_workers()
            forked._become(request)
            return
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _without_workers() -> None:
    from bitpick.api import comparing
    from bitpick.executors.inline import InlineExecutor

    comparing.WorkerPool = lambda *_, **__: InlineExecutor()


if __name__ == "__main__":
    _serve()
