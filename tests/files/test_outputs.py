"""Outputs are refused before work: impossible names, foreign things, each other and inputs."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from folders import THING, fill

from napari_gest.errors import CheckpointError, InputError
from napari_gest.files import TEXT, Output, check_name, check_output, check_outputs

links = pytest.mark.skipif(os.name == "nt", reason="Windows makes links only with special rights")


def out(path: Path, option: str = "--out", folder: bool = True) -> Output:
    return Output(option, path, THING if folder else TEXT, overwrite=True)


def own(path: Path) -> Path:
    path.mkdir()
    fill(path, "old")
    return path


def test_what_can_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    assert check_output(tmp_path / "new", THING) == tmp_path / "new"
    check_output(own(tmp_path / "x"), THING, overwrite=True)
    check_output(tmp_path / "a" / "b" / "c", THING, parents=True)
    (tmp_path / "empty").mkdir()
    check_output(tmp_path / "empty", THING, overwrite=True)
    (tmp_path / "empty.txt").touch()
    check_output(tmp_path / "empty.txt", TEXT, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "empty.txt", "x"]


@links
@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("a" * 256, "too long"),
        ("\N{GREEK SMALL LETTER ALPHA}" * 200, "too long"),
        ("a\0b", "cannot be the name"),
        ("a\ud800b", "cannot be the name"),
        ("loop", "cannot be the name"),
        ("/".join(["a" * 200] * 30), "too long"),
    ],
)
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str, cause: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    name += "/x" if name == "loop" else ""
    for refuse in (check_name, lambda path: check_output(path, TEXT)):
        with pytest.raises(InputError, match=cause):
            refuse(tmp_path / name)  # type: ignore[operator]


def test_a_folder_that_is_not_there_or_may_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for name in ("absent/new", "file/new"):
        with pytest.raises(InputError, match="no folder"):
            check_output(tmp_path / name, TEXT)

    def forbidden(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "touch", forbidden)
    with pytest.raises(CheckpointError, match="may not be written"):
        check_output(tmp_path / "new", TEXT)


@links
def test_what_is_of_another_kind_stays(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    (tmp_path / "data").write_bytes(b"\0\1\2")
    own(tmp_path / "x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("photos")
    for name, kind, cause in [
        ("photos", THING, "is not a thing"),
        ("link", THING, "is not a thing"),
        ("photos", TEXT, "is a folder"),
        ("x", TEXT, "is a folder"),
        ("data", THING, "is a file"),
        ("data", TEXT, "is not a text file"),
        ("pipe", TEXT, "neither a file nor a folder"),
    ]:
        with pytest.raises(InputError, match=cause):
            check_output(tmp_path / name, kind, overwrite=True)
    assert len(list(tmp_path.rglob("*"))) == 8


def test_files_that_would_be_lost_are_named(tmp_path: Path) -> None:
    (own(tmp_path / "x") / "notes.txt").touch()
    for i in range(9):
        (tmp_path / "x" / f"run{i}.log").touch()
    with pytest.raises(InputError, match=r"notes\.txt, run0\.log, .*run3\.log, \.\.\."):
        check_output(tmp_path / "x", THING, overwrite=True)


@links
def test_outputs_that_meet_are_refused(tmp_path: Path) -> None:
    own(tmp_path / "x")
    (tmp_path / "link").symlink_to("x")
    (tmp_path / "a.txt").touch()
    os.link(tmp_path / "a.txt", tmp_path / "b.txt")
    pairs = [
        ("new", "new", "same as --out"),
        ("new", "NEW", "same as --out"),
        ("new", "sub/../new", "same as --out"),
        ("x", "link", "same as --out"),
        ("a.txt", "b.txt", "same as --out"),
        ("new", "new/table.csv", "one in the other"),
        ("new/table.csv", "new", "one in the other"),
        ("x", "link/table.csv", "one in the other"),
    ]
    (tmp_path / "sub").mkdir()
    for first, second, cause in pairs:
        with pytest.raises(InputError, match=cause):
            check_outputs([out(tmp_path / first), out(tmp_path / second, "--table", False)])
    check_outputs([out(tmp_path / "new"), out(tmp_path / "new2", "--table", False)])


@links
def test_outputs_that_meet_inputs_are_refused(tmp_path: Path) -> None:
    own(tmp_path / "x")
    (tmp_path / "link").symlink_to("x")
    (tmp_path / "a.txt").touch()
    os.link(tmp_path / "a.txt", tmp_path / "b.txt")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "in.h5ad").touch()
    for written, read, folder, cause in [
        ("x", "x", True, "same as SECTION"),
        ("link", "x", True, "same as SECTION"),
        ("a.txt", "b.txt", False, "same as SECTION"),
        ("x/new", "x", False, "lies in SECTION"),
        ("x/new", "link", False, "lies in SECTION"),
        ("folder", "folder/in.h5ad", True, "is read from"),
    ]:
        with pytest.raises(InputError, match=cause):
            check_outputs([out(tmp_path / written, folder=folder)], [("SECTION", tmp_path / read)])
    check_outputs([out(tmp_path / "new")], [("SECTION", tmp_path / "x"), ("--model", None)])
    with pytest.raises(InputError, match="too long"):
        check_outputs([out(tmp_path / "new")], [("SECTION", tmp_path / ("a" * 300))])
