"""A case whose reference is the infrared translation of its own first frame."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from refract.base.errors import InputError
from refract.editing.reference.bank import ReferenceBank
from refract.evaluation.edits.case_files import find_case_files
from refract.evaluation.edits.clips import load_edit_case
from refract.evaluation.edits.parts import read_parts
from refract.infrared.adapter.adapter_files import AdapterConfig, build_model, save_adapter
from refract.infrared.inference import clip_reference_job as infrared_reference_job
from refract.infrared.inference.clip_reference import crop_to_ratio
from refract.infrared.inference.clip_reference_job import InfraredReference, InfraredReferenceJob
from refract.media.image_reading import class_colours
from refract.media.video_io import fit_frame
from refract.models.identity import model_identity
from refract.params.ref_bank import BankParams
from refract.triptychs.panels.semantic_maps import map_model
from tests.infrared.test_adapter_files import config
from tests.tiny.edit import HEIGHT, WIDTH, Workshop
from tests.tiny.fill import tiny_transformer
from tests.tiny.segmenter import write_mask2former


@pytest.fixture
def shop(shop: Workshop, model: Path) -> Workshop:
    shop.set(infrared_model={**shop.params["video_model"], "path": str(model)})
    return shop


def write_adapter(folder: Path, settings: AdapterConfig, seed: int) -> Path:
    torch.manual_seed(seed)
    model = build_model(tiny_transformer().requires_grad_(False), settings)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.05)
    folder.mkdir(exist_ok=True)
    save_adapter(model, settings, folder)
    return folder


@pytest.fixture
def settings(model: Path) -> AdapterConfig:
    """With half the map in the photo: a random adapter would hardly look at its tokens."""
    identity = model_identity(str(model), None)
    return config(mode="pixel_fusion", fusion_alpha=0.5, model_identity=identity)


@pytest.fixture
def adapter(shop: Workshop, settings: AdapterConfig) -> Path:
    return write_adapter(shop.folder / "adapter", settings, seed=0)


def translate(shop: Workshop, adapter: Path, **facts: str) -> tuple[bytes, int]:
    """The reference of a case, and how many pictures were computed for it."""
    reference, computed = make_reference(shop, adapter, **facts)
    return reference.picture.read_bytes(), computed


def make_reference(shop: Workshop, adapter: Path, **facts: str) -> tuple[InfraredReference, int]:
    case = shop.case("night", 1, target_image="infer_ir", **facts)
    params = BankParams.model_validate({key: shop.params[key] for key in BankParams.model_fields})
    job = InfraredReferenceJob(adapter, None)
    return job.references({"night": (case, params)})["night"], job.store.computed


def write_map(path: Path, scale: int = 1, *, ids: bool = False) -> str:
    """A map of the clip's frame in blocks of 8 pixels, as colours or as class ids."""
    names = np.random.default_rng(4).integers(0, 5, (HEIGHT // 8, WIDTH // 8), np.uint8)
    names = names.repeat(8 * scale, 0).repeat(8 * scale, 1)
    Image.fromarray(names if ids else class_colours()[names]).save(path)
    return str(path)


def write_info(shop: Workshop, **facts: object) -> None:
    """info.json of the training's triptychs, beside the adapter."""
    folder = shop.folder / "triptychs"
    folder.mkdir(exist_ok=True)
    (folder / "info.json").write_text(json.dumps(facts))


def test_only_the_infrared_case_depends_on_the_adapter(
    shop: Workshop, adapter: Path, settings: AdapterConfig
) -> None:
    cases = {"cup": shop.case("cup", 0), "night": shop.case("night", 1, target_image="infer_ir")}
    assert shop.extract(cases, adapter).store.computed == 2
    bank = ReferenceBank.load(shop.banks / "night.safetensors")
    assert bank.facts["foreground"] == "all"
    assert bank.positions.tolist() == [[0, 1], [1, 1]], "the square in the middle of the frame"
    (picture,) = (shop.folder / "state" / "infrared_reference").glob("*/infrared.png")
    assert (shop.banks / "night.png").read_bytes() == picture.read_bytes()
    assert not (shop.banks / "cup.png").exists()
    pixels = np.asarray(Image.open(picture))
    assert pixels.shape == (32, 32, 3) and (pixels == pixels[..., :1]).all()
    assert shop.edit(cases).store.computed == 10
    result, plain = (shop.edits / "night" / f"{name}.mkv" for name in ("reference", "plain"))
    assert result.read_bytes() != plain.read_bytes()
    parts = read_parts(shop.edits, ["night"])["night"]
    files = find_case_files("night", cases["night"], parts, shop.edits, 2, shop.banks)
    judged = load_edit_case(files, *parts)
    assert judged.photo is not None and judged.photo.foreground is None
    assert judged.photo.pixels.shape == (HEIGHT, WIDTH, 3)

    assert shop.extract(cases, adapter).store.computed == 0
    write_adapter(adapter, settings, seed=1)
    before = (shop.banks / "cup.safetensors").read_bytes()
    assert shop.extract(cases, adapter).store.computed == 1
    assert (shop.banks / "cup.safetensors").read_bytes() == before
    assert shop.edit(cases).store.computed == 3, "that case's two strengths and its views"


def test_the_reference_stands_on_the_grid_of_the_frame(shop: Workshop, adapter: Path) -> None:
    """Also where product photos get a grid of their own."""
    shop.set("ref_bank", image_px=64)
    shop.extract({"night": shop.case("night", 1, target_image="infer_ir")}, adapter)
    bank = ReferenceBank.load(shop.banks / "night.safetensors")
    assert bank.facts["grid"] == [2, 3] and bank.positions.tolist() == [[0, 1], [1, 1]]


def test_an_adapter_of_another_model_is_refused(shop: Workshop) -> None:
    adapter = write_adapter(shop.folder / "adapter", config(), seed=0)
    with pytest.raises(InputError, match="trained on infrared model base"):
        shop.extract({"night": shop.case("night", 1, target_image="infer_ir")}, adapter)


def test_a_given_map_is_used_and_cropped_as_the_frame(
    shop: Workshop, adapter: Path, caplog: pytest.LogCaptureFixture
) -> None:
    black, _ = translate(shop, adapter)
    own = write_map(shop.folder / "map.png")
    with caplog.at_level("INFO"):
        caplog.clear()
        mapped, computed = translate(shop, adapter, first_frame_map=own)
    assert computed == 1 and mapped != black
    assert f"semantic map of the first frame: {own}" in caplog.text
    assert "WARNING" not in caplog.text
    same = {"first_frame_map": str(shop.folder / "copy.png")}
    Path(same["first_frame_map"]).write_bytes(Path(own).read_bytes())
    assert translate(shop, adapter, **same) == (mapped, 0), "a map is known by its content"
    # Nearest neighbour of whole blocks: a larger map, or one of class ids, is the same map.
    larger = write_map(shop.folder / "larger.png", scale=3, ids=True)
    assert translate(shop, adapter, first_frame_map=larger) == (mapped, 1)
    assert translate(shop, adapter) == (black, 0)


def test_the_segmenter_of_the_training_makes_the_map(
    shop: Workshop, adapter: Path, caplog: pytest.LogCaptureFixture
) -> None:
    black, _ = translate(shop, adapter)
    segmenter = write_mask2former(shop.folder / "segmenter")
    made = map_model(str(segmenter), None)
    write_info(shop, semantic_source=f"model {made}", semantic_model=made._asdict())
    with caplog.at_level("INFO"):
        mapped, computed = translate(shop, adapter)
    assert computed == 1 and mapped != black
    assert f"of the training's segmenter {made}" in caplog.text
    given, _ = translate(shop, adapter, first_frame_map=write_map(shop.folder / "map.png"))
    assert given not in (mapped, black), "the case's own map comes first"

    write_mask2former(segmenter, seed=1)
    with pytest.raises(InputError, match="or give the case a first_frame_map"):
        translate(shop, adapter)
    again = map_model(str(segmenter), None)
    write_info(shop, semantic_source=f"model {again}", semantic_model=again._asdict())
    other, computed = translate(shop, adapter)
    assert computed == 1 and other != mapped


def test_a_black_map_is_told_unless_the_training_had_none(
    shop: Workshop, settings: AdapterConfig, adapter: Path, caplog: pytest.LogCaptureFixture
) -> None:
    black, _ = translate(shop, adapter)
    assert "black, while the adapter was trained with maps" in caplog.text, "not known"
    write_info(shop, semantic_source="provided")
    caplog.clear()
    assert translate(shop, adapter) == (black, 0)
    assert "semantic_source provided" in caplog.text and "first_frame_map" in caplog.text
    write_info(shop, semantic_source="none")
    caplog.clear()
    assert translate(shop, adapter) == (black, 0)
    write_info(shop, semantic_source="provided")
    without = settings.model_copy(update={"mode": "none", "fusion_alpha": None})
    blind = write_adapter(shop.folder / "blind", without, seed=0)
    plain, _ = translate(shop, blind)
    own = write_map(shop.folder / "map.png")
    assert translate(shop, blind, first_frame_map=own) == (plain, 0), "this adapter reads no map"
    assert not caplog.messages


def test_a_fallback_is_what_is_warned_of(
    shop: Workshop, settings: AdapterConfig, adapter: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def no_picture(_video: Path, output: Path, **_settings: object) -> None:
        output.touch()

    monkeypatch.setattr(infrared_reference_job, "write_infrared_reference", no_picture)
    without = settings.model_copy(update={"mode": "none", "fusion_alpha": None})
    blind = write_adapter(shop.folder / "blind", without, seed=0)
    own = {"first_frame_map": write_map(shop.folder / "map.png")}
    for source in (None, "provided", "none"):
        if source is not None:
            write_info(shop, semantic_source=source)
        for trained, facts in itertools.product((adapter, blind), ({}, own)):
            caplog.clear()
            reference, _ = make_reference(shop, trained, **facts)
            warned = "black, while the adapter was trained with maps" in caplog.text
            assert reference.fallbacks == (("black first_frame_map",) if warned else ())
            assert warned is (source != "none" and trained == adapter and not facts)


def test_a_fallback_is_told_with_bank_and_edit(shop: Workshop, adapter: Path) -> None:
    shop.baselines("sdedit")
    shop.set("flowalign", strength_curve=[])
    cases = {"cup": shop.case("cup", 0), "night": shop.case("night", 1, target_image="infer_ir")}

    def told() -> dict[str, tuple[list[str], list[str]]]:
        """Case -> as its bank has it, as its edit has it."""
        facts = json.loads((shop.edits / "info.json").read_text())["cases"]
        banks = {name: ReferenceBank.load(shop.banks / f"{name}.safetensors") for name in cases}
        return {name: (banks[name].facts["fallbacks"], facts[name]["fallbacks"]) for name in cases}

    shop.extract(cases, adapter)
    shop.edit(cases)
    black = ["black first_frame_map"]
    assert told() == {"cup": ([], []), "night": (black, black)}
    assert (shop.edits / "night/baselines/sdedit.mkv").is_file()
    write_info(shop, semantic_source="none")
    assert shop.extract(cases, adapter).store.computed == 1, "the same picture, but no fallback"
    shop.edit(cases)
    assert told() == {"cup": ([], []), "night": ([], [])}


def test_a_bad_map_names_the_key_of_the_case(shop: Workshop, adapter: Path) -> None:
    text, square = shop.folder / "text.png", shop.folder / "square.png"
    text.write_text("no picture")
    Image.new("RGB", (40, 40)).save(square)
    for path, message in (
        (shop.folder / "absent.png", "cannot be read"),
        (shop.folder, "cannot be read"),
        (text, "not a readable picture"),
        (square, "40 x 40 pixels, the photo has 48 x 32"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            translate(shop, adapter, first_frame_map=str(path))
        assert str(caught.value).startswith(f"cases.night.first_frame_map = {path}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(64, 96), (96, 54), (100, 40)])
def test_the_crop_is_the_field_of_view_of_the_edit(shape: tuple[int, int]) -> None:
    """Also where the clip stands upright and the edit's frame does not."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    pixels = np.stack([2 * y, 2 * x, y + x], -1).astype(np.uint8)
    cropped = crop_to_ratio(pixels, WIDTH, HEIGHT)
    assert cropped.shape[1] / cropped.shape[0] == pytest.approx(WIDTH / HEIGHT, rel=0.03)
    whole, part = (fit_frame(p, WIDTH, HEIGHT).astype(int) for p in (pixels, cropped))
    assert np.abs(whole - part)[2:-2, 2:-2].max() <= 3  # a pixel of rounding is two levels
