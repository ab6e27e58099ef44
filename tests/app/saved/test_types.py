"""The types that results consist of are known, and what is read of them is checked."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from napari_gest.app.opened import Snapshot
from napari_gest.app.saved.checking import check
from napari_gest.app.saved.packing import fields_of
from napari_gest.app.saved.types import LEFT_OUT, NAMED_TYPES, TYPES
from napari_gest.app.state import Label
from napari_gest.tasks.generation.generated import Draw


def test_names_are_those_of_the_types():
    assert all(kind.__name__ == name for name, kind in TYPES.items())
    for name, left_out in LEFT_OUT.items():
        assert set(left_out) <= {f.name for f in fields(TYPES[name])}
        assert not set(left_out) & set(fields_of(TYPES[name]))
    assert {"RunEntry", "Effect", "GenerationOutcome"} <= set(NAMED_TYPES)


def test_every_result_of_a_session_passes(everything):
    for entry in everything.state.runs:
        check(entry)
        check(entry.run)
        check(entry.outcome)


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (Label("a", 5), "name of Label is no str"),
        (Snapshot("a", "b"), "section of Snapshot is no Section"),
        (Draw(np.zeros((2, 3), np.float32), np.zeros(2, np.int32), np.zeros(3, np.int64)), "shape"),
        (Draw(np.zeros((2, 3)), np.zeros(2, np.int32), np.zeros(2, np.int64)), "no ndarray"),
        (Draw([], np.zeros(2, np.int32), np.zeros(2, np.int64)), "no ndarray"),
    ],
)
def test_what_does_not_fit_is_refused(made, what):
    with pytest.raises(ValueError, match=what):
        check(made)
