"""The command as its users meet it: a process with its output and its exit code.

Importing bitpick takes longer than most commands that tests run do. So this file, as a program, imports it once, and
forks itself for each command; the child is a process of its own, with its own directory, environment and output.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TIMEOUT = 300  # seconds
_TURN = threading.Lock()


def bitpick(
    arguments: Sequence[object], place: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """`python -m bitpick` with these arguments, in a directory, with these variables."""
    words = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder, _TURN:
        out, err = Path(folder) / "out", Path(folder) / "err"
        request = {"words": words, "place": str(place), "environment": dict(environment), "out": str(out)}
        server = _server()
        server.stdin.write(json.dumps(request | {"err": str(err)}) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        if code == -signal.SIGALRM:
            raise subprocess.TimeoutExpired(["bitpick", *words], TIMEOUT, out.read_text(), err.read_text())
        return subprocess.CompletedProcess(["bitpick", *words], code, out.read_text(), err.read_text())


@functools.cache
def _server() -> subprocess.Popen[str]:
    command = [sys.executable, "-P", __file__]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.kill)
    return process


def _serve() -> None:
    """Read a request a line, and answer each with the exit code of its command."""
    _import()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _import() -> None:
    """Import what most commands do, and compile their templates."""
    import onnx  # noqa: F401
    import scipy.optimize
    import scipy.special  # noqa: F401
    import yaml  # noqa: F401

    import bitpick.api
    import bitpick.cli  # noqa: F401
    from bitpick.reports import templating

    os.fsync = lambda _: None  # tests need not wait for the disk
    for html in (True, False):
        environment = templating._environment(html)
        for name in environment.list_templates():
            if html == name.startswith(("html/", "report.html.")):
                environment.get_template(name)


def _become(request: dict[str, Any]) -> None:
    """Be the process of a command."""
    signal.alarm(TIMEOUT)
    for descriptor, path, how in ((0, os.devnull, os.O_RDONLY), (1, request["out"], None), (2, request["err"], None)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT if how is None else how)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["place"])
    sys.path[:0] = [str(Path.cwd()), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = ["bitpick", *request["words"]]
    runpy.run_module("bitpick", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve()
