"""Quantize a network with a peer or with bitpick, and count what the saved file gets right: what peers.py repeats."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bitpick.artifacts import code
from overhead import ONE_THREAD, children_seconds
from parts import environments

HERE = Path(__file__).parents[1]
DRIVERS = HERE / "peers"
LONGEST = 2 * 60 * 60  # seconds that one quantization may take


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        network: which network.
        bits: bits of the weights; 32 for the float network.
        name: who quantized it, and how.
        runtime: what its saved file was evaluated in.
        right: how many evaluation samples it gets right.
        size: bytes of what ships.
        seconds: CPU seconds of quantization alone; None for bitpick, which has it done by several workers.
        whole: CPU seconds of all processes, imports too.
        reason: why there is no such build; empty if there is one.
    """

    network: str
    bits: int
    name: str
    runtime: str
    right: int = 0
    size: int = 0
    seconds: float | None = None
    whole: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Peer:
    """A program that quantizes.

    Attributes:
        name: what it is called.
        driver: the file in `peers/` that runs it.
        requirements: what its environment holds; bitpick's own runs it if there are none.
        runtime: what its saved files are evaluated in.
        algorithms: its algorithms for so many bits, as the driver calls them, each in words.
    """

    name: str
    driver: str
    requirements: tuple[str, ...]
    runtime: str
    algorithms: Mapping[int, Mapping[str, str]]


@dataclass(frozen=True)
class Place:
    """Where the work is done.

    Attributes:
        work: the folder for environments, networks, samples and builds.
        data: the data set, as bitpick's `--data` takes it.
        count: number of calibration samples.
    """

    work: Path
    data: str
    count: int

    def inputs(self, network: str) -> Path:
        """Return the folder of a network and the calibration samples."""
        return self.work / "networks" / network

    def out(self, network: str, *names: str) -> Path:
        """Return a new folder for a build."""
        folder = self.work.joinpath("builds", network, *(name.replace(":", "__") for name in names))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def right(self, file: Path) -> int:
        """Count the evaluation samples that a saved file gets right, in a process of its own."""
        images, labels = (str(self.work / "evaluation" / f"{name}.npy") for name in ("images", "labels"))
        printed = _child([sys.executable, str(HERE / "parts" / "right.py"), str(file), images, labels])
        return int(printed.splitlines()[-1])


class ChildError(Exception):
    """A child process failed, or what it gave is wrong; the message says how."""


def by_peer(peer: Peer, network: str, bits: int, algorithm: str, place: Place) -> Row:
    """Quantize with a peer; if that fails, the row says why.

    What was measured before, with the same driver, packages, network and samples, is read from the folder.
    """
    words = peer.algorithms[bits][algorithm]
    row = Row(network, bits, f"{peer.name}: {words}" if words else peer.name, peer.runtime)

    def make() -> Row:
        python: Path | str = sys.executable
        if peer.requirements:
            python = environments.python_of(place.work / "environments" / Path(peer.driver).stem, peer.requirements)
        out = place.out(network, f"{Path(peer.driver).stem}-{algorithm}-{bits}")
        arguments = [algorithm, str(bits), str(place.inputs(network)), str(out)]
        done = json.loads(_child([str(python), str(DRIVERS / peer.driver), *arguments]).splitlines()[-1])
        size = sum((out / name).stat().st_size for name in done["shipped"])
        right = place.right(out / done["opened"])
        return replace(row, right=right, size=size, seconds=done["seconds"], whole=done["whole"])

    driver = "".join((DRIVERS / name).read_text() for name in (peer.driver, "job.py"))
    return _once(place, row, make, driver, *peer.requirements, algorithm)


def by_bitpick(recipe: str, network: str, place: Place) -> Row:
    """Quantize with bitpick: `bitpick quantize`, with an empty store.

    It is timed whole: conversion, its checks and the start of workers belong to it. What `bitpick evaluate` counts as
    right must be what `parts/right.py` counts. What was measured before, with the same code, is read from the folder.
    """
    row = Row(network, 4 if ":s4" in recipe else 8, f"bitpick: {recipe}", recipe.partition(":")[0])

    def make() -> Row:
        out = place.out(network, recipe)
        bitpick, data = [sys.executable, "-m", "bitpick"], ["--data", place.data]
        store = {"BITPICK_STORE": str(out / "store")}
        options = [str(place.inputs(network) / "model.onnx"), "--recipe", recipe, "--seed", "0", "--accept-baseline"]
        options += ["--calibration-size", str(place.count), "--out", str(out / "build")]
        before = children_seconds()
        _child([*bitpick, "quantize", *data, *options], store)
        whole = children_seconds() - before
        measured = json.loads(_child([*bitpick, "evaluate", str(out / "build"), *data, "--json"], store))
        right, own = place.right(out / "build" / measured["files"][0]["path"]), measured["accuracy"]["correct"]
        if right != own:
            raise ChildError(f"bitpick counts {own:,} right, parts/right.py {right:,}")
        return replace(row, right=right, size=measured["size_bytes"], whole=whole)

    return _once(place, row, make, code.revision())


def _once(place: Place, row: Row, make: Callable[[], Row], *depends: str) -> Row:
    """Return a row that is kept, or else make it and keep it; if it cannot be made, the row says why."""
    inputs = place.inputs(row.network)
    digests = [hashlib.sha256((inputs / file).read_bytes()).hexdigest() for file in ("model.onnx", "images.npy")]
    words = json.dumps([row.network, row.bits, row.name, *depends, *digests])
    kept = place.work / "rows" / f"{hashlib.sha256(words.encode()).hexdigest()[:16]}.json"
    if kept.exists():
        return Row(**json.loads(kept.read_text()))
    try:
        row = make()
    except (environments.InstallError, ChildError) as error:
        return replace(row, reason=str(error))
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(asdict(row)))
    return row


def _child(command: list[str], variables: Mapping[str, str] | None = None) -> str:
    """Return what a command prints.

    Raises:
        ChildError: it failed, or took too long.
    """
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" or "bitpick" in command}
    began = time.monotonic()
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            env=own | ONE_THREAD | (variables or {}),
        )
    except subprocess.TimeoutExpired:
        raise ChildError(f"not done after {time.monotonic() - began:.0f} s") from None
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise ChildError(said[-1] if said else f"exit status {done.returncode}")
    return done.stdout
