"""Settings of the deliverable, the edited template as a file to publish."""

from typing import Annotated

from pydantic import Field

from refract.params.section import Section


class Deliver(Section):
    final: Annotated[bool, Field(description="whether final.mp4 is written")]
    composite: Annotated[
        bool, Field(description="whether edited pixels show in the region of the edit alone")
    ]
    feather: Annotated[
        float,
        Field(ge=0, le=0.25, description="width of the soft edge, in shorter sides of the frame"),
    ]
    quality: Annotated[int, Field(ge=0, le=51, description="CRF of H.264; 0 loses nothing")]
