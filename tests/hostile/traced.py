"""A program as the kernel sees it, whatever language its libraries are written in: strace says it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import skip_or_fail

_CHANGES = (
    "mkdir", "mkdirat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "link", "linkat", "symlink",
    "symlinkat", "creat", "truncate", "mknod", "mknodat", "chmod", "fchmodat",
)  # fmt: skip
_OPENS = ("open", "openat", "openat2")
_CONNECTS = ("connect", "sendto", "sendmsg", "sendmmsg")
_LOOPBACK = re.compile(r'"(127\.\d+\.\d+\.\d+|::1)"')
_ASKS_FOR_A_NAME = "port=htons(53)"  # of whoever it wants to reach
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")


@dataclass(frozen=True)
class Trace:
    """What a program and its children did.

    Attributes:
        done: the program, with its output.
        connects: each attempt to reach another machine, whether it succeeded or not.
        written: each path that was opened to be written, made, moved or removed.
    """

    done: subprocess.CompletedProcess[str]
    connects: list[str]
    written: set[str]


def traced(command: Sequence[str | Path], place: Path, environment: Mapping[str, str], log: Path) -> Trace:
    """Run a program under strace."""
    if shutil.which("strace") is None or subprocess.run(["strace", "-qq", "true"], capture_output=True).returncode:
        skip_or_fail("strace", "there is no strace on the PATH, or it may not trace here")
    calls = ",".join(f"?{name}" for name in (*_CHANGES, *_OPENS, *_CONNECTS))
    options = ["-f", "--seccomp-bpf", "-qq", "-y", "-s", "400", "-e", f"trace={calls}", "-o", str(log)]
    done = subprocess.run(
        ["strace", *options, *map(str, command)],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    connects, written = [], set()
    for line in _whole(log.read_text(errors="replace").splitlines()):
        if (match := _CALL.match(line)) is None:
            continue
        _, call, arguments = match.groups()
        if call in _CONNECTS:
            if "AF_INET" in arguments and (_ASKS_FOR_A_NAME in arguments or not _LOOPBACK.search(arguments)):
                connects.append(line)
        elif " = -1 " in line:
            continue
        elif call in _CHANGES or re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", arguments):
            written |= _paths(arguments, place)
    return Trace(done, connects, written)


def _whole(lines: Iterable[str]) -> Iterator[str]:
    """Yield each call on one line: strace breaks one in two where another process had its turn."""
    begun: dict[str, str] = {}
    for line in lines:
        pid = line.partition(" ")[0]
        if line.endswith("<unfinished ...>"):
            begun[pid] = line.removesuffix("<unfinished ...>")
        elif "resumed>" in line and pid in begun:
            yield begun.pop(pid) + line.partition("resumed>")[2]
        else:
            yield line
    yield from begun.values()  # whoever was ended in one


def _paths(arguments: str, place: Path) -> set[str]:
    """Return the paths in the arguments of a call; one that is relative belongs to the folder before it."""
    found = set()
    for folder, path in re.findall(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"([^"]*)"', arguments):
        found.add(os.path.normpath(Path(folder or place) / path))
    return found
