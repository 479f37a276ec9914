"""What an importer finds: one scene of a data set as it lies on disk."""

from dataclasses import dataclass
from pathlib import Path

from refract.class_palette import ClassPalette


@dataclass(frozen=True)
class RawItem:
    """One scene: its source files and what is known about it."""

    id: str
    visible: Path
    infrared: Path
    semantic: Path | None
    sequence: str
    split: str | None = None
    daytime: str = "unknown"
    caption: str = ""
    palette: ClassPalette | None = None  # set: the semantic file holds ids of these classes
    white_border_px: int = 0  # a white margin of this width, on each side of every picture
