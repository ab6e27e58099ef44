"""Named cases that once failed, built by code, each with its expected outcome."""

from __future__ import annotations

from benchmarks.fuzz.case import Room, Work, WrongError
from benchmarks.fuzz.corpus import files, folders, options, sessions, tissues
from benchmarks.fuzz.corpus.named import Named

CASES: dict[str, Named] = {
    one.name: one
    for one in (*tissues.CASES, *files.CASES, *folders.CASES, *options.CASES, *sessions.CASES)
}
NAMES = tuple(CASES)


def prepare(room: Room) -> Work:
    """Prepare the case with the room's number."""
    one = CASES[NAMES[room.case]]
    room.note(one.name)
    return one.prepare(room)


__all__ = ["CASES", "NAMES", "Named", "WrongError", "prepare"]
