"""Symbolic links where outputs go and inputs are: what is documented, and nothing else."""

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from refract.base.atomic import replace_directory, write_atomic
from refract.base.errors import InputError
from refract.base.yaml_files import read_yaml
from refract.media.image_reading import read_rgb
from refract.media.mask_folder import mask_files
from refract.media.video_io import Clip, read_clip, write_clip
from refract.models.identity import local_model_folder, model_identity
from refract.pipeline.item_store import ItemStore, hash_file, materialise
from refract.report.provenance import digests
from refract.triptychs.layouts.registry import import_items
from refract.user_study.building import StudyRequest, build_study
from tests.faults.row import Row

KEPT = b"what the link points to"


def run_links() -> list[Row]:
    """A loss is a link that was followed when an output was replaced, or not where inputs are."""
    rows = []
    for tried, attempts in _GROUPS.items():
        wrong = 0
        for attempt in attempts:
            with TemporaryDirectory() as place:
                wrong += not _holds(attempt, Path(place))
        rows.append(Row(tried, len(attempts), _OUTCOMES[tried], wrong))
    return rows


def _holds(attempt: Callable[[Path], bool], place: Path) -> bool:
    """Whether it went as documented; any error but those that the attempt expects is a fault."""
    try:
        return attempt(place)
    except Exception:
        return False


def _outside(place: Path) -> Path:
    """A folder outside the output, with a file in it and one below."""
    folder = place / "outside"
    (folder / "below").mkdir(parents=True)
    for path in (folder / "file", folder / "below" / "file"):
        path.write_bytes(KEPT)
    return folder


def _whole(outside: Path) -> bool:
    names = {path.relative_to(outside).as_posix() for path in outside.rglob("*")}
    files = [outside / "file", outside / "below" / "file"]
    same = all(path.is_file() and path.read_bytes() == KEPT for path in files)
    return same and names == {"file", "below", "below/file"}


def _replaced(output: Path) -> bool:
    """Replace a folder; whether it is a true one with the new content, and nothing is left over."""
    with replace_directory(output) as folder:
        (folder / "new").write_text("new")
    clean = not list(output.parent.glob(".tmp-*"))
    return not output.is_symlink() and [path.name for path in output.iterdir()] == ["new"] and clean


def _output_is_a_link(place: Path) -> bool:
    outside, output = _outside(place), place / "output"
    output.symlink_to(outside)
    return _replaced(output) and _whole(outside)


def _output_points_nowhere(place: Path) -> bool:
    output = place / "output"
    output.symlink_to(place / "nowhere")
    return _replaced(output) and not (place / "nowhere").exists()


def _output_is_a_loop(place: Path) -> bool:
    output = place / "output"
    output.symlink_to(output)
    return _replaced(output)


def _links_in_the_output(place: Path) -> bool:
    outside, output = _outside(place), place / "output"
    output.mkdir()
    (output / "folder").symlink_to(outside)
    (output / "file").symlink_to(outside / "file")
    (output / "loop").symlink_to(output)
    return _replaced(output) and _whole(outside)


def _leftover_is_a_link(place: Path) -> bool:
    """What a killed run left may have been put there by another."""
    outside, output = _outside(place), place / "output"
    (place / ".tmp-0123456789ab-output").symlink_to(outside)
    return _replaced(output) and _whole(outside)


def _file_is_a_link(place: Path) -> bool:
    outside, output = _outside(place), place / "metrics.json"
    output.symlink_to(outside / "file")
    write_atomic(output, lambda path: path.write_text("new"))
    return not output.is_symlink() and output.read_text() == "new" and _whole(outside)


def _clip_is_a_link(place: Path) -> bool:
    outside, output = _outside(place), place / "clip.mkv"
    output.symlink_to(outside / "file")
    write_clip(output, Clip(np.zeros((2, 16, 16, 3), np.uint8), 8.0), "lossless")
    return not output.is_symlink() and _whole(outside)


def _slot_is_laid_out_over_a_link(place: Path) -> bool:
    """A file of the store never goes through a link that stands at its place."""
    outside, store = _outside(place), ItemStore(place / "state", "stage")
    with store.create("key") as slot:
        (slot / "file").write_text("new")
    target = place / "target"
    target.mkdir()
    (target / "file").symlink_to(outside / "file")
    try:
        materialise(store.folder / "key", target)
    except FileExistsError:
        return _whole(outside)
    return False


def _output_is_a_file(place: Path) -> bool:
    output = place / "output"
    output.write_bytes(KEPT)
    try:
        _replaced(output)
    except InputError:
        return output.read_bytes() == KEPT and [*place.iterdir()] == [output]
    return False


def _linked_picture(place: Path) -> bool:
    Image.new("RGB", (8, 8), "red").save(place / "true.png")
    (place / "link.png").symlink_to(place / "true.png")
    return bool((read_rgb(place / "link.png") == read_rgb(place / "true.png")).all())


def _linked_clip(place: Path) -> bool:
    write_clip(place / "true.mkv", Clip(np.zeros((2, 16, 16, 3), np.uint8), 8.0), "lossless")
    (place / "link.mkv").symlink_to(place / "true.mkv")
    return len(read_clip(place / "link.mkv").frames) == 2


def _linked_data_set(place: Path) -> bool:
    for kind in ("visible", "infrared"):
        (place / "true" / kind).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(place / "true" / kind / "a.png")
    (place / "link").symlink_to(place / "true")
    return [item.id for item in import_items("generic", place / "link")] == ["a"]


def _linked_masks(place: Path) -> bool:
    (place / "true").mkdir()
    Image.new("L", (8, 8)).save(place / "true" / "0.png")
    (place / "link").symlink_to(place / "true")
    return len(mask_files(place / "link", 1)) == 1


def _linked_weights(place: Path) -> bool:
    """As the hub's cache has them: a folder of links to blobs."""
    (place / "blob").write_bytes(KEPT)
    (place / "model").mkdir()
    (place / "model" / "weights.safetensors").symlink_to(place / "blob")
    known = model_identity(str(place / "model"), None)
    (place / "blob").write_bytes(KEPT + KEPT)
    return known != model_identity(str(place / "model"), None)


def _linked_store(place: Path) -> bool:
    (place / "disk").mkdir()
    (place / "state").symlink_to(place / "disk")
    store = ItemStore(place / "state", "stage")
    with store.create("key") as slot:
        (slot / "file").write_text("new")
    return store.get("key") is not None and (place / "disk" / "stage" / "key" / "file").is_file()


def _store_points_nowhere(place: Path) -> bool:
    (place / "state").symlink_to(place / "state")
    return _refused(lambda: ItemStore(place / "state", "stage"))


def _refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except InputError:
        return True
    return False


def _loops(place: Path) -> bool:
    """A loop where an input should be is an input that is not there."""
    loop = place / "loop"
    loop.symlink_to(loop)
    return all(
        _refused(attempt)
        for attempt in (
            lambda: read_rgb(loop),
            lambda: read_clip(loop),
            lambda: read_yaml(loop),
            lambda: hash_file(loop),
            lambda: import_items("generic", loop),
            lambda: import_items("table", loop),
            lambda: local_model_folder(str(loop)),
            lambda: build_study(StudyRequest(loop, {}, []), loop, place / "key.json"),
        )
    )


def _loop_of_folders(place: Path) -> bool:
    """A folder with a link to itself is walked once."""
    (place / "plots").mkdir()
    (place / "plots" / "a.csv").write_text("a\n")
    (place / "plots" / "round").symlink_to(place / "plots")
    os.symlink(place / "plots" / "b", place / "plots" / "b")
    return sum(part.files for part in digests({"whole": place})) == 1


_GROUPS: dict[str, list[Callable[[Path], bool]]] = {
    "link where an output goes, or in one that is replaced": [
        _output_is_a_link, _output_points_nowhere, _output_is_a_loop, _links_in_the_output,
        _leftover_is_a_link, _file_is_a_link, _clip_is_a_link, _slot_is_laid_out_over_a_link,
        _output_is_a_file,
    ],
    "link to an input, the store or a model's folder": [
        _linked_picture, _linked_clip, _linked_data_set, _linked_masks, _linked_weights,
        _linked_store,
    ],
    "link that leads round or nowhere": [_store_points_nowhere, _loops, _loop_of_folders],
}  # fmt: skip
_OUTCOMES = dict(
    zip(
        _GROUPS,
        ("the link went, what it pointed to stayed", "followed", "refused in one line, no hang"),
        strict=True,
    )
)
