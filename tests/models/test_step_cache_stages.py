"""First-block caching in the stages: keys, refusals, clips and pictures made alone or not."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from refract.base.errors import InputError
from refract.infrared.adapter.sampling import generate_tokens
from refract.infrared.inference.attention_job import states_at
from refract.infrared.inference.generator import InfraredGenerator, PictureSettings
from tests.infrared.test_adapter_files import config
from tests.infrared.test_generator import TEXTS, scene, write_adapter
from tests.tiny.edit import Workshop
from tests.tiny.fill import reference

STEPS = 5
ALL = 10.0  # a threshold that skips every pass but the first


@pytest.fixture
def shop(shop: Workshop) -> Workshop:
    on = {"step_cache": "first_block", "step_cache_threshold": 0.5}
    shop.set(video_model={**shop.params["video_model"], **on})
    return shop


def test_the_stage_makes_a_case_the_same_alone_and_after_another(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    cup, mug = shop.case("cup", 0), shop.case("mug", 1)
    shop.baselines("flowedit", "sdedit")

    def made(**cases: Any) -> dict[str, bytes]:
        """In a store of its own."""
        monkeypatch.setenv("REFRACT_STATE", str(shop.folder / f"state_{'_'.join(cases)}"))
        shop.extract(cases)
        shop.edit(cases)
        folder = shop.edits / "mug"
        return {str(x.relative_to(folder)): x.read_bytes() for x in sorted(folder.rglob("*.mkv"))}

    alone = made(mug=mug)
    assert len(alone) > 5
    assert made(cup=cup, mug=mug) == alone
    cached = shop.params["video_model"]
    shop.set(video_model={**cached, "step_cache": None})
    assert shop.edit({"mug": mug}).store.computed > 0, "the option is part of the keys"
    assert (shop.edits / "mug" / "plain.mkv").read_bytes() != alone["plain.mkv"]
    shop.set(video_model={**cached, "step_cache_threshold": 0.6})
    assert shop.edit({"mug": mug}).store.computed > 0, "and so is its threshold"


def test_the_stage_leaves_a_clip_untouched_that_is_to_stay_as_it_is(shop: Workshop) -> None:
    """The source branch is cached as the edit is, or the two would differ by their errors."""
    prompt = "a red mug on wood"
    cases = {"mug": shop.case("mug", 1, source_prompt=prompt, target_prompt=prompt)}
    clips = []
    for cache in ("first_block", None):
        shop.set(video_model={**shop.params["video_model"], "step_cache": cache})
        shop.extract(cases)
        shop.edit(cases)
        clips.append((shop.edits / "mug" / "plain.mkv").read_bytes())
    assert clips[0] == clips[1]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"region": {"zeta_outside": 0.1}}, "flowalign.region, which is read in blocks"),
        ({"sampler": "vace"}, "flowalign.sampler vace, whose condition enters between the blocks"),
    ],
)
def test_what_reads_or_feeds_skipped_blocks_is_refused(
    shop: Workshop, changes: dict[str, Any], told: str
) -> None:
    cases = {"cup": shop.case("cup", 0, overrides={"flowalign": changes})}
    with pytest.raises(InputError, match=f"video_model.step_cache does not go with {told}"):
        shop.edit(cases)


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter whose gate is open, so that it acts without training."""
    return write_adapter(
        tiny_model, tmp_path_factory.mktemp("adapter"), config(gate="one", site="x_t")
    )


def generator(
    model: Path, adapter: Path, threshold: float | None, **changes: Any
) -> InfraredGenerator:
    on = (
        {}
        if threshold is None
        else {"step_cache": "first_block", "step_cache_threshold": threshold}
    )
    section = SimpleNamespace(**vars(reference(model)), **on)
    return InfraredGenerator(adapter, section, PictureSettings(STEPS, 0, **changes), "cpu")


def test_a_picture_does_not_depend_on_what_was_made_before_it(
    tiny_model: Path, adapter: Path
) -> None:
    def picture(made: InfraredGenerator, index: int) -> np.ndarray:
        return dict(made.generate([scene(index)], TEXTS))[f"scene{index}"]

    made = generator(tiny_model, adapter, ALL, bits=16, samples=2)
    alone = picture(made, 1)
    for index in range(2, 5):
        picture(made, index)
    assert np.array_equal(picture(made, 1), alone)
    plain = picture(generator(tiny_model, adapter, None, bits=16, samples=2), 1)
    assert not np.array_equal(alone, plain)
    exact = generator(tiny_model, adapter, 1e-6, bits=16, samples=2)
    assert np.array_equal(picture(exact, 1), plain)


def test_attention_maps_show_the_states_of_the_cached_picture(
    tiny_model: Path, adapter: Path
) -> None:
    made = generator(tiny_model, adapter, ALL)
    tokens = made.encode([scene(0)], TEXTS)
    states: dict[int, Tensor] = {}
    generate_tokens(
        made.model,
        made.sigmas,
        made.noise([scene(0)], tokens),
        *tokens,
        callback=states.__setitem__,
    )
    shown = states_at(made, [scene(0)], tokens, [2, 4])
    assert torch.equal(shown[2], states[1]) and torch.equal(shown[4], states[3])
    assert not made.model.transformer.is_cache_enabled


def test_pictures_of_one_batch_would_depend_on_each_other(tiny_model: Path, adapter: Path) -> None:
    with pytest.raises(InputError, match=r"infer_ir\.batch = 4: must be 1 with .*step_cache"):
        generator(tiny_model, adapter, ALL, batch=4)
