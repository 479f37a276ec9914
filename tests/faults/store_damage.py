"""Ways in which a slot of the item store, or a checkpoint, comes to hold what was not written."""

from collections.abc import Callable
from pathlib import Path
from random import Random

from refract.pipeline.item_store import INDEX_NAME

Damage = Callable[[Path, Random], None]


def flip_bit(slot: Path, random: Random) -> None:
    """One bit of one file, as a bad disk or memory does."""
    path = random.choice(_filled(slot))
    content = bytearray(path.read_bytes())
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    _rewrite(path, bytes(content))


def truncate(slot: Path, random: Random) -> None:
    """A file that lacks its end, as after a crash of the machine."""
    path = random.choice(_filled(slot))
    content = path.read_bytes()
    _rewrite(path, content[: random.randrange(len(content))])


def zero(slot: Path, random: Random) -> None:
    """A file of the right length without content, as after a crash of the machine."""
    path = random.choice(_filled(slot))
    _rewrite(path, bytes(path.stat().st_size))


def remove(slot: Path, random: Random) -> None:
    """A file that somebody has deleted."""
    random.choice(_files(slot)).unlink()


def cut_index(slot: Path, random: Random) -> None:
    """The list of the files that lacks its end."""
    path = slot / INDEX_NAME
    content = path.read_bytes()
    _rewrite(path, content[: random.randrange(len(content) - 1)])


DAMAGES: dict[str, Damage] = {
    "a bit flipped": flip_bit,
    "truncated": truncate,
    "zeroed": zero,
    "a file missing": remove,
    "index truncated": cut_index,
}


def _files(slot: Path) -> list[Path]:
    found = (path for path in slot.rglob("*") if path.is_file() and path.name != INDEX_NAME)
    return sorted(found)


def _filled(slot: Path) -> list[Path]:
    return [path for path in _files(slot) if path.stat().st_size]


def _rewrite(path: Path, content: bytes) -> None:
    """As a new file: the present one may be shared with other worlds by hard links."""
    path.unlink()
    path.write_bytes(content)
