"""The suite itself: what it calls a failure, and that cases come again bit for bit."""

from __future__ import annotations

import os
import shutil
import time

import numpy as np
import pytest

from benchmarks.fuzz import server
from benchmarks.fuzz.base import Base, build
from benchmarks.fuzz.case import Room, fingerprint, run_case
from benchmarks.fuzz.registry import KINDS
from benchmarks.fuzz.run import Report, schedule
from napari_gest.errors import InputError


@pytest.fixture
def room(tmp_path):
    folder = tmp_path / "case-0"
    folder.mkdir()
    return Room(folder, Base(tmp_path / "base"), "csv", 0, 0)


def _run(room, work):
    def prepare(room):
        (room.inputs / "thing.txt").write_text("input")
        return lambda: work(room)

    return run_case(room, prepare)


def _refuse(cause="'thing.txt' is odd.", remedy="Give another."):
    def work(room):
        raise InputError(cause, remedy)

    return work


def test_a_refusal_with_cause_and_remedy_passes(room):
    assert _run(room, _refuse()).outcome == "refused"


@pytest.mark.parametrize("work", [_refuse(remedy=" "), _refuse("It is odd.", "Fix it.")])
def test_a_refusal_nobody_can_use_is_a_failure(room, work):
    assert _run(room, work).outcome == "wrong"


def test_other_exceptions_are_failures_with_their_traceback(room):
    def work(room):
        return {}["absent"]

    outcome = _run(room, work)
    assert outcome.outcome == "raw"
    assert "KeyError: 'absent'" in outcome.detail


def test_memory_that_is_not_there_is_a_failure(room):
    assert _run(room, lambda room: np.ones(2**50)).outcome == "memory"


@pytest.mark.parametrize("folder", ["out", "temporary", "inputs"])
def test_what_a_refusal_leaves_behind_is_a_failure(room, folder):
    def work(room):
        (getattr(room, folder) / "left.tmp").touch()
        raise InputError("'thing.txt' is odd.", "Give another.")

    assert _run(room, work).outcome == "wrong"


def test_inputs_that_change_are_a_failure(room):
    def work(room):
        (room.inputs / "thing.txt").write_text("changed")

    assert _run(room, work).outcome == "wrong"
    assert not Report([_run_again(room)]).failures


def _run_again(room):
    shutil.rmtree(room.folder)
    room.folder.mkdir()
    return _run(room, lambda room: None)


def _crash(room):
    return lambda: os.abort()


def _hang(room):
    return lambda: time.sleep(60)


def _spin(room):
    def work():
        while True:
            pass

    return work


def _fill(room):
    def work():
        kept = []
        while True:
            kept.append(np.ones(2**25))

    return work


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [(_crash, "crash"), (_hang, "hang"), (_spin, "hang"), (_fill, "memory")],
)
def test_a_process_that_ends_badly_is_seen(monkeypatch, prepare, expected):
    monkeypatch.setitem(KINDS, "bad", prepare)
    monkeypatch.setattr(server, "prepare", Base)
    # Memory is filled in seconds, in more of them on a busy machine.
    monkeypatch.setattr(server, "SECONDS", 30.0 if expected == "memory" else 2.0)
    monkeypatch.setattr(server, "MEGABYTES", 1500.0)
    monkeypatch.setattr(server, "_ADDRESSES", 3 << 30)
    (outcome,) = server.serve(server.Plan(0, [("bad", 0)]))
    assert outcome.outcome == expected, outcome.detail


def test_a_plan_counts_the_cases_of_each_kind():
    cases = schedule(500)
    assert len(set(cases)) == 500
    assert schedule(500) == cases
    assert schedule(3, "zarr") == [("zarr", 0), ("zarr", 1), ("zarr", 2)]


def test_a_case_comes_again_bit_for_bit(tmp_path):
    base, again = (Base(tmp_path / name) for name in ("base_1", "base_2"))
    for one in (base, again):
        one.folder.mkdir()
        build(one.folder)
    assert fingerprint(base.folder) == fingerprint(again.folder)
    for kind in ("h5ad", "zarr", "model", "csv", "geojson", "scenario", "state", "session"):
        for case in range(4):
            seen = []
            for number, one in enumerate((base, again)):
                room = Room(tmp_path / f"{kind}-{case}-{number}", one, kind, 7, case)
                for folder in (room.inputs, room.out, room.temporary):
                    folder.mkdir(parents=True)
                KINDS[kind](room)
                for path in (p for p in room.inputs.rglob("*.json*") if p.is_file()):
                    text = path.read_bytes()  # a session names its tissue by path
                    path.write_bytes(text.replace(str(one.folder).encode(), b"<base>"))
                seen.append((fingerprint(room.inputs), room.notes))
            assert seen[0] == seen[1], (kind, case)
