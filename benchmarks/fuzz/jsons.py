"""Mutations of JSON documents, among them those that only exist as text."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np

from benchmarks.fuzz import values
from benchmarks.fuzz.case import Room

_MARK = "\ue000mark\ue000"
# Text in the place of a value; Python's own writer would not make it.
_RAW = (
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 5000, "-0", "1e-999", "00", "0x10",
    "'single'", "undefined", "[" * 100_000, '{"a":' * 100_000, "[" * 900 + "]" * 900,
    "[" * 20_000 + "]" * 20_000, '"\\ud800"', '"\\u0000"', "", "//", "tru", '"unclosed',
)  # fmt: skip


def damage(room: Room, document: Any) -> bytes:
    """Return a document as bytes after one to three mutations, now and then of its text alone."""
    document = copy.deepcopy(document)
    for _ in range(int(room.rng.integers(1, 4))):
        document = mutate(room, document)
    raw = None
    if room.chance(0.25):
        raw = room.pick(_RAW)
        document = _put(document, room.pick(places(document)), _MARK)
        room.note(f"raw text {raw[:20]!r}")
    text = json.dumps(document, default=str, ensure_ascii=room.chance(0.5))
    if raw is not None:
        text = text.replace(json.dumps(_MARK), raw).replace(f'"{_MARK}"', raw)
    return _encoded(room, text)


def mutate(room: Room, document: Any) -> Any:
    """Return the document with one value replaced, lost, doubled or moved."""
    all_places = places(document)
    place = room.pick(all_places)
    shown = "/".join(map(str, place)) or "all"
    what = room.pick(("replace", "replace", "replace", "lose", "move", "double", "extra", "nest"))
    room.note(f"{what} {shown[:60]}")
    if what == "lose" and place:
        return _lose(document, place)
    if what == "move":
        return _put(document, place, copy.deepcopy(_get(document, room.pick(all_places))))
    inside = _get(document, place)
    if what == "double" and isinstance(inside, list):
        return _put(document, place, inside + inside)
    if what == "extra" and isinstance(inside, dict):
        return _put(document, place, inside | {values.name(room.rng): plain(room)})
    if what == "nest":
        for _ in range(int(room.rng.integers(1, 50))):
            inside = [inside]
        return _put(document, place, inside)
    value = plain(room)
    room.note(f"by {value!r}"[:60])
    return _put(document, place, value)


def plain(room: Room) -> Any:
    """Return a value that JSON can hold."""
    value = values.anything(room.rng)
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, bytes | complex) or type(value).__module__ == "datetime":
        value = str(value)
    if isinstance(value, int) and abs(value) > 10**300:
        value = 10**30
    if room.chance(0.1):
        value = [value] * int(room.rng.integers(0, 6))
    return value


def places(document: Any, most: int = 3000) -> list[tuple[Any, ...]]:
    """Return where values are, as keys from the top; of long lists only the first and last."""
    found: list[tuple[Any, ...]] = [()]
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), document)]
    while waiting and len(found) < most:
        place, value = waiting.pop()
        if isinstance(value, dict):
            inner = list(value.items())
        elif isinstance(value, list):
            ends = range(len(value)) if len(value) < 12 else [*range(6), *range(-6, 0)]
            inner = [(i, value[i]) for i in ends]
        else:
            continue
        for key, one in inner:
            found.append((*place, key))
            waiting.append(((*place, key), one))
    return found


def _get(document: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        document = document[key]
    return document


def _put(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    _get(document, place[:-1])[place[-1]] = value
    return document


def _lose(document: Any, place: tuple[Any, ...]) -> Any:
    del _get(document, place[:-1])[place[-1]]
    return document


def _encoded(room: Room, text: str) -> bytes:
    content = text.encode("utf-8", "surrogatepass")
    if not room.chance(0.12):
        return content
    how = room.pick(
        ("bom", "utf-16", "utf-32", "latin", "invalid", "nul", "trailing", "doubled key")
    )
    room.note(how)
    if how == "bom":
        return b"\xef\xbb\xbf" + content
    if how in ("utf-16", "utf-32"):
        return text.encode(how, "surrogatepass")
    if how == "latin":
        return text.encode("latin-1", "replace")
    if how == "doubled key":
        return content.replace(b"{", b'{"type": 1, "type": 2, ', 1)
    junk = {"invalid": b"\xff\xfe\xc3\x28", "nul": b"\0" * 9, "trailing": b"} ] ,"}[how]
    at = len(content) if how == "trailing" else int(room.rng.integers(len(content) + 1))
    return content[:at] + junk + content[at:]
