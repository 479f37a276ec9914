"""DVC's own cache on a disk that runs full."""

import errno
import logging
import os
import shutil
from pathlib import Path
from random import Random

from refract.pipeline.repair import repair
from tests.faults.row import Row
from tests.faults.tiny_disk import PAGE, pages, tiny_disk
from tests.faults.tiny_pipeline import STAGES, TinyPipeline

_CACHE = ".dvc/cache"

logger = logging.getLogger(__name__)


def full_cache(home: Path, random: Random, times: int) -> Row:
    """`dvc repro` with room for a part of what it would keep, and once more with room for all."""
    fresh = TinyPipeline.create(home / "fresh")
    sound = fresh.copy_to(home / "sound")
    sound.dvc("repro", STAGES[-1])
    expected, kept = sound.outputs(), pages(sound.folder / _CACHE)
    lost = 0
    for number in range(times):
        pipeline = fresh.copy_to(home / f"full_{number}")
        lost += not _finishes(pipeline, random.randrange(kept // 3), expected)
    outcome = "DVC says so; with space and `dvc commit` the same bytes, in the cache too"
    return Row("the disk of DVC's cache full", times, outcome, lost)


def _finishes(pipeline: TinyPipeline, free: int, expected: dict[str, str]) -> bool:
    """Whether all is there in the end, in the cache too.

    DVC may take an output for kept that is not, and end with 0; `dvc commit` then keeps it.
    """
    (pipeline.folder / _CACHE).mkdir(parents=True)
    with tiny_disk(pipeline.folder / _CACHE) as disk:
        disk.fill(free * PAGE)
        pipeline.start("repro", STAGES[-1]).wait()
        said = pipeline.log.read_text()
        disk.empty()
        repair(pipeline.folder, patience=0)
        pipeline.dvc("repro", STAGES[-1])
        whole = pipeline.outputs() == expected and not pipeline.left_overs()
        pipeline.dvc("commit", "--force")
        shutil.rmtree(pipeline.folder / "out")  # metrics are git's
        pipeline.dvc("checkout")
        kept = pipeline.outputs() == expected
    clean = os.strerror(errno.ENOSPC) in said and whole and kept
    if not clean:
        logger.warning("%d pages: whole %s, kept %s\n%s", free, whole, kept, said[-2000:])
    return clean
