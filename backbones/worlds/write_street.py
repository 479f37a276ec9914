"""Write the sample data set: aligned visible, infrared and semantic images of street scenes.

python -m backbones.worlds.write_street --output data/street

Odd numbers are night scenes (…N), even ones day scenes (…D). Every scene is its own sequence.
"""

import argparse
import csv
import os
import shutil
from pathlib import Path

from PIL import Image

from backbones.image.prompts import INFRARED_PROMPT
from backbones.worlds import street

SPLITS = {"train": 240, "val": 24, "test": 48}
COLUMNS = ("file_name", "split", "daytime", "sequence", "caption")


def write_scene(folder: Path, number: int) -> dict[str, str]:
    """Write the three images of scene `number` below `folder`; returns its metadata row."""
    night = number % 2 == 1
    layout = street.street(number, night=night)
    stem = f"{number:05d}{'N' if night else 'D'}"
    # Photos are JPEG as in the public data sets; full chroma keeps thin coloured things.
    photo = folder / "visible" / f"{stem}.jpg"
    Image.fromarray(street.visible(layout)).save(photo, quality=95, subsampling=0)
    for name, image in (
        ("infrared", street.infrared(layout)),
        ("semantic", street.semantic(layout)),
    ):
        Image.fromarray(image).save(folder / name / f"{stem}.png", optimize=True)
    daytime = "night" if night else "day"
    return {
        "file_name": photo.name,
        "daytime": daytime,
        "sequence": f"street{number:05d}",
        "caption": INFRARED_PROMPT,
    }


def write_dataset(output: Path, splits: dict[str, int]) -> None:
    """Write `output`/{visible,infrared,semantic}/ and metadata.csv; replaces an older folder."""
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for name in ("visible", "infrared", "semantic"):
        (partial / name).mkdir(parents=True)
    rows, number = [], 0
    for split, count in splits.items():
        for _ in range(count):
            rows.append({"split": split} | write_scene(partial, number))
            number += 1
    with (partial / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    shutil.rmtree(output, ignore_errors=True)
    os.replace(partial, output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    write_dataset(parser.parse_args().output, SPLITS)


if __name__ == "__main__":
    main()
