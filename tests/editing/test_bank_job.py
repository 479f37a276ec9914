from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import refract.editing.reference.job
from refract.base.errors import InputError
from refract.editing.reference.bank import ReferenceBank
from refract.editing.reference.making import BankSettings, make_bank
from tests.tiny.edit import Workshop
from tests.tiny.salient import save_tiny_network
from tests.tiny.wan import LAYERS


def forbid_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any) -> None:
        pytest.fail("the model must not be loaded")

    monkeypatch.setattr(refract.editing.reference.job, "WanModel", refuse)


def test_one_bank_a_case(shop: Workshop) -> None:
    cases = {name: shop.case(name, seed) for seed, name in enumerate(("cup", "can"))}
    shop.extract(cases)
    assert sorted(path.name for path in shop.banks.iterdir()) == [
        "can.safetensors", "cup.safetensors",
    ]  # fmt: skip
    bank = ReferenceBank.load(shop.banks / "cup.safetensors")
    assert list(bank.layers) == list(range(LAYERS))
    assert bank.facts["foreground"] == "auto: backdrop" and bank.facts["sigmas"] == [0.3]
    assert bank.facts["prompt"] == "a mug on wood" and bank.facts["grid"] == [2, 3]
    assert 0 < bank.tokens <= 6


def test_what_recomputes_a_bank(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {name: shop.case(name, seed) for seed, name in enumerate(("cup", "can"))}
    assert shop.extract(cases).store.computed == 2
    with monkeypatch.context() as patch:
        forbid_loading(patch)
        assert shop.extract(cases).store.computed == 0
        shop.set(ref_strength=0.2)
        shop.set("flowalign", steps=3, guidance=1.0)
        shop.set("ref_bank", infrared_steps=7)
        assert shop.extract(cases).store.computed == 0, "edit settings do not enter a bank"
    cases["cup"] = shop.case("cup", 0, target_prompt="a blue mug")
    assert shop.extract(cases).store.computed == 1, "that case alone"
    shop.set(ref_timesteps=[0.0, 0.5])
    assert shop.extract(cases).store.computed == 2
    shop.set(ref_timesteps=[0.3])
    assert shop.extract(cases).store.computed == 0, "returning costs nothing"
    for section, values in (("ref_bank", {"pool": 2}), ("", {"seed": 1})):
        shop.set(section, **values)
        assert shop.extract(cases).store.computed == 2, values


def test_a_network_tells_the_product_and_enters_the_key(shop: Workshop) -> None:
    cases = {"cup": shop.case("cup", 0)}
    network = save_tiny_network(shop.folder / "red.onnx")
    shop.set("ref_bank", foreground="model")
    with pytest.raises(ValueError, match="foreground: model needs foreground_model"):
        shop.extract(cases)
    shop.set("ref_bank", foreground_model=str(network))
    assert shop.extract(cases).store.computed == 1
    assert ReferenceBank.load(shop.banks / "cup.safetensors").facts["foreground"] == "model"
    shop.set("ref_bank", foreground_model=str(network.rename(shop.folder / "moved.onnx")))
    assert shop.extract(cases).store.computed == 0, "the same file elsewhere"
    save_tiny_network(shop.folder / "moved.onnx", threshold=1.5)
    assert shop.extract(cases).store.computed == 1, "another network"
    (shop.folder / "moved.onnx").unlink()
    with pytest.raises(
        InputError, match=r"ref_bank\.foreground_model .*moved\.onnx: cannot be read"
    ):
        shop.extract(cases)


def test_a_removed_case_leaves_no_bank(shop: Workshop) -> None:
    cases = {name: shop.case(name, seed) for seed, name in enumerate(("cup", "can"))}
    shop.extract(cases)
    shop.extract({"can": cases["can"]})
    assert [path.name for path in shop.banks.iterdir()] == ["can.safetensors"]


def test_a_bank_does_not_depend_on_the_other_cases(shop: Workshop) -> None:
    cases = {name: shop.case(name, seed) for seed, name in enumerate(("cup", "can"))}
    shop.extract(cases)
    together = (shop.banks / "can.safetensors").read_bytes()
    for slot in (shop.folder / "state" / "extract_ref_banks").iterdir():
        slot.rename(slot.with_name(f".gone-{slot.name[:8]}"))
    shop.extract({"can": cases["can"]})
    assert (shop.banks / "can.safetensors").read_bytes() == together


def test_overrides_of_a_case(shop: Workshop) -> None:
    case = shop.case("cup", 0, overrides={"ref_timesteps": [0.7], "ref_bank": {"pool": 2}})
    shop.extract({"cup": case})
    facts = ReferenceBank.load(shop.banks / "cup.safetensors").facts
    assert facts["sigmas"] == [0.7] and facts["pool"] == 2


def test_photo_is_found_beside_the_clip_and_may_be_absent(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    cases = {"cup": shop.case("cup", 0), "can": shop.case("can", 1)}
    Path(cases["can"].video).with_name("product.png").unlink()
    with caplog.at_level("INFO"):
        shop.extract(cases)
    assert [path.name for path in shop.banks.iterdir()] == ["cup.safetensors"]
    assert "case can: no product image" in caplog.text


def test_image_px_makes_a_square_grid_of_its_own(shop: Workshop) -> None:
    shop.set("ref_bank", image_px=64)
    shop.extract({"cup": shop.case("cup", 0)})
    assert ReferenceBank.load(shop.banks / "cup.safetensors").facts["grid"] == [4, 4]


def test_letterbox_bands_never_enter_a_bank(shop: Workshop) -> None:
    """A square photo leaves a band of half a token at each side of the 2 x 3 grid."""
    shop.set("ref_bank", foreground="all")
    shop.extract({"cup": shop.case("cup", 0)})
    bank = ReferenceBank.load(shop.banks / "cup.safetensors")
    assert bank.positions.tolist() == [[0, 1], [1, 1]]


def test_infrared_reference_without_an_adapter_is_explained(shop: Workshop) -> None:
    with pytest.raises(InputError, match="run train_ir_adapter first"):
        shop.extract({"cup": shop.case("cup", 0, target_image="infer_ir")}, shop.folder / "none")


def test_bad_inputs_name_the_case_and_leave_no_output(shop: Workshop) -> None:
    good = shop.case("cup", 0)
    empty = shop.folder / "empty.png"
    empty.touch()
    black = shop.folder / "black.png"
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(black)
    long_prompt = "a red mug on wood " * 3
    for changes, setting, message in (
        ({"target_image": str(shop.folder / "absent.png")}, {}, "absent.png: cannot be read"),
        ({"target_image": str(empty)}, {}, "case cup: .*not a readable picture"),
        ({}, {"foreground": "mask"}, "case cup: .*target_image_mask"),
        ({"target_image_mask": str(black)}, {"foreground": "mask"}, "case cup: .*black everywhere"),
        ({"target_prompt": long_prompt}, {}, r"cases\.cup\.target_prompt: .*at most 8"),
        ({"target_prompt": "  "}, {}, r"cases\.cup\.target_prompt: prompt is empty"),
    ):
        shop.set("ref_bank", **{"foreground": "auto", **setting})
        with pytest.raises(InputError, match=message):
            shop.extract({"cup": good.model_copy(update=changes)})
        assert not shop.banks.exists()


def test_a_photo_off_the_models_grid_is_explained() -> None:
    """Params allow multiples of 16; a model of coarser patches wants more."""
    coarse = SimpleNamespace(
        transformer=SimpleNamespace(config=SimpleNamespace(patch_size=(1, 4, 4))),
        vae=SimpleNamespace(config=SimpleNamespace(scale_factor_spatial=8)),
    )
    settings = BankSettings(64, 48, [0.3], "auto", 1, 0)
    with pytest.raises(InputError, match=r"64 x 48 pixels: width must be a multiple of 32"):
        make_bank(coarse, "m", Path("p.png"), None, None, "a mug", torch.zeros(1), settings)  # type: ignore[arg-type]
