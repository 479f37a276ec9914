"""Weights that would run code when unpickled, wherever a user can name a file or folder of them."""

import refract.models.torchvision_compat  # noqa: F401  (before diffusers and transformers)

# isort: split
import json
import logging
import pickle
import shutil
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import AutoencoderKL

from refract.base.errors import InputError
from refract.editing.reference.bank import ReferenceBank
from refract.evaluation.measures.inception_features import load_inception
from refract.evaluation.measures.perceptual import load_lpips
from refract.evaluation.weights.array_pickle import load_arrays
from refract.infrared.adapter.lora import read_weights
from refract.infrared.training.checkpoint import CheckpointFolder
from refract.models import flux_fill
from refract.models.clip import load_clip
from refract.models.dino import load_dino
from refract.models.segmenter import load_segmenter
from refract.models.wan import WanModel
from refract.pipeline.item_store import hash_file
from tests.faults.row import Row
from tests.models.test_dino import write_tiny_dino
from tests.tiny.clip import write_tiny_clip
from tests.tiny.fill import write_tiny_fill
from tests.tiny.segmenter import write_mask2former
from tests.tiny.wan import save_tiny_wan

CPU = torch.device("cpu")
_BIN = ("diffusion_pytorch_model.bin", "pytorch_model.bin", "open_clip_pytorch_model.bin")
_CODE = "open({marker!r}, 'w').close()\nclass Evil:\n    pass\n"


class Marker:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def write_pickle(path: Path, marker: Path) -> None:
    path.write_bytes(pickle.dumps(Marker(marker), protocol=2))


def write_torch(path: Path, marker: Path) -> None:
    torch.save({"weight": torch.zeros(1), "evil": Marker(marker)}, path)


WRITERS = (write_pickle, write_torch)


def run_pickles(long: bool) -> list[Row]:
    """A loss is a marker that was made, or a load that neither refused the file nor passed it by.

    long: every trick on every part of every model, not one for each.
    """
    logging.disable(logging.ERROR)
    try:
        with TemporaryDirectory() as place:
            files, folders = _files(Path(place)), _folders(Path(place, "models"), long)
            code = _codes(Path(place, "code"))
    finally:
        logging.disable(logging.NOTSET)
    return [
        Row("pickle as a file of weights", *files),
        Row(
            "pickle in a model's folder (in place of safetensors, beside it, by an index)", *folders
        ),
        Row("Python code and its name in a model's folder", *code),
    ]


Outcome = tuple[int, str, int]


def _files(place: Path) -> Outcome:
    """Single files: InputError, but for a checkpoint, which is passed over."""
    loaders: dict[str, Callable[[Path], object]] = {
        "lpips.pth": lambda path: load_lpips(path, CPU),
        "lpips.safetensors": lambda path: load_lpips(path, CPU),
        "alexnet.ckpt": lambda path: load_arrays(path.read_bytes(), hash_file(path), str(path)),
        "inception.pth": lambda path: load_inception(path, CPU),
        "inception.safetensors": lambda path: load_inception(path, CPU),
        "pytorch_lora_weights.safetensors": read_weights,
        "semantic_adapter.safetensors": read_weights,
        "bank.safetensors": ReferenceBank.load,
        "step_00000001/state.safetensors": _restore,
    }
    wrong = 0
    for number, writer in enumerate(WRITERS):
        for name, load in loaders.items():
            path, marker = place / str(number) / name, place / f"marker of {number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            writer(path, marker)
            wrong += not refused(partial(load, path)) or marker.exists()
            marker.unlink(missing_ok=True)
    return len(WRITERS) * len(loaders), "refused; nothing ran", wrong


def _restore(path: Path) -> None:
    (path.parent / "state.json").write_text('{"step": 1, "optimizer": {}, "facts": {}}')
    parameter = torch.nn.Parameter(torch.zeros(1))
    checkpoints = CheckpointFolder(path.parent.parent)
    if checkpoints.restore({"weight": parameter}, torch.optim.SGD([parameter])) == (0, {}):
        raise InputError("passed over, as an unreadable checkpoint is")


def _folders(place: Path, long: bool) -> Outcome:
    """Every part of every model that is loaded from a folder."""
    wrong, loads = 0, []
    for name, (write, parts) in _MODELS.items():
        whole = write(place / name)
        loads += [(whole, part, load) for part, load in parts.items()]
    tricks = list(product((_instead, _beside, _by_index), WRITERS))
    if long:
        tried = list(product(loads, tricks))
    else:
        tried = [(each, tricks[number % len(tricks)]) for number, each in enumerate(loads)]
    for (whole, part, load), (trick, writer) in tried:
        folder, marker = place / "copy", place / "marker"
        shutil.copytree(whole, folder)
        trick(folder / part, partial(writer, marker=marker))
        wrong += not refused(partial(load, folder)) or marker.exists()
        marker.unlink(missing_ok=True)
        shutil.rmtree(folder)
    return len(tried), "refused; nothing ran", wrong


def _weights(folder: Path) -> Path:
    return next(folder.glob("*.safetensors"))


def _instead(folder: Path, write: Callable[[Path], None]) -> None:
    write(_weights(folder))


def _beside(folder: Path, write: Callable[[Path], None]) -> None:
    """Only the formats that are not read."""
    _weights(folder).unlink()
    for name in _BIN:
        write(folder / name)


def _by_index(folder: Path, write: Callable[[Path], None]) -> None:
    """An index of shards that leads to a pickle, beside it and above."""
    weights = _weights(folder)
    shards = {"a": "evil.bin", "b": "../../evil.bin"}
    text = json.dumps({"metadata": {}, "weight_map": shards})
    for name in {weights.name, "model.safetensors", "diffusion_pytorch_model.safetensors"}:
        (folder / f"{name}.index.json").write_text(text)
    weights.unlink()
    write(folder / "evil.bin")


def _fill(folder: Path) -> Any:
    return SimpleNamespace(path=str(folder), revision=None, dtype="float32", max_sequence_length=16)


def _wan(part: str, folder: Path) -> object:
    return getattr(WanModel(str(folder), None, "float32", "cpu"), part)


_MODELS: dict[str, tuple[Callable[[Path], Path], dict[str, Callable[[Path], object]]]] = {
    "fill": (
        write_tiny_fill,
        {
            "transformer": lambda folder: flux_fill.load_transformer(_fill(folder), "cpu"),
            "vae": lambda folder: flux_fill.load_vae(_fill(folder), "cpu"),
            "text_encoder": lambda folder: flux_fill.encode_prompts(_fill(folder), ["a"], "cpu"),
            "text_encoder_2": lambda folder: flux_fill.encode_prompts(_fill(folder), ["a"], "cpu"),
        },
    ),
    "wan": (
        save_tiny_wan,
        {
            "transformer": partial(_wan, "transformer"),
            "vae": partial(_wan, "vae"),
            "text_encoder": partial(_wan, "text"),
        },
    ),
    "clip": (write_tiny_clip, {"": lambda folder: load_clip(str(folder), None, CPU)}),
    "dino": (write_tiny_dino, {"": lambda folder: load_dino(str(folder), None, CPU)}),
    "segmenter": (write_mask2former, {"": lambda folder: load_segmenter(str(folder), None, "cpu")}),
    "recipe": (
        write_tiny_fill,
        {"vae": lambda folder: _as_input_error(AutoencoderKL.from_pretrained, folder / "vae")},
    ),
}


def _as_input_error(load: Callable[[Path], object], folder: Path) -> None:
    """The recipes of backbones end in the library's own error."""
    try:
        load(folder)
    except Exception as error:
        raise InputError(str(error)) from error


def _codes(place: Path) -> Outcome:
    """Code that transformers runs where it is told to trust it, and where it asks the user."""
    marker = place / "marker"
    count = wrong = 0
    for write, load, change in _CODES:
        folder = write(place / str(count))
        for module in ("modeling_evil", "tokenizer_evil", "image_evil"):
            (folder / f"{module}.py").write_text(_CODE.format(marker=str(marker)))
        change(folder)
        refused(partial(load, folder))  # or read by transformers' own class, which is as good
        wrong += marker.exists()
        marker.unlink(missing_ok=True)
        count += 1
    return count, "never run", wrong


def _set(path: Path, **values: object) -> None:
    document = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**document, **values}))


def _own_network(folder: Path) -> None:
    name = "modeling_evil.Evil"
    _set(folder / "config.json", auto_map={"AutoConfig": name, "AutoModel": name})


def _own_images(folder: Path) -> None:
    _set(folder / "preprocessor_config.json", auto_map={"AutoImageProcessor": "image_evil.Evil"})


def _own_tokenizer(folder: Path) -> None:
    auto_map = {"AutoTokenizer": ["tokenizer_evil.Evil", None]}
    _set(folder / "tokenizer_config.json", auto_map=auto_map, tokenizer_class="Evil")
    _set(folder / "config.json")
    config = json.loads((folder / "open_clip_config.json").read_text())
    text = {"hf_tokenizer_name": "x", "tokenizer_kwargs": {"trust_remote_code": True}}
    config["model_cfg"]["text_cfg"] |= text
    (folder / "open_clip_config.json").write_text(json.dumps(config))


_CODES: tuple[
    tuple[Callable[[Path], Path], Callable[[Path], object], Callable[[Path], None]], ...
] = (
    (write_tiny_clip, lambda folder: load_clip(str(folder), None, CPU), _own_tokenizer),
    (write_tiny_dino, lambda folder: load_dino(str(folder), None, CPU), _own_network),
    (write_tiny_dino, lambda folder: load_dino(str(folder), None, CPU), _own_images),
    (write_mask2former, lambda folder: load_segmenter(str(folder), None, "cpu"), _own_network),
)


def refused(load: Callable[[], object]) -> bool:
    try:
        load()
    except InputError:
        return True
    return False
