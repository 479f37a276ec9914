"""A tiny video model, clips, photos and settings for tests of the two editing stages."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from refract.editing.cases.job import EditJob
from refract.editing.cases.request import EditRequest
from refract.editing.reference.job import BankJob
from refract.editing.reference.photo import find_reference_photo
from refract.media.video_io import Clip, write_clip
from refract.params.cases import Case, with_overrides
from refract.params.edit_stage import EditParams
from refract.params.ref_bank import BankParams
from tests.tiny.wan import WORDS, save_tiny_wan

FRAMES, HEIGHT, WIDTH = 5, 32, 48


class Workshop:
    """A folder with a model and data, and the two jobs on them as the stages run them."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        section = {
            "path": str(model), "revision": None, "dtype": "float32", "max_sequence_length": WORDS
        }  # fmt: skip
        self.params: dict[str, Any] = {
            "seed": 0, "ref_strength": 1.0, "ref_timesteps": [0.3], "ref_layers": "all",
            "ref_mode": "joint", "ref_branches": "target",
            "video_model": section, "infrared_model": section,
            "ref_bank": {
                "foreground": "auto", "foreground_model": None, "pool": 1, "image_px": None,
                "infrared_steps": 2,
            },
            "flowalign": {
                "sampler": "flowalign", "steps": 4, "strength": 0.75, "guidance": 3.0,
                "source_guidance": 1.5, "negative_prompt": "", "zeta": 0.01, "shift": 1.0,
                "frames": FRAMES, "width": WIDTH, "height": HEIGHT, "frame": "auto",
                "ref_guidance": 2.0,
                "ref_rope": "before", "ref_frame_schedule": "constant", "ref_steps": [0.0, 1.0],
                "strength_curve": [0.5, 1.0],
                "window": {"frames": None, "overlap": 0},
                "region": {
                    "zeta_outside": None, "words": None, "layers": "all", "threshold": 0.5,
                },
                "baselines": {
                    "samplers": [],
                    "flowedit": {"strength": 1.0, "guidance": 2.0, "source_guidance": 1.2},
                    "sdedit": {"strength": 0.5, "guidance": 4.0},
                },
                "vace": {
                    "path": None, "revision": None, "conditioning_scale": 1.0, "dilate_px": 2,
                },
            },
            "deliver": {"final": False, "composite": True, "feather": 0.02, "quality": 12},
        }  # fmt: skip

    @property
    def banks(self) -> Path:
        return self.folder / "out" / "ref_banks"

    @property
    def edits(self) -> Path:
        return self.folder / "out" / "edits"

    def case(self, name: str, seed: int, **facts: Any) -> Case:
        """Write a clip and a photo for a case, and give the case."""
        home = self.folder / "data" / "products" / name
        write_clip(home / "video.mkv", Clip(moving_square(FRAMES, seed), 8.0), "lossless")
        photo = np.full((40, 40, 3), 220, np.uint8)
        photo[10:30, 12:28] = np.random.default_rng(seed).integers(0, 200, 3)
        Image.fromarray(photo).save(home / "product.png")
        own = {
            "video": str(home / "video.mkv"), "source_prompt": "a red mug on wood",
            "target_prompt": "a mug on wood",
        }  # fmt: skip
        return Case(**{**own, **facts})

    def set(self, section: str = "", **values: Any) -> None:
        (self.params[section] if section else self.params).update(values)

    def baselines(self, *samplers: str) -> None:
        """Render the baselines of these samplers."""
        section = self.params["flowalign"]["baselines"]
        self.set("flowalign", baselines={**section, "samplers": list(samplers)})

    def extract(self, cases: dict[str, Case], adapter: Path | None = None) -> BankJob:
        params = BankParams.model_validate(self._section(BankParams))
        job = BankJob(params, adapter)
        own = {name: (case, with_overrides(params, name, case)) for name, case in cases.items()}
        job.run(own, self.banks)
        return job

    def edit(self, cases: dict[str, Case]) -> EditJob:
        params = EditParams.model_validate(self._section(EditParams))
        requests = []
        for name, case in cases.items():
            photo = find_reference_photo(name, case, self.banks)
            bank = self.banks / f"{name}.safetensors" if photo is not None else None
            own = with_overrides(params, name, case)
            requests.append(EditRequest(name, case, own, bank, photo))
        job = EditJob(params)
        job.run(requests, self.edits)
        return job

    def _section(self, kind: Any) -> dict[str, Any]:
        return {key: value for key, value in self.params.items() if key in kind.model_fields}


def moving_square(frames: int, seed: int) -> np.ndarray:
    video = np.full((frames, HEIGHT, WIDTH, 3), 150, np.uint8)
    video[..., 2] = np.random.default_rng(seed).integers(50, 250)
    for frame in range(frames):
        video[frame, 8:24, 4 + 3 * frame : 20 + 3 * frame] = (200, 40, 40)
    return video


def tiny_model(folder: Path) -> Path:
    return save_tiny_wan(folder / "model")
