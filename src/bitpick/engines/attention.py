"""Find attention: a Softmax between two products of computed tensors.

A. Vaswani et al., "Attention is all you need", 2017, section 3.2.1. The makers of most engines quantize the products
with stored weights around it, and leave attention itself in float: 8 bits save little there and can cost much.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

from bitpick.engines.spread import Step

_SOFTMAX = re.compile(r"_?softmax", re.IGNORECASE)
_FUSED = re.compile(r"(?:scaled_?dot_?product_?|multi_?head_?)?attention(?:\.\w+)?", re.IGNORECASE)
_PRODUCT = re.compile(r"(?:batch_?)?mat_?mul(?:_?v2)?|b?mm|einsum|fused_?mat_?mul", re.IGNORECASE)
# What lies between the scores and the Softmax (scale, mask, shape), and between the Softmax and the second product.
_BETWEEN = re.compile(
    r"mul|multiply|div|divide|true_?div(?:ide)?|add|sub|subtract|where|select(?:_?v2)?|masked_?fill|reshape|view|transpose|"
    r"permute|squeeze|unsqueeze|expand|expand_?dims|slice|cast|identity|dropout|clone|contiguous|convert",
    re.IGNORECASE,
)


def steps(graph: Sequence[Step]) -> list[Step]:
    """Return the steps of a graph that are attention: both products, the Softmax and what lies between them.

    A step that is all of that in one is attention too.

    Args:
        graph: the steps, in any order. A tensor that no step writes is taken to be stored.
    """
    found = _Neighbours(graph)
    inside = {step for step in graph if _FUSED.fullmatch(step.kind)}
    for softmax in (step for step in graph if _SOFTMAX.fullmatch(step.kind)):
        scores, mixing = found.way(softmax, found.sources), found.way(softmax, found.users)
        if scores and mixing:
            inside |= {softmax, *scores, *mixing}
    return [step for step in graph if step in inside]


class _Neighbours:
    def __init__(self, graph: Sequence[Step]) -> None:
        self._makers = {name: step for step in graph for name in step.writes}
        self._readers: dict[str, list[Step]] = defaultdict(list)
        for step in graph:
            for name in step.reads:
                self._readers[name].append(step)

    def sources(self, step: Step) -> list[Step]:
        """Return the steps that compute what a step reads, one for each input that is not stored."""
        return [self._makers[name] for name in step.reads if name in self._makers]

    def users(self, step: Step) -> list[Step]:
        return [user for name in step.writes for user in self._readers[name]]

    def way(self, step: Step, neighbours: Callable[[Step], list[Step]]) -> list[Step]:
        """Return the steps on the way to a product of two computed tensors; none if there is no such product."""
        steps: list[Step] = []
        for each in neighbours(step):
            if _PRODUCT.fullmatch(each.kind) and len(self.sources(each)) > 1:
                steps.append(each)
            elif _BETWEEN.fullmatch(each.kind) and (rest := self.way(each, neighbours)):
                steps += [each, *rest]
        return steps


def note(engine: str, layers: Collection[str]) -> tuple[str, ...]:
    """Return a note about attention that an engine does not quantize; empty if there is none."""
    if not layers:
        return ()
    return (f"the model has attention: {engine} quantizes the products with stored weights around it, not attention",)
