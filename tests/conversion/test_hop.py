"""What every hop that there is keeps to."""

from __future__ import annotations

import inspect
import itertools
import re
import tomllib
from pathlib import Path

import pytest

from bitpick.conversion.route import hops
from bitpick.executors.executor import resolve

HOPS = pytest.mark.parametrize("hop", hops(), ids=lambda hop: hop.name)


def test_each_hop_is_there_once_and_its_functions_exist():
    for first, second in itertools.combinations(hops(), 2):
        assert (first.source, first.target) != (second.source, second.target)
    for hop in hops():
        assert callable(resolve(hop.convert))
        assert all(callable(resolve(function)) for function in hop.trace or ())


def test_a_hop_is_named_as_messages_write_it():
    names = [hop.name for hop in hops()]
    assert "keras → raw_onnx" in names
    assert len(set(names)) == len(names)


@HOPS
def test_its_functions_are_called_as_the_contract_says(hop):
    assert set(inspect.signature(resolve(hop.convert)).parameters) == {"source", "out"} | (
        {"shapes"} if hop.sized else set()
    )
    for function in hop.trace or ():
        assert set(inspect.signature(resolve(function)).parameters) == {"source", "target", "inputs"}


@HOPS
def test_what_it_needs_can_be_installed(hop):
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    everything = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    assert set(hop.packages) <= {re.split(r"[^\w-]", each)[0] for each in everything}
