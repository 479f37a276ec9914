"""Full and read-only disks; damaged slots, caches and checkpoints; slots of another version."""

import errno
import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from refract.base.atomic import TEMPORARY_PREFIX
from refract.pipeline.item_store import find_damage, hash_file, write_index
from refract.pipeline.store import find_slots
from tests.faults.dvc_disk import full_cache
from tests.faults.row import Row
from tests.faults.store_damage import DAMAGES, flip_bit, truncate
from tests.faults.tiny_disk import PAGE, can_mount, pages, tiny_disk
from tests.stage_process import Done, ModuleProcess, run_module
from tests.tiny.world import OUTPUTS, STAGES, World, sound_world

TITLE = "Full disks, damaged stores"
# Which stage asks a store, and the stores without which it does.
_ASKED_BY: dict[str, tuple[str, tuple[str, ...]]] = {
    "prepare_triptychs": ("prepare_triptychs", ()),
    "train_ir_adapter": ("train_ir_adapter", ()),
    "ir_latents": ("train_ir_adapter", ("train_ir_adapter",)),
    "ir_text": ("train_ir_adapter", ("train_ir_adapter",)),
    "infer_ir": ("infer_ir", ()),
    "extract_ref_banks": ("extract_ref_banks", ()),
    "video_text": ("flowalign_edit", ("flowalign_edit",)),
    "flowalign_edit": ("flowalign_edit", ()),
    "evaluate": ("evaluate", ()),
    "report": ("evaluate", ()),
}
_SHORT_STAGES = ("prepare_triptychs", "infer_ir")
_SHORT_STORES = ("prepare_triptychs", "infer_ir", "ir_text")
_MOMENTS = 3  # fillings of a disk a stage
_SHORT_FILE = 3500  # bytes; each stage has a longer one to write, and a shorter log

logger = logging.getLogger(__name__)


def run(seed: int, long: bool) -> list[Row]:
    """Every stage on a disk that fills up, and every store damaged in every way."""
    random = Random(seed)
    with tempfile.TemporaryDirectory(prefix="refract-storage-") as name:
        home = Path(name)
        trial = Trial(home, sound_world(home / "sound"), random)
        stages = STAGES if long else _SHORT_STAGES
        stores = tuple(_ASKED_BY) if long else _SHORT_STORES
        damages = tuple(DAMAGES) if long else ("a bit flipped", "truncated")
        rows = list(trial.disks(stages, _MOMENTS if long else 1))
        if long and can_mount(home):
            rows.append(full_cache(home / "dvc", random, 2))
        rows.append(trial.file_sizes(stages))
        rows += [trial.slots(damage, stores, 3 if long else 1) for damage in damages]
        rows.append(trial.other_versions(stages))
        rows.append(trial.checkpoints(tuple(DAMAGES) if long else ("a bit flipped", "truncated")))
    return rows


class Trial:
    """Copies of a sound world in which something is wrong; each counts what was lost."""

    def __init__(self, home: Path, sound: World, random: Random) -> None:
        self.home, self.sound, self.random = home, sound, random
        self._number = 0

    def disks(self, stages: tuple[str, ...], moments: int) -> Iterator[Row]:
        """Outputs and store of each stage on a disk that is full or read-only."""
        if not can_mount(self.home):
            yield Row("full and read-only disks", 0, "left out: mounting them takes root", 0)
            return
        for part, what in (("out", "its outputs"), ("state", "the item store")):
            full = [self._full(stage, part) for stage in stages for _ in range(moments)]
            yield Row(
                f"the disk of {what} full, each stage", len(full),
                "one line and exit 1; nothing half; with space the same bytes", sum(full),
            )  # fmt: skip
            protected = [self._protected(stage, part) for stage in stages]
            yield Row(
                f"the disk of {what} read-only, each stage", len(protected),
                "one line and exit 2; once writable the same bytes", sum(protected),
            )  # fmt: skip

    def file_sizes(self, stages: tuple[str, ...]) -> Row:
        """Each stage where no file may get as long as one of its own (`ulimit -f`)."""
        lost = [self._limited(stage) for stage in stages]
        return Row(
            "a limit on the length of files, each stage", len(lost),
            "one line and exit 1; nothing half; without it the same bytes", sum(lost),
        )  # fmt: skip

    def slots(self, damage: str, stores: tuple[str, ...], times: int) -> Row:
        """A slot of each store damaged."""
        lost = [self._slot(damage, store) for store in stores for _ in range(times)]
        outcome = "said, computed again, the same bytes"
        return Row(f"a slot of the store: {damage}", len(lost), outcome, sum(lost))

    def other_versions(self, stages: tuple[str, ...]) -> Row:
        """Stores filled under the key format of another version, with wrong content."""
        lost = [self._other_version(stage) for stage in stages]
        return Row(
            "slots of another version of the key", len(lost), "not used, the same bytes", sum(lost)
        )

    def checkpoints(self, damages: tuple[str, ...]) -> Row:
        """The checkpoint of a killed training damaged, or half-written."""
        trained = self._world()
        trained.set("ir_adapter.steps", "4")
        trained.set("ir_adapter.checkpoint_every", "1")
        interrupted = trained.copy_to(self.home / "interrupted", empty_store=True)
        _interrupt_training(interrupted)
        _remove_outputs(trained, "train_ir_adapter")
        trained.run("train_ir_adapter")
        lost = [self._checkpoint(interrupted, trained, damage) for damage in (*damages, "half")]
        return Row(
            "a checkpoint damaged or half-written", len(lost),
            "said, trained from the start (half-written: from the one before), the same bytes",
            sum(lost),
        )  # fmt: skip

    def _full(self, stage: str, part: str) -> int:
        world = self._world(stage)
        needed = _pages(self.sound, stage, part)
        with tiny_disk(world.path(part)) as disk:
            disk.fill(self.random.randrange(max(1, needed // 2)) * PAGE)
            failed = world.run(stage)
            clean = self._said(failed, 1, errno.ENOSPC) and _nothing_half(world, stage)
            disk.empty()
            return self._judge(f"{stage}, full {part}", clean, world, stage, failed)

    def _protected(self, stage: str, part: str) -> int:
        world = self._world(stage)
        with tiny_disk(world.path(part)) as disk:
            disk.write_protect(True)
            failed = world.run(stage)
            clean = self._said(failed, 2, errno.EROFS) and _nothing_half(world, stage)
            disk.write_protect(False)
            return self._judge(f"{stage}, read-only {part}", clean, world, stage, failed)

    def _limited(self, stage: str) -> int:
        world = self._world(stage)
        failed = world.run(stage, file_bytes=_SHORT_FILE)
        clean = self._said(failed, 1, errno.EFBIG) and _nothing_half(world, stage)
        return self._judge(f"{stage}, short files", clean, world, stage, failed)

    def _slot(self, damage: str, store: str) -> int:
        stage, without = _ASKED_BY[store]
        world = self._world()
        _remove_outputs(world, stage)
        for name in without:
            shutil.rmtree(world.path("state") / name)
        slots = [slot.path for slot in find_slots(world.path("state")) if slot.stage == store]
        slot = self.random.choice(slots)
        DAMAGES[damage](slot, self.random)
        done = world.run(stage)
        clean = done.returncode == 0 and f"slot {slot} is damaged" in done.stderr
        clean &= find_damage(slot, contents=True) is None
        return self._loss(f"{store}, {damage}", clean and _same(world, self.sound, stage), done)

    def _other_version(self, stage: str) -> int:
        world = self._world(stage)
        arguments = (f"stages.{stage}", *world.arguments(stage))
        run_module("tests.faults.other_version", *arguments, cwd=world.folder, env=world.env)
        _remove_outputs(world, stage)
        for slot in find_slots(world.path("state")):
            flip_bit(slot.path, self.random)
            write_index(slot.path)
        return self._judge(f"{stage}, another version", True, world, stage, None)

    def _checkpoint(self, interrupted: World, trained: World, damage: str) -> int:
        world = interrupted.copy_to(self._folder())
        (newest,) = world.path("state").glob("checkpoints/*/step_*")
        if damage == "half":
            half = newest.with_name(f"{TEMPORARY_PREFIX}0123456789ab-step_00000003")
            shutil.copytree(newest, half)
            truncate(half, self.random)
        else:
            DAMAGES[damage](newest, self.random)
        done = world.run("train_ir_adapter")
        said = "resuming after step" if damage == "half" else f"{newest} is damaged"
        clean = done.returncode == 0 and said in done.stderr
        clean &= not list(world.path("state").glob(f"checkpoints/*/{TEMPORARY_PREFIX}*"))
        same = _same(world, trained, "train_ir_adapter")
        return self._loss(f"checkpoint, {damage}", clean and same, done)

    def _judge(self, what: str, clean: bool, world: World, stage: str, failed: Done | None) -> int:
        """Run the stage again, which must now give the sound outputs."""
        again = world.run(stage)
        clean &= again.returncode == 0 and _same(world, self.sound, stage)
        return self._loss(what, clean, failed or again)

    def _loss(self, what: str, clean: bool, done: Done) -> int:
        if not clean:
            logger.warning("%s: exit %s\n%s", what, done.returncode, done.stderr[-2000:])
        return int(not clean)

    def _said(self, done: Done, code: int, number: int) -> bool:
        """Whether it ended with this exit code and one line that says why."""
        lines = [line for line in done.stderr.splitlines() if ": error: " in line]
        told = len(lines) == 1 and os.strerror(number) in lines[0]
        return done.returncode == code and told and "Traceback" not in done.stderr

    def _world(self, stage: str | None = None) -> World:
        """A copy; for a `stage`, without its outputs and with an empty store."""
        world = self.sound.copy_to(self._folder(), empty_store=stage is not None)
        if stage is not None:
            world.path("state").mkdir()
            _remove_outputs(world, stage)
        return world

    def _folder(self) -> Path:
        self._number += 1
        return self.home / f"world_{self._number}"


def _interrupt_training(world: World) -> None:
    """Kill the training after its second checkpoint."""
    _remove_outputs(world, "train_ir_adapter")
    stage = "stages.train_ir_adapter"
    arguments = world.arguments("train_ir_adapter")
    process = ModuleProcess(stage, *arguments, cwd=world.folder, env=world.env)
    while not list(world.path("state").glob("checkpoints/*/step_0000000[2-4]")):
        if process.poll() is not None:
            raise RuntimeError(f"the training ended by itself, with {process.poll()}")
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def _outputs(world: World, stage: str) -> dict[str, str]:
    folders = [world.out(name) for name in OUTPUTS[stage]]
    files = [path for folder in folders for path in _files(folder)]
    return {path.relative_to(world.folder).as_posix(): hash_file(path) for path in files}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _same(world: World, sound: World, stage: str) -> bool:
    expected = _outputs(sound, stage)
    return bool(expected) and _outputs(world, stage) == expected


def _remove_outputs(world: World, stage: str) -> None:
    """As DVC does before a stage."""
    for name in OUTPUTS[stage]:
        shutil.rmtree(world.out(name), ignore_errors=True)


def _nothing_half(world: World, stage: str) -> bool:
    """Whether there is no output, and no temporary file. `evaluate` may have finished one of its
    three: each is whole or absent."""
    whole = {name: _files(world.out(name)) for name in OUTPUTS[stage]}
    found = [path for part in ("out", "state") for path in world.path(part).rglob("*")]
    left = [path for path in found if TEMPORARY_PREFIX in path.name]
    return not left and (stage == "evaluate" or not any(whole.values()))


def _pages(world: World, stage: str, part: str) -> int:
    """What a stage writes there, in pages."""
    folders = [world.out(name) for name in OUTPUTS[stage]]
    if part == "state":
        folders = [world.path("state") / stage]
    return sum(map(pages, folders))
