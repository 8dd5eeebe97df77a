"""The machine: CPU, instruction set, cores, versions of installed libraries, of which it imports none; and others."""

from __future__ import annotations

import dataclasses
import functools
import os
import platform
import re
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from bitpick.errors import RequestError

# What decides how 8-bit products are computed, and which reduced precisions a runtime may pick by itself.
_INTERESTING_ISA = (
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
        cores: how many this process may use.
        platform: operating system and release.
        python: version of the interpreter.
    """

    cpu: str
    machine: str
    isa: tuple[str, ...]
    cores: int
    platform: str
    python: str

    @property
    def x86(self) -> bool:
        """Whether it is a 64-bit x86, under either of its names."""
        return self.machine.lower() in ("x86_64", "amd64")


@functools.cache
def this_host() -> Host:
    """The machine this process runs on."""
    import archspec.cpu

    # What the CPU says, not the named microarchitecture that it comes nearest to: a virtual one often hides a feature
    # or two.
    features = archspec.cpu.detect.detected_info().features
    return Host(
        cpu=archspec.cpu.brand_string() or platform.processor() or platform.machine(),
        machine=platform.machine(),
        isa=tuple(f for f in _INTERESTING_ISA if f in features),
        cores=usable_cores(),
        platform=platform.platform(terse=True),
        python=platform.python_version(),
    )


@dataclass(frozen=True)
class Target:
    """A CPU that builds are measured for beside this one, through workers that a command starts.

    Attributes:
        name: stands after `@` in the ids of its rows.
        prefix: the command put before the interpreter: an emulator, a remote shell.
        interpreter: the Python that runs there, with bitpick in it; None is this one.
        emulated: whether it is imitated: its accuracy counts, its times do not.
        saturates: whether its sums of 8-bit products saturate, as on x86 CPUs without VNNI.
        machine: the architecture that this machine must have; empty where any will do.
        package: the Debian package that brings the command.
    """

    name: str
    prefix: tuple[str, ...]
    interpreter: str | None = None
    emulated: bool = False
    saturates: bool = False
    machine: str = ""
    package: str = ""

    def missing(self, host: Host) -> str | None:
        """Why nothing can be measured for it from here; None where it can."""
        if self.machine and self.machine != ("x86_64" if host.x86 else host.machine.lower()):
            return f"it takes a {self.machine} machine, and this one is {host.machine}"
        if self.prefix and shutil.which(self.prefix[0]) is None:
            how = f": apt install {self.package}" if self.package else ""
            return f"there is no {self.prefix[0]} on the PATH{how}"
        return None


AVX2 = Target(
    name="x86-avx2",
    prefix=("qemu-x86_64", "-cpu", "Haswell"),
    emulated=True,
    saturates=True,
    machine="x86_64",
    package="qemu-user",
)
TARGETS = {AVX2.name: AVX2}
VNNI = frozenset({"avx512_vnni", "avx_vnni"})


def target(word: str) -> Target:
    """The target that a user names: one that bitpick knows, or a YAML file with the fields of one.

    Raises:
        RequestError: there is none.
    """
    if word in TARGETS:
        return TARGETS[word]
    expected = (
        f"host, {', '.join(TARGETS)}, or a YAML file with name, prefix, and perhaps interpreter, emulated, saturates"
    )
    if not word.endswith((".yaml", ".yml")):
        raise RequestError(f"there is no target {word!r}", expected=expected)
    import yaml
    from pydantic import TypeAdapter, ValidationError

    try:
        fields = yaml.safe_load(Path(word).read_text(encoding="utf-8"))
        found = TypeAdapter(Target).validate_python(fields)
    except OSError as error:
        raise RequestError(f"the target {word} cannot be read: {error.strerror}", expected=expected) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RequestError(f"{word} is not YAML: {' '.join(str(error).split())}", expected=expected) from error
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['msg']}".strip() for e in error.errors())
        raise RequestError(f"{word} holds no target: {reasons}", expected=expected) from error
    if unknown := sorted(set(fields) - {field.name for field in dataclasses.fields(Target)}):
        raise RequestError(f"{word} has the unknown field {unknown[0]!r}", expected=expected)
    check_name(found.name, f"{word} names its target")
    return found


def check_name(name: str, told: str) -> None:
    """Refuse a name that no target of the user's own can have, told in the words that come before it.

    Raises:
        RequestError: it is taken, or cannot stand in the id of a row.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) or name in ("host", *TARGETS):
        raise RequestError(f"{told} {name!r}", expected="a new name of up to 64 letters, digits, ., - and _")


def usable_cores() -> int:
    """Number of cores this process may run on; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
