"""List, verify and prune the item store.

python -m refract.pipeline.store list
python -m refract.pipeline.store verify
python -m refract.pipeline.store prune --older-than 30d --max-bytes 20G
"""

import argparse
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from refract.base.atomic import TEMPORARY_PREFIX
from refract.base.errors import InputError, shorten
from refract.pipeline.item_store import INDEX_NAME, find_damage, state_root
from refract.pipeline.stage_runner import run_stage

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_ABANDONED_SECONDS = 86400.0  # a temporary directory this old belongs to no living worker


@dataclass(frozen=True)
class Slot:
    """One finished item. `used`: when it was last written or served, seconds since 1970."""

    path: Path
    bytes: int
    used: float

    @property
    def stage(self) -> str:
        return self.path.parent.name


def find_slots(root: Path) -> list[Slot]:
    """Every slot below the store's root, least recently used first."""
    slots = []
    for index in root.glob(f"*/*/{INDEX_NAME}"):
        folder = index.parent
        if not folder.name.startswith(TEMPORARY_PREFIX):
            held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            slots.append(Slot(folder, held, folder.stat().st_mtime))
    return sorted(slots, key=lambda slot: (slot.used, slot.path))


def choose_slots(
    slots: Iterable[Slot], now: float, older_than: float | None, most_bytes: int | None
) -> list[Slot]:
    """Slots to remove: unused for `older_than` seconds, then the least recent ones beyond a total.

    `slots` must be ordered least recently used first, as `find_slots` gives them.
    """
    slots = list(slots)
    gone = [slot for slot in slots if older_than is not None and now - slot.used > older_than]
    kept = [slot for slot in slots if slot not in gone]
    total = sum(slot.bytes for slot in kept)
    for slot in kept:
        if most_bytes is None or total <= most_bytes:
            break
        gone.append(slot)
        total -= slot.bytes
    return gone


def prune(root: Path, older_than: float | None, most_bytes: int | None) -> list[Slot]:
    """Remove slots by age and total, and what killed workers left; returns the removed slots."""
    now = time.time()
    for leftover in root.glob(f"*/{TEMPORARY_PREFIX}*"):
        if leftover.is_dir() and now - leftover.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(leftover)
    gone = choose_slots(find_slots(root), now, older_than, most_bytes)
    for slot in gone:
        shutil.rmtree(slot.path)
    return gone


def parse_amount(text: str, units: dict[str, int], what: str) -> int:
    """`30d` or `20G` as seconds or bytes; InputError with the allowed units otherwise."""
    match = re.fullmatch(r"(\d{1,12})([A-Za-z]?)", text)
    if match is None or match[2] not in units:
        raise InputError(
            f"{what} {shorten(text)}: must be a whole number and one of "
            f"{', '.join(unit or 'no unit' for unit in units)}"
        )
    return int(match[1]) * units[match[2]]


def _list(root: Path) -> None:
    slots = find_slots(root)
    for slot in slots:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(slot.used))
        print(f"{slot.stage:<20} {slot.path.name[:16]} {slot.bytes:>12} bytes  used {used}")
    print(f"{len(slots)} slots, {sum(slot.bytes for slot in slots)} bytes in {root}")


def _verify(root: Path) -> None:
    slots = find_slots(root)
    damaged = [
        (slot, damage) for slot in slots if (damage := find_damage(slot.path, contents=True))
    ]
    for slot, damage in damaged:
        print(f"{slot.path}: {damage}")
    print(f"{len(slots)} slots, {len(damaged)} damaged (computed again when asked for)")
    if damaged:
        sys.exit(1)


def _prune(root: Path, older_than: str | None, max_bytes: str | None) -> None:
    if older_than is None and max_bytes is None:
        raise InputError("prune: give --older-than or --max-bytes")
    seconds = None if older_than is None else parse_amount(older_than, _SECONDS, "--older-than")
    most = None if max_bytes is None else parse_amount(max_bytes, _BYTES, "--max-bytes")
    gone = prune(root, seconds, most)
    print(f"removed {len(gone)} slots, {sum(slot.bytes for slot in gone)} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, help="default: $REFRACT_STATE or .state")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="print every slot, least recently used first")
    commands.add_parser("verify", help="compare every file with its sha256")
    pruning = commands.add_parser("prune", help="remove slots by age, then by total")
    pruning.add_argument("--older-than", help="unused for longer than this: 12h, 30d, 8w")
    pruning.add_argument("--max-bytes", help="least recently used ones beyond this: 500M, 20G")
    arguments = parser.parse_args()
    root = arguments.root or state_root()
    if arguments.command == "prune":
        _prune(root, arguments.older_than, arguments.max_bytes)
    else:
        commands_by_name: dict[str, Callable[[Path], None]] = {"list": _list, "verify": _verify}
        commands_by_name[arguments.command](root)


if __name__ == "__main__":
    run_stage("store", main)
