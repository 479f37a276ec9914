"""The editing stage with the VACE sampler on tiny models: what is computed when, what comes out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import refract.editing.cases.models
from refract.base.errors import InputError
from refract.evaluation.edits.case_files import find_case_files
from refract.evaluation.edits.clips import load_edit_case
from refract.evaluation.edits.parts import read_parts
from refract.evaluation.variants import PLAIN, RESULT, SOURCE
from refract.media.video_io import read_clip
from refract.models.identity import model_identity
from refract.models.wan import WanModel
from refract.params.cases import INFRARED_REFERENCE, Case
from tests.tiny.edit import FRAMES, HEIGHT, WIDTH, Workshop, moving_square
from tests.tiny.vace import save_tiny_vace

ITEMS = 4  # a case has its fitted clip, a plain edit, one with the photo and its views
VACE = {"sampler": "vace", "steps": 2}


@pytest.fixture(scope="module")
def vace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With another text encoder than the video model's, so that a mix-up shows."""
    return save_tiny_vace(tmp_path_factory.mktemp("vace") / "model", text_seed=1)


@pytest.fixture
def shop(shop: Workshop, vace: Path) -> Workshop:
    name_vace(shop, str(vace))
    shop.set("flowalign", **VACE)
    return shop


def name_vace(shop: Workshop, path: str | None) -> None:
    shop.set("flowalign", vace={**shop.params["flowalign"]["vace"], "path": path})


def masked(shop: Workshop, name: str, seed: int, **facts: Any) -> Case:
    """A case with the masks of its moving square."""
    folder = shop.folder / "data" / "products" / name / "masks"
    folder.mkdir(parents=True)
    for frame in range(FRAMES):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[8:24, 4 + 3 * frame : 20 + 3 * frame] = 255
        Image.fromarray(mask).save(folder / f"{frame:03}.png")
    return shop.case(name, seed, source_mask=str(folder), **facts)


def frames(path: Path) -> np.ndarray:
    return read_clip(path).frames


def test_outputs_of_a_case(shop: Workshop, vace: Path) -> None:
    case = masked(shop, "cup", 0)
    assert shop.edit({"cup": case}).store.computed == ITEMS
    names = {path.relative_to(shop.edits).as_posix() for path in shop.edits.rglob("*.*")}
    assert names == {
        "info.json", "cup/source.mkv", "cup/plain.mkv", "cup/reference.mkv", "cup/plain.mp4",
        "cup/reference.mp4", "cup/side_by_side.mp4",
    }, "no curve: VACE knows no strength"  # fmt: skip
    folder = shop.edits / "cup"
    plain, edited = (frames(folder / name) for name in ("plain.mkv", "reference.mkv"))
    assert np.array_equal(frames(folder / "source.mkv"), moving_square(FRAMES, 0))
    assert plain.shape == edited.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert (plain != edited).any()
    info = json.loads((shop.edits / "info.json").read_text())
    assert info["model"] == model_identity(str(vace), None), "not that of video_model"
    assert info["cases"]["cup"]["reference"] is True


def test_evaluation_reads_the_result(shop: Workshop) -> None:
    case = masked(shop, "cup", 0)
    shop.edit({"cup": case})
    parts = read_parts(shop.edits, ["cup"])["cup"]
    read = load_edit_case(find_case_files("cup", case, parts, shop.edits, 1), *parts)
    assert read.clips.keys() == {SOURCE, PLAIN, RESULT}


def test_source_mask_decides_what_is_seen(shop: Workshop, caplog: pytest.LogCaptureFixture) -> None:
    case = masked(shop, "cup", 0)
    shop.edit({"cup": case})
    swapped = frames(shop.edits / "cup/reference.mkv")
    assert "whole frame" not in caplog.text
    assert fallbacks(shop) == []
    vace = shop.params["flowalign"]["vace"]
    shop.set("flowalign", vace={**vace, "dilate_px": 0})
    assert shop.edit({"cup": case}).store.computed == ITEMS - 1, "the fitted clip is kept"
    assert (frames(shop.edits / "cup/reference.mkv") != swapped).any()
    shop.set("flowalign", vace=vace)
    whole = case.model_copy(update={"source_mask": None})
    assert shop.edit({"cup": whole}).store.computed == ITEMS - 1
    assert (frames(shop.edits / "cup/reference.mkv") != swapped).any()
    assert "the whole frame is made anew" in caplog.text
    assert fallbacks(shop) == ["vace without source_mask"]
    assert shop.edit({"cup": whole}).store.computed == 0
    assert fallbacks(shop) == ["vace without source_mask"], "also from the store"


def test_no_baselines_beside_a_baseline(shop: Workshop, caplog: pytest.LogCaptureFixture) -> None:
    shop.baselines("flowedit", "sdedit")
    with caplog.at_level("INFO"):
        assert shop.edit({"cup": masked(shop, "cup", 0)}).store.computed == ITEMS
    assert "case cup: baselines flowedit, sdedit left out: flowalign.sampler vace" in caplog.text
    assert not (shop.edits / "cup" / "baselines").exists()


def fallbacks(shop: Workshop) -> list[str]:
    info = json.loads((shop.edits / "info.json").read_text())
    return list(info["cases"]["cup"]["fallbacks"])


def test_strength_is_on_or_off(shop: Workshop) -> None:
    cases = {"cup": masked(shop, "cup", 0)}
    shop.edit(cases)
    edited = (shop.edits / "cup/reference.mkv").read_bytes()
    shop.set(ref_strength=0.5)
    assert shop.edit(cases).store.computed == 0
    assert (shop.edits / "cup/reference.mkv").read_bytes() == edited
    shop.set(ref_strength=0.0)
    assert shop.edit(cases).store.computed == 1, "the views"
    plain = (shop.edits / "cup/plain.mkv").read_bytes()
    assert (shop.edits / "cup/reference.mkv").read_bytes() == plain


def test_another_photo_keeps_the_plain_twin(shop: Workshop) -> None:
    cases = {"cup": masked(shop, "cup", 0)}
    shop.edit(cases)
    plain, edited = (frames(shop.edits / "cup" / f"{name}.mkv") for name in ("plain", "reference"))
    photo = np.full((40, 40, 3), (0, 255, 0), np.uint8)
    Image.fromarray(photo).save(Path(cases["cup"].video).with_name("product.png"))
    assert shop.edit(cases).store.computed == 2, "the variant and the views"
    assert np.array_equal(frames(shop.edits / "cup/plain.mkv"), plain)
    assert (frames(shop.edits / "cup/reference.mkv") != edited).any()


def test_without_a_photo_the_edit_is_plain(shop: Workshop) -> None:
    case = masked(shop, "cup", 0)
    Path(case.video).with_name("product.png").unlink()
    assert shop.edit({"cup": case}).store.computed == ITEMS - 1
    plain = (shop.edits / "cup/plain.mkv").read_bytes()
    assert (shop.edits / "cup/reference.mkv").read_bytes() == plain


def test_which_prompts_are_read(shop: Workshop) -> None:
    def embedded() -> int:
        texts = shop.folder / "state" / "video_text"
        return sum(not path.name.startswith(".") for path in texts.iterdir())

    shop.set("flowalign", guidance=1.0, negative_prompt="a mug " * 9)  # too long, but not read
    cases = {"cup": masked(shop, "cup", 0, source_prompt="a red mug on wood " * 9)}
    shop.edit(cases)
    assert embedded() == 1, "the target prompt"
    shop.set("flowalign", guidance=3.0)
    with pytest.raises(InputError, match=r"^flowalign\.negative_prompt of case cup: .*19 tokens"):
        shop.edit(cases)
    shop.set("flowalign", negative_prompt=" ")
    assert shop.edit(cases).store.computed == ITEMS - 1
    assert embedded() == 2
    cases["cup"] = cases["cup"].model_copy(update={"target_prompt": " "})
    with pytest.raises(InputError, match=r"cases\.cup\.target_prompt: prompt is empty"):
        shop.edit(cases)


def test_text_encoder_is_gone_before_sampling(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []
    kind = refract.editing.cases.models.VaceModel

    class Watched(kind):  # type: ignore[misc, valid-type]
        def pipeline(self, shift: float) -> Any:
            held.append("text" in self.__dict__)
            return super().pipeline(shift)

    monkeypatch.setattr(refract.editing.cases.models, "VaceModel", Watched)
    shop.edit({"cup": masked(shop, "cup", 0)})
    assert held == [False, False]


def test_two_samplers_in_one_run(
    shop: Workshop, model: Path, vace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each case comes out as it does alone, though both models read the same words."""
    own = {"flowalign": VACE}
    cases = {"cup": shop.case("cup", 0), "can": masked(shop, "can", 1, overrides=own)}
    shop.set("flowalign", sampler="flowalign", steps=4)
    shop.extract(cases)
    alone = {}
    for name, case in cases.items():
        monkeypatch.setenv("REFRACT_STATE", str(shop.folder / f"state of {name}"))
        shop.edit({name: case})
        alone[name] = frames(shop.edits / name / "reference.mkv")
    for order in (["cup", "can"], ["can", "cup"]):
        monkeypatch.setenv("REFRACT_STATE", str(shop.folder / "-".join(order)))
        shop.edit({name: cases[name] for name in order})
        for name, expected in alone.items():
            assert np.array_equal(frames(shop.edits / name / "reference.mkv"), expected), name
    assert (shop.edits / "cup" / "curve").is_dir() and not (shop.edits / "can" / "curve").exists()
    info = json.loads((shop.edits / "info.json").read_text())
    identities = {"cup": model_identity(str(model), None), "can": model_identity(str(vace), None)}
    assert {name: facts["model"] for name, facts in info["cases"].items()} == identities
    assert info["model"] == ", ".join(sorted(identities.values()))


def test_nothing_new_loads_nothing(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {"cup": masked(shop, "cup", 0)}
    shop.edit(cases)

    def refuse(*_args: Any) -> None:
        pytest.fail("no part of a model must be loaded")

    monkeypatch.setattr(WanModel, "_call", refuse)
    assert shop.edit(cases).store.computed == 0


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (None, r"^case cup: flowalign\.sampler = vace needs flowalign\.vace\.path, a folder"),
        ("absent folder", r"^flowalign\.vace\.path: model 'absent folder': no such folder"),
        (
            "nobody/absent-vace",
            r"^model nobody/absent-vace: cannot load model_index\.json: .*hub cannot be reached.*"
            r"huggingface\.co/nobody/absent-vace; .*set flowalign\.vace\.path to a local folder",
        ),
    ],
)
def test_no_vace_model(shop: Workshop, path: str | None, message: str) -> None:
    name_vace(shop, path)
    with pytest.raises(InputError, match=message):
        shop.edit({"cup": masked(shop, "cup", 0)})
    assert not shop.edits.exists()


def test_bad_inputs_name_the_case(shop: Workshop) -> None:
    good = masked(shop, "cup", 0)
    masks = Path(good.source_mask or "")
    for change, message in (
        ({"target_image": INFRARED_REFERENCE}, "case cup: target_image: infer_ir does not go with"),
        ({"source_mask": str(shop.folder / "absent")}, "case cup: .*absent: 0 masks; 5 are needed"),
        ({"video": str(masks / "000.png")}, r"case cup: video .*000\.png"),
    ):
        with pytest.raises(InputError, match=message):
            shop.edit({"cup": good.model_copy(update=change)})
        assert not shop.edits.exists()
