"""The folder of a session: its kind, its lines, and copies of it."""

from __future__ import annotations

import json

import pytest

from napari_gest.app.actions import SetShapes
from napari_gest.app.journal import REDO, UNDO
from napari_gest.app.saved.folder import (
    ABOUT,
    JOURNAL,
    RESULTS,
    SESSION,
    begin,
    copy_to,
    done_in,
    has_result,
    read_lines,
    read_steps,
)
from napari_gest.errors import GestError, InputError
from napari_gest.files import remove_folder


@pytest.fixture
def empty(tmp_path):
    folder = tmp_path / "empty.gest"
    folder.mkdir()
    begin(folder)
    return folder


def _write(folder, *lines):
    (folder / JOURNAL).write_bytes(b"".join(lines))


def test_a_new_session_is_one_and_has_no_lines(empty):
    assert SESSION.is_one(empty)
    assert SESSION.foreign(empty) == []
    assert read_lines(empty) == []


def test_lines_are_read_up_to_the_first_that_is_damaged(empty):
    good = json.dumps({"do": "choose", "changes": {"seed": 1}, "n": 1}).encode() + b"\n"
    for bad in (b"{\n", b"[]\n", b'{"n": 1}\n', b'{"do": 1}\n', b"[" * 100_000 + b"\n", b"\xff\n"):
        _write(empty, good, good, bad, good)
        assert len(read_lines(empty)) == 2
    _write(empty, good, good[:-1])  # cut short just before the line break
    assert len(read_lines(empty)) == 1
    (empty / JOURNAL).unlink()
    with pytest.raises(GestError, match="journal"):
        read_lines(empty)


def test_steps_are_actions_and_words(empty):
    shapes = {"do": "set_shapes", "role": "unseen", "shapes": [], "n": 1}
    lines = [shapes, {"do": UNDO, "of": 1}, {"do": REDO, "of": 1}, {"do": "dance", "n": 2}]
    lines += [{"do": UNDO, "of": "x"}, {"do": UNDO, "of": -1}, {"do": UNDO, "of": 10**300}]
    _write(empty, *(json.dumps(line).encode() + b"\n" for line in lines))
    steps = read_steps(empty)
    assert isinstance(steps[0].action, SetShapes)
    assert [(s.action, s.number) for s in steps[1:]] == [
        (UNDO, 1), (REDO, 1), (UNDO, 0), (UNDO, 0), (UNDO, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"napari_gest_session": 3, "version": "9"}'])
def test_other_folders_are_no_sessions(empty, text):
    (empty / ABOUT).write_text(text)
    with pytest.raises(GestError, match="session"):
        read_lines(empty)


def test_results_are_found_by_id_and_nowhere_else(empty):
    (empty / RESULTS / "run-1").mkdir()
    (empty / RESULTS / "run-1" / "result.json").touch()
    assert has_result(empty, "run-1")
    for other in ("run-2", "", ".", "..", "../results/run-1", "/etc", "run-1\0", "a" * 300):
        assert not has_result(empty, other)


def test_a_copy_replaces_only_sessions(empty, tmp_path):
    copy_to(empty, tmp_path / "copy.gest")
    with pytest.raises(InputError, match="copy"):
        copy_to(empty, tmp_path / "copy.gest")
    copy_to(empty, tmp_path / "copy.gest", overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(InputError, match="mine"):
        copy_to(empty, tmp_path / "mine", overwrite=True)


def test_what_is_not_its_own_keeps_a_folder(empty):
    (empty / "notes.txt").touch()
    assert SESSION.foreign(empty) == ["notes.txt"]
    assert not remove_folder(empty, SESSION)
    (empty / "notes.txt").unlink()
    (empty / RESULTS / "run-1").mkdir()
    (empty / RESULTS / "run-1" / "notes.txt").touch()
    assert SESSION.foreign(empty) == ["results/run-1"]
    assert not remove_folder(empty, SESSION)


def test_what_is_not_understood_is_told(empty):
    _write(empty, b'{"do": "choose"}\n', b'{"do": "undo"}\n')
    assert done_in(empty) == ({"choose", "undo"}, True)
    for rest in (b'{"do": "dance"}\n', b'{"do": "cho', b"{\n", b"\xff\n"):
        _write(empty, b'{"do": "choose"}\n', rest)
        assert not done_in(empty)[1]


def test_sessions_of_the_first_format_are_read(empty):
    (empty / ABOUT).write_text('{"napari_gest_session": 1, "version": "0"}')
    shape = {"role": "unseen", "section": "a", "kind": "polygon", "corners": [[0, 0], [0, 9]]}
    line = {"do": "set_shapes", "role": "unseen", "shapes": [shape], "n": 1}
    more = line | {"shapes": [shape, shape | {"section": "b"}], "n": 2}
    _write(empty, *(json.dumps(one).encode() + b"\n" for one in (line, more)))
    first, second = (step.action.shapes for step in read_steps(empty))
    assert [one.section for one in second] == ["a", "b"]
    assert second[0] is first[0]
