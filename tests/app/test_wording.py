"""What panels say of results. No Qt."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_gest.app.wording import counted, influence_text, p_text


def test_spots_are_not_called_cells():
    assert counted(1, SimpleNamespace(unit="cell")) == "1 cell"
    assert counted(2898, SimpleNamespace(unit="spot")) == "2,898 spots"


@pytest.mark.parametrize(
    ("p", "text"),
    [(1.0, "1.000"), (0.0412, "0.041"), (0.001, "0.001"), (0.00062, "6.2e-4"), (1e-12, "1.0e-12"),
     (0.0, "< 1e-300"), (float("nan"), "–")],
)  # fmt: skip
def test_a_p_value_is_short_and_never_zero(p, text):
    assert p_text(p) == text


@pytest.fixture
def drove():
    """Cell 0, driven by three neighbours; cells 2 and 3 are of one type."""
    return SimpleNamespace(
        cell=0,
        neighbours=np.array([1, 2, 3]),
        distance_um=np.array([9.0, 12.4, 30.0]),
        influence=np.array([0.2, 0.5, 0.3]),
        top_k=0.6,
        random_k=np.array([0.2, 0.2]),
        fidelity_p=0.00021,
    )


NAMES = np.array(["cell-0", "cell-1", "cell-2", "cell-3"])


def test_neighbours_are_told_by_type_where_there_is_one(drove):
    text = influence_text(drove, NAMES, dict(enumerate(["Neuron", None, "Astrocyte", "Astrocyte"])))
    assert text.startswith("Neuron (cell-0): 1 of 3 neighbours hold half of the influence")
    assert "Astrocyte (12 µm), Astrocyte (30 µm), no type (9 µm)" in text
    assert "By type: Astrocyte 80%, no type 20%." in text
    assert "cell-2" not in text
    assert "3.0 × as far" in text
    assert "p = 2.1e-4" in text


def test_without_types_they_are_told_by_name(drove):
    text = influence_text(drove, NAMES)
    assert "most have cell-2 (12 µm), cell-3 (30 µm), cell-1 (9 µm)." in text
    assert "By type" not in text
