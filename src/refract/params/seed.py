"""The seed shared by every stage."""

from typing import Annotated

from pydantic import Field

Seed = Annotated[int, Field(ge=0, lt=2**31, description="seed of every random draw")]
