"""Format what passes did: what each build gained from them, and what they did to the float function."""

from __future__ import annotations

from bitpick.engines.registry import engines
from bitpick.models.model import Format, prepared
from bitpick.passes.registry import passes, passes_of, steps_of
from bitpick.recipe import Recipe
from bitpick.schema.run import Row, Run
from bitpick.schema.tuning import Tuning

GAIN_COLUMNS = ("build", "as it is", "prepared", "gain", "95% interval")
TUNING_COLUMNS = ("graph", "float metric before", "after", "what was done", "took")


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
    counts = sorted({tuning.evaluated for tuning in run.model.tunings if tuning.evaluated})
    samples = " or ".join(f"{count:,}" for count in counts)
    return (
        "Passes that tune or train change the float function. Both metrics are those of the float graph, on "
        f"{samples} evaluation samples; every drop in this report is against the untouched float32."
    )


def training_shares(run: Run) -> list[tuple[str, str]]:
    """Say of each build that was trained, by its id, how much training gained and how much quantization cost."""
    tunings = {tuning.form: tuning for tuning in run.model.tunings if tuning.evaluated}
    shares = []
    for row in run.rows:
        tuning = tunings.get(_trained_form(row.quantization)) if row.kind == "quantized" else None
        if tuning is None or row.metric is None or row.target != "host":
            continue
        before, after = row.metric.shown(tuning.before), row.metric.shown(tuning.after)
        text = (
            f"the float network gets {before}; trained, with its weights already on their grid, {after}; "
            f"as this build, {row.metric.shown()}. The float network might gain from more training, too."
        )
        shares.append((row.id, text))
    return shares


def _trained_form(recipe: Recipe) -> str:
    """Return the name of the form that a recipe's training wrote; empty if there is none, or it cannot be told."""
    names = passes_of(recipe)
    trained = next((place for place, name in enumerate(names) if passes()[name].needs == "training"), None)
    builder = engines().get(recipe.engine)  # another machine may have made the run, with an engine that is not here
    if trained is None or builder is None:
        return ""
    steps = steps_of(recipe, builder.weight_grid(recipe), "")
    return prepared(Format.ONNX, steps[: trained + 1])


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
        values = (metric.shown(tuning.before), metric.shown(tuning.after))
        lines.append([tuning.form, *values, _what_was_done(tuning), f"{tuning.cpu_seconds:.0f} CPU s"])
    return lines


def _what_was_done(tuning: Tuning) -> str:
    if (training := tuning.training) is not None:
        epochs = f"{training.epochs} epoch{'' if training.epochs == 1 else 's'}"
        labels = "with labels" if training.labels else "without labels"
        changes = f", pictures {training.changes}" if training.changes else ""
        return (
            f"trained for {epochs} of {training.samples:,} samples {labels}{changes}; "
            f"the best of them on {training.held_out:,} others"
        )
    nearest, tuned = (
        sum(getattr(layer, name) for layer in tuning.layers) / max(1, len(tuning.layers))
        for name in ("nearest", "tuned")
    )
    return f"signal over noise of its layers: {nearest:.1f} dB rounded to nearest, {tuned:.1f} dB tuned"
