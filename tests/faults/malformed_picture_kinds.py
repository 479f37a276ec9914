"""Sound pictures of kinds that few programs expect: modes, depths, EXIF, animations, shapes."""

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from tests.faults.malformed_case import Case, Handled, refused
from tests.faults.malformed_images import FEW_MASKS, PLACES, encoded, put
from tests.tiny.world import CASE, HEIGHT, PANEL_PX, PHOTO, WIDTH, World, product_photo

ODD = "pictures: modes, depths, EXIF, animations, shapes"


def odd_cases(random_: random.Random) -> Iterator[Case]:
    """Sound pictures of other kinds: taken as documented, or refused where they could mislead."""
    yield from _scene_cases()
    yield from _orientation_cases(random_)
    yield from _photo_cases()
    yield from _mask_cases()
    yield from _size_cases()


# A picture of four quarters, of which each tells where it stands.
_COLOURS = ((230, 40, 40), (40, 200, 60), (40, 60, 220), (230, 220, 60))


def quarters(side: int = 64, colours: tuple[tuple[int, int, int], ...] = _COLOURS) -> Image.Image:
    pixels = np.zeros((side, side, 3), np.uint8)
    half = side // 2
    for number, colour in enumerate(colours):
        y, x = divmod(number, 2)
        pixels[y * half : (y + 1) * half, x * half : (x + 1) * half] = colour
    return Image.fromarray(pixels)


def _panel(world: World, stem: str, split: str, kind: str) -> np.ndarray:
    """A panel of a built triptych, [P, P, 3]."""
    pixels = np.asarray(Image.open(world.out("triptychs") / split / f"{stem}.png"))
    place = ("visible", "infrared", "semantic").index(kind)
    panel: np.ndarray = pixels[:, place * PANEL_PX : (place + 1) * PANEL_PX]
    return panel


def _shows(
    world: World, kind: str, expected: Image.Image, tolerance: int, stem: str = "00000D"
) -> None:
    """The middles of the panel's quarters have the colours of those of `expected`."""
    split = {"00000D": "train", "00001N": "val", "00002D": "test"}[stem]
    panel = _panel(world, stem, split, kind)
    wanted = np.asarray(expected.convert("RGB").resize((PANEL_PX, PANEL_PX)))
    middles = np.ix_([PANEL_PX // 4, 3 * PANEL_PX // 4], [PANEL_PX // 4, 3 * PANEL_PX // 4])
    far = np.abs(panel[middles].astype(int) - wanted[middles].astype(int)).max()
    assert far <= tolerance, f"{kind} panel differs by {far} levels"


def _scene_cases() -> Iterator[Case]:
    picture = quarters()
    rgba = picture.convert("RGBA")
    rgba.putalpha(Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))))
    palette = picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    other = Image.new("RGB", (64, 64), "black")
    kinds: list[tuple[str, str, bytes, Image.Image, int]] = [
        # fault, kind of panel, file, what the panel shows, tolerance in levels
        ("CMYK JPEG", "visible", encoded(picture.convert("CMYK"), "JPEG", quality=95), picture, 12),
        ("palette", "visible", encoded(palette), picture, 2),
        ("palette with a transparent colour", "visible", encoded(palette, transparency=0),
         picture, 2),
        ("transparency, which is dropped", "visible", encoded(rgba), picture, 0),
        ("gray with transparency", "visible", encoded(picture.convert("LA")),
         picture.convert("L"), 0),
        ("1 bit", "visible", encoded(picture.convert("1", dither=Image.Dither.NONE)),
         picture.convert("1", dither=Image.Dither.NONE), 0),
        ("JPEG by name of PNG", "visible", encoded(picture, "JPEG", quality=95), picture, 12),
        ("animated PNG: its first picture", "visible",
         encoded(picture, "PNG", save_all=True, append_images=[other]), picture, 0),
        ("animated GIF: its first picture", "visible",
         encoded(picture, "GIF", save_all=True, append_images=[other]), picture, 12),
        ("animated WebP: its first picture", "visible",
         encoded(picture, "WEBP", save_all=True, append_images=[other], lossless=True), picture, 2),
        ("TIFF of two pages: its first", "visible",
         encoded(picture, "TIFF", save_all=True, append_images=[other]), picture, 0),
        ("YCbCr TIFF", "visible", encoded(picture.convert("YCbCr"), "TIFF"), picture, 6),
        ("progressive JPEG", "visible", encoded(picture, "JPEG", progressive=True, quality=95),
         picture, 12),
        ("gray with transparency", "infrared", encoded(picture.convert("LA")),
         picture.convert("L"), 0),
        ("three equal channels", "infrared", encoded(picture.convert("L").convert("RGB")),
         picture.convert("L"), 0),
        ("CMYK: its luma", "infrared", encoded(picture.convert("L").convert("CMYK"), "JPEG",
         quality=95),
         picture.convert("L"), 12),
        ("palette", "infrared", encoded(picture.convert("L").convert("P")), picture.convert("L"),
         1),
        ("palette: its colours", "semantic", encoded(palette), picture, 0),
        ("transparency, which is dropped", "semantic", encoded(rgba), picture, 0),
        ("class ids in gray", "semantic", encoded(Image.new("L", (64, 64), 1)),
         Image.new("RGB", (64, 64), (128, 0, 0)), 0),
        ("class ids in gray with transparency", "semantic", encoded(Image.new("LA", (64, 64), (1,
         255))),
         Image.new("RGB", (64, 64), (128, 0, 0)), 0),
        ("class ids of 16 bits", "semantic", encoded(Image.fromarray(np.full((64, 64), 1,
         np.uint16))),
         Image.new("RGB", (64, 64), (128, 0, 0)), 0),
    ]  # fmt: skip
    for fault, kind, content, shown, tolerance in kinds:
        place = PLACES[kind]
        stem = place.file.split("/")[-1].partition(".")[0]
        check = partial(_shows, kind=kind, expected=shown, tolerance=tolerance, stem=stem)
        make = partial(put, place=place, content=content)
        yield Case(ODD, f"{kind}: {fault}", place.stage, make, Handled(check))
    lab = Image.merge("LAB", picture.split())
    floating = Image.fromarray(np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64))
    absent = Image.fromarray(np.full((64, 64), np.nan, np.float32))
    deep = Image.fromarray(np.full((64, 64), 40_000, np.uint16))
    signed = Image.fromarray(np.full((64, 64), -5, np.int32))
    for fault, kind, content, told in [
        ("16 bits", "visible", encoded(deep), "8-bit"),
        ("floating point", "visible", encoded(floating, "TIFF"), "8-bit"),
        ("CIE Lab", "visible", encoded(lab, "TIFF"), "8-bit"),
        ("CIE Lab", "infrared", encoded(lab, "TIFF"), "8"),
        ("CIE Lab", "semantic", encoded(lab, "TIFF"), "8-bit"),
        ("floating point", "infrared", encoded(floating, "TIFF"), "8 or 16 bit"),
        ("values below 0", "infrared", encoded(signed, "TIFF"), "0..65535"),
        ("floating point", "semantic", encoded(floating, "TIFF"), "class ids"),
        ("NaN", "semantic", encoded(absent, "TIFF"), "class ids"),
        ("class id 40,000", "semantic", encoded(deep), "0..255"),
        ("CIE Lab", "training triptych", encoded(lab, "TIFF"), "8-bit"),
        ("16 bits", "test triptych", encoded(deep), "8-bit"),
        ("CIE Lab", "product photo", encoded(lab, "TIFF"), "8-bit"),
        ("16 bits", "product photo", encoded(deep), "8-bit"),
        ("CIE Lab", "photo's mask", encoded(lab, "TIFF"), "8-bit"),
        ("16 bits", "photo's mask", encoded(deep), "8-bit"),
        ("16 bits", "clip's mask", encoded(deep), "8-bit"),
        ("floating point", "clip's mask", encoded(floating, "TIFF"), "8-bit"),
        ("CIE Lab", "first frame's map", encoded(lab, "TIFF"), "8-bit"),
        ("floating point", "infrared result", encoded(floating, "TIFF"), "8 or 16 bit"),
    ]:
        place = PLACES[kind]
        make = partial(put, place=place, content=content)
        yield Case(ODD, f"{kind}: {fault}", place.stage, make, refused(place.file, allowed=told))


def _orientation_cases(random_: random.Random) -> Iterator[Case]:
    """A picture turned in its pixels and back by EXIF looks as if it had never been turned."""
    picture = quarters()
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    for orientation, turn in turns.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        kind = random_.choice(("JPEG", "PNG", "WEBP"))
        options: dict[str, Any] = {"JPEG": {"quality": 95}, "PNG": {}, "WEBP": {"lossless": True}}
        content = encoded(picture.transpose(turn), kind, exif=exif, **options[kind])
        check = partial(_shows, kind="visible", expected=picture, tolerance=12)
        make = partial(put, place=PLACES["visible"], content=content)
        fault = f"visible: EXIF orientation {orientation} in {kind}"
        yield Case(ODD, fault, "prepare_triptychs", make, Handled(check))
    for fault, exif_bytes in [
        ("an orientation that is none",
         b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\0"),
        ("EXIF of random bytes", b"Exif\0\0" + random_.randbytes(300)),
        ("EXIF whose directory leads nowhere", b"Exif\0\0MM\0*\xff\xff\xff\xf0" + bytes(20)),
    ]:  # fmt: skip
        content = encoded(picture, "JPEG", quality=95, exif=exif_bytes)
        check = partial(_shows, kind="visible", expected=picture, tolerance=12)
        make = partial(put, place=PLACES["visible"], content=content)
        yield Case(ODD, f"visible: {fault}", "prepare_triptychs", make, Handled(check))


def _photo_cases() -> Iterator[Case]:
    place, photo = PLACES["product photo"], product_photo()
    clear = photo.convert("RGBA")
    alpha = np.zeros((40, 40), np.uint8)
    alpha[10:30, 12:28] = 255
    clear.putalpha(Image.fromarray(alpha))
    exif = Image.Exif()
    exif[0x0112] = 6
    sounds: list[tuple[str, bytes, str]] = [
        ("CMYK", encoded(photo.convert("CMYK"), "JPEG", quality=95), "auto: backdrop"),
        ("palette", encoded(photo.convert("P", palette=Image.Palette.ADAPTIVE)), "auto: backdrop"),
        ("transparency: its mask", encoded(clear), "auto: transparency"),
        ("turned by EXIF", encoded(photo, "JPEG", quality=95, exif=exif), "auto: backdrop"),
        ("20 times as wide as high", encoded(photo.resize((800, 40))), "auto: backdrop"),
    ]
    for fault, content, found in sounds:
        make = partial(put, place=place, content=content)
        check = partial(_bank_of, foreground=found)
        yield Case(ODD, f"product photo: {fault}", place.stage, make, Handled(check))
    for fault, content, told in [
        ("1 x 1 pixel", encoded(Image.new("RGB", (1, 1))), "at least"),
        ("7 x 4,000 pixels", encoded(Image.new("RGB", (7, 4000))), "at least"),
        ("transparent everywhere", encoded(Image.new("RGBA", (40, 40), (0, 0, 0, 0))), "opaque"),
    ]:
        make, expected = partial(put, place=place, content=content), refused(PHOTO, allowed=told)
        yield Case(ODD, f"product photo: {fault}", place.stage, make, expected)


def _bank_of(world: World, foreground: str) -> None:
    """The bank tells how the product was found."""
    from safetensors import safe_open

    with safe_open(world.out("ref_banks") / f"{CASE}.safetensors", "np") as file:
        header = file.metadata()["reference_bank"]
    assert f'"foreground": "{foreground}' in header, f"not {foreground!r} in {header[:300]}"


def _mask_cases() -> Iterator[Case]:
    folder = f"products/{CASE}/target"
    black = encoded(Image.new("L", (WIDTH, HEIGHT), 0))
    own = PLACES["photo's mask"]

    def all_black(world: World) -> None:
        for path in world.path(folder).iterdir():
            world.put(f"{folder}/{path.name}", black)

    def too_few(world: World) -> None:
        world.remove(f"{folder}/004.png")

    def none(world: World) -> None:
        for path in [*world.path(folder).iterdir()]:
            world.remove(f"{folder}/{path.name}")

    def more(world: World) -> None:
        world.put(f"{folder}/900.png", b"no picture, and not of the clip's frames")

    def larger(world: World) -> None:
        path = world.path(f"{folder}/001.png")
        world.picture(f"{folder}/001.png", Image.open(path).resize((4 * WIDTH, 4 * HEIGHT)))

    yield Case(ODD, "clip's masks: black everywhere", "evaluate", all_black,
               refused(CASE, allowed="must be white"))  # fmt: skip
    yield Case(ODD, "clip's masks: too few", "evaluate", too_few, FEW_MASKS)
    yield Case(ODD, "clip's masks: an empty folder", "evaluate", none, FEW_MASKS)
    yield Case(ODD, "clip's masks: more than frames", "evaluate", more, Handled(_has_product))
    yield Case(ODD, "clip's masks: four times as large", "evaluate", larger, Handled(_has_product))
    for fault, mask, told in [
        ("black everywhere", Image.new("L", (40, 40), 0), "must be white"),
        ("of another size", Image.new("L", (41, 40), 255), "40 x 40"),
    ]:
        make = partial(put, place=own, content=encoded(mask))
        expected = refused(own.file, allowed=told)
        yield Case(ODD, f"photo's mask: {fault}", own.stage, make, expected)


def _has_product(world: World) -> None:
    table = (world.out("plots") / "edit_cases.csv").read_text()
    assert "product." in table, "no measure of the product"


def _size_cases() -> Iterator[Case]:
    """Pictures of sizes that do not go together, or that nothing can be made of."""
    for where, picture, told in [
        ("infrared", Image.new("L", (64, 32)), "same field of view"),
        ("semantic", Image.new("RGB", (32, 64)), "same field of view"),
        ("visible", Image.new("RGB", (1, 5000)), "same field of view"),
        ("training triptych", Image.new("RGB", (96, 33)), "three square panels"),
        ("training triptych", Image.new("RGB", (90, 30)), "multiple of 16"),
        ("validation triptych", Image.new("RGB", (192, 64)), "96 x 32"),
        ("test triptych", Image.new("RGB", (192, 64)), "96 x 32"),
        ("measured triptych", Image.new("RGB", (1, 1)), "three square panels"),
        ("infrared result", Image.new("L", (31, 32)), "32 x 32"),
        ("first frame's map", Image.new("RGB", (30, 90)), "field of view"),
    ]:
        place = PLACES[where]
        make = partial(put, place=place, content=encoded(picture))
        fault = f"{where}: {picture.width} x {picture.height} pixels"
        # Of two pictures that do not go together the other one is named first.
        name = place.file.rpartition("/")[2] if where == "visible" else place.file
        yield Case(ODD, fault, place.stage, make, refused(name, allowed=told))

    def single_pixels(world: World) -> None:
        for kind, mode in (("visible", "RGB"), ("infrared", "L"), ("semantic", "RGB")):
            world.picture(f"scenes/{kind}/00000D.png", Image.new(mode, (1, 1), "white"))

    expected = Handled(partial(_shows, kind="visible", expected=Image.new("RGB", (8, 8), "white"),
                               tolerance=0))  # fmt: skip
    yield Case(ODD, "a scene of 1 x 1 pixel", "prepare_triptychs", single_pixels, expected)
