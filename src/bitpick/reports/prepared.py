"""Format what passes did: what each build gained from them, and what they did to the float function."""

from __future__ import annotations

from bitpick.schema.run import Row, Run

GAIN_COLUMNS = ("build", "as it is", "prepared", "gain", "95% interval")
TUNING_COLUMNS = ("graph", "float metric before", "after", "signal over noise of its layers", "took")


def gains(run: Run) -> list[list[str]]:
    """Return the cells of each build of this host that has a twin without passes, by columns of `GAIN_COLUMNS`."""
    rows = {row.id: row for row in run.rows}
    return [
        _gain(row, rows[row.versus_unprepared.row])
        for row in run.rows
        if row.versus_unprepared is not None and row.versus_unprepared.row in rows
    ]


def tuning_note(run: Run) -> str:
    """Say what the columns of `tunings` are measured on."""
    evaluated = max((tuning.evaluated or 0 for tuning in run.model.tunings), default=0)
    return (
        "Passes that tune change the float function a little. Both metrics are those of the float graph, on "
        f"{evaluated:,} evaluation samples; every drop in this report is against the untouched float32."
    )


def _gain(row: Row, plain: Row) -> list[str]:
    versus, metric = row.versus_unprepared, row.metric
    assert versus is not None
    assert metric is not None
    assert plain.metric is not None
    low, high = versus.gain_interval
    interval = f"{metric.change(low)} to {metric.change(high)}"
    return [row.id, plain.metric.shown(), metric.shown(), metric.changed(versus.gain), interval]


def tunings(run: Run) -> list[list[str]]:
    """Return the cells of each graph that a pass tuned on the run's own calibration set, by `TUNING_COLUMNS`."""
    metric = next((row.metric for row in run.rows if row.metric is not None), None)
    lines = []
    for tuning in run.model.tunings:
        if "@" in tuning.form or tuning.before is None or tuning.after is None or metric is None:
            continue
        nearest, tuned = (
            sum(getattr(layer, name) for layer in tuning.layers) / max(1, len(tuning.layers))
            for name in ("nearest", "tuned")
        )
        noise = f"{nearest:.1f} dB rounded to nearest, {tuned:.1f} dB tuned"
        values = (metric.shown(tuning.before), metric.shown(tuning.after))
        lines.append([tuning.form, *values, noise, f"{tuning.cpu_seconds:.0f} CPU s"])
    return lines
