"""Group rows without a build by reason."""

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
        """The engines of these rows, without repeats."""
        return list(dict.fromkeys(row.engine for row in self.rows))

    @property
    def subject(self) -> str:
        """The rows and their status, e.g. `alpha:s8dynamic failed` or `3 rows are unsupported`."""
        one = len(self.rows) == 1
        became = "failed" if self.status == "failed" else f"{'is' if one else 'are'} unsupported"
        return f"{self.rows[0].id if one else f'{len(self.rows)} rows'} {became}"


def missing(rows: Sequence[Row]) -> list[Missing]:
    """Group the rows without a build by reason, the commonest first; rows that are out of reach are left out."""
    groups: dict[tuple[Status, str], list[Row]] = {}
    for row in rows:
        if row.status != "ok" and not row.out_of_reach:
            groups.setdefault((row.status, row.reason or ""), []).append(row)
    reasons = [Missing(status, reason, members) for (status, reason), members in groups.items()]
    return sorted(reasons, key=lambda each: -len(each.rows))


def left_out(rows: Sequence[Row]) -> str:
    """List the engines that cannot use this model here, with reasons, in one sentence; empty if there are none."""
    engines = {row.engine: row.reason for row in rows if row.out_of_reach}
    parts = [f"{name} ({reason})" for name, reason in engines.items()]
    return f"No builds of {', '.join(parts)}." if parts else ""
