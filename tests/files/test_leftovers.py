"""What a killed process leaves is swept or restored; what is anyone else's is not touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from folders import fill

from napari_gest.files import FileKind, FolderKind, leftovers, replacing, restore, write_text
from napari_gest.files.leftovers import beside, is_temporary, restore_in, sweep

links = pytest.mark.skipif(os.name == "nt", reason="Windows makes links only with special rights")

_DIES = """
import os, sys
from pathlib import Path
from napari_gest.files.leftovers import beside
for target, use in zip(sys.argv[1::2], sys.argv[2::2]):
    print(beside(Path(target), use))
"""


def dead(*targets: tuple[Path, str]) -> list[Path]:
    """Return temporary names of a process that has ended."""
    arguments = [str(part) for pair in targets for part in pair]
    command = [sys.executable, "-c", _DIES, *arguments]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [Path(line) for line in lines.splitlines()]


def test_names_are_told_from_others(tmp_path: Path) -> None:
    for target in ("a.txt", "model", ".hidden", "a b.zarr", "x" * 250):
        for use in ("tmp", "old"):
            assert is_temporary(beside(tmp_path / target, use).name)  # type: ignore[arg-type]
    for name in ("a.txt", ".a.tmp", ".a-0123abcd.tmp.h5ad", ".a.gest-1-2-3.tmp", "notes.old"):
        assert not is_temporary(name)


def test_files_of_killed_processes_are_swept(
    tmp_path: Path, thing: FolderKind, text: FileKind
) -> None:
    file, folder = dead((tmp_path / "other.txt", "tmp"), (tmp_path / "x", "tmp"))
    file.touch()
    folder.mkdir()
    fill(folder, "half")
    foreign = [tmp_path / ".a.tmp", tmp_path / ".x-0123abcd.tmp.h5ad", tmp_path / "b.tmp"]
    for path in foreign:
        path.touch()
    mine = beside(tmp_path / "c.txt")
    mine.touch()
    write_text(tmp_path / "a.txt", "new", text)
    assert not file.exists()
    assert not folder.exists()
    assert all(path.exists() for path in [*foreign, mine])


def test_a_process_number_used_again_is_no_owner(tmp_path: Path) -> None:
    name = beside(tmp_path / "a.txt").name
    pid = str(os.getpid())
    head, _, tail = name.partition(f"-{pid}-")
    other = tmp_path / f"{head}-{pid}-00000000{tail[8:]}"
    other.touch()
    sweep(tmp_path)
    assert not other.exists()


def test_what_another_computer_writes_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "_place", lambda: "0" * 8)
    theirs = beside(tmp_path / "a.txt")
    theirs.touch()
    monkeypatch.undo()
    sweep(tmp_path)
    assert theirs.exists()


@links
@pytest.mark.parametrize("name", ["x", "x" * 200])
def test_a_folder_set_aside_by_a_killed_process_is_restored(
    tmp_path: Path, thing: FolderKind, name: str
) -> None:
    (aside,) = dead((tmp_path / name, "old"))
    aside.mkdir()
    fill(aside, "old")
    restore(tmp_path / "other")
    assert aside.exists()
    (tmp_path / "link").symlink_to(name)
    restore(tmp_path / "link")
    assert (tmp_path / name / "more.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def test_all_of_a_folder_are_restored_and_spent_ones_removed(
    tmp_path: Path, thing: FolderKind
) -> None:
    asides = dead((tmp_path / "a", "old"), (tmp_path / "b", "old"))
    for aside in asides:
        aside.mkdir()
        fill(aside, "old")
    (tmp_path / "b").mkdir()
    fill(tmp_path / "b", "new")
    restore_in(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    assert (tmp_path / "a" / "more.txt").read_text() == "old"
    assert (tmp_path / "b" / "more.txt").read_text() == "new"


def test_the_next_write_restores_before_it_replaces(tmp_path: Path, thing: FolderKind) -> None:
    (aside,) = dead((tmp_path / "x", "old"))
    aside.mkdir()
    fill(aside, "old")
    (aside / "notes.txt").touch()
    with pytest.raises(Exception, match=r"notes\.txt"), replacing(
        tmp_path / "x", thing, overwrite=True
    ) as folder:  # fmt: skip
        fill(folder, "new")
    assert (tmp_path / "x" / "notes.txt").exists()


def test_one_that_is_at_work_is_left_alone(tmp_path: Path, thing: FolderKind) -> None:
    aside = beside(tmp_path / "x", "old")
    aside.mkdir()
    restore(tmp_path / "x")
    restore_in(tmp_path)
    assert aside.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows does not say when a name changed")
def test_one_set_aside_for_long_is_restored_whoever_did_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "_place", lambda: "0" * 8)
    beside(tmp_path / "x", "old").mkdir()
    monkeypatch.undo()
    restore(tmp_path / "x")
    assert not (tmp_path / "x").exists()
    monkeypatch.setattr(leftovers, "_ABANDONED_S", -1.0)
    restore(tmp_path / "x")
    assert (tmp_path / "x").exists()
