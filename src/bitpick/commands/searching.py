"""The command that searches for the build to ship."""

from __future__ import annotations

from bitpick.commands import printing
from bitpick.commands.app import Data, Json, NoBench, OptionalModel, command
from bitpick.commands.data_options import reads_data
from bitpick.commands.model_options import opens_model
from bitpick.commands.run_options import run_options
from bitpick.commands.settings_options import takes
from bitpick.commands.signatures import Options
from bitpick.schema.other_groups import Hunt


@command
@takes(
    "engines", "targets", "target_samples", "use", "margin", "alpha", "max_drop", "max_size", "max_latency_ratio",
    "bench_seconds", "calibration_size", "seed", "jobs", "timeout", "memory_limit",
)  # fmt: skip
@reads_data
@takes(groups=(Hunt,))
@run_options("out", "overwrite", "accept_baseline", after="no_bench")
@opens_model(after="no_bench")
def search(
    model: OptionalModel = None,
    data: Data = "cifar10",
    no_bench: NoBench = False,
    json: Json = False,
    options: Options = None,
) -> None:
    """Search over recipes and passes for the build to ship."""
    from bitpick import api
    from bitpick.reports import terminal

    with terminal.LiveRows(printing.stderr()) as listener:
        options |= {"bench_seconds": 0.0} if no_bench else {}
        comparison = api.search(model, data, listener=listener, progress=printing.progress(), **options)
    printing.show(comparison, json)
