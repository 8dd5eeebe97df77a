"""Compute how much memory a model's activations need for a sample, and so how many samples fit in a batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

BATCH_BYTES = 160_000_000
"""Limit for the activations of a batch, in bytes.

A process that has loaded a framework has half a gigabyte for data, and runtimes need up to three times the activations'
size. Larger batches of large samples are slower, as they no longer fit in a CPU's caches.
"""


class Activations(BaseModel):
    """Sizes in bytes of the tensors that a model computes for one sample, inputs included.

    Attributes:
        peak: the most that exists at one time. A runtime that frees tensors early needs about this.
        total: all tensors. Code that keeps every tensor, such as a calibrator, needs this.
        together: batch size that the graph is fixed to; 1 if it takes any batch size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    peak: int
    total: int
    together: int = 1

    def fitting(self, most: int, kept: bool = False) -> int:
        """Return how many samples a batch may have.

        This depends only on the graph, not on the machine: the same model gets the same batches everywhere.

        Args:
            most: batch size for small models.
            kept: whether every tensor is kept, rather than freed when it is no longer needed.

        Returns:
            At most `most`, rounded down to a multiple of the graph's fixed batch size, but at least one such batch.
        """
        # Kept tensors exist twice: in the runtime, and in the arrays that it returns.
        fits = min(most, BATCH_BYTES // max(1, 2 * self.total if kept else self.peak))
        return max(1, fits // self.together) * self.together


def of_graph(
    steps: Sequence[tuple[Collection[str], Collection[str]]],
    sizes: Mapping[str, int],
    outputs: Collection[str],
    together: int = 1,
) -> Activations:
    """Compute the activations of a graph from the sizes of its tensors.

    Args:
        steps: names of the tensors that each node reads and writes, in execution order.
        sizes: bytes of each tensor in one run; tensors not listed, such as weights, do not count.
        outputs: the graph's outputs, which stay in memory to the end, as do its inputs, which the caller holds.
        together: number of samples in the run.
    """
    written = {name for _, writes in steps for name in writes}
    last_use = {name: step for step, (reads, writes) in enumerate(steps) for name in (*writes, *reads)}
    alive = sum(size for name, size in sizes.items() if name not in written)
    peak = alive
    for step, (reads, writes) in enumerate(steps):
        alive += sum(sizes.get(name, 0) for name in set(writes))
        peak = max(peak, alive)
        freed = {name for name in (*reads, *writes) if last_use[name] == step and name in written} - set(outputs)
        alive -= sum(sizes.get(name, 0) for name in freed)
    total = sum(sizes.values())
    return Activations(peak=-(-peak // together), total=-(-total // together), together=together)
