"""Make the file that a run starts from, if engines and conversions cannot read the user's model directly."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from bitpick.artifacts import durable
from bitpick.errors import OutputError, RequestError
from bitpick.models.model import Signature
from bitpick.models.source import Kind, Maker, Source
from bitpick.pipeline.arrays import save, unnamed
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.job import Job
from bitpick.pipeline.running import Runner
from bitpick.preprocessing import Preprocessing
from bitpick.schema.run import RequestRecord

_SAMPLES = 4
# These depend on code, and on files it reads, that the digest of the source may not cover.
_MADE_BY_CODE = (Kind.FACTORY, Kind.PICKLE)


def source_of(request: RequestRecord) -> Source:
    """Return the model of a request; it was checked before the request was made."""
    return Source(request.model, True, request.keras_builder, Path(request.state_dict) if request.state_dict else None)


def place(source: Source, out: Path) -> Path:
    """Return the path of the file that the run starts from: the user's own file, or `out`."""
    return out.absolute() if source.maker() or source.path is None else source.path.absolute()


def make(source: Source, out: Path, runner: Runner, load_data: LoadData) -> tuple[Path, list[str]]:
    """Make the file that the run starts from, unless it is the user's own.

    Args:
        source: the model.
        out: the file or folder to write; if code made it before, the earlier one is compared with the new one.
        runner: runs the maker; it is told what the file stands for.
        load_data: gives samples of the data set, for models that do not declare their inputs.

    Returns:
        The path of the file, and notes on what was assumed about the model or changed in it.

    Raises:
        RequestError: the model cannot be opened, or does not take these samples; or a function, or the code of a
            pickled module, now makes a different model than before.
        RunError: the model cannot be converted.
    """
    maker, target = source.maker(), place(source, out)
    if maker is None:
        runner.name(target, source.sha256())
        return target, []
    target.parent.mkdir(parents=True, exist_ok=True)
    payload: dict[str, object] = {"out": target, **maker.options}
    if maker.needs_samples and (samples := _samples(load_data, maker)) is not None:
        payload["inputs"] = example_file = target.with_name("example_inputs.npz")
        save(example_file, unnamed(samples.values()))
        if maker.describes:
            payload["names"] = list(samples)
    module, _, function = maker.function.partition(":")
    digest_file = target.with_name(f"{target.name}.sha256")  # digest of the file's meaning: its bytes differ each time
    known = target.exists() and digest_file.is_file()
    old_digest = digest_file.read_text(errors="replace") if known else None
    by_code = source.kind() in _MADE_BY_CODE
    remade = target.with_name(f"now-{target.name}") if old_digest is not None and by_code else None
    if remade is not None:  # written beside the old file, compared with it, then moved in its place
        payload["out"] = remade
    stand_ins = {"source": source.sha256(), "state_dict": None}  # the source's digest covers all its files
    job = Job("make", maker.environment, module, function, payload, ("out",), kept=not by_code, stand_ins=stand_ins)
    result = runner.run(job).value
    if remade is not None:
        _replace(source, target, remade, old_digest == result["digest"])
    durable.write(digest_file, str(result["digest"]))
    runner.name(target, f"{source.sha256()} {result['digest']}")
    return target, result["notes"]


def _replace(source: Source, old: Path, new: Path, same: bool) -> None:
    """Replace what the code made before with what it makes now.

    Raises:
        OutputError: the two are not the same.
    """
    if not same:
        _remove(new)
        raise OutputError(
            f"the model {source.name} is not what it was when the run in {old.parent.parent} was made",
            expected="code that makes the same weights each time",
            fix="name another directory with --out, or replace that run with --overwrite",
        )
    _remove(old)
    new.rename(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _samples(load_data: LoadData, maker: Maker) -> dict[str, np.ndarray] | None:
    """Return a few preprocessed samples by input name, in the order of the model's inputs if known.

    None if there are no samples and the maker can do without; see `Maker.signature` and `Maker.describes`.
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
        samples = {}
        for name in names:
            array, prepare = stored[name], dataset.preprocessing.get(name, Preprocessing())
            if array.dtype in (np.int32, np.int64):  # tokens and categories: PyTorch takes int64
                prepare = prepare.model_copy(update={"dtype": "int64"})
            samples[name] = prepare(array[:_SAMPLES])
    except RequestError:
        if signature is None and not maker.describes:
            raise
        return None  # reported when the data set is loaded for the model made here
    return samples
