from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest

from bitpick.errors import RequestError
from bitpick.schema.option import Group, Option, options

SHARE = Option(
    "A share.", holds=lambda value: 0 < value < 1, wrong="the share {} is out of range", expected="above 0, below 1"
)


@dataclass(frozen=True)
class Some(Group):
    share: Annotated[float | None, SHARE] = None
    names: Annotated[tuple[str, ...], Option("Names.")] = ()
    size: Annotated[float, Option("In kB.", unit=1000, rounded=True)] = 1.0
    points: Annotated[float, Option("In points.", unit=1 / 100)] = 50.0


def test_a_value_that_cannot_be_is_refused_as_people_wrote_it():
    with pytest.raises(RequestError) as error:
        Some(share=2.0)
    assert str(error.value) == "the share 2 is out of range\nexpected: above 0, below 1"


def test_what_was_not_given_is_not_checked():
    assert Some().share is None


def test_a_group_has_its_options_by_name():
    assert list(options(Some)) == ["share", "names", "size", "points"]
    assert options(Some)["share"] is SHARE


def test_values_are_recorded_in_the_units_of_run_json():
    found = Some(share=0.5, names=("a", "b"), size=1.2345678, points=12.5).recorded()
    assert found == {"share": 0.5, "names": ["a", "b"], "size": 1235, "points": 0.125}
    assert isinstance(found["size"], int)
    assert Some().recorded()["share"] is None
