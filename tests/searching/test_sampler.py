from __future__ import annotations

import pytest

from bitpick.engines.litert.engine import LiteRtEngine
from bitpick.errors import RequestError
from bitpick.searching import sampler as module
from bitpick.searching.sampler import PLAIN, Sampler
from bitpick.searching.space import Space
from bitpick.targets.host import this_host
from tests.searching.test_space import MODEL, Ordered


def test_it_proposes_each_recipe_once_until_none_is_left(fake_engine):
    space = Space.of(["fake"], MODEL, this_host())
    sampler, found = Sampler(space, seed=0), []
    while proposed := sampler.ask(3):
        found += [recipe.id for recipe in proposed]
        for recipe in proposed:
            sampler.tell(recipe, 0.01, 100.0) if "adaround" in recipe.options else sampler.tell_failed(recipe)
    assert sorted(found) == sorted(recipe.id for recipe in space)


def test_it_is_repeatable(fake_engine):
    space = Space.of(["fake"], MODEL, this_host())
    first, second = ([recipe.id for recipe in Sampler(space, seed).ask(4)] for seed in (1, 1))
    assert first == second


def test_it_proposes_mixes_of_layers_after_plain_recipes(use_engines):
    use_engines(LiteRtEngine())
    space = Space.of(["litert"], MODEL, this_host()).ranked(Ordered())
    first, second = (Sampler(space, seed).ask(PLAIN + 20) for seed in (1, 1))
    assert first == second
    assert not any(recipe.scoped for recipe in first[:PLAIN])
    counts = {(len(recipe.weights), len(recipe.exclude)) for recipe in first[PLAIN:]}
    assert {eight for eight, _ in counts} >= {0, 1}
    assert {left for _, left in counts} == {0, 1, 2}


def test_without_optuna_it_says_what_to_install(monkeypatch, fake_engine):
    monkeypatch.setattr(module, "installed_version", lambda name: None)
    with pytest.raises(RequestError, match="optuna, which is not installed") as error:
        Sampler(Space.of(["fake"], MODEL, this_host()), 0)
    assert "bitpick[search]" in str(error.value)
