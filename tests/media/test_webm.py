from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from refract.media.clip_facts import clip_facts
from refract.media.video_io import read_clip
from refract.media.webm import write_webm


@pytest.mark.parametrize("effort", ["quick", "fine"])
@pytest.mark.parametrize(("width", "enlarge"), [(33, 2), (301, 1)])  # both odd
def test_webm_keeps_frames_rate_and_odd_sizes(
    tmp_path: Path, effort: Literal["quick", "fine"], width: int, enlarge: int
) -> None:
    generator = np.random.default_rng(0)
    colours = generator.integers(0, 256, (3, 3), np.uint8)
    frames = np.broadcast_to(colours[:, None, None], (3, 257, width, 3))
    for name in ("a.webm", "b.webm"):
        write_webm(tmp_path / name, iter(frames), 8.0, effort, enlarge)
    assert (tmp_path / "a.webm").read_bytes() == (tmp_path / "b.webm").read_bytes()
    assert clip_facts(tmp_path / "a.webm").coded_size == (width * enlarge, 257 * enlarge)
    clip = read_clip(tmp_path / "a.webm")
    assert len(clip.frames) == 3
    assert clip.fps == 8
    assert np.abs(clip.frames[:, 9, 9].astype(int) - colours).max() < 12
