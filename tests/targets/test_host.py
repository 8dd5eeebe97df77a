from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bitpick.targets.host import reported_features, this_host, usable_cores
from bitpick.targets.target import AVX2
from tests.conftest import skip_or_fail


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


def test_this_cpu_reports_what_the_system_lists():
    if not this_host().x86:
        assert reported_features() == frozenset()
        pytest.skip("this CPU is not an x86 CPU")
    listed = set(this_host().isa) & {"avx2", "avx512f", "avx512_vnni"}
    assert reported_features() & {"avx2", "avx512f", "avx512_vnni"} == listed


def test_an_emulated_cpu_reports_its_own_extensions():
    if reason := AVX2.missing(this_host()):
        skip_or_fail("emulator", reason)
    code = "from bitpick.targets.host import reported_features; print(*reported_features())"
    command = [*AVX2.prefix, sys.executable, "-c", code]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "avx2" in told
    assert not any("avx512" in each for each in told)


def test_cores_are_those_that_this_process_may_use():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no CPU affinity")
    one = min(os.sched_getaffinity(0))
    count = "from bitpick.targets.host import usable_cores; print(usable_cores())"
    code = f"import os; os.sched_setaffinity(0, [{one}]); {count}"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(told) == 1
    assert usable_cores() >= 1
