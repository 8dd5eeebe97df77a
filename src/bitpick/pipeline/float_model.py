"""The float model, run as its reference graph, for what must be known before anything is built."""

from __future__ import annotations

from bitpick.conversion.route import reference_of
from bitpick.executors.executor import Executor, Outcome
from bitpick.pipeline.form_job import FUNCTIONS
from bitpick.pipeline.forms import runner_of
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.store import Store


def run(executor: Executor, store: Store, inputs: Inputs, function: str, **payload: object) -> Outcome:
    """Call a function of `form_job` on the reference graph.

    Args:
        executor: runs it, where the graph's own engine is.
        store: has the graph.
        inputs: the run's.
        function: its name; it takes `source` and `recipe`, beside `payload`.
        payload: its other arguments.

    Raises:
        BitpickError: what the function raises.
    """
    reference = reference_of(inputs.format)
    runner, recipe = runner_of(reference)
    fields = {"source": inputs.path(reference, store), "recipe": recipe, **payload}
    return executor.run(runner.environment, f"{FUNCTIONS}:{function}", fields)
