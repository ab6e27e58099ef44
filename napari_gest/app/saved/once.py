"""Shapes and strokes in a journal: each is written once, and spoken of by its number from then on.

An action holds all shapes of a role. If each line repeated them, the journal would grow with the
square of what is drawn. So a line holds what is new, and ranges of numbers, [first, last], of what
earlier lines hold. No number is twice in a line: what is there twice has two numbers. So no line
speaks of more than was written.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Hashable
from hashlib import blake2b
from typing import Any

_HELD = {"set_shapes": "shapes", "set_strokes": "strokes"}


class Shortener:
    """Shortens the lines of one journal, in their order."""

    def __init__(self) -> None:
        self._keys: list[Hashable] = []  # by number
        self._numbers: dict[tuple[Hashable, int], int] = {}  # of the first, second, ... of its key

    def short(self, line: dict[str, Any]) -> dict[str, Any]:
        """Return a line in which ranges of numbers stand for what earlier ones hold."""
        field = _HELD.get(line["do"])
        if field is None:
            return line
        items: list[Any] = []
        there: Counter[Hashable] = Counter()
        for one in line[field]:
            key = _key(one)
            number = self._numbers.get((key, there[key]))
            if number is None:
                self._add(key, there[key])
                items.append(one)
            elif items and isinstance(items[-1], list) and items[-1][1] == number - 1:
                items[-1][1] = number
            else:
                items.append([number, number])
            there[key] += 1
        return line | {field: items}

    def follow(self, line: dict[str, Any]) -> None:
        """Take note of a line that is in the journal already, damaged or not."""
        there: Counter[Hashable] = Counter()
        for one in _held(line):
            if isinstance(one, list):
                first, last = _range(one, len(self._keys))
                there.update(self._keys[first : last + 1])
            else:
                key = _key(one)
                self._add(key, there[key])
                there[key] += 1

    def _add(self, key: Hashable, nth: int) -> None:
        self._numbers[key, nth] = len(self._keys)
        self._keys.append(key)


class Lengthener:
    """Gives the lines of one journal, in their order, what their numbers stand for.

    Parameters
    ----------
    made
        Makes what a line holds, by the field; called once for all that are the same.
    """

    def __init__(self, made: Callable[[str, Any], Any]) -> None:
        self._made = made
        self._all: list[Any] = []
        self._known: dict[Hashable, Any] = {}

    def long(self, line: dict[str, Any]) -> dict[str, Any]:
        """Return a line with all that it speaks of.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        field = _HELD.get(line["do"])
        if field is None:
            return line
        items: list[Any] = []
        damaged = not isinstance(line.get(field), list)
        for one in _held(line):
            if isinstance(one, list):
                first, last = _range(one, len(self._all))
                damaged = damaged or last < first or len(items) > len(self._all)
                items += () if damaged else self._all[first : last + 1]
            else:  # it has a number, whatever the rest of its line is
                self._all.append(self._one(field, one))
                items.append(self._all[-1])
        if damaged or len(items) > len(self._all):
            raise ValueError("a line speaks of what is not there, or of something twice")
        return line | {field: items}

    def _one(self, field: str, one: Any) -> Any:
        key = _key(one)
        if key not in self._known:
            try:
                self._known[key] = self._made(field, one)
            except ValueError:  # it keeps its number
                self._known[key] = None
        return self._known[key]


def _held(line: dict[str, Any]) -> list[Any]:
    """Return what a line holds of shapes or strokes; nothing where it holds none."""
    held = line.get(_HELD.get(line["do"], ""))
    return held if isinstance(held, list) else []


def _range(one: list[Any], n: int) -> tuple[int, int]:
    """Return the first and last of a range of numbers below n; one of none where it is damaged."""
    if len(one) == 2 and all(type(number) is int for number in one) and 0 <= one[0] <= one[1] < n:
        return one[0], one[1]
    return 0, -1


def _key(one: Any) -> Hashable:
    """Return what is the same for the same; quickly for strokes, which are long texts."""
    if isinstance(one, dict) and all(isinstance(value, str) for value in one.values()):
        return tuple(one.items())  # Python hashes a text once
    try:
        return blake2b(json.dumps(one).encode(), digest_size=16).digest()
    except RecursionError:  # damaged: nothing drawn is nested so deeply
        return None
