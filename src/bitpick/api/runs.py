"""Read, report, gate and merge finished runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitpick.artifacts import durable
from bitpick.comparison import merge as merging
from bitpick.errors import OutputError, RequestError, did_you_mean
from bitpick.pipeline import directory as directories
from bitpick.pipeline import evaluation_set
from bitpick.recipe import file_name
from bitpick.reports import html, markdown, notebook
from bitpick.schema.option import options
from bitpick.schema.other_groups import GateRules
from bitpick.schema.run import Recommendation, Row, Run
from bitpick.schema.settings import with_options
from bitpick.selection import gate as gates
from bitpick.selection.gate import Check, Rules

if TYPE_CHECKING:
    import pandas as pd

REPORT_FILE = "report.md"
PAGE_FILE = "report.html"


@dataclass(frozen=True)
class Comparison:
    """A finished run.

    Attributes:
        folder: the run directory.
        run: everything in its run.json.
    """

    folder: Path
    run: Run

    def __repr__(self) -> str:
        """Show the folder, the number of rows, and the row to ship."""
        pick = self.recommendation.id if self.recommendation else None
        return f"Comparison(folder={str(self.folder)!r}, rows={len(self.rows)}, recommended={pick!r})"

    @property
    def rows(self) -> list[Row]:
        """The rows: each is one build, or the reason why there is none."""
        return list(self.run.rows)

    @property
    def recommendation(self) -> Recommendation | None:
        """The build to ship, with the reasons."""
        return self.run.recommendation

    @property
    def build(self) -> Path | None:
        """The directory of the build to ship; None if none is recommended."""
        pick = self.recommendation
        return None if pick is None or pick.id is None else self.folder / "builds" / file_name(pick.id)

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a table in plain units: fractions, bytes, seconds.

        Returns:
            A frame indexed by row id, with a column for each field of a row in `run.json`; a nested field is named by
            its path, e.g. `versus_baseline.drop`.

        Raises:
            RequestError: pandas is not installed.

        Examples:
            >>> recipe = "onnxruntime:s8u8-per_channel-minmax"
            >>> comparison = bitpick.compare(model, images, recipes=[recipe], targets=["host"], bench_seconds=0)
            >>> list(comparison.to_pandas()["kind"])
            ['baseline', 'quantized']
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise RequestError("pandas is not installed", fix="pip install 'bitpick[pandas]'") from error
        records = [row.model_dump(mode="json", exclude_none=True) for row in self.rows]
        return pd.json_normalize(records).set_index("id")

    def _repr_html_(self) -> str:
        return notebook.render(self.run, self.folder)


def report(folder: str | Path) -> Comparison:
    """Read a run directory, and write its reports again.

    Raises:
        OutputError: the directory holds no run.
    """
    folder = Path(folder)
    run = directories.read(folder)
    write_report(folder, run)
    return Comparison(folder, run)


def gate(
    folder: str | Path,
    *,
    rows: Sequence[str] = (),
    against: str | Path | None = None,
    junit: str | Path | None = None,
    **rules: Any,
) -> list[Check]:
    """Check a run's recommended row, or the named rows, against rules.

    Args:
        folder: a run directory.
        rows: ids of the rows to check; by default the recommended one.
        against: the directory of an earlier run, whose rows must not have been better.
        junit: a file to write the checks to, as JUnit XML.
        rules: the rules by name, see the table below. Drops are against the row's own float32, times against the
            run's reference; a kB is 1,000 bytes; coverage is the share of multiply-accumulates on integers.

    Returns:
        The checks; each says whether it passed.

    Raises:
        RequestError: there is no such run or row, or a limit is out of range.
        OutputError: the JUnit file cannot be written.
        TypeError: there is no such rule.
    """
    limits = _rules(rules)
    earlier_run = None if against is None else directories.read(Path(against))
    checks = gates.gate(directories.read(Path(folder)), limits, rows, earlier_run)
    if junit is not None:
        try:
            durable.write(Path(junit), gates.junit(checks))
        except OSError as error:
            raise OutputError(
                f"the file {junit} cannot be written: {error.strerror}", fix="name another file with --junit"
            ) from error
    return checks


gate.__signature__ = with_options(gate, groups=(GateRules,))  # type: ignore[attr-defined]  # for help() and notebooks


def _rules(rules: Mapping[str, Any]) -> Rules:
    """Return the rules in the units of run.json."""
    known = list(options(GateRules))
    for name in rules:
        if name not in known:
            raise TypeError(f"there is no rule {name!r}: {did_you_mean(name, known)}")
    limits = GateRules(**rules)
    return Rules(
        max_drop=None if limits.max_drop is None else limits.max_drop / 100,
        max_size=None if limits.max_size is None else round(1000 * limits.max_size),
        max_latency_ratio=limits.max_latency_ratio,
        min_coverage=limits.min_coverage,
        max_class_drop=None if limits.max_class_drop is None else limits.max_class_drop / 100,
        noninferior=limits.noninferior,
    )


def samples(folder: str | Path, out: str | Path, count: int = 200, *, trust_run: bool = False) -> list[Path]:
    """Write evaluation samples of a run, for the `run.py` of its builds on a device.

    Args:
        folder: a run directory.
        out: a new or empty directory for the samples.
        count: how many, evenly spaced over the evaluation set; at most its size.
        trust_run: read the samples wherever the run says that they are, not only in the run and in bitpick's cache.

    Returns:
        The files: `.npy`, or `.npz` if the model has several inputs.

    Raises:
        RequestError: there is no such run, its samples no longer exist, or they are elsewhere and it is not trusted.
    """
    folder = Path(folder)
    run = directories.read(folder)
    evaluation_samples = evaluation_set.read(
        directories.RunDirectory(folder, run).evaluation, run.data.evaluation.sha256 if run.data else "", trust_run
    )
    return evaluation_set.export(evaluation_samples, Path(out), count)


def merge(
    folder: str | Path,
    results: Sequence[str | Path],
    target: str,
    *,
    overwrite: bool = False,
    trust_run: bool = False,
) -> Comparison:
    """Add the results of builds on a device to their run, as rows of that target, and write its reports again.

    Args:
        folder: a run directory.
        results: files that the `run.py` of the builds wrote, one for each build.
        target: a name for the device; its rows are called `<recipe id>@<target>`.
        overwrite: replace earlier results of the same builds on that device.
        trust_run: run the code of the metric that the run names, and read its samples wherever they are.

    Raises:
        RequestError: there is no such run, the results do not match its builds and samples, or the run names code and
            is not trusted; nothing was written.
    """
    run = merging.merge(Path(folder), [Path(path) for path in results], target, overwrite, trust_run)
    write_report(Path(folder), run)
    return Comparison(Path(folder), run)


def write_report(folder: Path, run: Run) -> None:
    """Write a run's reports.

    Raises:
        OutputError: they cannot be written.
    """
    try:
        durable.write(folder / REPORT_FILE, markdown.render(run))
        durable.write(folder / PAGE_FILE, html.render(run, folder))
    except OSError as error:
        raise OutputError(
            f"the report cannot be written in {folder}: {error.strerror}",
            fix=f"free some space, or get the right to write there, and run: bitpick report {folder}",
        ) from error
