"""Hash bitpick's own sources, so that results of older code are not reused."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_EXCLUDED = ("api", "commands", "reports", "selection")  # packages that only request, show or judge results


@cache
def revision() -> str:
    """Return the SHA-256 of the sources of all packages that make, run or measure something."""
    digest = hashlib.sha256()
    for path in sorted(_ROOT.rglob("*.py")):
        relative = path.relative_to(_ROOT)
        if relative.parts[0] not in _EXCLUDED:
            digest.update(relative.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
