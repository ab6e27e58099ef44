"""Sessions of programs that are still there are told from those that were left behind."""

from __future__ import annotations

import json
import os

import pytest

from napari_gest.app.saved.alive import is_alive, is_elsewhere, note_taken, sign, unsign
from napari_gest.app.saved.folder import ALIVE, JOURNAL


@pytest.fixture
def signed(tmp_path):
    """A session of this program."""
    (tmp_path / JOURNAL).touch()
    sign(tmp_path)
    return tmp_path


def _change(folder, **about):
    known = json.loads((folder / ALIVE).read_text())
    (folder / ALIVE).write_text(json.dumps(known | about))


def _let_rest(folder):
    for name in (ALIVE, JOURNAL):
        os.utime(folder / name, (1e9, 1e9))


def test_this_program_is_alive_until_it_says_otherwise(signed):
    assert is_alive(signed)
    _let_rest(signed)
    assert is_alive(signed)
    unsign(signed)
    assert not is_alive(signed)
    unsign(signed)


@pytest.mark.parametrize(
    "about",
    [
        {"started": 5.0},  # another program had the number of this one, as in a container
        {"pid": 2**22 + 7},
        {"boot": "an earlier one"},
        {"pid": "x"},
        {"pid": 10**30},
    ],
)
def test_others_of_this_computer_are_not(signed, about):
    _change(signed, **about)
    assert not is_alive(signed)
    assert not is_elsewhere(signed)


def test_another_computer_is_alive_until_it_rests_for_long(signed):
    _change(signed, host="node-7", pid=2**22 + 7)
    assert is_elsewhere(signed)
    assert is_alive(signed)
    _let_rest(signed)
    assert not is_alive(signed)
    note_taken(signed)
    _let_rest(signed)
    assert is_alive(signed)  # and is not offered again


@pytest.mark.parametrize("text", ["", "[]", "{}", "3"])
def test_a_damaged_sign_is_none(signed, text):
    (signed / ALIVE).write_text(text)
    assert not is_alive(signed)


def test_signs_of_before_have_no_computer(signed):
    known = json.loads((signed / ALIVE).read_text())
    (signed / ALIVE).write_text(json.dumps({"pid": known["pid"], "started": known["started"]}))
    assert is_alive(signed)
