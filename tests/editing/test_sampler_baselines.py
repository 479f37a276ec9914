"""The baselines beside an edit: what they depend on, what comes out, and what is left out."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from refract.base.errors import InputError
from refract.editing.cases.plan import plan_case
from refract.editing.cases.request import EditRequest
from refract.editing.samplers.flowedit import sample_flowedit
from refract.editing.samplers.noise_levels import edit_sigmas
from refract.editing.samplers.sdedit import sample_sdedit
from refract.editing.samplers.velocity import Prompt
from refract.editing.samplers.wan_velocity import WanVelocity
from refract.media.video_io import read_clip
from refract.models.wan import WanModel
from refract.models.wan_latents import decode_frames, encode_frames
from refract.models.wan_text import embed_prompt
from refract.params.cases import Case
from refract.params.edit_stage import EditParams
from refract.pipeline.item_store import ItemStore
from tests.tiny.edit import FRAMES, HEIGHT, WIDTH, Workshop, moving_square
from tests.tiny.wan import WORDS

BOTH = ("flowedit", "sdedit")
ITEMS = 5  # of the edit itself: source branch, plain edit, two strengths and the views

# Another value of every setting of the stage and of what a case says, and who reads it.
COMMON: dict[str, Any] = {
    "seed": 1, "flowalign.steps": 5, "flowalign.shift": 2.0, "flowalign.frames": 3,
    "flowalign.width": 64, "flowalign.height": 48, "flowalign.negative_prompt": "a ball",
    "case.target_prompt": "a blue mug", "video_model.dtype": "bfloat16",
    "video_model.max_sequence_length": 9, "flowalign.window.frames": 5,
    "flowalign.window.overlap": 4,
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "flowedit": {
        "flowalign.baselines.flowedit.strength": 0.8,
        "flowalign.baselines.flowedit.guidance": 7.0,
        "flowalign.baselines.flowedit.source_guidance": 2.0,
        "case.source_prompt": "a red ball on wood",
    },
    "sdedit": {
        "flowalign.baselines.sdedit.strength": 0.8,
        "flowalign.baselines.sdedit.guidance": 7.0,
    },
}
UNREAD: dict[str, Any] = {
    "ref_strength": 0.4, "ref_layers": "deep", "ref_mode": "refdrop", "ref_branches": "guided",
    "flowalign.strength": 0.5, "flowalign.guidance": 9.0, "flowalign.source_guidance": 9.0,
    "flowalign.zeta": 0.5, "flowalign.ref_guidance": 9.0, "flowalign.ref_rope": "none",
    "flowalign.ref_frame_schedule": [1.0, 0.5], "flowalign.ref_steps": [0.5, 1.0],
    "flowalign.strength_curve": [0.1], "flowalign.region.zeta_outside": 0.5,
    "flowalign.region.words": ["mug"], "flowalign.region.layers": "deep",
    "flowalign.region.threshold": 0.1, "flowalign.vace.path": "elsewhere",
    "flowalign.vace.dilate_px": 9, "flowalign.vace.conditioning_scale": 0.5,
}  # fmt: skip
CHANGES = COMMON | OWN["flowedit"] | OWN["sdedit"] | UNREAD


@pytest.fixture
def shop(shop: Workshop) -> Workshop:
    shop.baselines(*BOTH)
    return shop


def changed(document: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        document = document[parent]
    assert document[last] != value, key
    document[last] = value


@pytest.fixture(scope="module")
def keys_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], dict[str, str]]:
    """Some of CHANGES -> sampler -> key of its clip."""
    folder = tmp_path_factory.mktemp("keys")
    shop, store = Workshop(folder, folder), ItemStore(folder, "keys", refresh=False)
    shop.baselines(*BOTH)
    shop.set("flowalign", frame="fixed")  # where width and height count each by itself
    case = shop.case("cup", 0)

    def keys(names: list[str]) -> dict[str, str]:
        document = copy.deepcopy({**shop.params, "case": case.model_dump()})
        for name in names:
            changed(document, name, CHANGES[name])
        own = Case(**document["case"])
        read = {key: document[key] for key in EditParams.model_fields}
        request = EditRequest("cup", own, EditParams.model_validate(read))
        return {
            sampler: edits[0].keys.plain
            for sampler, edits in plan_case(request, store, "model").baselines.items()
        }

    return keys


@given(st.lists(st.sampled_from(sorted(CHANGES)), unique=True, max_size=6))
def test_a_change_recomputes_exactly_the_baselines_that_use_it(
    keys_of: Callable[[list[str]], dict[str, str]], names: list[str]
) -> None:
    before, after = keys_of([]), keys_of(names)
    assert before.keys() == after.keys() == set(BOTH)
    for sampler in BOTH:
        used = any(name in COMMON or name in OWN[sampler] for name in names)
        assert (before[sampler] != after[sampler]) is used, (sampler, names)


def test_every_setting_is_among_the_changes(shop: Workshop) -> None:
    def leaves(section: dict[str, Any], prefix: str = "") -> set[str]:
        found = set()
        for key, value in section.items():
            nested = isinstance(value, dict)
            found |= leaves(value, f"{prefix}{key}.") if nested else {prefix + key}
        return found

    read = {key: shop.params[key] for key in EditParams.model_fields if key != "deliver"}
    told_otherwise = {  # who it is, or known by the model's contents or the clip's shape
        "flowalign.sampler", "flowalign.baselines.samplers", "flowalign.vace.revision",
        "video_model.path", "video_model.revision", "flowalign.frame",
    }  # fmt: skip
    assert leaves(read) - told_otherwise == {key for key in CHANGES if not key.startswith("case.")}


def test_clips_are_what_the_samplers_make(shop: Workshop, model: Path) -> None:
    cases = {"cup": shop.case("cup", 0)}
    shop.set("flowalign", negative_prompt="a ball")
    shop.extract(cases)
    assert shop.edit(cases).store.computed == ITEMS + 4
    folder = shop.edits / "cup" / "baselines"
    assert sorted(path.name for path in folder.iterdir()) == ["flowedit.mkv", "sdedit.mkv"]
    wan = WanModel(str(model), None, "float32", "cpu")
    prompts: dict[Prompt, str] = {
        "source": "a red mug on wood", "target": "a mug on wood", "negative": "a ball",
    }  # fmt: skip
    velocity = WanVelocity(
        wan.transformer,
        {name: embed_prompt(*wan.text, prompt, WORDS) for name, prompt in prompts.items()},
    )
    x_src = encode_frames(wan.vae, moving_square(FRAMES, 0))

    def source_velocity(_step: int, q: torch.Tensor, sigma: float) -> torch.Tensor:
        negative = velocity(q, sigma, "negative")
        return negative + 1.2 * (velocity(q, sigma, "source") - negative)

    flowedit = sample_flowedit(
        velocity, x_src, edit_sigmas(4, 1.0, 1.0), guidance=2.0,
        generator=torch.Generator().manual_seed(0), source_velocity=source_velocity,
    )  # fmt: skip
    sdedit = sample_sdedit(
        velocity, x_src, edit_sigmas(4, 0.5, 1.0), guidance=4.0,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    for name, latents in (("flowedit", flowedit), ("sdedit", sdedit)):
        clip = read_clip(folder / f"{name}.mkv")
        assert np.array_equal(clip.frames, decode_frames(wan.vae, latents)), name
        assert clip.fps == 8.0
    facts = case_info(shop, "cup")
    window = {"frames": None, "overlap": 0}
    shared = {"steps": 4, "shift": 1.0, "negative_prompt": "a ball", "window": window}
    assert facts["baselines"] == {
        "flowedit": {**shared, "strength": 1.0, "guidance": 2.0, "source_guidance": 1.2},
        "sdedit": {**shared, "strength": 0.5, "guidance": 4.0},
    }
    assert facts["fallbacks"] == []


def case_info(shop: Workshop, name: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((shop.edits / "info.json").read_text())["cases"][name]
    return facts


def test_a_baseline_is_the_plain_edit_of_its_sampler(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    """So it shares its items, and is left out where it would stand beside itself."""
    cases = {"cup": shop.case("cup", 0)}
    shop.extract(cases)
    shop.edit(cases)
    baseline = (shop.edits / "cup/baselines/sdedit.mkv").read_bytes()
    shop.set("flowalign", sampler="sdedit", strength=0.5, guidance=4.0)
    with caplog.at_level("INFO"):
        assert shop.edit(cases).store.computed == ITEMS - 2
    assert (shop.edits / "cup/plain.mkv").read_bytes() == baseline
    assert [path.name for path in (shop.edits / "cup/baselines").iterdir()] == ["flowedit.mkv"]
    assert "case cup: baseline sdedit left out: it is the sampler of the edit" in caplog.text
    assert list(case_info(shop, "cup")["baselines"]) == ["flowedit"]


def test_what_recomputes(shop: Workshop) -> None:
    """By running: only a clip whose settings changed is made anew, and none leaves no folder."""
    cases = {"cup": shop.case("cup", 0)}
    shop.extract(cases)
    shop.baselines()
    assert shop.edit(cases).store.computed == ITEMS
    assert not (shop.edits / "cup/baselines").exists()
    assert case_info(shop, "cup")["baselines"] == {}
    shop.baselines(*BOTH)
    assert shop.edit(cases).store.computed == 4, "a source branch and an edit each"
    shop.params["flowalign"]["baselines"]["flowedit"]["guidance"] = 5.0
    assert shop.edit(cases).store.computed == 1
    shop.set(ref_strength=0.5)
    assert shop.edit(cases).store.computed == 1, "the views"
    shop.baselines("sdedit")
    assert shop.edit(cases).store.computed == 0
    assert [path.name for path in (shop.edits / "cup/baselines").iterdir()] == ["sdedit.mkv"]


def test_a_case_without_a_product_may_have_its_own(shop: Workshop) -> None:
    own = {"flowalign": {"baselines": {"samplers": ["sdedit"], "sdedit": {"guidance": 2.0}}}}
    cases = {"cup": shop.case("cup", 0), "can": shop.case("can", 0, overrides=own)}
    for case in cases.values():
        Path(case.video).with_name("product.png").unlink()
    shop.edit(cases)
    clips = {name: read_clip(shop.edits / name / "baselines/sdedit.mkv").frames for name in cases}
    assert clips["cup"].shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert (clips["cup"] != clips["can"]).any()
    assert not (shop.edits / "can/baselines/flowedit.mkv").exists()
    assert case_info(shop, "can")["baselines"]["sdedit"]["guidance"] == 2.0


def test_errors_name_the_baseline(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    case = shop.case("cup", 0)
    Path(case.video).with_name("product.png").unlink()
    shop.baselines()
    shop.edit({"cup": case})
    shop.baselines("flowedit")

    def diverge(*shared: Any, **_: Any) -> torch.Tensor:
        return shared[2].x_src * float("nan")

    monkeypatch.setattr("refract.editing.cases.latent_case.edit_latents", diverge)
    message = r"^case cup: baseline flowedit: .*lower flowalign\.baselines\.flowedit\.guidance$"
    with pytest.raises(InputError, match=message):
        shop.edit({"cup": case})
    shop.set("flowalign", negative_prompt="a mug " * 9)
    with pytest.raises(InputError, match=r"^flowalign\.negative_prompt of case cup: "):
        shop.edit({"cup": case})
    shop.baselines()
    assert shop.edit({"cup": case}).store.computed == 0, "FlowAlign reads no negative prompt"
