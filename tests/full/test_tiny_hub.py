"""The full profile, end to end, on tiny random models in the layout of the hub's repositories."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from refract.base.errors import InputError
from refract.editing.reference.bank import ReferenceBank
from refract.models.flux_fill import encode_prompts, load_sigmas, load_transformer, load_vae
from refract.models.wan import WanModel
from refract.params.models import InfraredModelParams
from tests.tiny.hub import FILL_FILES, WAN_FILES, copied, write_fill_hub, write_wan_hub
from tests.tiny.world import PANEL_PX, STAGES, full_world

FILL_ID, WAN_ID = "black-forest-labs/FLUX.1-Fill-dev", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
# Removed, nothing is amiss: no part is read through them, or another file says the same.
NOT_READ = {"model_index.json", "special_tokens_map.json", "spiece.model"}


@pytest.fixture(scope="module")
def fill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fill_hub(tmp_path_factory.mktemp("hub") / "FLUX.1-Fill-dev")


@pytest.fixture(scope="module")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wan_hub(tmp_path_factory.mktemp("hub") / "Wan2.1-T2V-1.3B-Diffusers")


def section(path: object) -> InfraredModelParams:
    return InfraredModelParams(
        path=str(path), revision=None, dtype="bfloat16", max_sequence_length=512
    )


def load_fill(path: object, part: str) -> None:
    """What the stages load to have this part."""
    model = section(path)
    if part.startswith("t") and part != "transformer":  # text encoders and tokenizers
        encode_prompts(model, ["a red mug"], "cpu")
    elif part == "transformer":
        load_transformer(model, "cpu")
    elif part == "vae":
        load_vae(model, "cpu")
    else:
        load_sigmas(model, 2, 8)


def load_wan(path: object, part: str) -> None:
    model = WanModel(str(path), None, "bfloat16", "cpu")
    getattr(model, "text" if part == "text_encoder" else part)


def removable(files: dict[str, tuple[str, ...]], unread: set[str]) -> list[tuple[str, str]]:
    return [(part, name) for part, names in files.items() for name in names if name not in unread]


def test_the_layout_is_the_hubs(fill: Path, wan: Path) -> None:
    for hub, files in ((fill, FILL_FILES), (wan, WAN_FILES)):
        found = {path.relative_to(hub).as_posix() for path in hub.rglob("*") if path.is_file()}
        assert found == {f"{part}/{name}".strip("/") for part, own in files.items() for name in own}


def test_both_halves_run(fill: Path, wan: Path, tmp_path: Path) -> None:
    """All six stages, in the profile's bfloat16."""
    run = full_world(tmp_path / "run", str(fill), str(wan))
    for stage in STAGES:
        done = run.run(stage)
        assert done.returncode == 0, done.stderr
    info = json.loads((run.out("infrared") / "info.json").read_text())
    assert info["dtype"] == "bfloat16" and info["model"].startswith("files:")
    for name in ("00002D", "00003N"):
        picture = np.asarray(Image.open(run.out("infrared") / "adapter" / f"{name}.png"))
        assert picture.shape == (PANEL_PX, PANEL_PX) and picture.std() > 0
    bank = ReferenceBank.load(run.out("ref_banks") / "mug.safetensors")
    assert sorted(bank.layers) == list(range(30))
    assert bank.layers[0]["key"].dtype == torch.bfloat16
    assert (run.out("edits") / "mug").is_dir()
    for half in ("infrared", "edit"):
        assert json.loads((run.out("metrics") / f"{half}.json").read_text())


def test_tied_embeddings_are_those_stored(wan: Path) -> None:
    """Wan's configuration denies that they are tied, and transformers 5.0 then left them empty."""
    encoder = WanModel(str(wan), None, "float32", "cpu").text[1]
    shards = [load_file(path) for path in (wan / "text_encoder").glob("*.safetensors")]
    (stored,) = [weights["shared.weight"] for weights in shards if "shared.weight" in weights]
    assert torch.equal(encoder.encoder.embed_tokens.weight, stored)


@pytest.mark.parametrize(("part", "name"), removable(FILL_FILES, NOT_READ))
def test_a_file_of_fill_is_missing(fill: Path, tmp_path: Path, part: str, name: str) -> None:
    assert_told(fill, tmp_path, part, name, load_fill, "FluxFillPipeline", "infrared_model.path")


# The edits have a schedule of their own.
@pytest.mark.parametrize(
    ("part", "name"), removable(WAN_FILES, {*NOT_READ, "scheduler_config.json"})
)
def test_a_file_of_wan_is_missing(wan: Path, tmp_path: Path, part: str, name: str) -> None:
    assert_told(wan, tmp_path, part, name, load_wan, "WanPipeline", "video_model.path")


def assert_told(
    hub: Path,
    tmp_path: Path,
    part: str,
    name: str,
    load: Callable[[object, str], None],
    layout: str,
    setting: str,
) -> None:
    """One line with the model, the part, the kind of folder that is needed and the setting."""
    broken = copied(hub, tmp_path / "broken", lambda folder: (folder / part / name).unlink())
    with pytest.raises(InputError) as told:
        load(broken, part)
    line = str(told.value)
    assert line.startswith(f"model {broken}: cannot load {part}: ") and "\n" not in line
    assert line.endswith(
        f"a folder or hub id in the layout of diffusers' {layout}, with safetensors, is needed: "
        f"see {setting}"
    )


@pytest.mark.parametrize("part", ["text_encoder", "text_encoder_2", "transformer", "vae"])
def test_weights_of_fill_are_never_made_up(fill: Path, tmp_path: Path, part: str) -> None:
    with pytest.raises(InputError, match=rf"cannot load {part}: 1 weights are missing"):
        load_fill(copied(fill, tmp_path / "broken", lambda x: drop_weight(x / part)), part)


@pytest.mark.parametrize("part", ["text_encoder", "transformer", "vae"])
def test_weights_of_wan_are_never_made_up(wan: Path, tmp_path: Path, part: str) -> None:
    with pytest.raises(InputError, match=rf"cannot load {part}: 1 weights are missing"):
        load_wan(copied(wan, tmp_path / "broken", lambda x: drop_weight(x / part)), part)


def drop_weight(folder: Path) -> None:
    """Take a weight out of the last file; an index goes on promising it."""
    path = sorted(folder.glob("*.safetensors"))[-1]
    weights = load_file(path)
    weights.pop(next(name for name in sorted(weights) if name != "shared.weight"))
    save_file(weights, path, {"format": "pt"})


@pytest.mark.parametrize("part", ["text_encoder", "text_encoder_2", "transformer", "vae"])
def test_fill_reads_no_cut_and_no_pickled_weights(fill: Path, tmp_path: Path, part: str) -> None:
    broken = copied(fill, tmp_path / "broken", lambda folder: None)
    for path in (broken / part).glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=rf"cannot load {part}: .*infrared_model\.path"):
        load_fill(broken, part)
    stem = "model" if part.startswith("text") else "diffusion_pytorch_model"
    for path in (broken / part).glob(f"{stem}*.safetensors*"):
        path.unlink()
    name = "pytorch_model.bin" if stem == "model" else f"{stem}.bin"
    torch.save({}, broken / part / name)  # a pickle runs what is in it
    with pytest.raises(InputError, match=rf"cannot load {part}: .*\.safetensors found"):
        load_fill(broken, part)


@pytest.mark.parametrize("part", ["text_encoder", "transformer", "vae", "scheduler"])
def test_the_hub_is_out_of_reach_for_fill(part: str) -> None:
    page = rf"its page, where its licence is, is https://huggingface\.co/{FILL_ID}"
    told = rf"^model {FILL_ID}: .*the hub cannot be reached .*{page}; .*set infrared_model\.path"
    with pytest.raises(InputError, match=told):
        load_fill(FILL_ID, part)


@pytest.mark.parametrize(
    ("stage", "name", "setting"),
    [
        ("train_ir_adapter", FILL_ID, "infrared_model.path"),
        ("extract_ref_banks", WAN_ID, "video_model.path"),
    ],
)
def test_a_stage_exits_with_2_and_one_line(
    tmp_path: Path, stage: str, name: str, setting: str
) -> None:
    run = full_world(tmp_path / "run", FILL_ID, WAN_ID)
    assert run.run("prepare_triptychs").returncode == 0
    done = run.run(stage)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith(f"refract {stage}: error: model {name}: cannot load ")
    assert f"https://huggingface.co/{name}; without access to it, set {setting} to a local" in line
