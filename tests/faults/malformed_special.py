"""Pipes, sockets and devices where a file is read: whoever opened them would wait, or never end."""

import os
import random
import socket
from collections.abc import Callable, Iterator
from functools import partial

from tests.faults.malformed_case import Case, refused
from tests.faults.malformed_images import PLACES, Place
from tests.faults.malformed_tables import table
from tests.tiny.world import CASE, CLIP, World

KIND = "pipes, sockets and devices in place of files"

_FILES = (
    Place("params.yaml", "prepare_triptychs"),
    Place("cases.yaml", "extract_ref_banks"),
    Place("cases.yaml", "evaluate"),
    Place("scenes/metadata.csv", "prepare_triptychs"),
    Place("scenes/table.csv", "prepare_triptychs", partial(table, name="table.csv", content="")),
    Place("scenes/t.parquet", "prepare_triptychs", partial(table, name="t.parquet", content="")),
    *PLACES.values(),
    Place(CLIP, "flowalign_edit"),
    Place("out/triptychs/manifest.csv", "train_ir_adapter"),
    Place("out/triptychs/info.json", "infer_ir"),
    Place("out/ir_adapter/config.json", "infer_ir"),
    Place("out/ir_adapter/pytorch_lora_weights.safetensors", "infer_ir"),
    Place("out/ir_adapter/semantic_adapter.safetensors", "infer_ir"),
    Place(f"out/ref_banks/{CASE}.safetensors", "flowalign_edit"),
    Place("out/edits/info.json", "evaluate"),
    Place("fill/transformer/config.json", "infer_ir"),
    Place("fill/vae/diffusion_pytorch_model.safetensors", "train_ir_adapter"),
    Place("wan/transformer/diffusion_pytorch_model.safetensors", "flowalign_edit"),
    Place("wan/tokenizer/tokenizer.json", "extract_ref_banks"),
    Place("clip/open_clip_config.json", "evaluate"),
)


def special_cases(random_: random.Random) -> Iterator[Case]:
    """A pipe in every place, and one of the others, drawn."""
    for place in _FILES:
        for kind in ("a pipe", random_.choice([name for name in _MAKERS if name != "a pipe"])):
            make = partial(_put, place=place, maker=_MAKERS[kind])
            expected = refused(place.file, allowed="")
            fault = f"{place.file}: {kind}"
            is_model = not place.file.startswith("out/")
            yield Case(KIND, fault, place.stage, make, expected, empty_store=is_model)


def _put(world: World, place: Place, maker: Callable[[str], object]) -> None:
    place.set_up(world)
    world.put(place.file, b"").unlink()
    maker(str(world.path(place.file)))


def _socket(name: str) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(name))  # its name is at most 107 bytes long


_MAKERS: dict[str, Callable[[str], object]] = {
    "a pipe": os.mkfifo,
    "a socket": _socket,
    "a link to an endless device": partial(os.symlink, "/dev/zero"),
}
