"""Whether what a runtime does to a graph when it opens a build changes what the build answers."""

from __future__ import annotations

from bitpick.schema.evidence import Unoptimized
from bitpick.tasks.task import Answers, Targets, Task

_SHARE, _LEAST, _MOST = 60, 16, 1000  # one evaluation sample of so many, but so many at least and at most


def checked(count: int) -> int:
    """How many of `count` evaluation samples to run both ways.

    A graph that is left alone takes up to ten times as long for each, as every step of it is computed by itself.
    """
    return min(count, _MOST, max(_LEAST, count // _SHARE))


def unoptimized(task: Task, optimized: Answers, plain: Answers, targets: Targets) -> Unoptimized:
    """A build as it ships beside the same build on a graph that was left alone.

    Args:
        task: says what differs.
        optimized: the answers of n samples, as the build ships.
        plain: the answers without the runtime's rewriting.
        targets: what is right for them.
    """
    return Unoptimized(
        samples=len(targets),
        correct=task.correct(plain, targets),
        correct_optimized=task.correct(optimized, targets),
        flips=int(task.differing(optimized, plain).sum()),
    )
