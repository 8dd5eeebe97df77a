"""The float model, run as its reference graph, for what must be known before anything is built."""

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
        shop: what to work with.
        inputs: the run's.
        function: its name; it takes `source` and `recipe`, beside `payload`, where `out` is a file that it writes.
        payload: its other arguments.

    Returns:
        What the function returns.

    Raises:
        BitpickError: what the function raises.
    """
    reference = reference_of(inputs.format)
    runner, recipe = runner_of(reference)
    fields = {"source": inputs.path(reference, shop.directory), "recipe": recipe, **payload}
    makes = tuple({"out"} & payload.keys())
    stands = {"model": None}  # its name is for messages
    return shop.runner.run(Job(function, runner.environment, FUNCTIONS, function, fields, makes, stands=stands)).value
