"""Gather curves, figures and sheets of the last recipe runs into backbones/report.

    python -m backbones.report [--runs backbones/runs] [--output backbones/report]

What a run has not made is left as it is in the report and named in the log. Sheets are stored as
JPEG, so that the repository stays small.
"""

import argparse
import logging
from pathlib import Path

from PIL import Image

log = logging.getLogger("report")

_CURVES = {
    "image_vae": "image/vae_curve.csv",
    "image_base": "image/fill_curve.csv",
    "video_vae": "video/vae/curve.csv",
    "text_to_video_unprompted": "video/t2v_unprompted/curve.csv",
    "text_to_video": "video/t2v/curve.csv",
    "reader": "video/reader/curve.csv",
    "clip": "clip/curve.csv",
}
_FIGURES = {
    "image_vae": "image/vae/figures.json",
    "image_base": "image/fill/figures.json",
    "video_vae": "video/vae/figures.json",
    "reader": "video/reader/figures.json",
    "samples": "video/samples.json",
    "edits": "video/edits.json",
    "clip": "clip/figures.json",
}
_SHEETS = {
    "image_vae": "image/vae/sheet.jpg",
    "image_base": "image/fill/samples.jpg",
    "video_vae": "video/vae/sheet.png",
    "samples": "video/samples.png",
    "edits": "video/edits.png",
}
_WIDEST_PX = 1400
_JPEG_QUALITY = 80


def gather(runs: Path, output: Path) -> list[str]:
    """Copy what is there; returns what is not, as paths below `runs`."""
    missing = []
    for folder, files, ending in (
        ("curves", _CURVES, ".csv"),
        ("figures", _FIGURES, ".json"),
        ("sheets", _SHEETS, ".jpg"),
    ):
        (output / folder).mkdir(parents=True, exist_ok=True)
        for name, source in files.items():
            target = output / folder / (name + ending)
            if not (runs / source).is_file():
                missing.append(source)
            elif ending == ".jpg":
                _save_sheet(runs / source, target)
            else:
                target.write_bytes((runs / source).read_bytes())
    return missing


def _save_sheet(source: Path, target: Path) -> None:
    with Image.open(source) as sheet:
        sheet.thumbnail((_WIDEST_PX, 10 * _WIDEST_PX))
        sheet.convert("RGB").save(target, quality=_JPEG_QUALITY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("backbones/runs"))
    parser.add_argument("--output", type=Path, default=Path("backbones/report"))
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
    for source in gather(options.runs, options.output):
        log.warning("%s: not made by this run, its entry in the report is an older one", source)


if __name__ == "__main__":
    main()
