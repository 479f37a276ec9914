"""Folders of pictures by the kind they hold; the importers are in `refract.triptychs.layouts`.

Nothing is decoded here.
"""

from pathlib import Path

from refract.base.errors import InputError
from refract.media.image_reading import is_picture

ALIASES = {  # folder names, lower case
    "visible": frozenset({"vi", "vis", "visible", "rgb", "color"}),
    "infrared": frozenset({"ir", "infrared", "lwir", "thermal", "tir", "imgr"}),
    "semantic": frozenset({"semantic", "panoptic", "seg", "segmentation_labels", "labels"}),
}
_MOST_LISTED = 8  # folders named in an error line


def find_panel_folder(root: Path, kind: str, names: frozenset[str]) -> Path | None:
    """The folder of `root` that holds one kind of picture, by its name in any case."""
    folders = sorted(
        path for path in root.iterdir() if path.is_dir() and path.name.lower() in names
    )
    if "crop_lr_visible" in {path.name.lower() for path in folders}:
        folders = [path for path in folders if path.name.lower() != "crop_hr_visible"]
    if len(folders) > 1:
        listed = ", ".join(path.name for path in folders)
        raise InputError(f"{root}: several folders could be the {kind} one: {listed}")
    return folders[0] if folders else None


def need_folder(root: Path, kind: str, names: frozenset[str], layout: str) -> Path:
    """As `find_panel_folder`; InputError where it is missing, with what the layout should be."""
    folder = find_panel_folder(root, kind, names)
    if folder is None:
        raise InputError(
            f"{root}: no {kind} folder; allowed names: {', '.join(sorted(names))}; "
            f"found {list_folders(root)}; expected {layout}"
        )
    return folder


def list_folders(root: Path) -> str:
    """The folders in `root`, for an error line."""
    names = sorted(path.name for path in root.iterdir() if path.is_dir())
    shown = ", ".join(names[:_MOST_LISTED]) or "no folders"
    return shown + (f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else "")


def pictures_by_stem(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by file name without suffix; other files are passed over."""
    pictures: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if is_picture(path) and not path.is_dir()):
        if path.stem in pictures:
            raise InputError(f"{path}: same name as {pictures[path.stem].name}, which one counts?")
        pictures[path.stem] = path
    if not pictures:
        raise InputError(f"{folder}: holds no pictures")
    return pictures
