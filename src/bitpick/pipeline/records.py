"""The text of run.json, which ends with a digest of the rest: what was changed by hand is not continued."""

from __future__ import annotations

import hashlib

from bitpick.schema.run import Run

_BEFORE, _AFTER = b',\n "sha256": "', b'"\n}\n'


def text_of(run: Run) -> str:
    """Return the text of a run's record."""
    body = run.model_dump_json(indent=1, exclude_none=True, exclude={"sha256"}).removesuffix("\n}")
    digest = hashlib.sha256(body.encode()).hexdigest()
    return f"{body}{_BEFORE.decode()}{digest}{_AFTER.decode()}"


def holds(content: bytes) -> bool:
    """Whether the text of a record is as it was written; one of a version without a digest never is."""
    body, _, digest = content.removesuffix(_AFTER).rpartition(_BEFORE)
    return hashlib.sha256(body).hexdigest().encode() == digest
