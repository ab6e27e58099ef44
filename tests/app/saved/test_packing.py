"""Results as plain files: what is written is read again, and nothing else is made of a file."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
import shapely

from napari_gest.app.regions import Shape
from napari_gest.app.saved.folder import RESULTS, names_of
from napari_gest.app.saved.packing import Packer, Unpacker, find_in
from napari_gest.app.saved.parts import ARRAYS, TREE, MissingError
from napari_gest.app.state import Label
from napari_gest.errors import CheckpointError, GestError
from napari_gest.tasks.generation.cell_types import CellTypes
from napari_gest.tasks.generation.generate import GenerateRequest
from napari_gest.tasks.generation.generated import Agreement
from napari_gest.tasks.progress import finish
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.roi import Roi

VALUES = {
    "nothing": None,
    "numbers": (1, 2.5, True, float("inf"), np.float32(0.1), np.int64(7)),
    "text": "a\u00e9\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "lists": [1, (2, [3, ()])],
    "a map": {("a", 1.0): "x", "b": None},
    "a frozen map": MappingProxyType({"a": 1}),
    "a path": Path("/some/where"),
    "text in an array": np.array([["a", None], ["c", "d"]], object),
    "an edit": Edit("g", "multiply", 0.1),
    "a label": Label("column", "name"),
    "a shape": Shape(role="unseen", section="s", kind="ellipse", corners=((0.1, 1 / 3),)),
}


def _through(folder: Path, value, names=None, find=lambda name: None):
    folder.mkdir(exist_ok=True)
    Packer(names or {}).write(folder, value)
    return Unpacker(folder, find).read()


@pytest.mark.parametrize("name", VALUES)
def test_values_come_back(tmp_path, name):
    value, again = VALUES[name], _through(tmp_path, VALUES[name])
    if isinstance(value, np.ndarray):
        np.testing.assert_array_equal(value, again)
    else:
        assert again == value
        assert type(again) is type(value)


@pytest.mark.parametrize("dtype", ["bool", "i1", "i8", "f4", "f8", "U5", ">f8"])
def test_arrays_come_back_to_the_last_bit(tmp_path, dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    again = _through(tmp_path, array)
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(array, again)


def test_missing_numbers_and_tables(tmp_path):
    table = pd.DataFrame({"gene": ["a", "b"], "p": [0.1, np.nan]}, index=["x", "y"])
    again = _through(tmp_path, table)
    pd.testing.assert_frame_equal(table, again)


def test_a_region_keeps_every_digit_and_its_hole(tmp_path):
    outer = shapely.Point(1 / 3, 1e-3 / 7).buffer(0.1)
    roi = Roi(outer.difference(shapely.Point(1 / 3, 0).buffer(0.01)))
    again = _through(tmp_path, roi)
    assert again.geometry.equals_exact(roi.geometry, 0)
    assert len(again.geometry.interiors) == 1


def test_what_is_shared_is_one_object_again(tmp_path):
    array, label = np.arange(3), Label("a", "b")
    one, other, (third,), same = _through(tmp_path, (array, array, [array], (label, label)))
    assert one is other is third
    assert same[0] is same[1]


def test_names_stand_for_what_is_not_stored(tmp_path, section):
    names = {id(section): {"section": "s"}}
    assert _through(tmp_path, (section, 1), names, lambda name: name["section"]) == ("s", 1)
    with pytest.raises(TypeError, match="Section"):
        Packer({}).pack(section)
    with pytest.raises(MissingError):
        _through(tmp_path, (section,), names, find_in({}, {}))


def test_every_kind_of_run_comes_back_whole(everything, tmp_path):
    state, results = everything.state, {}
    for entry in state.runs:
        folder = tmp_path / entry.id
        folder.mkdir()
        Packer(names_of(state, entry)).write(folder, entry)
        again = Unpacker(folder, find_in(state.sections, results)).read_entry(entry.id)
        if entry.kind == "generation":
            results[entry.id] = entry.outcome.result
        _same_objects(entry.run, again.run)
        outcome = entry.outcome
        if entry.kind == "generation":  # which draw is shown and kept is in the journal
            outcome = outcome.as_made()
        _same_objects(outcome, again.outcome)


def test_results_that_lack_what_was_added_since_are_read(everything, tmp_path):
    entry = next(one for one in everything.state.listed("generation") if one.outcome.further)
    packer = Packer(names_of(everything.state, entry))
    packer.write(tmp_path, entry.outcome.result)
    tree = json.loads((tmp_path / TREE).read_text())
    held = tree["value"]["fields"]
    tree["value"]["fields"] = [one for one in held if one[0] not in ("expected", "candidates")]
    (tmp_path / TREE).write_text(json.dumps(tree))
    old = Unpacker(tmp_path, find_in(everything.state.sections, {})).read()
    assert old.expected is None
    np.testing.assert_array_equal(old.expression, entry.outcome.result.expression)
    tree["value"]["fields"] = [one for one in held if one[0] != "genes"]
    (tmp_path / TREE).write_text(json.dumps(tree))
    with pytest.raises(CheckpointError, match="other fields"):
        Unpacker(tmp_path, find_in(everything.state.sections, {})).read()


def test_fields_are_read_by_their_former_names(tmp_path):
    found = Agreement(5, 0.1, 0.2, 0.3, 0.4, Agreement(5, 0.5, 0.6, 0.7, 0.8))
    Packer({}).write(tmp_path, found)
    stored = (tmp_path / TREE).read_text()
    assert stored.count('"neighbours"') == 2
    (tmp_path / TREE).write_text(stored.replace('"neighbours"', '"floor"'))
    assert Unpacker(tmp_path, lambda name: None).read() == found


def test_further_draws_and_types_come_back(everything, tiny_model, tmp_path):
    opened = next(iter(everything.state.sections.values()))
    unseen = np.zeros(opened.section.n_obs, bool)
    unseen[:9] = True
    kinds = np.array(["a", "b"], object)[np.arange(opened.section.n_obs) % 2]
    types = CellTypes("kind", kinds)
    request = GenerateRequest(
        opened.section, tiny_model, unseen, mode="sample", draws=3, types=types
    )
    made = finish(request.run())
    names = {id(opened.section): {"section": opened.label}}
    again = _through(tmp_path, made, names, find_in(everything.state.sections, {}))
    assert again.n_draws == 3
    assert again.types.names == made.types.names
    _same_objects(made, again)


def _same_objects(one, other, path="it", depth=0):
    """Raise unless two results hold the same."""
    assert type(one) is type(other), path
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, path
        np.testing.assert_array_equal(one, other, err_msg=path)
    elif isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
    elif isinstance(one, dict | MappingProxyType):
        for (k, v), (again, w) in zip(one.items(), other.items(), strict=True):
            _same_objects(k, again, f"{path}.{k}", depth + 1)
            _same_objects(v, w, f"{path}.{k}", depth + 1)
    elif isinstance(one, list | tuple):
        for i, (v, w) in enumerate(zip(one, other, strict=True)):
            _same_objects(v, w, f"{path}[{i}]", depth + 1)
    elif isinstance(one, Roi):
        assert one.geometry.equals_exact(other.geometry, 0), path
    elif is_dataclass(one) and type(one).__name__ not in ("Section", "Opened", "GeST"):
        for f in fields(one):
            if f.name[0] != "_" and f.name not in ("embedded", "predictor", "model", "tissue"):
                _same_objects(getattr(one, f.name), getattr(other, f.name), f"{path}.{f.name}",
                              depth + 1)  # fmt: skip


@pytest.fixture
def result(everything, folder):
    """The folder of a run of generation, what reads it, and its tree."""
    entry = next(iter(everything.state.listed("generation")))
    place = folder / RESULTS / entry.id
    unpacker = Unpacker(place, find_in(everything.state.sections, {}))
    return place, lambda: unpacker.read_entry(entry.id), json.loads((place / TREE).read_text())


def _arrays(place: Path, change) -> None:
    with np.load(place / ARRAYS) as held:
        arrays = dict(held)
    for key, array in change(arrays).items():
        arrays[key] = array
    np.savez(place / ARRAYS, **{k: v for k, v in arrays.items() if v is not None})


def _of(shape):
    """Return what picks the arrays of so many axes."""
    return lambda arrays: [k for k, v in arrays.items() if v.ndim == shape]


ARRAY_DAMAGE = {
    "missing": lambda a: dict.fromkeys(list(a)[:1]),
    "shorter": lambda a: {k: v[:-1] for k, v in a.items() if v.ndim == 2},
    "turned": lambda a: {k: v.T for k, v in a.items() if v.ndim == 2},
    "flat": lambda a: {k: v.ravel() for k, v in a.items() if v.ndim == 2},
    "text": lambda a: {k: v.astype(str) for k, v in a.items()},
    "whole numbers": lambda a: {k: v.astype(np.int64) for k, v in a.items() if v.dtype.kind == "f"},
    "far": lambda a: {k: v + 10**6 for k, v in a.items() if v.dtype.kind == "i"},
    "negative": lambda a: {k: v - 10**6 for k, v in a.items() if v.dtype.kind == "i"},
    "objects": lambda a: {k: v.astype(object) for k, v in list(a.items())[:1]},
}


@pytest.mark.parametrize("name", ARRAY_DAMAGE)
def test_arrays_that_do_not_fit_are_refused(result, name):
    place, read, _ = result
    _arrays(place, ARRAY_DAMAGE[name])
    with pytest.raises(CheckpointError, match=place.name):
        read()


def test_files_that_are_cut_short_or_gone_are_refused(result):
    place, read, _ = result
    for name in (ARRAYS, TREE):
        whole = (place / name).read_bytes()
        for damaged in (whole[: len(whole) // 2], b"", None):
            if damaged is None:
                (place / name).unlink()
            else:
                (place / name).write_bytes(damaged)
            with pytest.raises(GestError, match=place.name) as caught:
                read()
            assert caught.value.remedy
        (place / name).write_bytes(whole)
    read()


def _nested(n: int) -> object:
    value: object = None
    for i in range(n):
        value = {"id": i, "tuple": [value]}
    return value


TREES = {
    "a list": [1],
    "a number": 5,
    "nothing": None,
    "unknown type": {"id": 0, "type": "Popen", "fields": []},
    "a module": {"id": 0, "type": "os.system", "fields": [["command", "ls"]]},
    "type of a type": {"id": 0, "type": "RunEntry", "json": {}},
    "other fields": {"id": 0, "type": "Label", "fields": [["column", "a"]]},
    "private fields": {"id": 0, "type": "Label", "fields": [["__class__", "a"]]},
    "wrong type of field": {"id": 0, "type": "Label", "fields": [["column", 1], ["name", "a"]]},
    "no such object": {"again": 7},
    "no such section": {"section": ["a"]},
    "no such name": {"model": "a"},
    "too deep": _nested(80),
    "no region": {"id": 0, "type": "Roi", "wkb": "00"},
    "a line": {"id": 0, "type": "Roi", "wkb": shapely.LineString([(0, 0), (1, 1)]).wkb_hex},
    "no array": {"id": 0, "array": "a99"},
    "no number": {"number": "many"},
    "another result": {"id": 0, "tuple": [1, 2]},
}


@pytest.mark.parametrize("name", TREES)
def test_nothing_but_results_is_made_of_a_file(result, name):
    place, read, tree = result
    (place / TREE).write_text(json.dumps(tree | {"value": TREES[name]}))
    with pytest.raises(GestError, match=place.name):
        read()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": 9, "value": 1}', "[]", "nan", "\xff"])
def test_a_tree_that_is_none_is_refused(result, text):
    place, read, _ = result
    (place / TREE).write_bytes(text.encode("latin-1"))
    with pytest.raises(GestError, match=place.name):
        read()


def test_no_pickle_is_read(result):
    place, read, _ = result
    np.savez(place / ARRAYS, a0=np.array([{"a": 1}], object))
    with pytest.raises(CheckpointError, match=place.name):
        read()


def test_a_run_of_another_id_is_refused(result, everything):
    place, _, _ = result
    unpacker = Unpacker(place, find_in(everything.state.sections, {}))
    with pytest.raises(CheckpointError, match="it is not run-77"):
        unpacker.read_entry("run-77")
