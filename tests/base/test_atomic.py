import errno
from pathlib import Path

import pytest

from refract.base.atomic import replace_directory, write_atomic
from refract.base.disk_errors import DiskFullError


def test_file_appears_whole_and_alone(tmp_path: Path) -> None:
    target = tmp_path / "below" / "clip.mkv"

    def writer(path: Path) -> None:
        assert path.suffix == ".mkv", "writers choose the format by the suffix"
        assert not target.exists()
        path.write_text("new")

    write_atomic(target, writer)
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["clip.mkv"]


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("old")

    def writer(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_atomic(target, writer)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_directory_is_replaced_not_merged(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "stale").touch()
    with replace_directory(target) as folder:
        (folder / "fresh").touch()
        assert (target / "stale").exists(), "the old content stands until the new is complete"
    assert [path.name for path in target.iterdir()] == ["fresh"]
    assert list(tmp_path.iterdir()) == [target]


def test_failed_directory_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), replace_directory(tmp_path / "out") as folder:
        (folder / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    leftover = tmp_path / ".tmp-0123456789ab-out"
    leftover.mkdir()
    other = tmp_path / ".tmp-0123456789ab-elsewhere"
    other.mkdir()
    with replace_directory(tmp_path / "out"):
        pass
    assert not leftover.exists() and other.exists()


def test_what_a_killed_writer_left_of_a_file_is_removed(tmp_path: Path) -> None:
    leftover = tmp_path / ".tmp-0123456789ab-edit.json"
    other = tmp_path / ".tmp-0123456789ab-infrared.json"
    for path in (leftover, other):
        path.write_text("{")
    write_atomic(tmp_path / "edit.json", lambda path: path.write_text("{}"))
    assert not leftover.exists() and other.exists()
    assert (tmp_path / "edit.json").read_text() == "{}"


@pytest.mark.parametrize("folder", [False, True])
def test_a_full_disk_keeps_the_old_and_is_named(tmp_path: Path, folder: bool) -> None:
    target = tmp_path / "out"
    full = OSError(errno.ENOSPC, "No space left on device")

    def write(path: Path) -> None:
        raise full

    with pytest.raises(DiskFullError, match=f"{target}: No space left"):
        if folder:
            with replace_directory(target) as place:
                write(place)
        else:
            write_atomic(target, write)
    assert list(tmp_path.iterdir()) == []
