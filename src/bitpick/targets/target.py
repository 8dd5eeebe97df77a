"""CPUs other than this machine's that builds are measured on."""

from __future__ import annotations

import dataclasses
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from bitpick.errors import RequestError
from bitpick.targets.host import Host


@dataclass(frozen=True)
class Target:
    """Another CPU that builds are measured on, by workers that a command starts.

    Attributes:
        name: the name after `@` in the ids of its rows.
        prefix: the command before the interpreter, such as an emulator or a remote shell.
        interpreter: the Python interpreter on the target, with bitpick installed; None for the current one.
        emulated: whether the CPU is emulated: its accuracy counts, its times do not.
        saturates: whether sums of 8-bit products saturate, as on x86 CPUs without VNNI.
        machine: the architecture that this machine must have; empty if any works.
        package: the Debian package that provides the command.
    """

    name: str
    prefix: tuple[str, ...]
    interpreter: str | None = None
    emulated: bool = False
    saturates: bool = False
    machine: str = ""
    package: str = ""

    def missing(self, host: Host) -> str | None:
        """Return why this machine cannot reach the target; None if it can."""
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
    """Return the target that the user names: a built-in one, or a YAML file with the fields of one.

    Raises:
        RequestError: there is no such target, or the file does not describe one.
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
        custom = TypeAdapter(Target).validate_python(fields)
    except OSError as error:
        raise RequestError(f"the target {word} cannot be read: {error.strerror}", expected=expected) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"{word} is not YAML: {' '.join(str(error).split())}", expected=expected) from error
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['msg']}".strip() for e in error.errors())
        raise RequestError(f"{word} holds no target: {reasons}", expected=expected) from error
    if unknown := sorted(set(fields) - {field.name for field in dataclasses.fields(Target)}):
        raise RequestError(f"{word} has the unknown field {unknown[0]!r}", expected=expected)
    check_name(custom.name, f"{word} names its target")
    return custom


def check_name(name: str, message: str) -> None:
    """Refuse a name that a user's target cannot have.

    Args:
        name: the name.
        message: the start of the error message, before the name.

    Raises:
        RequestError: the name is taken, or is not valid in the id of a row.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) or name in ("host", *TARGETS):
        raise RequestError(f"{message} {name!r}", expected="a new name of up to 64 letters, digits, ., - and _")
