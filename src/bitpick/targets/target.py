"""A CPU that builds are measured for beside this one."""

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
