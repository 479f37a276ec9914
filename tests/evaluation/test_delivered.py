"""The deliverable's measures against figures of other hands."""

from math import isnan
from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from refract.editing.deliver.final_clip import read_weights, write_final
from refract.editing.deliver.outputs import FINAL_CLIP, REGION_CLIP
from refract.editing.deliver.replaced_region import EditedShot
from refract.evaluation.edits.delivered import (
    DELIVERED_METRICS,
    delivered_scores,
    measure_delivered,
)
from refract.media.video_io import read_frames, write_frames
from refract.params.deliver import Deliver
from refract.pipeline.item_store import ItemStore
from tests.tiny.clips import ffmpeg

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=8:d=1")
SOUND = ("-f", "lavfi", "-i", "sine=440:d=1", "-f", "lavfi", "-i", "sine=660:d=1")
CODEC = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "5")
BOX = (slice(0, 16), slice(0, 32))
SETTINGS = Deliver(final=True, composite=True, feather=0.0, quality=20)


def _delivered(folder: Path, template: Path) -> Path:
    """Frames 2 and 3 of 8 get a white box of 16 x 32 pixels."""
    shot = EditedShot(2, folder / "source.mkv", folder / "edit.mkv")
    sources = [frame.pixels for frame in read_frames(template, first=2, count=2)]
    edits = [source.copy() for source in sources]
    for edit in edits:
        edit[BOX] = 255
    write_frames(shot.source, sources, 8, "lossless")
    write_frames(shot.edit, edits, 8, "lossless")
    write_final(folder, template, [shot], SETTINGS)
    return folder


def test_what_was_kept_is_measured_where_nothing_was_replaced(tmp_path: Path) -> None:
    template = ffmpeg(tmp_path / "template.mp4", *PICTURE, *CODEC)
    folder = _delivered(tmp_path, template)
    store = ItemStore(tmp_path / "state", "evaluate")
    scores = delivered_scores(folder, template, None, store)
    assert scores.keys() == DELIVERED_METRICS.keys()
    assert isnan(scores["delivered.sound_kept"])  # there is none
    assert scores["delivered.duration_error"] == scores["delivered.frame_error"] == 0
    # 2 of 8 frames; the box is found with the 2 px or so that its change is smoothed over
    assert 2 / 8 / 6 <= scores["delivered.replaced_share"] <= 2 / 8 * (20 * 36) / (48 * 64)
    planes = [
        np.stack([frame.pixels for frame in read_frames(path, layout="yuv")])
        for path in (template, folder / FINAL_CLIP)
    ]
    shown = np.stack(list(read_weights(folder / REGION_CLIP))) > 0
    quads = shown.reshape(8, 24, 2, 32, 2).any((2, 4)).reshape(8, -1)
    kept = ~np.concatenate([shown.reshape(8, -1), quads, quads], 1).reshape(planes[0].shape)
    expected = peak_signal_noise_ratio(*(clip[kept] for clip in planes), data_range=255)
    assert scores["delivered.background_psnr"] == pytest.approx(expected, abs=1e-6)
    assert delivered_scores(folder, template, None, store) == pytest.approx(scores, nan_ok=True)
    assert store.computed == 1


def test_what_an_export_loses_is_told(tmp_path: Path) -> None:
    """One of two sounds, half a second and its frames, and the light that was there."""
    maps = ("-map", "0", "-map", "1", "-map", "2")
    template = ffmpeg(tmp_path / "template.mp4", *PICTURE, *SOUND, *maps, *CODEC)
    folder = _delivered(tmp_path, template)
    final, region = folder / FINAL_CLIP, folder / REGION_CLIP
    assert measure_delivered(template, final, region, None)["delivered.sound_kept"] == 1
    lost = ("-vf", "trim=end_frame=4,lutyuv=y=val+20")
    worse = ffmpeg(tmp_path / "worse.mp4", *PICTURE, *SOUND[4:], *lost, *CODEC)
    scores = measure_delivered(template, worse, region, None)
    assert scores["delivered.sound_kept"] == 0.5
    assert scores["delivered.duration_error"] == pytest.approx(0.5, abs=1e-3)
    assert scores["delivered.frame_error"] == 4
    assert 22 < scores["delivered.background_psnr"] < 27  # of 20 levels in Y alone it would be 23.9
