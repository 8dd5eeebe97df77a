from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bitpick.targets.host import this_host, usable_cores


def test_this_host():
    host = this_host()
    assert host.cpu
    assert host.machine
    assert 1 <= host.cores <= (os.cpu_count() or 1)
    assert host.python == sys.version.split()[0]


def test_the_instruction_set_is_what_the_kernel_says():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = next((line.split() for line in lines if line.startswith("flags")), None)
    except OSError:
        flags = None
    if flags is None:
        pytest.skip("this kernel does not list CPU flags in /proc/cpuinfo")
    for feature in ("avx2", "avx512_vnni", "avx_vnni", "amx_int8"):
        assert (feature in this_host().isa) == (feature in flags)


def test_cores_are_those_that_this_process_may_use():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no CPU affinity")
    one = min(os.sched_getaffinity(0))
    count = "from bitpick.targets.host import usable_cores; print(usable_cores())"
    code = f"import os; os.sched_setaffinity(0, [{one}]); {count}"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(told) == 1
    assert usable_cores() >= 1
