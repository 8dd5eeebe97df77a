"""The file that a run starts from, where the user's model is not one that engines and conversions read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from bitpick.errors import OutputError, RequestError
from bitpick.models.model import Signature
from bitpick.models.source import Kind, Maker, Source
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.job import Job
from bitpick.pipeline.running import Runner
from bitpick.preprocessing import Preprocessing
from bitpick.schema.run import RequestRecord

_SAMPLES = 4
# What these are may depend on code, and on files that it reads, that the digest of the source does not cover.
_BY_CODE = (Kind.FACTORY, Kind.PICKLE)


def source_of(request: RequestRecord) -> Source:
    """The model of a request. It was checked before the request was made."""
    return Source(request.model, True, request.keras_builder, Path(request.state_dict) if request.state_dict else None)


def place(source: Source, out: Path) -> Path:
    """Where that file is, or will be: the user's own, or `out`."""
    return out.absolute() if source.maker() or source.path is None else source.path.absolute()


def make(source: Source, out: Path, runner: Runner, load_data: LoadData) -> tuple[Path, list[str]]:
    """Make that file, where it is not the user's own.

    Args:
        source: the model.
        out: the file, or folder, to write; one that code made before is compared with what it makes now.
        runner: has the libraries; it is told what the file is.
        load_data: gives samples, for models that do not say what they take: as the data set has them.

    Returns:
        Its place, and what was assumed about the model, or changed in it, in words.

    Raises:
        RequestError: the model cannot be opened, or does not take such samples; or what a function, or the code of a
            pickled module, makes of it is no longer what was made before.
        RunError: it cannot be expressed.
    """
    maker, made = source.maker(), place(source, out)
    if maker is None:
        runner.name(made, source.sha256())
        return made, []
    made.parent.mkdir(parents=True, exist_ok=True)
    payload: dict[str, object] = {"out": made, **maker.options}
    if maker.needs_samples and (samples := _samples(load_data, maker)) is not None:
        payload["inputs"] = example = made.with_name("example_inputs.npz")
        np.savez(example, *samples.values())
        if maker.describes:
            payload["names"] = list(samples)
    module, _, function = maker.function.partition(":")
    note = made.with_name(f"{made.name}.sha256")  # of what the file means: its bytes differ each time
    before = note.read_text() if made.exists() and note.exists() else None
    by_code = source.kind() in _BY_CODE
    again = made.with_name(f"now-{made.name}") if before is not None and by_code else None
    if again is not None:  # compared with what the code made before, whose place it then takes
        payload["out"] = again
    stands = {"source": source.sha256(), "state_dict": None}  # that digest is of all files of the source
    job = Job("make", maker.environment, module, function, payload, ("out",), kept=not by_code, stands=stands)
    told = runner.run(job).value
    if again is not None:
        _exchange(source, made, again, before == told["digest"])
    note.write_text(str(told["digest"]))
    runner.name(made, f"{source.sha256()} {told['digest']}")
    return made, told["notes"]


def _exchange(source: Source, made: Path, again: Path, same: bool) -> None:
    """Put what the code makes now in the place of what it made before.

    Raises:
        OutputError: they are not the same.
    """
    if not same:
        _remove(again)
        raise OutputError(
            f"the model {source.name} is not what it was when the run in {made.parent.parent} was made",
            expected="code that makes the same weights each time",
            fix="name another directory with --out, or replace that run with --overwrite",
        )
    _remove(made)
    again.rename(made)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _samples(load_data: LoadData, maker: Maker) -> dict[str, np.ndarray] | None:
    """Some samples by their names, as the model will get them, in the order of its inputs if that is known.

    None where a source that can do without has none; see `Maker.signature` and `Maker.describes`.
    """
    signature = maker.signature
    try:
        dataset = load_data(signature or Signature((), ()))
        stored = dataset.calibration.inputs
        names = [tensor.name for tensor in signature.inputs] if signature else list(stored)
        if not set(names) <= stored.keys():
            names = list(stored)
        if signature is not None and len(names) != len(signature.inputs):
            return None
        found = {}
        for name in names:
            array, prepare = stored[name], dataset.preprocessing.get(name, Preprocessing())
            if array.dtype in (np.int32, np.int64):  # tokens and categories, which PyTorch takes as int64
                prepare = prepare.model_copy(update={"dtype": "int64"})
            found[name] = prepare(array[:_SAMPLES])
    except RequestError:
        if signature is None and not maker.describes:
            raise
        return None  # said when the data set is loaded for the model as it turns out to be
    return found
