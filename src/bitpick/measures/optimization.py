"""Whether what a runtime does to a graph when it opens a build changes what the build answers."""

from __future__ import annotations

from bitpick.evidence import Unoptimized
from bitpick.measures.tasks.task import Answers, Targets, Task


def unoptimized(task: Task, optimized: Answers, plain: Answers, targets: Targets) -> Unoptimized | None:
    """A build as it ships beside the same build on a graph that was left alone; None where no answer differs.

    Args:
        task: says what differs.
        optimized: the answers of n samples, as the build ships.
        plain: the answers without the runtime's rewriting.
        targets: what is right for them.
    """
    flips = int(task.differing(optimized, plain).sum())
    if not flips:
        return None
    return Unoptimized(
        samples=len(targets),
        correct=task.correct(plain, targets),
        correct_optimized=task.correct(optimized, targets),
        flips=flips,
    )
