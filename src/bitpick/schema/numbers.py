"""Types of numbers in the records, so that a record with an impossible one is refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=0)]
"""How many of something, such as bytes or samples."""
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A time; never negative, never infinite."""
Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole, from 0 to 1."""
