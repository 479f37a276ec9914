from typing import get_args

from refract.evaluation.edits.definitions import EDIT_METRICS
from refract.evaluation.measures.metric_definition import Better


def test_every_definition_is_one_line_with_a_direction() -> None:
    for key, definition in EDIT_METRICS.items():
        group, _, name = key.partition(".")
        assert group in ("product", "background", "temporal", "delivered") and name.isidentifier()
        assert definition.better in (None, *get_args(Better))
        assert 40 < len(definition.text) < 500 and "\n" not in definition.text, key


def test_the_projects_own_clip_is_never_described_as_a_published_one() -> None:
    for name in ("i", "i_crop", "t"):
        own, published = (EDIT_METRICS[f"product.{key}_{name}"] for key in ("clip_micro", "clip"))
        assert own.better == published.better == "higher"
        assert own.text != published.text
    assert "not with CLIP-I" in EDIT_METRICS["product.clip_micro_i"].text
