"""The part of the `flowalign` section that fixes the frame, for stages that need no more of it."""

from typing import Annotated

from pydantic import ConfigDict, Field

from refract.params.section import Section

Pixels = Annotated[int, Field(ge=32, le=4096, multiple_of=16)]


class VideoGrid(Section):
    """Reads its two keys of the section and leaves the rest to `FlowAlign`."""

    model_config = ConfigDict(extra="ignore")

    width: Annotated[Pixels, Field(description="frame width, pixels")]
    height: Annotated[Pixels, Field(description="frame height, pixels")]
