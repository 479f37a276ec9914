"""A content-addressed store of finished items, one slot directory an item.

`<root>/<stage>/<key>/` holds the files of one item; the key is a hash of everything the item
depends on. Slots are written under a temporary name and renamed, so a killed worker leaves no half
slot and two workers racing for one key do no harm. What is served is what was written, told by byte
count and modification time, and by sha256 where a file's time is another.
See `refract.pipeline.store` for listing and pruning.
"""

import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import BaseModel

from refract.base.atomic import TEMPORARY_PREFIX
from refract.base.disk_errors import storing
from refract.base.errors import InputError
from refract.base.files import refuse_special
from refract.pipeline.import_closure import hash_code

logger = logging.getLogger(__name__)

INDEX_NAME = ".index.json"
_KEY_FORMAT = 2  # raise it when the meaning of a key changes, so that older slots are not served
_YOUNG_SECONDS = 10.0  # a temporary directory may be this old and not yet locked


def state_root() -> Path:
    """`$REFRACT_STATE`, else `$DVC_ROOT/.state`, else `./.state`.

    DVC sets `$DVC_ROOT` to the main repository also in temporary and queued workspaces, so they
    share their items.
    """
    folder = os.environ.get("REFRACT_STATE")
    return Path(folder) if folder else Path(os.environ.get("DVC_ROOT", "."), ".state")


def refresh_wanted() -> bool:
    """Whether `$REFRACT_REFRESH` asks to recompute every item (`1`); unset, empty or `0` do not."""
    return os.environ.get("REFRACT_REFRESH", "") not in ("", "0")


class ItemStore:
    """The slots of one stage. `hits` and `computed` count what this instance served and made."""

    def __init__(self, root: Path, stage: str, *, refresh: bool | None = None) -> None:
        """`refresh`: ignore slots from before this instance; None asks `$REFRACT_REFRESH`."""
        self.folder = Path(root) / stage
        self.refresh = refresh_wanted() if refresh is None else refresh
        self.hits = 0
        self.computed = 0
        self._known: set[str] = set()  # keys served or made here, so that each counts once
        self._opened = time.time()
        try:
            with storing(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            remove_abandoned(self.folder)
        except OSError as error:
            raise InputError(f"item store {self.folder}: cannot be written: {error}") from error

    def key(
        self,
        *,
        params: Mapping[str, Any],
        inputs: Mapping[str, str],
        code: Sequence[Path],
        model: str | None = None,
    ) -> str:
        """sha256 over everything an item depends on.

        params: the settings it uses, JSON-like or pydantic models. inputs: logical name ->
        sha256 of the content (`hash_file`). code: source files (`import_closure.closure`), which
        count by what they say (`hash_code`), wherever they lie: every checkout shares the items.
        model: `model_identity` of what computes it.
        """
        facts = {
            "format": _KEY_FORMAT,
            "params": dict(params),
            "inputs": dict(inputs),
            "code": sorted(map(hash_code, code)),
            "model": model,
        }
        text = json.dumps(facts, sort_keys=True, allow_nan=False, default=_plain)
        return hashlib.sha256(text.encode()).hexdigest()

    def get(self, key: str) -> Path | None:
        """The slot of `key`, or None where it is missing, damaged (logged) or to be refreshed."""
        slot = self.folder / key
        if key in self._known:
            return slot
        if self.refresh or not slot.is_dir():
            return None
        if damage := find_damage(slot):
            logger.warning("item store: slot %s is damaged (%s); computing it again", slot, damage)
            return None
        with suppress(OSError):  # a store shared read-only
            os.utime(slot)  # pruning by age goes by last use
        self.hits += 1
        self._known.add(key)
        return slot

    def get_or_make(self, key: str, make: Callable[[Path], object]) -> Path:
        """The slot of `key`; where there is none, `make` fills the directory that becomes it."""
        if (slot := self.get(key)) is not None:
            return slot
        with self.create(key) as folder:
            make(folder)
        return self.folder / key

    @contextmanager
    def create(self, key: str) -> Iterator[Path]:
        """Yield an empty directory; on clean exit it becomes the slot, on an exception it goes.

        Raises what `storing` does.
        """
        temporary = self._fresh_name()
        with storing(self.folder):
            temporary.mkdir()
            with _locked(temporary):
                try:
                    yield temporary
                    write_index(temporary)
                    self._settle(temporary, self.folder / key)
                except BaseException:
                    shutil.rmtree(temporary, ignore_errors=True)
                    raise
        self.computed += 1
        self._known.add(key)

    def _settle(self, temporary: Path, slot: Path) -> None:
        """Make `temporary` the slot; a whole one that another worker has made meanwhile stays."""
        with _locked(self.folder, wait=True):  # else two workers might remove each other's
            while not _renamed(temporary, slot):
                if self._is_served(slot):
                    shutil.rmtree(temporary)
                    return
                self._remove(slot)

    def _remove(self, slot: Path) -> None:
        """Under another name, so that nobody is served what is left half-way."""
        aside = self._fresh_name()
        with suppress(FileNotFoundError):  # somebody has pruned it
            os.rename(slot, aside)
            shutil.rmtree(aside)

    def _fresh_name(self) -> Path:
        return self.folder / f"{TEMPORARY_PREFIX}{os.getpid()}-{uuid4().hex[:12]}"

    def _is_served(self, slot: Path) -> bool:
        """Whether this instance may take the slot as it is: whole, and no older than a refresh."""
        if find_damage(slot):
            return False
        return not self.refresh or (slot / INDEX_NAME).stat().st_mtime >= self._opened


def remove_abandoned(folder: Path, *, older_than: float = _YOUNG_SECONDS) -> None:
    """Remove the temporary directories of killed workers; a living worker's is locked, and stays.

    Where the file system has no locks on directories, none is removed (`store prune` does).
    """
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        with suppress(OSError):  # in use, no locks, a store shared read-only, or gone meanwhile
            if time.time() - leftover.stat().st_mtime > older_than:
                with _locked(leftover, required=True):
                    shutil.rmtree(leftover)


def _renamed(temporary: Path, slot: Path) -> bool:
    """Rename it; False where something stands there."""
    try:
        os.rename(temporary, slot)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


@contextmanager
def _locked(folder: Path, *, wait: bool = False, required: bool = False) -> Iterator[None]:
    """Hold the lock of a directory, which goes with the process that holds it.

    required: raise OSError where it cannot be had; else a file system without locks will do.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with nullcontext() if required else suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def materialise(slot: Path, target: Path) -> None:
    """Fill directory `target` (made if missing) with the files of a slot.

    Hard links where the file system allows, else copies. Slot files are read-only, so a linked
    output cannot be edited in place by accident.
    """
    for source in _files_of(slot):
        destination = target / source.relative_to(slot)
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, destination)
        except FileExistsError:
            raise
        except OSError:
            shutil.copy2(source, destination)


def write_index(folder: Path) -> None:
    """List the files of a new slot as they are now, and make them read-only."""
    files = {}
    for path in _files_of(folder):
        status = path.stat()
        files[path.relative_to(folder).as_posix()] = {
            "bytes": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "sha256": hash_file(path),
        }
        path.chmod(0o444)
    (folder / INDEX_NAME).write_text(json.dumps({"files": files}, indent=1, sort_keys=True) + "\n")


def find_damage(slot: Path, *, contents: bool = False) -> str | None:
    """Why a slot cannot be served, or None.

    A file of the byte count and modification time in the index counts as whole unread; `contents`
    reads every one.
    """
    try:
        listed = json.loads((slot / INDEX_NAME).read_text())["files"]
        present = {path.relative_to(slot).as_posix(): path for path in _files_of(slot)}
        if present.keys() != listed.keys():
            differing = sorted(present.keys() ^ listed.keys())
            return f"file {differing[0]} is missing or was not written by the store"
        for name, path in present.items():
            if fault := _find_fault(path, listed[name], contents=contents):
                return f"{name} {fault}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"unreadable index: {error}"
    return None


def _find_fault(path: Path, written: Mapping[str, Any], *, contents: bool) -> str | None:
    """What tells a file from the one that its entry in the index describes."""
    status = path.stat()
    if status.st_size != written["bytes"]:
        return f"holds {status.st_size} bytes, not {written['bytes']}"
    if status.st_mtime_ns == written["mtime_ns"] and not contents:
        return None
    if hash_file(path) != written["sha256"]:
        return "has another sha256 than when it was written"
    with suppress(OSError):  # a store shared read-only
        os.utime(path, ns=(status.st_atime_ns, written["mtime_ns"]))  # a copy is read only once
    return None


def hash_file(path: Path) -> str:
    """sha256 of a file's content, in hexadecimal; InputError where it cannot be read."""
    refuse_special(Path(path))
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def hash_files(paths: Iterable[Path]) -> str:
    """sha256 over the contents of several files in their order, whatever they are called."""
    return hashlib.sha256("".join(map(hash_file, paths)).encode()).hexdigest()


def _files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != INDEX_NAME)


def _plain(value: object) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"a store key takes JSON-like values, not {type(value).__name__}")
