"""A machine whose disk fails when told to, and a small comparison by the fake engine to disturb."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import linear_dataset, linear_model, skip_or_fail
from tests.faults.served import NO_FAULT, Fault, Machine

COMPARE = ["--engine", "fake", "--target", "host", "--no-bench", "--calibration-size", 50, "--margin", 10]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes calls fail."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not Path("/proc/self/fd").is_dir():
        skip_or_fail("compiler", "there is no C compiler on the PATH, or no /proc")
    assert compiler is not None
    out = tmp_path_factory.mktemp("library") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(out), str(source), "-ldl"], check=True, timeout=120)
    return out


@dataclass
class Disturbed:
    """Comparisons on a machine.

    Attributes:
        machine: where they run.
        model: their model.
        data: their data set.
    """

    machine: Machine
    model: Path
    data: Path
    place: Path
    _number: int = 0

    def anew(self) -> None:
        """Leave what was, and begin in an empty folder."""
        if self.place.exists():
            shutil.rmtree(self.place)
        self._number += 1
        self.place = self.machine.place / str(self._number)
        (self.place / "tmp").mkdir(parents=True)

    @property
    def run(self) -> Path:
        """The run directory."""
        return self.place / "run"

    @property
    def store(self) -> Path:
        """The store."""
        return self.place / "store"

    def compare(
        self, fault: Fault = NO_FAULT, workers: bool = False, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the comparison."""
        return self.machine.run(self._words(self.run), fault, workers, **self._variables, **variables)

    def start(self, run: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        """Start the comparison as a process of its own, with workers and without faults."""
        return self.machine.start(self._words(run or self.run), **self._variables, **variables)

    def _words(self, run: Path) -> list[object]:
        return ["compare", self.model, "--data", self.data, *COMPARE, "--out", run]

    @property
    def _variables(self) -> dict[str, str]:
        return {"BITPICK_STORE": str(self.store), "TMPDIR": str(self.place / "tmp")}


def outcome(run: Path) -> dict[str, Any]:
    """What a run is: its record without times, and the digests of its builds' files."""
    record = json.loads((run / "run.json").read_text())
    for part in (record, *record["rows"]):
        for name in ("seconds", "cpu_seconds", "sha256"):
            part.pop(name, None)
    files = [path for path in sorted((run / "builds").rglob("*")) if path.is_file()]
    digests = {path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {"record": record, "files": digests}


def leftovers(place: Path) -> list[str]:
    """What a command that was disturbed must not leave for good, after one that was not."""
    # Folders named tmp… are those of jobs, which workers have in the folder of their run.
    temporary = [p.name for p in (place / "tmp").iterdir() if not p.name.startswith(("bitpick-logs-", "tmp"))]
    partial = [p.name for p in place.rglob("*") if p.name.startswith((".partial-", "partial-", "gone-", ".run.json-"))]
    return sorted(temporary + partial)


@pytest.fixture(scope="session")
def disturbed(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disturbed]:
    """Comparisons to disturb."""
    folder = tmp_path_factory.mktemp("faults")
    model = linear_model(folder / "linear.onnx")
    data = linear_dataset(folder, model)
    arrays = {"train": data.calibration, "test": data.evaluation}
    parts = {f"{name}_image": each.inputs["image"] for name, each in arrays.items()}
    parts |= {f"{name}_labels": np.asarray(each.labels) for name, each in arrays.items()}
    np.savez(folder / "tiny.npz", **parts)
    info = folder / "site" / "bitpick_fake-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bitpick-fake\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[bitpick.engines]\nfake = bitpick.engines.fake:FakeEngine\n")
    (folder / "machine").mkdir()
    machine = Machine(library, folder / "machine", info.parent)
    yield Disturbed(machine, model, folder / "tiny.npz", folder / "machine" / "0")
    machine.close()


@pytest.fixture(scope="session")
def undisturbed(disturbed: Disturbed) -> dict[str, Any]:
    """What the comparison is if nothing disturbs it."""
    disturbed.anew()
    done = disturbed.compare()
    assert done.returncode == 0, done.stderr
    assert leftovers(disturbed.place) == []
    return outcome(disturbed.run)
