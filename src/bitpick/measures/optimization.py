"""Check whether a runtime's graph optimizations change a build's answers."""

from __future__ import annotations

from bitpick.schema.evidence import Unoptimized
from bitpick.tasks.task import Answers, Targets, Task

_SHARE, _LEAST, _MOST = 60, 16, 1000  # one in 60 evaluation samples, but at least 16 and at most 1000


def checked(count: int) -> int:
    """Return how many of `count` evaluation samples to run both ways.

    An unoptimized graph takes up to ten times as long for a sample, because it runs every node separately.
    """
    return min(count, _MOST, max(_LEAST, count // _SHARE))


def unoptimized(task: Task, optimized: Answers, plain: Answers, targets: Targets) -> Unoptimized:
    """Compare a build as it ships with the same build without graph optimizations.

    Args:
        task: decides which answers differ.
        optimized: the answers for n samples, as the build ships.
        plain: the answers without graph optimizations.
        targets: the right answers.
    """
    return Unoptimized(
        samples=len(targets),
        correct=task.correct(plain, targets),
        correct_optimized=task.correct(optimized, targets),
        flips=int(task.differing(optimized, plain).sum()),
    )
