"""Pictures that are none, wherever one is read."""

import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from tests.faults.malformed_case import Case, refused
from tests.tiny.world import CASE, PHOTO, World

BROKEN = "pictures: damaged, or none at all"

_MAPS = f"products/{CASE}/map.png"


class Place(NamedTuple):
    """Where a stage reads a picture. set_up: what makes it read one there."""

    file: str
    stage: str
    set_up: Callable[[World], None] = lambda _: None


def _infrared_reference(world: World) -> None:
    world.case("target_image", '"infer_ir"')
    world.case("first_frame_map", json.dumps(_MAPS))


def _with_mask(world: World) -> None:
    world.case("target_image_mask", f'"products/{CASE}/mask.png"')
    world.set("ref_bank.foreground", '"mask"')


def _own_pictures(world: World) -> None:
    world.set("infer_ir.input", '"own"')
    world.picture("own/b.png", Image.new("RGB", (40, 40), "gray"))


PLACES = {
    "visible": Place("scenes/visible/00000D.png", "prepare_triptychs"),
    "infrared": Place("scenes/infrared/00001N.png", "prepare_triptychs"),
    "semantic": Place("scenes/semantic/00002D.png", "prepare_triptychs"),
    "training triptych": Place("out/triptychs/train/00000D.png", "train_ir_adapter"),
    "validation triptych": Place("out/triptychs/val/00001N.png", "train_ir_adapter"),
    "test triptych": Place("out/triptychs/test/00002D.png", "infer_ir"),
    "measured triptych": Place("out/triptychs/test/00003N.png", "evaluate"),
    "own picture": Place("own/a.png", "infer_ir", _own_pictures),
    "product photo": Place(PHOTO, "extract_ref_banks"),
    "photo's mask": Place(f"products/{CASE}/mask.png", "extract_ref_banks", _with_mask),
    "first frame's map": Place(_MAPS, "extract_ref_banks", _infrared_reference),
    "infrared result": Place("out/infrared/adapter/00002D.png", "evaluate"),
    "clip's mask": Place(f"products/{CASE}/target/002.png", "evaluate"),
}  # fmt: skip


def broken_cases(random_: random.Random) -> Iterator[Case]:
    """Every way to be no picture in every place but for a few, drawn."""
    faults = [*_BROKEN.items()]
    for number, (where, place) in enumerate(PLACES.items()):
        drawn = random_.sample(faults, 4)
        always = faults[(2 * number) % len(faults)], faults[(2 * number + 1) % len(faults)]
        for fault, content in dict([*always, *drawn]).items():
            make = partial(put, place=place, content=content(random_))
            expected = refused(
                place.file,
                allowed="pixels" if fault.startswith("a decompression bomb") else "picture",
            )
            yield Case(BROKEN, f"{where}: {fault}", place.stage, make, expected)
    for where in ("product photo", "photo's mask", "clip's mask"):
        place = PLACES[where]
        expected = refused(place.file, allowed="directory")
        yield Case(
            BROKEN, f"{where}: a folder", place.stage, partial(_folder, place=place), expected
        )
    for kind in ("visible", "infrared", "semantic"):
        place = PLACES[kind]
        expected = refused(place.file.split("/")[-1].partition(".")[0], allowed="same name")
        yield Case(
            BROKEN, f"{kind}: a folder", place.stage, partial(_folder, place=place), expected
        )


FEW_MASKS = refused(f"products/{CASE}/target", allowed="one a frame")


def put(world: World, place: Place, content: bytes) -> None:
    place.set_up(world)
    world.put(place.file, content)


def _folder(world: World, place: Place) -> None:
    place.set_up(world)
    world.path(place.file).unlink(missing_ok=True)
    world.path(place.file).mkdir(parents=True)


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """A picture as a file of `kind`."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def noise(random_: random.Random, mode: str = "RGB", side: int = 64) -> Image.Image:
    pixels = np.random.default_rng(random_.getrandbits(32)).integers(0, 256, (side, side, 3))
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def _cut(random_: random.Random, kind: str) -> bytes:
    whole = encoded(noise(random_), kind)
    return whole[: int(len(whole) * random_.uniform(0.3, 0.9))]


def png(width: int, height: int, data: bytes = b"", *more: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand: RGB of 8 bits, with these bytes for its pixels; `more`: chunks before them."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _flipped(random_: random.Random) -> bytes:
    whole = bytearray(encoded(noise(random_)))
    place = whole.index(b"IDAT") + random_.randrange(20, 2000)
    whole[place] ^= 1 << random_.randrange(8)
    return bytes(whole)


def _looping_tiff(_: random.Random) -> bytes:
    """A TIFF whose directory is longer than the file and whose tags are of no known type."""
    entries = b"".join(struct.pack("<HHII", 256 + i, 99, 2**31, 8) for i in range(8))
    return b"II*\0" + struct.pack("<IH", 8, 60000) + entries


_BROKEN: dict[str, Callable[[random.Random], bytes]] = {
    "0 bytes": lambda _: b"",
    "a truncated PNG": lambda random_: _cut(random_, "PNG"),
    "a truncated JPEG": lambda random_: _cut(random_, "JPEG"),
    "a truncated TIFF": lambda random_: _cut(random_, "TIFF"),
    "a truncated WebP": lambda random_: _cut(random_, "WEBP"),
    "a truncated BMP": lambda random_: _cut(random_, "BMP"),
    "a truncated GIF": lambda random_: encoded(noise(random_, "P"), "GIF")[:300],
    "a flipped bit in a PNG": _flipped,
    "the signature of a PNG alone": lambda _: b"\x89PNG\r\n\x1a\n",
    "the header of a PNG alone": lambda _: png(64, 64)[:33],
    "a PNG without pixels": lambda _: png(64, 64),
    "a PNG of no width": lambda _: png(0, 64, zlib.compress(b"\0")),
    "a PNG whose pixels are no deflate stream": lambda r: png(64, 64, r.randbytes(500)),
    "a PNG whose text is a decompression bomb": lambda _: png(
        64, 64, zlib.compress(bytes(64 * 193)), (b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 27)))
    ),
    "a decompression bomb": lambda _: png(40_000, 40_000, zlib.compress(bytes(1 << 20))),
    "a decompression bomb in BMP": lambda _: b"BM" + struct.pack(
        "<IIIIiiHHIIiiII", 54, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0
    ),
    "text": lambda _: b"this is no picture\n" * 20,
    "a page of HTML": lambda _: b"<!doctype html><html><body>404 not found</body></html>",
    "SVG": lambda _: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "a pointer of Git LFS": lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "PostScript": lambda _: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nquit\n",
    "random bytes": lambda random_: random_.randbytes(4000),
    "a TIFF whose directory leads nowhere": _looping_tiff,
    "a JPEG of markers alone": lambda _: (
        b"\xff\xd8\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xd9"
    ),
}  # fmt: skip
