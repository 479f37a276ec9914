"""A file system of some megabytes in memory that a test can fill up or make read-only."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BYTES = 64 << 20
_BALLAST = ".ballast"
PAGE = os.sysconf("SC_PAGE_SIZE")  # what the smallest file takes


class TinyDisk:
    """A tmpfs at `path`; what stood there is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self, free: int) -> None:
        """Leave `free` bytes, a whole number of pages."""
        facts = os.statvfs(self.path)
        with (self.path / _BALLAST).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, facts.f_bavail * facts.f_frsize - free)

    def empty(self) -> None:
        """Take back what `fill` did."""
        (self.path / _BALLAST).unlink()

    def write_protect(self, on: bool) -> None:
        _run("mount", "-o", f"remount,{'ro' if on else 'rw'}", str(self.path))


@contextmanager
def tiny_disk(path: Path) -> Iterator[TinyDisk]:
    """Mount one over the folder `path`, which must exist; needs `can_mount`."""
    aside = path.with_name(f"{path.name}.under")
    path.rename(aside)
    path.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={_BYTES}", "tmpfs", str(path))
    try:
        _run("cp", "-a", f"{aside}/.", str(path))
        yield TinyDisk(path)
    finally:
        _run("umount", "--lazy", str(path))


def pages(folder: Path) -> int:
    """What the files in `folder` take on such a disk, in pages."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(-(-size // PAGE) for size in sizes)


def can_mount(folder: Path) -> bool:
    """Whether this process may mount file systems, which takes root."""
    place = folder / "may_mount"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    if mounted:
        _run("umount", str(place))
    place.rmdir()
    return mounted


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
