"""Mutations without knowledge of a format: bytes of a file, and files of a folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from benchmarks.fuzz.case import Room


def damage(room: Room, path: Path) -> None:
    """Damage the bytes of a file in one to three ways."""
    content = path.read_bytes()
    for _ in range(int(room.rng.integers(1, 4))):
        mutate = room.pick((_flip, _flip, _truncate, _insert, _overwrite, _swap, _repeat, _cut))
        content = mutate(room, content)
    room.note(f"in {path.name}")
    path.write_bytes(content)


def disorder(room: Room, folder: Path) -> None:
    """Damage the folder itself: files lost, swapped, linked or of another kind."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    if not files:
        return
    one, other = room.pick(files), room.pick(files)
    what = room.pick(
        ("lose", "swap", "copy", "empty", "folder", "link", "loop", "dangle", "mode", "extra",
         "lose folder", "pipe")
    )  # fmt: skip
    room.note(f"{what}: {one.relative_to(folder)}")
    if what == "lose":
        one.unlink()
    elif what == "swap":
        a, b = one.read_bytes(), other.read_bytes()
        one.write_bytes(b)
        other.write_bytes(a)
        room.note(f"with {other.relative_to(folder)}")
    elif what == "copy":
        stray = room.pick(sorted(p for p in room.base.folder.rglob("*") if p.is_file()))
        shutil.copyfile(stray, one)
        room.note(f"from {stray.relative_to(room.base.folder)}")
    elif what == "empty":
        one.write_bytes(b"")
    elif what == "folder":
        one.unlink()
        one.mkdir()
    elif what == "link":
        one.unlink()
        one.symlink_to(os.path.relpath(other, one.parent))
    elif what == "loop":
        one.unlink()
        one.symlink_to(os.path.relpath(folder, one.parent))
    elif what == "dangle":
        one.unlink()
        one.symlink_to("no such place")
    elif what == "mode":
        one.chmod(0)
    elif what == "extra":
        shutil.copyfile(one, one.with_name(f"{one.name}~"))
        (one.parent / ".DS_Store").write_bytes(b"\0\1")
    elif what == "lose folder" and one.parent != folder:
        shutil.rmtree(one.parent)
    elif what == "pipe" and hasattr(os, "mkfifo"):
        one.unlink()
        os.mkfifo(one)


def _at(room: Room, content: bytes) -> int:
    """Return a position in the content; the first kilobyte is more likely."""
    size = max(1, len(content))
    return int(room.rng.integers(min(size, 1024) if room.chance(0.4) else size))


def _flip(room: Room, content: bytes) -> bytes:
    made = bytearray(content)
    n = int(2 ** room.rng.integers(0, 8))
    room.note(f"{n} bits flipped")
    for _ in range(n):
        if made:
            made[_at(room, content)] ^= 1 << int(room.rng.integers(8))
    return bytes(made)


def _truncate(room: Room, content: bytes) -> bytes:
    end = _at(room, content)
    room.note(f"cut off at {end}")
    return content[:end]


def _insert(room: Room, content: bytes) -> bytes:
    at, n = _at(room, content), int(2 ** room.rng.integers(0, 13))
    room.note(f"{n} bytes inserted at {at}")
    return content[:at] + room.rng.bytes(n) + content[at:]


def _overwrite(room: Room, content: bytes) -> bytes:
    at, n = _at(room, content), int(2 ** room.rng.integers(0, 10))
    fill = room.pick((b"\0", b"\xff", None))
    room.note(f"{n} bytes at {at} overwritten")
    return content[:at] + (fill * n if fill else room.rng.bytes(n)) + content[at + n :]


def _swap(room: Room, content: bytes) -> bytes:
    a, b = sorted((_at(room, content), _at(room, content)))
    n = min(int(2 ** room.rng.integers(0, 12)), b - a)
    room.note(f"{n} bytes at {a} and {b} swapped")
    return (
        content[:a]
        + content[b : b + n]
        + content[a + n : b]
        + content[a : a + n]
        + content[b + n :]
    )


def _repeat(room: Room, content: bytes) -> bytes:
    a, b = sorted((_at(room, content), _at(room, content)))
    room.note(f"bytes {a} to {b} repeated")
    return content[:b] + content[a:b] * int(room.rng.integers(1, 4)) + content[b:]


def _cut(room: Room, content: bytes) -> bytes:
    a, b = sorted((_at(room, content), _at(room, content)))
    room.note(f"bytes {a} to {b} cut out")
    return content[:a] + content[b:]
