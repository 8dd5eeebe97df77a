"""This machine: CPU, instruction set, cores."""

from __future__ import annotations

import functools
import os
import platform
from dataclasses import dataclass

# Extensions that decide how 8-bit products are computed, and which reduced precisions a runtime may use by default.
_RELEVANT_ISA = (
    "sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx_vnni_int8", "avx512_bf16", "amx_int8",
    "amx_bf16", "neon", "asimddp", "i8mm", "bf16", "sve", "sve2", "fphp", "asimdhp",
)  # fmt: skip


@dataclass(frozen=True)
class Host:
    """A machine.

    Attributes:
        cpu: the CPU's name.
        machine: its architecture: `x86_64`, `arm64`, `aarch64`.
        isa: the instruction-set extensions that matter to quantized arithmetic.
        cores: number of cores that this process may use.
        platform: operating system and release.
        python: version of the Python interpreter.
    """

    cpu: str
    machine: str
    isa: tuple[str, ...]
    cores: int
    platform: str
    python: str

    @property
    def x86(self) -> bool:
        """Whether it is a 64-bit x86 machine, under either name of that architecture."""
        return self.machine.lower() in ("x86_64", "amd64")


@functools.cache
def this_host() -> Host:
    """Return the machine that this process runs on."""
    import archspec.cpu

    # Use the features that the CPU reports, not those of the closest microarchitecture: virtual CPUs often hide some.
    features = archspec.cpu.detect.detected_info().features
    return Host(
        cpu=archspec.cpu.brand_string() or platform.processor() or platform.machine(),
        machine=platform.machine(),
        isa=tuple(f for f in _RELEVANT_ISA if f in features),
        cores=usable_cores(),
        platform=platform.platform(terse=True),
        python=platform.python_version(),
    )


def reported_features() -> frozenset[str]:
    """Return the extensions that an x86 CPU reports, even an emulated one; none on other architectures.

    `this_host` reads the system's list, which is that of the real CPU where another one is emulated.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return frozenset()
    from archspec.cpu.detect import CpuidInfoCollector

    return frozenset(CpuidInfoCollector().features)


def usable_cores() -> int:
    """Return the number of cores that this process may run on; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
