"""Write `.npy` files row by row, read their headers, copy their rows and hash them, all in constant memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from bitpick.artifacts import durable
from bitpick.errors import DataError

CHUNK_BYTES = 16 * 2**20


class Writer:
    """Writes an array whose rows arrive in batches. Their number need not be known in advance.

    Args:
        path: the `.npy` file.
        name: the array's name in messages.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self.name = name or path.stem
        self.count = 0
        self._file: IO[bytes] = path.open("wb")
        self._row: tuple[tuple[int, ...], np.dtype[Any]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write the number of rows into the header, and close the file."""
        if self._row is not None:
            self._file.seek(0)
            self._write_header()
        self._file.close()

    def append(self, rows: NDArray[Any]) -> None:
        """Write rows: an array of shape (m, …), with the same … and dtype in every call.

        Raises:
            DataError: the rows have another shape or dtype, or are not numbers.
        """
        if self._row is None:
            check_numbers(rows.dtype, self.name)
            self._row = rows.shape[1:], rows.dtype
            self._write_header()
        shape, dtype = self._row
        if rows.shape[1:] != shape:
            raise DataError(
                f"sample {self.count} of {self.name} has shape {rows.shape[1:]}, but those before it have {shape}",
                expected="samples of one shape",
            )
        if not np.can_cast(rows.dtype, dtype) and (rows.dtype.kind, dtype.kind) != ("f", "f"):
            raise DataError(
                f"sample {self.count} of {self.name} is {rows.dtype}, but those before it are {dtype}",
                expected="samples of one dtype",
                fix="give all of them one, e.g. np.asarray(sample, 'float32')",
            )
        self._file.write(np.ascontiguousarray(rows, dtype).reshape(-1).view(np.uint8).data)
        self.count += len(rows)

    @property
    def size(self) -> int:
        """Number of bytes written so far."""
        return self._file.tell()

    def _write_header(self) -> None:
        assert self._row is not None
        shape, dtype = self._row
        descr = np.lib.format.dtype_to_descr(dtype)
        # numpy pads headers for a growing first axis, so the final header is as long as the first one.
        fields = {"shape": (self.count, *shape), "fortran_order": False, "descr": descr}
        np.lib.format.write_array_header_1_0(self._file, fields)


class Collector:
    """Collects rows that arrive in batches of any dtype, and writes them at the end.

    Args:
        path: the `.npy` file.
        name: the array's name in messages.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._path = path
        self._rows: list[NDArray[Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rows and error is None:
            durable.save_array(self._path, np.concatenate(self._rows))

    def append(self, rows: NDArray[Any]) -> None:
        """Collect rows: an array of shape (m, …), with the same … in every call.

        Raises:
            DataError: the rows have another shape.
        """
        if self._rows and rows.shape[1:] != (shape := self._rows[0].shape[1:]):
            raise DataError(
                f"a sample of {self.name} has shape {rows.shape[1:]}, but those before it have {shape}",
                expected="samples of one shape",
            )
        self._rows.append(rows)


def check_numbers(dtype: np.dtype[Any], name: str) -> None:
    """Refuse an array that does not hold numbers.

    Raises:
        DataError: the array holds strings, or Python objects, which could run code when they are opened.
    """
    if dtype.hasobject:
        raise DataError(
            f"{name} holds Python objects, which can run code when they are opened",
            expected="an array of numbers, or of words for labels",
            fix="save it with a dtype of its own: numbers as np.stack(samples).astype('float32'), words as "
            "words.astype(str)",
        )
    if dtype.kind not in "biuf":
        raise DataError(f"{name} has the dtype {dtype}, which is no number", expected="integers or floats")


def header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read the shape and dtype of an array from a `.npy` stream, without its data.

    Raises:
        DataError: the stream is not a `.npy` file.
    """
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except (ValueError, EOFError, SyntaxError) as error:
        raise DataError(f"{name} is no .npy array: {' '.join(str(error).split())}", fix="save it again") from error
    return shape, dtype


def dtype_of(path: Path) -> np.dtype[Any]:
    """Return the dtype of the array in a file."""
    with path.open("rb") as file:
        return header(file, str(path))[1]


def shape_of(path: Path) -> tuple[int, ...]:
    """Return the shape of the array in a file."""
    with path.open("rb") as file:
        return header(file, str(path))[0]


def mapped(path: Path) -> NDArray[Any]:
    """Memory-map the array of numbers in a file.

    Raises:
        DataError: the file does not hold numbers, or is truncated.
    """
    check_numbers(dtype_of(path), str(path))
    return opened(path)


def opened(path: Path) -> NDArray[Any]:
    """Memory-map the array of numbers or strings in a file.

    Raises:
        DataError: the file is damaged or truncated.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is damaged: {' '.join(str(error).split())}", fix="save or copy it again") from error
    return array


def chunks(count: int, row_bytes: int) -> Iterator[slice]:
    """Yield slices that cover `count` rows, each at most `CHUNK_BYTES` large."""
    step = max(1, CHUNK_BYTES // max(1, row_bytes))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def copy_rows(source: Path, places: NDArray[np.int64], out: Path) -> None:
    """Write the rows at these places, in this order, to a new file."""
    with Writer(out) as writer:
        for window in chunks(len(places), mapped(source)[:1].nbytes):
            writer.append(mapped(source)[places[window]])  # mapped again: see Samples.batches


def sha256(paths: Sequence[Path]) -> str:
    """Return the digest of the contents, shapes and dtypes of arrays, in order."""
    digest = hashlib.sha256()
    for path in paths:
        array = opened(path)
        digest.update(f"{array.shape} {array.dtype.str}".encode())
        for window in chunks(len(array), array[:1].nbytes):
            digest.update(np.ascontiguousarray(opened(path)[window]).view(np.uint8).data)
    return digest.hexdigest()


def combined(digests: Sequence[str]) -> str:
    """Combine several digests into one."""
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
