"""What flowalign_edit wrote for a case, and the photo and masks it is judged by, as files.

Nothing is decoded here: what has been measured before is known by the files' digests alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any, get_args

from refract.base.errors import InputError
from refract.editing.cases.outputs import BASELINES_FOLDER, CURVE_FOLDER
from refract.editing.reference.photo import find_reference_photo
from refract.evaluation.edits.parts import Part
from refract.evaluation.variants import (
    FROZEN,
    PASTED,
    PASTED_FRAME,
    PASTED_TRACKED,
    PLAIN,
    RESULT,
    SOURCE,
    edit_to_freeze,
    strength_key,
)
from refract.media.image_reading import is_picture
from refract.media.salient_object import network_digest
from refract.params.cases import INFRARED_REFERENCE, Case
from refract.params.flowalign import BaselineSampler
from refract.pipeline.item_store import hash_file, hash_files


@dataclass(frozen=True)
class CaseFiles:
    """clips: variant -> clip, of these parts. photo: of the product; None where there is none.

    network: the file of the salient-object network that tells the bank's product, if one does.
    """

    name: str
    case: Case
    parts: tuple[Part, ...]
    clips: Mapping[str, Path]
    photo: Path | None
    dilate_px: int
    network: Path | None = None

    @property
    def masks(self) -> dict[str, Path]:
        """Folders of masks by kind: where the product shall be, and where the old one was."""
        given = {"target": self.case.target_mask, "source": self.case.source_mask}
        return {kind: Path(folder) for kind, folder in given.items() if folder is not None}

    @property
    def has_whole_photo(self) -> bool:
        """Whether the photo is a whole frame, which has no backdrop to tell the product from."""
        return self.case.target_image == INFRARED_REFERENCE

    @property
    def variants(self) -> list[str]:
        """All that is measured: the clips, then the cheats their case allows.

        Whether a photo shows where its product is, which two of them need, it alone can tell.
        """
        cheats = [FROZEN] + ([] if self.photo is None else [PASTED_FRAME])
        if self.photo is not None and self.masks:
            cheats += [PASTED, PASTED_TRACKED]
        return [*self.clips, *cheats]

    def facts(self, variant: str, part: Part) -> tuple[dict[str, Any], dict[str, str]]:
        """What measures of a part depend on beside code and models: settings and digests."""
        settings = {
            "part": part,
            "cheat": None if variant in self.clips else variant,
            "prompt": self.case.target_prompt,
            "dilate_px": self.dilate_px,
            "whole_photo": self.has_whole_photo,
        }
        made_of = edit_to_freeze(self.clips) if variant == FROZEN else variant
        clip = {"clip": self.digests[made_of]} if made_of in self.clips else {}
        return settings, self._held_against | clip

    @cached_property
    def digests(self) -> dict[str, str]:
        """sha256 of each clip's file."""
        return {variant: hash_file(path) for variant, path in self.clips.items()}

    @cached_property
    def _held_against(self) -> dict[str, str]:
        digests = {"source": self.digests[SOURCE]}
        if self.photo is not None:
            digests["photo"] = hash_file(self.photo)
        if self.case.target_image_mask is not None:
            digests["photo_mask"] = hash_file(Path(self.case.target_image_mask))
        if self.network is not None:
            digests["foreground_model"] = network_digest(self.network)
        if not self.masks:  # then the region is found by it
            digests["plain"] = self.digests[PLAIN]
        for kind, folder in self.masks.items():
            digests[f"{kind}_mask"] = hash_files(filter(is_picture, sorted(folder.glob("*"))))
        return digests


def find_case_files(
    name: str,
    case: Case,
    parts: tuple[Part, ...],
    edits: Path,
    dilate_px: int,
    banks: Path | None = None,
    network: Path | None = None,
) -> CaseFiles:
    """The files of a case; baselines by other samplers where the edit made them.

    Raises InputError: a clip is missing or misnamed.
    """
    folder = edits / name
    clips = {variant: folder / f"{variant}.mkv" for variant in (SOURCE, PLAIN, RESULT)}
    for path in clips.values():
        if not path.is_file():
            raise InputError(f"{path}: missing; flowalign_edit must write it for every case")
    clips |= {strength_key(strength): path for strength, path in curve_clips(folder)}
    for sampler in get_args(BaselineSampler):
        if (path := folder / BASELINES_FOLDER / f"{sampler}.mkv").is_file():
            clips[sampler] = path
    photo = find_reference_photo(name, case, banks)
    return CaseFiles(name, case, parts, clips, photo, dilate_px, network)


def curve_strengths(edits: Path) -> list[float]:
    """The reference strengths rendered for the curve, read off the file names of all cases."""
    return sorted({s for folder in edits.glob("*/") for s, _ in curve_clips(folder)})


def curve_clips(case: Path) -> list[tuple[float, Path]]:
    """(reference strength, clip) of a case's curve in rising order; 0.3.mkv is of 0.3.

    Raises InputError: a clip with another name.
    """
    clips = []
    for path in (case / CURVE_FOLDER).glob("*.mkv"):
        try:
            strength = float(path.stem)
        except ValueError:
            strength = -1.0
        if not 0 <= strength < inf:
            raise InputError(f"{path}: not named by a reference strength, such as 0.3.mkv")
        clips.append((strength, path))
    return sorted(clips)
