"""What is written is there whole or not at all, and what stood there is as it was."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from folders import fill

from napari_gest.errors import CheckpointError, InputError
from napari_gest.files import (
    FileKind,
    FolderKind,
    make_folder,
    recorded,
    remove_folder,
    replacing,
    swap,
    write_text,
)
from napari_gest.files.leftovers import beside

links = pytest.mark.skipif(os.name == "nt", reason="Windows makes links only with special rights")


def write(path: Path, kind: FolderKind, content: str = "new", **options: bool) -> None:
    with replacing(path, kind, **options) as folder:
        fill(folder, content)


def test_a_file_is_replaced_only_when_asked(tmp_path: Path, text: FileKind) -> None:
    write_text(tmp_path / "a.txt", "old", text)
    with pytest.raises(InputError, match="exists already"):
        write_text(tmp_path / "a.txt", "new", text)
    assert (tmp_path / "a.txt").read_text() == "old"
    write_text(tmp_path / "a.txt", "new", text, overwrite=True)
    assert (tmp_path / "a.txt").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_whole(tmp_path: Path, thing: FolderKind, either_way: str) -> None:
    write(tmp_path / "x", thing, "old")
    write(tmp_path / "x", thing, "new", overwrite=True)
    assert (tmp_path / "x" / "more.txt").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt()])
def test_other_errors_pass_and_leave_nothing(
    tmp_path: Path, thing: FolderKind, text: FileKind, error: BaseException
) -> None:
    def half() -> None:
        with replacing(tmp_path / "out.txt", text) as temporary:
            temporary.write_text("half")
            with replacing(tmp_path / "x", thing) as folder:
                (folder / "more.txt").write_text("half")
                raise error

    with pytest.raises(type(error)):
        half()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_take_its_name_leaves_the_old(
    tmp_path: Path, thing: FolderKind, either_way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "x", thing, "old")
    rename = os.rename

    def fails_for_new(source: Path, target: Path) -> None:
        if ".tmp" in Path(source).name and Path(target).name == "x":
            raise PermissionError(errno.EACCES, "Permission denied")
        rename(source, target)

    def no_exchange(one: Path, other: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "rename", fails_for_new)
    if either_way == "exchange":
        monkeypatch.setattr(swap, "_exchange", no_exchange)
    with pytest.raises(CheckpointError, match="may not be written"):
        write(tmp_path / "x", thing, "new", overwrite=True)
    assert (tmp_path / "x" / "more.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_an_error_after_the_new_one_stands_is_no_failure(
    tmp_path: Path, thing: FolderKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "x", thing, "old")
    flush = swap._flush

    def not_the_parent(path: Path) -> None:
        if path == tmp_path:
            raise OSError(errno.EIO, "Input/output error")
        flush(path)

    monkeypatch.setattr(swap, "_flush", not_the_parent)
    write(tmp_path / "x", thing, "new", overwrite=True)
    assert (tmp_path / "x" / "more.txt").read_text() == "new"


@pytest.mark.parametrize("n_files", [2, 50])
def test_all_is_on_the_disk_before_it_takes_its_name(
    tmp_path: Path,
    thing: FolderKind,
    either_way: str,
    monkeypatch: pytest.MonkeyPatch,
    n_files: int,
) -> None:
    events: list[str] = []
    flush, take = swap._flush, swap.take_name

    def flushed(path: Path) -> None:
        events.append("the folder" if path == tmp_path else path.name)
        flush(path)

    def taken(temporary: Path, target: Path, *, overwrite: bool) -> None:
        events.append("its name")
        take(temporary, target, overwrite=overwrite)

    monkeypatch.setattr(swap, "_flush", flushed)
    monkeypatch.setattr(swap, "_flush_system", lambda path: events.append("all") or True)
    monkeypatch.setattr(swap, "take_name", taken)
    for overwrite in (False, True):
        events.clear()
        with replacing(tmp_path / "x", thing, overwrite=overwrite) as folder:
            fill(folder, "new")
            inside = folder / ".DS_Store"
            inside.mkdir()
            for i in range(n_files - 2):
                (inside / str(i)).touch()
        before = events[: events.index("its name")]
        if n_files == 2:
            assert sorted(before[:-1]) == [".DS_Store", "more.txt", "thing.json"]
            assert before[-1] == folder.name
        else:
            assert before == ["all"]
        assert events[-2:] == ["its name", "the folder"]


def test_what_appears_during_the_work_is_not_replaced(
    tmp_path: Path, thing: FolderKind, text: FileKind
) -> None:
    def file() -> None:
        with replacing(tmp_path / "a.txt", text) as temporary:
            temporary.write_text("ours")
            (tmp_path / "a.txt").write_text("theirs")

    def folder() -> None:
        with replacing(tmp_path / "x", thing, overwrite=True) as temporary:
            fill(temporary, "ours")
            (tmp_path / "x").mkdir()
            (tmp_path / "x" / "theirs.txt").write_text("theirs")

    with pytest.raises(InputError, match="meanwhile"):
        file()
    with pytest.raises(InputError, match="is not a thing"):
        folder()
    assert (tmp_path / "a.txt").read_text() == "theirs"
    assert (tmp_path / "x" / "theirs.txt").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_modes_are_kept_and_new_ones_follow_the_umask(
    tmp_path: Path, thing: FolderKind, text: FileKind, either_way: str
) -> None:
    def modes() -> list[int]:
        paths = (tmp_path / "a.txt", tmp_path / "x", tmp_path / "x" / "more.txt")
        return [stat.S_IMODE(path.stat().st_mode) for path in paths]

    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "old", text)
        write(tmp_path / "x", thing, "old")
        assert modes() == [0o640, 0o750, 0o640]
        (tmp_path / "a.txt").chmod(0o604)
        (tmp_path / "x").chmod(0o711)
        (tmp_path / "x" / "more.txt").chmod(0o600)
        write_text(tmp_path / "a.txt", "new", text, overwrite=True)
        write(tmp_path / "x", thing, "new", overwrite=True)
        assert modes() == [0o604, 0o711, 0o600]
    finally:
        os.umask(before)


@links
def test_a_link_stays_a_link(tmp_path: Path, thing: FolderKind, text: FileKind) -> None:
    (tmp_path / "far").mkdir()
    write_text(tmp_path / "far" / "a.txt", "old", text)
    write(tmp_path / "far" / "x", thing, "old")
    for name in ("a.txt", "x", "absent.txt"):
        (tmp_path / name).symlink_to(Path("far") / name)
    write_text(tmp_path / "a.txt", "new", text, overwrite=True)
    write(tmp_path / "x", thing, "new", overwrite=True)
    write_text(tmp_path / "absent.txt", "new", text)
    assert all((tmp_path / name).is_symlink() for name in ("a.txt", "x", "absent.txt"))
    assert (tmp_path / "far" / "a.txt").read_text() == "new"
    assert (tmp_path / "far" / "x" / "more.txt").read_text() == "new"
    assert (tmp_path / "far" / "absent.txt").read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 4
    assert len(list((tmp_path / "far").iterdir())) == 3


@links
def test_other_names_of_a_file_keep_the_old_content(tmp_path: Path, text: FileKind) -> None:
    write_text(tmp_path / "a.txt", "old", text)
    os.link(tmp_path / "a.txt", tmp_path / "b.txt")
    write_text(tmp_path / "a.txt", "new", text, overwrite=True)
    assert (tmp_path / "b.txt").read_text() == "old"


def test_outputs_are_recorded_without_their_parts(
    tmp_path: Path, thing: FolderKind, text: FileKind
) -> None:
    with recorded() as outer, recorded() as outputs:
        write_text(tmp_path / "a.txt", "1", text)
        with replacing(tmp_path / "x", thing) as folder:
            write_text(folder / "more.txt", "2", text)
            assert list(outputs) == [tmp_path / "a.txt"]
        write_text(tmp_path / "a.txt", "3", text, overwrite=True)
    write_text(tmp_path / "b.txt", "4", text)
    assert list(outputs) == list(outer) == [tmp_path / "a.txt", tmp_path / "x"]


@links
def test_only_a_folder_of_ours_is_removed(tmp_path: Path, thing: FolderKind) -> None:
    write(tmp_path / "own", thing)
    write(tmp_path / "with-more", thing)
    (tmp_path / "with-more" / "notes.txt").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    (tmp_path / "link").symlink_to("own")
    for name in ("absent", "with-more", "other", "link"):
        assert not remove_folder(tmp_path / name, thing)
    assert (tmp_path / "with-more" / "thing.json").exists()
    assert (tmp_path / "other" / "notes.txt").exists()
    assert remove_folder(tmp_path / "own", thing)
    assert not (tmp_path / "own").exists()


def test_folders_are_made(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "b"):
        with pytest.raises(InputError, match="there is a file"):
            make_folder(path)
    with pytest.raises(InputError, match="too long"):
        make_folder(tmp_path / ("a" * 300))


def test_a_long_name_has_room_for_its_temporary_one(tmp_path: Path, text: FileKind) -> None:
    name = "\N{GREEK SMALL LETTER ALPHA}" * 125 + ".txt"
    write_text(tmp_path / name, "old", text)
    write_text(tmp_path / name, "new", text, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert len(os.fsencode(beside(tmp_path / name).name)) < 160
