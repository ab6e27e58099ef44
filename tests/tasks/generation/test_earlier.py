"""Cells that are generated again keep nothing of what an earlier run wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from napari_gest import keys
from napari_gest.app.found_cells import generated_in
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.cell_types import CellTypes
from napari_gest.tasks.generation.earlier import clear_earlier
from napari_gest.tasks.generation.generate import generate
from napari_gest.tasks.generation.generated import Generated
from napari_gest.tissue import io
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.section import Section

pytestmark = pytest.mark.usefixtures("short_field")

OF_DRAWS = (keys.DONOR, "gest_cell_type", "gest_cell_type_confidence", keys.GENERATED_NICHE)


@pytest.fixture
def drawn(section: Section, tissue: AnnData, tiny_model: GeST, unseen: np.ndarray) -> Generated:
    types = CellTypes.from_obs(tissue, "cell_type", section)
    asked = {"mode": "sample", "draws": 2, "expected": True, "types": types}
    return generate(section, tiny_model, unseen, **asked)


def _with_niches(adata: AnnData) -> None:
    """Add niches of generated cells, as ``GeneratedNiches.write`` does."""
    made = adata.obs[keys.GENERATED]
    adata.obs[keys.GENERATED_NICHE] = pd.Categorical(np.where(made, "1", None), ["1", "2"])
    adata.uns[keys.GENERATED_NICHE_COLORS] = ["#ff0000", "#0000ff"]
    adata.uns[keys.GENERATED_NICHED] = {"sections": np.array(["section_1"])}


def test_means_leave_nothing_of_draws(
    tissue: AnnData, section: Section, tiny_model: GeST, unseen: np.ndarray, drawn: Generated
) -> None:
    mean = generate(section, tiny_model, unseen)
    fresh, again = mean.to_anndata(tissue), drawn.to_anndata(tissue)
    _with_niches(again)
    assert {*OF_DRAWS} <= {*again.obs.columns}
    assert {keys.COUNTS, keys.EXPECTED, keys.DRAW.format(2)} <= {*again.layers}
    before = again.obs[keys.DONOR]
    changed = mean.write(again)
    assert {*OF_DRAWS, keys.COUNTS} <= changed
    assert {*again.obs.columns} == {*fresh.obs.columns}
    assert {*again.layers} == {*fresh.layers}
    assert {*again.uns} == {*fresh.uns}
    assert before.notna().sum() == unseen.sum()  # columns are replaced, not changed in place
    found = generated_in(again, section)
    assert found is not None
    assert found.donor is None
    assert found.expected is None
    assert np.array_equal(found.expression, mean.expression)


def test_other_cells_keep_what_they_had(
    tissue: AnnData, section: Section, tiny_model: GeST, unseen: np.ndarray, drawn: Generated
) -> None:
    out = drawn.to_anndata(tissue)
    _with_niches(out)
    before = out.copy()
    part = unseen.copy()
    part[np.flatnonzero(unseen)[::2]] = False
    generate(section, tiny_model, part).write(out)
    again, kept = section.rows[part], section.rows[unseen & ~part]
    assert out.obs[[*OF_DRAWS]].iloc[again].isna().all(axis=None)
    for key in OF_DRAWS:
        assert list(out.obs[key].iloc[kept]) == list(before.obs[key].iloc[kept])
    counts = out.layers[keys.COUNTS]
    assert (counts[again] != tissue.X[again]).nnz == 0
    assert (before.layers[keys.COUNTS][again] != tissue.X[again]).nnz > 0
    assert (counts[kept] != before.layers[keys.COUNTS][kept]).nnz == 0
    assert (counts[section.rows[~unseen]] != tissue.X[section.rows[~unseen]]).nnz == 0
    expected = out.layers[keys.EXPECTED][kept].toarray()
    assert np.array_equal(expected, before.layers[keys.EXPECTED][kept].toarray())


def test_draws_without_types_or_means_leave_those_of_before(
    tissue: AnnData, section: Section, tiny_model: GeST, unseen: np.ndarray, drawn: Generated
) -> None:
    out = drawn.to_anndata(tissue)
    again = generate(section, tiny_model, unseen, mode="sample", seed=5)
    again.write(out)
    assert "gest_cell_type" not in out.obs
    assert keys.EXPECTED not in out.layers
    names = section.names_of(again.donor)
    assert list(out.obs[keys.DONOR].iloc[section.rows[unseen]]) == list(names)


def test_cells_written_again_in_a_file_on_disk(
    tissue: AnnData,
    tiny_model: GeST,
    unseen: np.ndarray,
    drawn: Generated,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part = unseen.copy()
    part[np.flatnonzero(unseen)[::2]] = False
    write_tissue(drawn.to_anndata(tissue), tmp_path / "drawn.h5ad")
    monkeypatch.setattr(io, "_BACKED_BYTES", 1)
    opened = read_tissue(tmp_path / "drawn.h5ad", lazy=True)
    section = Section.from_anndata(opened, "section_1", unseen=None, include_generated=True)
    for cells, name in ((part, "part.h5ad"), (unseen, "whole.h5ad")):
        generate(section, tiny_model, cells).write_copy(opened, tmp_path / name)
    rows = section.rows[part]
    some, none = (read_tissue(tmp_path / name) for name in ("part.h5ad", "whole.h5ad"))
    assert some.obs[keys.DONOR].isna().sum() == tissue.n_obs - (unseen & ~part).sum()
    assert (some.layers[keys.COUNTS][rows] != tissue.X[rows]).nnz == 0
    assert keys.DONOR not in none.obs
    assert not {keys.COUNTS, keys.EXPECTED, keys.DRAW.format(2)} & {*none.layers}


def test_columns_of_others_stay(tissue: AnnData) -> None:
    kept = {keys.LABEL: "a", keys.LABEL_CONFIDENCE: 0.5, keys.NICHE: "1", "gest_mine": "x"}
    for key, value in kept.items():
        tissue.obs[key] = value
    before = tissue.obs.copy()
    assert clear_earlier(tissue, np.arange(5), ()) == set()
    assert tissue.obs.equals(before)
