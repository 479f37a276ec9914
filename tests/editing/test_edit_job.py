"""The editing stage on a tiny model: what is computed when, and what comes out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refract.editing.cases.models
from refract.base.errors import InputError
from refract.editing.cases.latent_case import LatentCaseEdit
from refract.media.video_io import read_clip
from refract.pipeline.import_closure import closure
from tests.tiny.edit import FRAMES, HEIGHT, WIDTH, Workshop, moving_square

ITEMS = 5  # a case has a source branch, a plain edit, two strengths and its views


def frames(path: Path) -> np.ndarray:
    return read_clip(path).frames


def test_outputs_of_a_case(shop: Workshop) -> None:
    cases = {"cup": shop.case("cup", 0)}
    shop.extract(cases)
    shop.edit(cases)
    names = {path.relative_to(shop.edits).as_posix() for path in shop.edits.rglob("*.*")}
    assert names == {
        "info.json", "cup/source.mkv", "cup/plain.mkv", "cup/reference.mkv", "cup/plain.mp4",
        "cup/reference.mp4", "cup/side_by_side.mp4", "cup/curve/0.5.mkv", "cup/curve/1.mkv",
    }  # fmt: skip
    folder = shop.edits / "cup"
    assert np.array_equal(frames(folder / "source.mkv"), moving_square(FRAMES, 0))
    assert frames(folder / "side_by_side.mp4").shape == (FRAMES, HEIGHT, 4 * WIDTH, 3)
    plain, half, one = (
        frames(folder / name) for name in ("plain.mkv", "curve/0.5.mkv", "reference.mkv")
    )
    assert np.array_equal(one, frames(folder / "curve/1.mkv"))
    assert (plain != half).any() and (half != one).any()
    info = json.loads((shop.edits / "info.json").read_text())
    assert info["device"] == "cpu" and info["dtype"] == "float32"
    assert info["cases"]["cup"]["result_strength"] == 1.0
    assert info["cases"]["cup"]["settings"]["flowalign"]["guidance"] == 3.0


def test_strength_zero_is_the_plain_edit_to_the_bit(shop: Workshop) -> None:
    shop.set(ref_strength=0.0)
    shop.set("flowalign", strength_curve=[0.0, 0.5])
    cases = {"cup": shop.case("cup", 0)}
    shop.extract(cases)
    assert shop.edit(cases).store.computed == 4
    plain = (shop.edits / "cup/plain.mkv").read_bytes()
    assert (shop.edits / "cup/reference.mkv").read_bytes() == plain
    assert (shop.edits / "cup/curve/0.mkv").read_bytes() == plain
    assert (shop.edits / "cup/curve/0.5.mkv").read_bytes() != plain


def test_equal_prompts_without_a_product_give_the_source_back(shop: Workshop, model: Path) -> None:
    """To the bit in latents: the edit is then the VAE's reconstruction."""
    case = shop.case("cup", 0, target_prompt="a red mug on wood")
    Path(case.video).with_name("product.png").unlink()
    shop.edit({"cup": case})
    from refract.models.wan import WanModel
    from refract.models.wan_latents import decode_frames, encode_frames

    vae = WanModel(str(model), None, "float32", "cpu").vae
    expected = decode_frames(vae, encode_frames(vae, moving_square(FRAMES, 0)))
    assert np.array_equal(frames(shop.edits / "cup/plain.mkv"), expected)


def test_without_a_product_image_the_edit_is_plain(shop: Workshop) -> None:
    case = shop.case("cup", 0)
    Path(case.video).with_name("product.png").unlink()
    assert shop.edit({"cup": case}).store.computed == 3
    folder = shop.edits / "cup"
    assert (folder / "reference.mkv").read_bytes() == (folder / "plain.mkv").read_bytes()
    assert not (folder / "curve").exists()
    facts = json.loads((shop.edits / "info.json").read_text())["cases"]["cup"]
    assert facts["product_image"] is None and facts["reference"] is False


def test_what_recomputes(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {name: shop.case(name, seed) for seed, name in enumerate(("cup", "can"))}
    shop.extract(cases)
    assert shop.edit({"cup": cases["cup"]}).store.computed == ITEMS
    assert shop.edit(cases).store.computed == ITEMS, "a new case computes that case alone"

    def refuse(*_args: Any) -> None:
        pytest.fail("the model must not be loaded")

    with monkeypatch.context() as patch:
        patch.setattr(refract.editing.cases.models, "WanModel", refuse)
        assert shop.edit(cases).store.computed == 0
        shop.set(ref_strength=0.5)
        assert shop.edit(cases).store.computed == 2, "on the curve already: only views are new"
    shop.set(ref_strength=0.6)
    assert shop.edit(cases).store.computed == 4
    shop.set(ref_strength=1.0, ref_layers="deep")
    assert shop.edit(cases).store.computed == 6, "plain twin and source branch are kept"
    shop.set(ref_layers="all")
    shop.set("flowalign", guidance=4.0)
    assert shop.edit(cases).store.computed == 8, "the source branch is kept"
    shop.set("flowalign", guidance=3.0)
    assert shop.edit(cases).store.computed == 0, "returning costs nothing"
    shop.set(seed=1)
    assert shop.edit({"can": cases["can"]}).store.computed == ITEMS
    assert [path.name for path in shop.edits.iterdir() if path.is_dir()] == ["can"]


def test_an_edit_does_not_depend_on_other_cases_or_on_history(shop: Workshop) -> None:
    cases = {name: shop.case(name, seed) for seed, name in enumerate(("cup", "can"))}
    shop.extract(cases)
    shop.edit(cases)
    first = contents(shop.edits / "can")
    for slot in (shop.folder / "state" / "flowalign_edit").iterdir():
        slot.rename(slot.with_name(f".gone-{slot.name[:8]}"))
    shop.edit({"can": cases["can"]})
    assert contents(shop.edits / "can") == first


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_other_branches_and_modes_run_and_modes_stop_at_strength_zero(shop: Workshop) -> None:
    cases = {"cup": shop.case("cup", 0)}
    shop.extract(cases)
    shop.edit(cases)
    edited = shop.edits / "cup/reference.mkv"
    joint = frames(edited)
    for branches in ("edited", "all", "guided"):
        shop.set(ref_branches=branches)
        assert shop.edit(cases).store.computed == 3, branches
        assert (frames(edited) != joint).any(), branches
    shop.set(ref_branches="target")
    shop.set("flowalign", strength_curve=[])
    plain = (shop.edits / "cup/plain.mkv").read_bytes()
    for mode in ("concat_scaled", "refdrop", "adain", "attn+adain"):
        shop.set(ref_mode=mode, ref_strength=1.0)
        assert shop.edit(cases).store.computed == 2, mode
        assert (frames(edited) != joint).any(), mode
        shop.set(ref_strength=0.0)
        shop.edit(cases)
        assert edited.read_bytes() == plain, mode


def test_refdrop_below_zero(shop: Workshop) -> None:
    cases = {"cup": shop.case("cup", 0)}
    shop.extract(cases)
    shop.set(ref_mode="refdrop", ref_strength=-0.3)
    shop.edit(cases)
    folder = shop.edits / "cup"
    assert (frames(folder / "reference.mkv") != frames(folder / "plain.mkv")).any()


@pytest.mark.parametrize(("sampler", "a_step"), [("flowedit", 2), ("sdedit", 2)])
def test_other_samplers(shop: Workshop, sampler: str, a_step: int) -> None:
    cases = {"cup": shop.case("cup", 0)}
    shop.extract(cases)
    shop.edit(cases)
    folder = shop.edits / "cup"
    aligned = frames(folder / "reference.mkv")
    shop.set("flowalign", sampler=sampler)
    assert shop.edit(cases).store.computed == ITEMS
    edited = frames(folder / "reference.mkv")
    assert (edited != aligned).any() and (edited != frames(folder / "plain.mkv")).any()
    shop.set("flowalign", zeta=0.3)
    assert shop.edit(cases).store.computed == 0, "zeta is FlowAlign's"
    shop.set("flowalign", negative_prompt="a ball")
    computed = shop.edit(cases).store.computed
    assert computed == (ITEMS if sampler == "flowedit" else ITEMS - 1)
    assert (frames(folder / "reference.mkv") != edited).any()


def test_region_and_frame_schedule(shop: Workshop) -> None:
    cases = {"cup": shop.case("cup", 0)}
    shop.extract(cases)
    shop.edit(cases)
    folder = shop.edits / "cup"
    plain, edited = (frames(folder / name) for name in ("plain.mkv", "reference.mkv"))
    shop.set("flowalign", ref_frame_schedule=[1.0, 0.2])
    assert shop.edit(cases).store.computed == 3
    assert (frames(folder / "reference.mkv") != edited).any()
    region = shop.params["flowalign"]["region"]
    shop.set("flowalign", region={**region, "threshold": 0.1})
    assert shop.edit(cases).store.computed == 0, "a region that is off has no settings"
    shop.set("flowalign", region={**region, "zeta_outside": 0.8, "words": ["mug"]})
    assert shop.edit(cases).store.computed == ITEMS - 1
    assert (frames(folder / "plain.mkv") != plain).any()
    shop.set("flowalign", region={**region, "zeta_outside": 0.8, "words": ["ball"]})
    with pytest.raises(InputError, match=r"case cup: .*flowalign\.region\.words.*ball"):
        shop.edit(cases)


def test_per_case_overrides(shop: Workshop) -> None:
    own = {"ref_strength": 0.5, "flowalign": {"sampler": "sdedit", "steps": 3}}
    cases = {"cup": shop.case("cup", 0), "can": shop.case("can", 0, overrides=own)}
    shop.extract(cases)
    shop.edit(cases)
    cup, can = (frames(shop.edits / name / "reference.mkv") for name in cases)
    assert (cup != can).any()
    facts = json.loads((shop.edits / "info.json").read_text())["cases"]
    assert facts["can"]["result_strength"] == 0.5
    assert facts["can"]["settings"]["flowalign"]["sampler"] == "sdedit"
    assert facts["cup"]["settings"]["flowalign"]["sampler"] == "flowalign"


def test_ref_steps_bound_the_reference(shop: Workshop) -> None:
    cases = {"cup": shop.case("cup", 0)}
    shop.extract(cases)
    results = []
    for span in ([0.0, 1.0], [0.0, 0.5], [0.99, 1.0]):
        shop.set("flowalign", ref_steps=span)
        shop.edit(cases)
        results.append(frames(shop.edits / "cup/reference.mkv"))
    plain = frames(shop.edits / "cup/plain.mkv")
    assert (results[0] != results[1]).any() and (results[1] != plain).any()
    assert np.array_equal(results[2], plain), "3 steps start at 0, 1/3 and 2/3 of the schedule"


def test_a_killed_run_keeps_its_items(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {"cup": shop.case("cup", 0)}
    shop.extract(cases)

    def stop(*_args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LatentCaseEdit, "write_variant", stop)
        with pytest.raises(KeyboardInterrupt):
            shop.edit(cases)
    assert not shop.edits.exists()
    assert shop.edit(cases).store.computed == ITEMS - 2


def test_source_keys_do_not_know_the_reference_code(root: Path) -> None:
    def code(module: str) -> str:
        return " ".join(str(path.relative_to(root)) for path in closure(module))

    for module in (
        "refract.editing.samplers.source_branch",
        "refract.editing.samplers.latent_edit",
    ):
        assert "reference" not in code(module) and "bank" not in code(module)
    for module in ("refract.editing.reference.making", "refract.editing.reference.edit"):
        assert "flux" not in code(module), "no infrared code"
