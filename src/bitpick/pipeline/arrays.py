"""Arrays that jobs leave in files."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.preprocessing import Arrays

_LOCAL_HEADER, _ZIP64_FIELD = 30, 20  # bytes of a member's header before its name, and of the field that zipfile adds
_ALIGNED = 64  # bytes; what numpy aligns the header of an array to
_MAPPED = 2**20  # bytes; smaller arrays are read
_PADDING = b"\x35\xd9"  # the number of a field that means nothing but room, as Android's zipalign has it


def save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as `.npz` from which they can be mapped, see `read_array`; the file appears whole or not at all."""
    partial = path.with_name(f"partial-{path.name}")
    with zipfile.ZipFile(partial, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")
            before = archive.start_dir + _LOCAL_HEADER + len(member.filename) + _ZIP64_FIELD + len(_PADDING) + 2
            room = -before % _ALIGNED
            member.extra = _PADDING + room.to_bytes(2, "little") + bytes(room)
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    partial.replace(path)


def read_array(path: Path, name: str) -> NDArray[Any]:
    """An array of an `.npz` file; a large one is mapped where it lies, and takes no memory of its own."""
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
        with archive.open(member) as file:
            if member.compress_type != zipfile.ZIP_STORED or member.file_size < _MAPPED:
                return _whole(file)
            version = np.lib.format.read_magic(file)
            known = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = known(file)
            start = file.tell()
        with path.open("rb") as archived:
            archived.seek(member.header_offset)
            header = archived.read(_LOCAL_HEADER)
        lengths = (int.from_bytes(header[place : place + 2], "little") for place in (26, 28))
        offset = member.header_offset + _LOCAL_HEADER + sum(lengths) + start
        if fortran or dtype.hasobject or offset % dtype.alignment:
            with archive.open(member) as file:
                return _whole(file)
    return np.asarray(np.memmap(path, dtype, "r", offset, shape))


def _whole(file: Any) -> NDArray[Any]:
    found: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return found


def read_outputs(path: Path) -> Arrays:
    """The outputs in a file that `run_form`, `run` or `evaluate` wrote."""
    with zipfile.ZipFile(path) as archive:
        count = sum(name.startswith("output") for name in archive.namelist())
    return tuple(read_array(path, f"output{i}") for i in range(count))
