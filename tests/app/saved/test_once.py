"""Shapes and strokes are written once in a journal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_gest.app.saved.once import Lengthener, Shortener


def _line(*items, do="set_strokes"):
    return {"do": do, "shapes" if do == "set_shapes" else "strokes": list(items), "n": 1}


def _read(lines):
    longer = Lengthener(lambda _, one: one)
    return [longer.long(line) for line in lines]


def test_a_line_holds_only_what_is_new():
    short, a, b, c, d = Shortener(), {"x": 1}, {"x": 2}, {"x": 3}, {"x": 4}
    written = [
        short.short(line)
        for line in (_line(a), _line(a, b), _line(a, b, c, d), _line(b, d, c), _line(a, a))
    ]
    assert [line["strokes"] for line in written] == [
        [a], [[0, 0], b], [[0, 1], c, d], [[1, 1], [3, 3], [2, 2]], [[0, 0], a],
    ]  # fmt: skip
    other = {"do": "choose", "changes": {}}
    assert short.short(other) is other


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=8), st.integers(0, 8))
def test_what_is_shortened_is_read_as_it_was(drawn, cut):
    lines = [_line(*({"x": x} for x in items), do="set_shapes") for items in drawn]
    first, second = Shortener(), Shortener()
    written = [first.short(line) for line in lines[:cut]]
    for line in written:  # as by the next program, which goes on with it
        second.follow(line)
    written += [second.short(line) for line in lines[cut:]]
    assert _read(json.loads(json.dumps(written))) == lines


def test_lines_of_the_first_format_are_read_and_gone_on_with():
    lines = [_line({"x": 1}), _line({"x": 1}, {"x": 2})]
    short = Shortener()
    for line in lines:
        short.follow(line)
    lines.append(short.short(_line({"x": 1}, {"x": 2}, {"x": 3})))
    assert lines[-1]["strokes"] == [[1, 2], {"x": 3}]
    assert _read(lines)[-1] == _line({"x": 1}, {"x": 2}, {"x": 3})


def test_the_same_is_made_once():
    made = []
    longer = Lengthener(lambda field, one: made.append(one) or object())
    first = longer.long(_line({"x": 1}))["strokes"][0]
    assert longer.long(_line({"x": 1}, [0, 0]))["strokes"] == [first, first]
    assert made == [{"x": 1}]


@pytest.mark.parametrize(
    "items",
    [[[0, 1]], [[-1, 0]], [[0]], [[0, 0, 0]], [[1, 0]], [["a", 0]], [[0, 0], [0, 0]], None, 3],
)
def test_damaged_lines_are_refused(items):
    longer = Lengthener(lambda _, one: one)
    longer.long(_line({"x": 1}))
    with pytest.raises(ValueError, match="not there"):
        longer.long(_line() | {"strokes": items})
    short = Shortener()
    for line in (_line({"x": 1}), _line() | {"strokes": items}):
        short.follow(line)
    assert short.short(_line({"x": 1}, {"x": 2}))["strokes"] == [[0, 0], {"x": 2}]


def test_what_is_new_in_a_damaged_line_keeps_its_number():
    longer, short = Lengthener(lambda _, one: one), Shortener()
    damaged = _line({"x": 1}, [0, 9], {"x": 2})
    with pytest.raises(ValueError, match="not there"):
        longer.long(damaged)
    short.follow(damaged)
    line = short.short(_line({"x": 2}, {"x": 3}))
    assert line["strokes"] == [[1, 1], {"x": 3}]
    assert longer.long(line)["strokes"] == [{"x": 2}, {"x": 3}]


def test_what_is_damaged_keeps_its_number():
    def made(_, one):
        if one == "bad":
            raise ValueError
        return one

    longer = Lengthener(made)
    longer.long(_line("bad", "good"))
    assert longer.long(_line([1, 1]))["strokes"] == ["good"]
