"""The command that diagnoses a recipe."""

from __future__ import annotations

from typing import Annotated

import typer

from bitpick.commands import printing
from bitpick.commands.app import Data, Json, ModelPath, command
from bitpick.commands.data_options import reads_data
from bitpick.commands.model_options import opens_model
from bitpick.commands.run_options import run_options
from bitpick.commands.settings_options import takes
from bitpick.commands.signatures import Options
from bitpick.schema.other_groups import Depth


@command
@takes("calibration_size", "seed", "training_minutes", "timeout", "memory_limit")
@reads_data
@run_options("out", after="data")
@takes(groups=(Depth,))
@run_options("overwrite", "accept_baseline", after="apply")
@opens_model(after="apply")
def diagnose(
    model: ModelPath,
    recipe: Annotated[str, typer.Option(help="A recipe id or YAML file.")],
    data: Data = "cifar10",
    apply: Annotated[bool, typer.Option("--apply", help="Run the next recipe, too.")] = False,
    json: Json = False,
    options: Options = None,
) -> None:
    """Find out which layers of a quantized build hurt, and what to try next."""
    from bitpick import api
    from bitpick.reports import terminal

    with terminal.LiveRows(printing.stderr()) as listener:
        comparison = api.diagnose(
            model, recipe, data, apply=apply, listener=listener, progress=printing.progress(), **options
        )
    printing.show(comparison, json)
