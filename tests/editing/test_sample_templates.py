"""The two sample templates with sound, through the jobs of the stages: what comes out is whole.

By a tiny model, for what may not change does not depend on how good the edit is.
"""

import json
from pathlib import Path

import pytest

from refract.editing.deliver.soundtrack import sound_digests
from refract.evaluation.edits.delivered import measure_delivered
from refract.media.clip_facts import clip_facts
from refract.params.cases import load_cases
from tests.tiny.edit import Workshop

FRAMES = {  # width and height of the edit, frames of each shot
    "portrait-red-pendant-to-plain-green": ([64, 112], [40, 32]),
    "wide-yellow-star-to-plain-purple": ([112, 64], [48]),
}


@pytest.mark.parametrize("name", FRAMES)
def test_final_clip_is_the_template_but_for_the_product(
    shop: Workshop, root: Path, name: str
) -> None:
    case = load_cases(root / "data/cases.yaml")[name]
    template = root / case.video
    photo = str(root / str(case.target_image))
    words = {"source_prompt": "a red mug on wood", "target_prompt": "a mug on wood"}
    own = case.model_copy(update={"video": str(template), "target_image": photo, **words})
    shop.set("flowalign", steps=2, frames=None, width=96, height=96, strength_curve=[])
    shop.set("deliver", final=True)
    shop.extract({name: own})
    shop.edit({name: own})
    folder = shop.edits / name
    told = json.loads((shop.edits / "info.json").read_text())["cases"][name]
    frame, frames = FRAMES[name]
    assert told["frame"] == frame
    assert [shot["frames"] for shot in told["shots"]] == frames
    given, made = clip_facts(template), clip_facts(folder / "final.mp4")
    assert (made.width, made.height, made.frames) == (given.width, given.height, given.frames)
    assert made.fps == pytest.approx(given.fps) == 12
    assert made.duration == pytest.approx(given.duration, abs=1e-3)
    assert sound_digests(folder / "final.mp4") == sound_digests(template) != []
    measured = measure_delivered(template, folder / "final.mp4", folder / "region.mkv", own.fps)
    assert measured["delivered.background_psnr"] >= 45
    assert 0 < measured["delivered.replaced_share"] < 1
