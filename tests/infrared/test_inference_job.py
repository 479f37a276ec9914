import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refract.base.errors import InputError
from refract.infrared.adapter.adapter_files import AdapterConfig
from refract.infrared.adapter.lora import WEIGHTS_NAME
from refract.infrared.inference.job import InferenceJob
from refract.infrared.inference.scenes import shuffled_partners
from refract.models.identity import model_identity
from refract.params.infer_ir import InferIr
from refract.params.models import InfraredModelParams
from refract.triptychs.panels.manifest import TriptychRow
from refract.triptychs.panels.semantic_maps import map_model
from tests.infrared.test_adapter_files import config
from tests.infrared.test_generator import write_adapter
from tests.tiny.fill import PROMPT, write_tiny_fill, write_triptychs
from tests.tiny.segmenter import write_mask2former


@pytest.fixture
def adapter(model: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    return write_adapter(model, folder, trained_on(model))


def trained_on(model: Path, **changes: object) -> AdapterConfig:
    """Settings of an adapter with an open gate."""
    identity = model_identity(str(model), None)
    return config(gate="one", prompt=PROMPT, model_identity=identity, **changes)


@pytest.fixture
def triptychs(tmp_path: Path) -> Path:
    return write_triptychs(tmp_path / "triptychs", {"test": 3})


def infer(
    model: Path, adapter: Path, triptychs: Path, output: Path, **changes: object
) -> dict[str, np.ndarray]:
    values: dict[str, object] = {
        "steps": 2,
        "guidance": None,
        "prompt": None,
        "match_training": True,
        "batch": 2,
        "input": None,
        "samples": 1,
        "bits": 8,
        "attention_maps": {"regions": None, "steps": [0], "scenes": 4},
    }
    section = InfraredModelParams(
        path=str(model), revision=None, dtype="float32", max_sequence_length=16
    )
    job = InferenceJob(InferIr.model_validate(values | changes), section, 0, adapter)
    job.run(triptychs, output)
    return {
        path.relative_to(output).as_posix(): np.asarray(Image.open(path))
        for path in sorted(output.glob("*/*.png"))
    }


def test_variants_of_every_test_triptych(
    model: Path, adapter: Path, triptychs: Path, tmp_path: Path
) -> None:
    made = infer(model, adapter, triptychs, tmp_path / "out")
    assert set(made) == {
        f"{variant}/test{i}.png"
        for variant in ("adapter", "shuffled_map", "zero_map")
        for i in range(3)
    }
    assert all(x.shape == (32, 32) and x.dtype == np.uint8 for x in made.values())
    for i in range(3):
        own, shuffled, zero = (
            made[f"{variant}/test{i}.png"] for variant in ("adapter", "shuffled_map", "zero_map")
        )
        assert not np.array_equal(own, shuffled)
        assert not np.array_equal(own, zero)
    info = json.loads((tmp_path / "out" / "info.json").read_text())
    assert info["steps"] == 2 and info["guidance"] == 1.0 and info["prompt"] == PROMPT
    assert info["counts"] == {"adapter": 3, "shuffled_map": 3, "zero_map": 3}
    assert info["samples"] == 1 and info["bits"] == 8
    assert info["attention_maps"] == {"regions": None, "steps": [0], "scenes": 4}


def test_finished_pictures_come_from_the_store(
    model: Path, adapter: Path, triptychs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = infer(model, adapter, triptychs, tmp_path / "out")
    with caplog.at_level(logging.INFO):
        second = infer(model, adapter, triptychs, tmp_path / "out")
    assert "9 pictures, 0 computed" in caplog.text
    assert "inferring" not in caplog.text  # no model was loaded
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_samples_and_bits_are_part_of_a_picture(
    model: Path, adapter: Path, triptychs: Path, tmp_path: Path
) -> None:
    single = infer(model, adapter, triptychs, tmp_path / "single")
    mean = infer(model, adapter, triptychs, tmp_path / "mean", samples=3)
    fine = infer(model, adapter, triptychs, tmp_path / "fine", samples=3, bits=16)
    for name in single:
        assert not np.array_equal(single[name], mean[name])
        assert fine[name].dtype == np.uint16
        assert np.abs(fine[name] / 257 - mean[name]).max() <= 0.51
        assert (fine[name] % 257 != 0).any()
    info = json.loads((tmp_path / "fine" / "info.json").read_text())
    assert info["samples"] == 3 and info["bits"] == 16 and "65535" in info["gray_scaling"]
    with Image.open(tmp_path / "fine" / "adapter" / "test0.png") as picture:
        assert picture.mode.startswith("I")


def test_the_guidance_of_the_training_is_used(
    model: Path, adapter: Path, triptychs: Path, tmp_path: Path
) -> None:
    own = infer(model, adapter, triptychs, tmp_path / "a")
    told = infer(model, adapter, triptychs, tmp_path / "b", guidance=1.0)
    other = infer(model, adapter, triptychs, tmp_path / "c", guidance=9.0, match_training=False)
    assert all(np.array_equal(own[name], told[name]) for name in own)
    assert any(not np.array_equal(own[name], other[name]) for name in own)


def write_own_pictures(parent: Path) -> Path:
    """A folder of two visible pictures, x.jpg and y.png."""
    folder = parent / "mine"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in ("x.jpg", "y.png"):
        Image.fromarray(random.integers(0, 256, (50, 70, 3), np.uint8)).save(folder / name)
    return folder


def test_own_pictures_need_no_truth(
    model: Path, adapter: Path, triptychs: Path, tmp_path: Path
) -> None:
    folder = write_own_pictures(tmp_path)
    made = infer(model, adapter, triptychs, tmp_path / "out", input=str(folder))
    assert {name for name in made if name.startswith("input/")} == {"input/x.png", "input/y.png"}

    (folder / "visible").mkdir()
    (folder / "labels").mkdir()
    for name in ("x.jpg", "y.png"):
        (folder / name).rename(folder / "visible" / name)
        ids = np.random.default_rng(1).integers(0, 9, (50, 70), np.uint8)
        Image.fromarray(ids).save(folder / "labels" / Path(name).with_suffix(".png").name)
    with_maps = infer(model, adapter, triptychs, tmp_path / "out", input=str(folder))
    assert not np.array_equal(with_maps["input/x.png"], made["input/x.png"])


def write_info(triptychs: Path, segmenter: Path) -> None:
    made = map_model(str(segmenter), None)
    info = {"semantic_source": f"model {made}", "semantic_model": made._asdict()}
    (triptychs / "info.json").write_text(json.dumps(info))


def test_own_pictures_get_maps_of_the_segmenter_of_the_training(
    model: Path, adapter: Path, triptychs: Path, tmp_path: Path
) -> None:
    folder = write_own_pictures(tmp_path)
    black = infer(model, adapter, triptychs, tmp_path / "out", input=str(folder))
    segmenter = write_mask2former(tmp_path / "segmenter")
    write_info(triptychs, segmenter)
    made = infer(model, adapter, triptychs, tmp_path / "out", input=str(folder))
    assert not np.array_equal(made["input/x.png"], black["input/x.png"])
    assert np.array_equal(made["adapter/test0.png"], black["adapter/test0.png"])
    info = json.loads((tmp_path / "out" / "info.json").read_text())
    assert info["semantic_source"].startswith(f"model {segmenter} (files:")

    write_mask2former(segmenter, seed=1)
    with pytest.raises(InputError, match="run prepare_triptychs again"):
        infer(model, adapter, triptychs, tmp_path / "out", input=str(folder))
    told = {"input": str(folder), "match_training": False}
    other = infer(model, adapter, triptychs, tmp_path / "out", **told)
    assert not np.array_equal(made["input/x.png"], other["input/x.png"])


def test_own_pictures_without_maps_are_told(
    model: Path, adapter: Path, triptychs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mine").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "mine" / "x.png")
    (triptychs / "info.json").write_text(json.dumps({"semantic_source": "provided"}))
    infer(model, adapter, triptychs, tmp_path / "out", input=str(tmp_path / "mine"))
    assert "1 photos have no semantic map" in caplog.text


def row(name: str, sequence: str) -> TriptychRow:
    return TriptychRow(name, "test", "", "", "", "", "day", sequence)


def test_shuffled_partners_are_of_another_scene() -> None:
    rows = [row(f"r{i}", f"s{i // 3}") for i in range(12)]
    partners = shuffled_partners(rows, 0)
    assert all(partners[x.id].sequence != x.sequence for x in rows)
    assert shuffled_partners(rows[::-1], 0) == partners
    assert shuffled_partners(rows, 1) != partners
    single = [row(f"r{i}", f"s{i}") for i in range(9)]
    assert len({x.id for x in shuffled_partners(single, 0).values()}) == 9  # a derangement
    with pytest.raises(InputError, match="needs two at least"):
        shuffled_partners(rows[:1], 0)


def test_what_can_be_wrong(model: Path, adapter: Path, triptychs: Path, tmp_path: Path) -> None:
    def message(**changes: object) -> str:
        with pytest.raises(InputError) as error:
            infer(model, adapter, triptychs, tmp_path / "out", **changes)
        assert not (tmp_path / "out").exists()
        return str(error.value)

    text = message(guidance=2.0)
    assert "infer_ir.guidance = 2.0" in text and "trained with 1.0" in text
    text = message(prompt="a drawing")
    assert "infer_ir.prompt = a drawing" in text and PROMPT in text
    assert "no such folder (infer_ir.input)" in message(input=str(tmp_path / "absent"))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert f"{empty}: holds no pictures" in message(input=str(empty))
    (empty / "a.png").write_bytes(b"no picture")
    assert f"{empty}/a.png: not a readable picture" in message(input=str(empty))

    longer = tmp_path / "longer"
    longer.mkdir()
    write_adapter(model, longer, trained_on(model, max_sequence_length=32))
    with pytest.raises(InputError, match=r"max_sequence_length = 16: .* trained with 32"):
        infer(model, longer, triptychs, tmp_path / "out")

    narrow = write_triptychs(tmp_path / "narrow", {"test": 2}, panel_px=16)
    with pytest.raises(InputError, match="expected 96 x 32"):
        infer(model, adapter, narrow, tmp_path / "out")
    wider = write_tiny_fill(tmp_path / "wider", heads=3)
    with pytest.raises(InputError, match="infrared_model = manifest"):
        infer(wider, adapter, triptychs, tmp_path / "out")
    with pytest.raises(InputError, match="this base model needs"):
        infer(wider, adapter, triptychs, tmp_path / "out", match_training=False)
    (adapter / WEIGHTS_NAME).unlink()
    assert "missing adapter file" in message(steps=3)
    with pytest.raises(InputError, match=r"config\.json: missing"):
        infer(model, tmp_path / "nothing", triptychs, tmp_path / "out")


def test_without_a_semantic_mode_the_variants_are_one(
    model: Path, tmp_path: Path, triptychs: Path
) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    settings = config(mode="none", prompt=PROMPT, model_identity=model_identity(str(model), None))
    write_adapter(model, folder, settings)
    made = infer(model, folder, triptychs, tmp_path / "out")
    for i in range(3):
        assert np.array_equal(made[f"adapter/test{i}.png"], made[f"zero_map/test{i}.png"])


def test_a_data_set_without_maps_is_inferred_once(
    model: Path, adapter: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    triptychs = write_triptychs(tmp_path / "triptychs", {"test": 2})
    for path in (triptychs / "test").iterdir():
        pixels = np.array(Image.open(path))
        pixels[:, 64:] = 0
        Image.fromarray(pixels).save(path)
    with caplog.at_level(logging.INFO):
        made = infer(model, adapter, triptychs, tmp_path / "out")
    assert "6 pictures, 2 computed" in caplog.text
    assert np.array_equal(made["adapter/test0.png"], made["shuffled_map/test0.png"])
