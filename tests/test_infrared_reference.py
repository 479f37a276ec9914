"""A case whose reference is the infrared translation of its own first frame."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from refract.adapter_files import AdapterConfig, build_model, save_adapter
from refract.errors import InputError
from refract.model_identity import model_identity
from refract.reference_bank import ReferenceBank
from tests.test_adapter_files import config
from tests.tiny_edit import Workshop, tiny_model
from tests.tiny_fill import tiny_transformer, write_tiny_fill


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return tiny_model(folder / "wan"), write_tiny_fill(folder / "fill")


@pytest.fixture
def shop(tmp_path: Path, models: tuple[Path, Path]) -> Workshop:
    shop = Workshop(tmp_path, models[0])
    shop.set(infrared_model={**shop.params["video_model"], "path": str(models[1])})
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


def test_only_the_infrared_case_depends_on_the_adapter(
    shop: Workshop, models: tuple[Path, Path]
) -> None:
    settings = config(model_identity=model_identity(str(models[1]), None))
    adapter = write_adapter(shop.folder / "adapter", settings, seed=0)
    cases = {"cup": shop.case("cup", 0), "night": shop.case("night", 1, target_image="infer_ir")}
    assert shop.extract(cases, adapter).store.computed == 2
    bank = ReferenceBank.load(shop.banks / "night.safetensors")
    assert bank.facts["foreground"] == "all" and bank.tokens == 6
    (picture,) = (shop.folder / "state" / "infrared_reference").glob("*/infrared.png")
    pixels = np.asarray(Image.open(picture))
    assert pixels.shape == (32, 32, 3) and (pixels == pixels[..., :1]).all()
    assert shop.edit(cases).store.computed == 10
    result, plain = (shop.edits / "night" / f"{name}.mkv" for name in ("reference", "plain"))
    assert result.read_bytes() != plain.read_bytes()

    assert shop.extract(cases, adapter).store.computed == 0
    write_adapter(adapter, settings, seed=1)
    before = (shop.banks / "cup.safetensors").read_bytes()
    assert shop.extract(cases, adapter).store.computed == 1
    assert (shop.banks / "cup.safetensors").read_bytes() == before
    assert shop.edit(cases).store.computed == 3, "that case's two strengths and its views"


def test_an_adapter_of_another_model_is_refused(shop: Workshop) -> None:
    adapter = write_adapter(shop.folder / "adapter", config(), seed=0)
    with pytest.raises(InputError, match="trained on infrared model base"):
        shop.extract({"night": shop.case("night", 1, target_image="infer_ir")}, adapter)
