"""How much memory a model's activations take for a sample, and how many samples fit into a batch because of that."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

BATCH_BYTES = 160_000_000
"""What the activations of a batch may take.

A process with a framework in it has half a gigabyte beside them, and runtimes take up to three times as much. Larger
batches of large samples are slower, as they no longer fit into a CPU's caches.
"""


class Activations(BaseModel):
    """Bytes of the tensors that a model computes for one sample, its inputs among them.

    Attributes:
        peak: of those that exist at one time, at most. A runtime that frees what is no longer needed takes about this.
        total: of all of them. Whoever keeps every tensor, as a calibrator does, takes this.
        together: how many samples the graph takes at once; 1 where it takes any number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    peak: int
    total: int
    together: int = 1

    def fitting(self, most: int, kept: bool = False) -> int:
        """How many samples a batch may have.

        The graph alone decides, not the machine: the same model gets the same batches everywhere.

        Args:
            most: the number that small models get.
            kept: whether every tensor is kept, and not freed when it is no longer needed.

        Returns:
            At most `most`, and whole batches where the graph has a size of its own; at least one of these.
        """
        # What is kept is there twice: in the runtime, and in the arrays that it hands over.
        fits = min(most, BATCH_BYTES // max(1, 2 * self.total if kept else self.peak))
        return max(1, fits // self.together) * self.together


def of_graph(
    steps: Sequence[tuple[Collection[str], Collection[str]]],
    sizes: Mapping[str, int],
    outputs: Collection[str],
    together: int = 1,
) -> Activations:
    """The activations of a graph, by the sizes of its tensors.

    Args:
        steps: the names of the tensors that each node reads and writes, in the order in which nodes are run.
        sizes: bytes of each tensor, for one run; weights and what else is not named here count nothing.
        outputs: the graph's outputs, which are kept to the end. So are its inputs: whoever calls it has them.
        together: how many samples the run had.
    """
    written = {name for _, writes in steps for name in writes}
    last = {name: place for place, (reads, writes) in enumerate(steps) for name in (*writes, *reads)}
    alive = sum(size for name, size in sizes.items() if name not in written)
    peak = alive
    for place, (reads, writes) in enumerate(steps):
        alive += sum(sizes.get(name, 0) for name in set(writes))
        peak = max(peak, alive)
        ended = {name for name in (*reads, *writes) if last[name] == place and name in written} - set(outputs)
        alive -= sum(sizes.get(name, 0) for name in ended)
    total = sum(sizes.values())
    return Activations(peak=-(-peak // together), total=-(-total // together), together=together)
