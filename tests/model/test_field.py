"""A section's own field."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from napari_gest.model import field
from napari_gest.model.field import SectionField


def fitted(seed: int = 0, **changes: Any) -> tuple[SectionField, dict[str, Any]]:
    rng = np.random.default_rng(0)
    coords = rng.uniform(0, 600, (900, 2))
    geometry = rng.normal(size=(900, 3)).astype(np.float32)
    # One gene follows the place, one the geometry, one neither.
    signal = np.stack([coords[:, 0] / 300, np.abs(geometry[:, 1]), np.ones(900)], 1)
    values = (signal + rng.normal(0, 0.3, signal.shape)).astype(np.float32)
    told = {"coords_um": coords, "geometry": geometry, "values": values, "spacing_um": 10.0}
    told |= changes
    made = SectionField(**told, seed=seed)
    shares = list(made.fit())
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    return made, told | {"signal": signal}


def test_it_learns_place_and_geometry() -> None:
    made, told = fitted()
    rng = np.random.default_rng(1)
    coords, geometry = rng.uniform(50, 550, (300, 2)), rng.normal(size=(300, 3))
    found = made.predict(coords, geometry.astype(np.float32))
    assert found.shape == (300, 3)
    assert np.corrcoef(found[:, 0], coords[:, 0])[0, 1] > 0.9
    assert np.corrcoef(found[:, 1], np.abs(geometry[:, 1]))[0, 1] > 0.6
    assert found[:, 2] == pytest.approx(np.full(300, told["values"][:, 2].mean()), abs=0.3)


def test_one_seed_gives_one_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(field, "N_STEPS", 40)
    made, told = fitted(seed=3)
    again, _ = fitted(seed=3)
    other, _ = fitted(seed=4)
    at = told["coords_um"][:20], told["geometry"][:20]
    assert np.array_equal(made.predict(*at), again.predict(*at))
    assert not np.array_equal(made.predict(*at), other.predict(*at))


def test_shifted_tissue_gives_the_same_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(field, "N_STEPS", 40)
    made, told = fitted()
    shift = np.array([4096.0, -512.0])
    moved, _ = fitted(coords_um=told["coords_um"] + shift)
    at = told["coords_um"][:20]
    found = moved.predict(at + shift, told["geometry"][:20])
    assert found == pytest.approx(made.predict(at, told["geometry"][:20]), abs=1e-3)


def test_more_genes_than_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(field, "N_STEPS", 20)
    rng = np.random.default_rng(0)
    values = rng.gamma(1.0, size=(100, 400)).astype(np.float32)
    values[:, 0] = 0  # a gene that never varies
    made, told = fitted(
        coords_um=rng.uniform(0, 100, (100, 2)),
        geometry=np.zeros((100, 2), np.float32),
        values=values,
    )
    found = made.predict(told["coords_um"], told["geometry"])
    assert found.shape == (100, 400)
    assert np.isfinite(found).all()
    assert np.abs(found[:, 0]).max() < 0.1


def test_fitting_imports_no_compiler() -> None:
    code = """
import sys
import numpy as np
from napari_gest.model import field
field.N_STEPS = 10
xy = np.random.default_rng(0).uniform(0, 100, (80, 2))
made = field.SectionField(xy, np.zeros((80, 1), np.float32), np.ones((80, 3), np.float32), 5.0, 0)
list(made.fit())
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
