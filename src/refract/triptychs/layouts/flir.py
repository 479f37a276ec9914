"""Layout `flir`: FLIR-aligned, one folder of pictures and two lists of stems."""

from pathlib import Path

from refract.base.errors import InputError
from refract.triptychs.layouts.frame_numbers import LONGEST, number_sequences
from refract.triptychs.layouts.pairing import RawItem
from refract.triptychs.panels.picture_folders import need_folder, pictures_by_stem

LAYOUT = (
    "JPEGImages/FLIR_00002_{RGB.jpg,PreviewData.jpeg} with align_train.txt and "
    "align_validation.txt at the root or under ImageSets/Main"
)

# The data set has no third part; its validation part is what results are reported on.
_LISTS = {"train": "align_train.txt", "test": "align_validation.txt"}
_LIST_FOLDERS = ("", "ImageSets/Main")
_VISIBLE, _INFRARED = "_rgb", "_previewdata"


def import_flir(root: Path) -> list[RawItem]:
    """FLIR-aligned: `align_validation.txt` is our test split, val is taken from train.

    The lists hold stems, with or without `_PreviewData`; pictures in neither list are left out.
    Within each split a sequence is a stretch of frame numbers.
    """
    folder = need_folder(root, "picture", frozenset({"jpegimages"}), LAYOUT)
    pictures = {stem.lower(): path for stem, path in pictures_by_stem(folder).items()}
    items: dict[str, RawItem] = {}
    for split, name in _LISTS.items():
        path = _find_list(root, name)
        for stem in _read_list(path):
            if stem in items:
                raise InputError(f"{path}: {stem} is listed before, in {items[stem].split}")
            items[stem] = _item(stem, split, pictures, path, folder)
    return number_sequences(list(items.values()), longest=LONGEST)


def _find_list(root: Path, name: str) -> Path:
    for folder in _LIST_FOLDERS:
        if (path := root / folder / name).is_file():
            return path
    lists = ", ".join(sorted(path.name for path in root.rglob("*.txt"))[:8]) or "no .txt files"
    raise InputError(f"{root}: no {name}; found {lists}; expected {LAYOUT}")


def _read_list(path: Path) -> list[str]:
    """Stems such as FLIR_00002, in the order of the file."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file ({error})") from error
    stems = [_without(Path(line).stem, _INFRARED) for line in lines]
    if not stems:
        raise InputError(f"{path}: is empty, expected one picture name a line")
    return stems


def _without(stem: str, ending: str) -> str:
    return stem[: -len(ending)] if stem.lower().endswith(ending) else stem


def _item(stem: str, split: str, pictures: dict[str, Path], listed: Path, folder: Path) -> RawItem:
    paths = {}
    for ending, written in ((_VISIBLE, "_RGB"), (_INFRARED, "_PreviewData")):
        if (path := pictures.get(stem.lower() + ending)) is None:
            raise InputError(f"{listed}: {stem}: no picture {stem}{written} in {folder}")
        paths[ending] = path
    return RawItem(stem, paths[_VISIBLE], paths[_INFRARED], None, sequence=stem, split=split)
