"""Rows without a build, each reason once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bitpick.schema.run import Row, Status


@dataclass(frozen=True)
class Missing:
    """A reason why there is no build, and the rows that share it."""

    status: Status
    reason: str
    rows: list[Row]

    @property
    def engines(self) -> list[str]:
        """The engines of these rows, each once."""
        return list(dict.fromkeys(row.engine for row in self.rows))

    @property
    def subject(self) -> str:
        """Which rows these are, and what became of them, e.g. `alpha:s8dynamic failed`, `3 rows are unsupported`."""
        one = len(self.rows) == 1
        became = "failed" if self.status == "failed" else f"{'is' if one else 'are'} unsupported"
        return f"{self.rows[0].id if one else f'{len(self.rows)} rows'} {became}"


def missing(rows: Sequence[Row]) -> list[Missing]:
    """Why builds are missing, the commonest reason first; without those that are out of reach."""
    found: dict[tuple[Status, str], list[Row]] = {}
    for row in rows:
        if row.status != "ok" and not row.out_of_reach:
            found.setdefault((row.status, row.reason or ""), []).append(row)
    told = [Missing(status, reason, among) for (status, reason), among in found.items()]
    return sorted(told, key=lambda each: -len(each.rows))


def left_out(rows: Sequence[Row]) -> str:
    """The engines that can make nothing of this model here, in one sentence with their reasons; empty without any."""
    engines = {row.engine: row.reason for row in rows if row.out_of_reach}
    told = [f"{name} ({reason})" for name, reason in engines.items()]
    return f"No builds of {', '.join(told)}." if told else ""
