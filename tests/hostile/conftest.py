"""A run that someone else made, and what must stay as it is whatever that run says."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpick.artifacts import watch
from bitpick.engines.fake.engine import FakeEngine
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.errors import BitpickError
from tests.comparing import Comparer
from tests.conftest import replace_engines
from tests.hostile.audit import Record, recorded

BUILD = "fake:s8s8-per_tensor-minmax"
FOLDER = "builds/fake__s8s8-per_tensor-minmax"
_COUNT = 20


@dataclass
class Scene:
    """A folder with a hostile `run`, and beside it a canary: files that the run must not have read, changed or run.

    Attributes:
        root: the folder.
        data: the data set of the run.
    """

    root: Path
    data: Any

    @property
    def run(self) -> Path:
        """The run directory, which the user works in."""
        return self.root / "run"

    @property
    def canary(self) -> Path:
        """The folder that nothing may touch."""
        return self.root / "canary"

    @property
    def results(self) -> Path:
        """What a device sent back for a build of the run."""
        return self.root / "results.json"

    @property
    def build(self) -> Path:
        """The folder of a build of the run."""
        return self.run / FOLDER

    def change(self, change: Callable[[dict[str, Any]], object], file: str = "run.json") -> None:
        """Change a JSON file of the run."""
        path = self.run / file
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))

    def change_row(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the row of the build."""
        self.change(lambda run: change(next(row for row in run["rows"] if row["id"] == BUILD)))

    def change_evaluation(self, **fields: Any) -> None:
        """Change what the run says about its evaluation set, and seal it again, as whoever made the run can."""
        path = self.run / "forms" / "evaluation.npz"
        with np.load(path) as file:
            arrays = dict(file)
        samples = json.loads(str(arrays["samples"]))
        for name, value in fields.items():
            if name in samples:
                samples[name] = value
            else:
                arrays[name] = value
        np.savez(path, **arrays | {"samples": np.array(json.dumps(samples))})
        run = json.loads((self.run / "run.json").read_text())
        watch.seal(path, run["data"]["evaluation"]["sha256"])

    def link(self, place: str, target: str | Path) -> None:
        """Put a symbolic link in the run, instead of what is there."""
        path = self.run / place
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def refused(self, command: Callable[[], object], *words: str, exit_code: int = 2) -> BitpickError:
        """Return the refusal of a command; the canary was not touched, and no code ran.

        Args:
            command: what the user does.
            words: what the refusal says.
            exit_code: of the command.
        """
        record = self.harmless(command, exit_code)
        error = record.error
        assert error is not None, "it was accepted"
        assert all(word in str(error) for word in words), str(error)
        return error

    def harmless(self, command: Callable[[], object], exit_code: int = 2) -> Watched:
        """Return what a command did; the canary was not touched, and no code ran, whether it was refused or not."""
        before = contents(self.canary)
        outside = contents(self.root, self.run)
        error = None
        with recorded() as record:
            try:
                command()
            except BitpickError as refusal:
                error = refusal
        assert record.below(self.canary) == []
        assert record.ran == []
        assert record.connected == []
        assert contents(self.canary) == before
        assert contents(self.root, self.run) == outside
        if error is not None:
            assert error.exit_code == exit_code, error
        return Watched(record, error)


@dataclass
class Watched:
    """What a command did, and how it was refused; None if it was not."""

    record: Record
    error: BitpickError | None


def contents(folder: Path, but: Path | None = None) -> dict[str, str]:
    """Return the digest of each file in a folder, by name, and the target of each link."""
    found = {}
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            if but is None or not path.is_relative_to(but):
                found[str(path)] = (
                    str(path.readlink()) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
                )
    return found


def write_results(scene: Scene) -> None:
    """Write what a device would send back: what the build gave here for some samples of the run."""
    run = json.loads((scene.run / "run.json").read_text())
    row = next(row for row in run["rows"] if row["id"] == BUILD)
    with np.load(scene.run / "forms" / "evaluation.npz") as evaluation:
        digests = evaluation["digests"].astype(str)[:_COUNT]
    with np.load(scene.build / "predictions.npz") as predictions:
        outputs = predictions["output0"][:_COUNT]
    samples = [
        {"name": f"{i}.npy", "digest": digest, "outputs": [output.tolist()]}
        for i, (digest, output) in enumerate(zip(digests, outputs, strict=True))
    ]
    found = {
        "schema_version": 1,
        "recipe": BUILD,
        "files": {file["path"].removeprefix(f"{FOLDER}/"): file["sha256"] for file in row["files"]},
        "settings": {},
        "samples": samples,
        "latency": {"nanoseconds": [1000] * 100, "batch": 1, "threads": 1},
        "machine": {"cpu": "a phone", "platform": "Linux"},
    }
    scene.results.write_text(json.dumps(found))


@pytest.fixture
def scene(finished: Comparer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """The scene; commands are run in the run's folder."""
    replace_engines(monkeypatch, FakeEngine(), OnnxRuntimeEngine())
    here = Scene(tmp_path / "scene", finished.data)
    shutil.copytree(finished.directory.root, here.run)
    here.canary.mkdir()
    (here.canary / "secret.txt").write_text("secret\n")
    np.save(here.canary / "secret.npy", np.arange(600 * 48, dtype=np.uint8).reshape(600, 4, 4, 3))
    (here.canary / "code.py").write_text(PAYLOAD)
    (here.run / "evil_metric.py").write_text(PAYLOAD)
    write_results(here)
    monkeypatch.chdir(here.run)
    monkeypatch.setenv("CANARY", str(here.canary))
    return here


PAYLOAD = """
import os, pathlib
(pathlib.Path(os.environ["CANARY"]) / "pwned").write_text("code ran")

def metric(outputs, targets):
    return 1.0
"""


class Pickled:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {os.environ['CANARY']}/pwned",)


@pytest.fixture
def pickled() -> np.ndarray[Any, Any]:
    """An array that runs code when it is read with `allow_pickle`."""
    array = np.empty(1, object)
    array[0] = Pickled()
    return array
