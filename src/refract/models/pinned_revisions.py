"""The commits of hub models that stand for `revision: null`.

The weights behind a branch can change, and results with them. So the models that profiles and
params.yaml name are pinned here, and any other is taken from `main` with a warning.
"""

import logging
import re
from functools import cache

logger = logging.getLogger(__name__)

# Hub id -> commit.
PINNED = {
    "black-forest-labs/FLUX.1-Fill-dev": "6d92c296315be5f54318a6d2659f11465339f934",
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": "0fad780a534b6463e45facd96134c9f345acfa5b",
    "Wan-AI/Wan2.1-T2V-14B-Diffusers": "38ec498cb3208fb688890f8cc7e94ede2cbd7f68",
    "facebook/dinov2-base": "f9e44c814b77203eaa57a6bdbbd535f21ede1415",
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K": "1a25a446712ba5ee05982a381eed697ef9b435cf",
}
_COMMIT = re.compile(r"[0-9a-f]{40}")


def revision_of(hub_id: str, revision: str | None) -> str:
    """The revision to take of a hub repository: the one asked for, else the pinned one or `main`.

    Warns once of a model that no commit stands for.
    """
    chosen = revision or PINNED.get(hub_id, "main")
    if not _COMMIT.fullmatch(chosen):
        _warn(hub_id, chosen)
    return chosen


@cache
def _warn(hub_id: str, revision: str) -> None:
    logger.warning(
        "model %s: taken from %s, which may change; set its revision to a commit of 40 characters",
        hub_id, revision,
    )  # fmt: skip
