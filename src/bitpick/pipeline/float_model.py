"""Run the float model, as its reference graph, to learn what is needed before anything is built."""

from __future__ import annotations

from typing import Any

from bitpick.conversion.route import reference_of
from bitpick.pipeline.form_job import FUNCTIONS
from bitpick.pipeline.forms import runner_of
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job
from bitpick.pipeline.workshop import Workshop


def run(shop: Workshop, inputs: Inputs, function: str, **payload: object) -> Any:
    """Call a function of `form_job` on the reference graph.

    Args:
        shop: the run's workshop.
        inputs: the run's inputs.
        function: the function's name; it takes `source`, `recipe` and `payload`, and writes the file `out` if given.
        payload: its other arguments.

    Returns:
        The function's result.

    Raises:
        BitpickError: the function failed.
    """
    reference = reference_of(inputs.format)
    runner, recipe = runner_of(reference)
    fields = {"source": inputs.path(reference, shop.directory), "recipe": recipe, **payload}
    makes = tuple({"out"} & payload.keys())
    stand_ins = {"model": None}  # the name is only for messages
    return shop.runner.run(
        Job(function, runner.environment, FUNCTIONS, function, fields, makes, stand_ins=stand_ins)
    ).value
