"""Read and write the arrays that jobs exchange as files."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.artifacts.durable import replacing
from bitpick.preprocessing import Arrays

_LOCAL_HEADER, _ZIP64_FIELD = 30, 20  # bytes: a member's header before its name; the field zipfile adds
_ALIGNMENT = 64  # bytes; numpy aligns the header of an array to this
_MAP_FROM = 2**20  # bytes; smaller arrays are read into memory
_PADDING_ID = b"\x35\xd9"  # the id of a padding field, the one that Android's zipalign uses


def save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays to an `.npz` that `read_array` can memory-map; the file appears whole or not at all."""
    with replacing(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")
            unpadded = archive.start_dir + _LOCAL_HEADER + len(member.filename) + _ZIP64_FIELD + len(_PADDING_ID) + 2
            padding = -unpadded % _ALIGNMENT
            member.extra = _PADDING_ID + padding.to_bytes(2, "little") + bytes(padding)
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


def unnamed(arrays: Iterable[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return arrays under the names that `numpy.savez` gives arrays without a name."""
    return {f"arr_{place}": each for place, each in enumerate(arrays)}


def read_array(path: Path, name: str) -> NDArray[Any]:
    """Return an array of an `.npz` file; a large one is memory-mapped in place and takes no extra memory."""
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
        with archive.open(member) as file:
            if member.compress_type != zipfile.ZIP_STORED or member.file_size < _MAP_FROM:
                return _read_all(file)
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read_header(file)
            data_start = file.tell()
        with path.open("rb") as raw:
            raw.seek(member.header_offset)
            header = raw.read(_LOCAL_HEADER)
        lengths = (int.from_bytes(header[position : position + 2], "little") for position in (26, 28))
        offset = member.header_offset + _LOCAL_HEADER + sum(lengths) + data_start
        if fortran or dtype.hasobject or offset % dtype.alignment:
            with archive.open(member) as file:
                return _read_all(file)
    return np.asarray(np.memmap(path, dtype, "r", offset, shape))


def _read_all(file: Any) -> NDArray[Any]:
    array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def read_outputs(path: Path) -> Arrays:
    """Return the outputs in a file that `run_form`, `run` or `evaluate` wrote."""
    with zipfile.ZipFile(path) as archive:
        count = sum(name.startswith("output") for name in archive.namelist())
    return tuple(read_array(path, f"output{i}") for i in range(count))
