from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from refract.base.errors import InputError
from refract.editing.reference.bank import ReferenceBank


def make_bank(
    layers: int = 3, tokens: int = 4, heads: int = 2, head_dim: int = 12
) -> ReferenceBank:
    generator = torch.Generator().manual_seed(0)

    def draw() -> torch.Tensor:
        return torch.randn(tokens, heads, head_dim, generator=generator)

    pairs = {layer: {"key": draw(), "value": draw()} for layer in range(layers)}
    facts = {"model": "m", "depth": layers, "sigmas": [0.3], "image_sha256": "0" * 64}
    return ReferenceBank(pairs, torch.rand(tokens, 2, generator=generator), facts)


def test_saves_and_loads_everything(tmp_path: Path) -> None:
    bank = make_bank()
    bank.save(tmp_path / "deep" / "bank.safetensors")
    again = ReferenceBank.load(tmp_path / "deep" / "bank.safetensors")
    assert again.facts == bank.facts and again.tokens == 4
    assert list(again.layers) == [0, 1, 2]
    assert torch.equal(again.positions, bank.positions)
    for layer, pair in bank.layers.items():
        assert all(torch.equal(again.layers[layer][kind], pair[kind]) for kind in ("key", "value"))


def test_keeps_half_precision(tmp_path: Path) -> None:
    bank = make_bank(1)
    pair = {kind: tensor.bfloat16() for kind, tensor in bank.layers[0].items()}
    ReferenceBank({0: pair}, bank.positions).save(tmp_path / "bank.safetensors")
    again = ReferenceBank.load(tmp_path / "bank.safetensors")
    assert again.layers[0]["key"].dtype == torch.bfloat16


def test_equal_banks_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_bank().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_layers_sort_by_number_not_by_name(tmp_path: Path) -> None:
    make_bank(12).save(tmp_path / "bank.safetensors")
    assert list(ReferenceBank.load(tmp_path / "bank.safetensors").layers) == list(range(12))


def test_missing_file_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file; run extract_ref_banks"):
        ReferenceBank.load(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("keep", [0, 7, 100, 2000])
def test_truncated_file(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "bank.safetensors"
    make_bank().save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="damaged or not a bank"):
        ReferenceBank.load(path)


def test_corrupt_file(tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    path.write_bytes(b"\xff" * 500)
    with pytest.raises(InputError, match="damaged or not a bank"):
        ReferenceBank.load(path)


def test_another_safetensors_file(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "lora.safetensors")
    with pytest.raises(InputError, match="its format is None"):
        ReferenceBank.load(tmp_path / "lora.safetensors")


@pytest.mark.parametrize(
    ("depth", "heads", "head_dim", "message"),
    [
        (2, 2, 12, r"model of 3 layers .* this model has 2"),
        (30, 2, 12, r"model of 3 layers .* this model has 30"),
        (3, 4, 12, r"2 x 12 heads x width, but this model has 4 x 12"),
        (3, 2, 64, r"2 x 12 heads x width, but this model has 2 x 64"),
    ],
)
def test_bank_of_another_model(depth: int, heads: int, head_dim: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_bank().check_fits(depth, heads, head_dim)


def test_bad_contents_are_refused() -> None:
    bank = make_bank(2)
    key, value = bank.layers[0]["key"], bank.layers[0]["value"]
    for layers, positions, message in (
        ({}, bank.positions, "4 positions, but no layer"),
        ({0: {"key": key}}, bank.positions, "must hold a key and a value"),
        ({0: {"key": key, "value": value[:2]}}, bank.positions, "one shape"),
        ({0: {"key": key, "value": value}}, bank.positions[:3], "4 tokens with 3 positions"),
        ({0: {"key": key, "value": value}}, bank.positions[:, :1], r"\(tokens, 2\)"),
        ({0: {"key": key * float("nan"), "value": value}}, bank.positions, "not finite"),
    ):
        with pytest.raises(InputError, match=message):
            ReferenceBank(layers, positions)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("[]", "header is a list"),
        ("{", "damaged or not a bank"),
        ('{"format": "refract reference bank 1"}', "damaged or not a bank"),
        ('{"format": "refract reference bank 1", "facts": []}', "facts are a list"),
        ('{"format": "refract reference bank 1", "facts": {"depth": "x"}}', "depth is 'x'"),
        ('{"format": "refract reference bank 1", "facts": {"sigmas": ["x"]}}', "list of numbers"),
    ],
)
def test_a_header_that_is_none_names_the_file(tmp_path: Path, header: str, told: str) -> None:
    save_file(
        {"positions": torch.zeros(0, 2)}, tmp_path / "b.safetensors", {"reference_bank": header}
    )
    with pytest.raises(InputError, match=told) as caught:
        ReferenceBank.load(tmp_path / "b.safetensors")
    assert str(tmp_path / "b.safetensors") in str(caught.value)


def test_whole_numbers_are_no_keys_and_values(tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    bank = make_bank(2)
    bank.save(path)
    with safe_open(path, "pt") as file:
        whole = {name: file.get_tensor(name).int() for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    save_file(whole, path, metadata)
    with pytest.raises(
        InputError, match=r"bank\.safetensors: its tensors must be of floating point"
    ):
        ReferenceBank.load(path)
