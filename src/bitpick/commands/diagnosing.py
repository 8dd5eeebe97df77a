"""The command that finds out what is the matter with a recipe."""

from __future__ import annotations

from typing import Annotated

import typer

from bitpick.commands import printing
from bitpick.commands.app import (
    AcceptBaseline,
    Data,
    Json,
    KerasBuilder,
    ModelPath,
    Out,
    Overwrite,
    StateDict,
    TrustModel,
    command,
)
from bitpick.commands.data_options import DataSaid, reads_data
from bitpick.commands.settings_options import Said, takes


@command
@takes("calibration_size", "seed", "timeout", "memory_limit")
@reads_data
def diagnose(
    model: ModelPath,
    recipe: Annotated[str, typer.Option(help="A recipe id or YAML file.")],
    data: Data = "cifar10",
    out: Out = None,
    samples: Annotated[int, typer.Option(help="How many evaluation samples each layer is measured on.")] = 2000,
    layers: Annotated[int, typer.Option(help="How many layers get builds of their own, the noisiest ones.")] = 24,
    apply: Annotated[bool, typer.Option("--apply", help="Run the next recipe, too.")] = False,
    overwrite: Overwrite = False,
    accept_baseline: AcceptBaseline = False,
    trust_model: TrustModel = False,
    keras_builder: KerasBuilder = None,
    state_dict: StateDict = None,
    json: Json = False,
    settings: Said = None,
    data_options: DataSaid = None,
) -> None:
    """Find out which layers of a quantized build hurt, and what to try next."""
    from bitpick import api
    from bitpick.models.source import Source
    from bitpick.reports import terminal

    with terminal.LiveRows(printing.stderr()) as listener:
        done = api.diagnose(
            Source(str(model), trust_model, keras_builder, state_dict),
            recipe,
            data,
            data_options=data_options,
            out=out,
            samples=samples,
            layers=layers,
            apply=apply,
            overwrite=overwrite,
            accept_baseline=accept_baseline,
            listener=listener,
            progress=printing.progress(),
            **settings,
        )
    printing.show(done, json)
