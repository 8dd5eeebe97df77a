"""The digest of bitpick's own sources, so that what older code made is not taken for new."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_NOT_MAKING = ("api", "commands", "reports", "selection")  # rooms that only ask, show and judge


@cache
def revision() -> str:
    """The SHA-256 of the sources of all rooms that make, run or measure something."""
    found = hashlib.sha256()
    for path in sorted(_ROOT.rglob("*.py")):
        place = path.relative_to(_ROOT)
        if place.parts[0] not in _NOT_MAKING:
            found.update(place.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()
