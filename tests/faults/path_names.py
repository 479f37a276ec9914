"""Names that would like to write elsewhere, through every way by which a name becomes a file."""

import csv
import json
import logging
import random
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow
import pyarrow.parquet
from dvc.repo import Repo
from PIL import Image

from refract.base.errors import InputError
from refract.experiments.ablation.grids import load_grids
from refract.experiments.compare.revisions import find_revision
from refract.infrared.inference.scenes import user_scenes
from refract.params.cases import load_cases
from refract.triptychs.layouts.registry import import_items
from refract.triptychs.panels.manifest import TriptychRow, read_manifest
from refract.user_study.building import clip_path
from tests.faults.row import Row

ROOT = Path(__file__).parents[2]
FIXED = (
    "../x", "../../x", "/abs", "a/b", "a\\b", "..\\x", ".", "..", "", " ", "-", "--force", "-rf",
    "info.json", ".index.json", ".tmp-0123456789ab-x", "baselines", "manifest.csv", "a" * 300,
    "x\0y", "x\ny", "x\ry", "\u202eevil", "\ud800", "․․／x", "%2e%2e%2fx", "~root", "$HOME",
    "$(touch x)", "`touch x`", "x;touch y", "CON", "name.", "ﬁle", "a\u0301", "*", "x|y", "file:x",
)  # fmt: skip
_PARTS = (
    "..", ".", "/", "\\", "a", "B", "\0", "\n", " ", "-", "é", "e\u0301", "\u202e", "／", "~",
    "%2f", "\ud800", "x" * 120, "info.json", "$x", "`", "'", '"', "&", "<b>", "\u2028", "🎈",
)  # fmt: skip


def run_names(seed: int, long: bool) -> list[Row]:
    """A row a way that names take; a loss is a file of an accepted name outside its folder."""
    draw, count = random.Random(seed), 500 if long else 20
    names = [*FIXED, *("".join(draw.choices(_PARTS, k=draw.randint(1, 5))) for _ in range(count))]
    logging.disable(logging.WARNING)
    try:
        rows = [_row(way, attempt, names) for way, attempt in _WAYS.items()]
        with TemporaryDirectory() as place:
            return [*rows, _twins(Path(place))]
    finally:
        logging.disable(logging.NOTSET)
        while _OPENED:
            _OPENED.pop().close()


def _row(way: str, attempt: Callable[[str, Path], Path | None], names: list[str]) -> Row:
    """Every name in a folder of its own, whose surroundings must stay as they are."""
    refused = outside = told = 0
    for name in names:
        with TemporaryDirectory() as place:
            folder = Path(place, "around", "folder")
            folder.mkdir(parents=True)
            try:
                written = attempt(name, folder)
            except InputError as error:
                refused += 1
                told += "\n" not in str(error)
                written = None
            around = {path.name for path in (*Path(place).iterdir(), *folder.parent.iterdir())}
            leads_out = written is not None and not _within(written, folder)
            outside += leads_out or around != {"around", "folder"}
    kept = len(names) - refused
    outcome = f"{refused} refused in one line, {kept} kept to their folder"
    return Row(f"hostile name as {way}", len(names), outcome, outside + refused - told)


def _within(path: Path, folder: Path) -> bool:
    """Whether a file of this name can be made, right in `folder`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        return path.resolve().is_relative_to(folder.resolve()) and path.name in {
            found.name for found in folder.rglob("*")
        }
    except (OSError, ValueError):
        return False


def _case_id(name: str, folder: Path) -> Path:
    case = {"video": "v.mp4", "source_prompt": "a cup", "target_prompt": "a red cup"}
    path = folder / "cases.yaml"
    path.write_text(json.dumps({"cases": {name: case}}))  # JSON is YAML
    (only,) = load_cases(path)
    return folder / f"{only}.safetensors"


def _manifest_id(name: str, folder: Path) -> Path:
    row = TriptychRow(name, "test", "v.png", "i.png", "", "c", "day", "s")
    names = list(TriptychRow.__dataclass_fields__)
    with (folder / "manifest.csv").open("w", newline="", errors="surrogatepass") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerow(vars(row))
    (folder / "test").mkdir()
    try:  # what the row names is there, wherever that is
        row.path(folder).touch()
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: no such name on this system") from error
    try:
        (read,) = read_manifest(folder, "test")
    except InputError:
        if not row.path(folder).resolve().is_relative_to(folder.resolve()):
            row.path(folder).unlink()  # this test's own
        raise
    return folder / "adapter" / f"{read.id}.png"


def _table_cell(name: str, folder: Path) -> Path:
    """The name inside a parquet file of the picture that a cell holds."""
    source = folder / "source"
    source.mkdir()
    Image.new("RGB", (8, 8)).save(source / "v.png")
    picture = (source / "v.png").read_bytes()
    try:
        cell = pyarrow.array([{"bytes": picture, "path": name}])
    except UnicodeEncodeError as error:
        raise InputError(f"{folder}: no text that parquet could hold") from error
    table = pyarrow.table({"src_img": cell, "edited_img": cell})
    pyarrow.parquet.write_table(table, source / "t.parquet")
    (item,) = import_items("table", source)
    return folder / "train" / f"{item.id}.png"


def _folder_of(name: str, folder: Path) -> Path:
    source = folder / "source"
    source.mkdir()
    try:
        Image.new("RGB", (8, 8)).save(source / f"{name}.png")
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: no such name on this system") from error
    if not list(source.iterdir()):  # written beside it by this test itself
        for path in folder.parent.glob("*.png"):
            path.unlink()
        raise InputError(f"{folder}: no name of a file in a folder")
    return source


def _own_picture(name: str, folder: Path) -> Path:
    (scene,) = user_scenes(_folder_of(name, folder), "a prompt")
    return folder / "input" / f"{scene.id}.png"


def _source_file(name: str, folder: Path) -> Path:
    source = _folder_of(name, folder)
    for kind in ("visible", "infrared"):
        (source / kind).mkdir()
        (path,) = source.glob("*.png") if kind == "infrared" else list(source.glob("*.png"))
        Image.new("RGB", (8, 8)).save(source / kind / path.name)
    (item,) = import_items("generic", source)
    return folder / "train" / f"{item.id}.png"


def _method(name: str, folder: Path) -> Path:
    return clip_path(folder, "case", name)


def _sweep(name: str, folder: Path) -> Path:
    """As the name of a sweep, which names its folder, and as a point's label."""
    grid = {
        "title": "t", "about": "a", "half": "edit", "axis": {"name": "x", "kind": "categorical"},
        "common": {}, "points": {name: {"ref_strength": 0.5}},
    }  # fmt: skip
    path = folder / "ablations.yaml"
    path.write_text(json.dumps({"grids": {name: grid}}))
    (only,) = load_grids(path, ROOT / "params.yaml")
    return folder / only / "points.json"


def _experiment(name: str, folder: Path) -> Path | None:
    """As an experiment to compare: git and DVC get it as a name, never as an option."""
    revision = find_revision(_repository(), name)
    if revision.sha is not None and not revision.sha.isalnum():
        return folder.parent / "an option"
    return None


_OPENED: list[Repo] = []


def _repository() -> Repo:
    if not _OPENED:
        _OPENED.append(Repo(str(ROOT)))
    return _OPENED[0]


_WAYS: dict[str, Callable[[str, Path], Path | None]] = {
    "case id": _case_id,
    "id in manifest.csv": _manifest_id,
    "picture's name in a parquet table": _table_cell,
    "file of infer_ir.input": _own_picture,
    "file of a data set": _source_file,
    "clip of the user study": _method,
    "sweep and point of ablations.yaml": _sweep,
    "experiment of refract.experiments.compare": _experiment,
}


def _twins(place: Path) -> Row:
    """Names that some file systems take for one: no second file may replace the first."""
    pairs = [("a", "A"), ("é", "e\u0301"), ("ß", "ss"), ("İx", "i̇x")]
    merged = 0
    for number, pair in enumerate(pairs):
        folder = place / str(number)
        for kind in ("visible", "infrared"):
            (folder / kind).mkdir(parents=True)
            for name in pair:
                Image.new("RGB", (8, 8)).save(folder / kind / f"{name}.png")
        try:
            import_items("generic", folder)
        except InputError:
            continue
        merged += 1
    return Row("two names that differ in case or accents' form", len(pairs), "refused", merged)
