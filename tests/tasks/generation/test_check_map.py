"""The check over a whole section: tiles are hidden, generated and compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.model.training_cells import TrainingCells
from napari_gest.tasks.generation import check_map as maps
from napari_gest.tasks.generation.check_map import CheckMapRequest, check_map
from napari_gest.tasks.generation.check_map_report import COLUMNS, CheckMap
from napari_gest.tissue.fingerprint import fingerprints
from napari_gest.tissue.section import Section

pytestmark = pytest.mark.usefixtures("short_field")


@pytest.fixture(scope="module")
def made(_simulated, tiny_model: GeST) -> CheckMap:
    from napari_gest.model import field

    section = Section.from_anndata(_simulated, "section_1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(field, "N_STEPS", 40)
        return check_map(section, tiny_model, size_um=120.0)


def test_a_row_a_tile_and_a_number_a_cell(made: CheckMap, section: Section) -> None:
    table = made.table
    assert tuple(table.columns) == COLUMNS
    assert table["n_cells"].sum() == section.n_obs
    said = table["gain"].notna()
    assert said.sum() > 3
    assert (table.loc[said, "n_checked"] >= 20).all()
    assert table.loc[~said, "expected_gain"].isna().all()
    np.testing.assert_allclose(
        made.gain_of_cells, table["expected_gain"].to_numpy(np.float32)[made.tile]
    )
    assert f"of {said.sum()} tiles of 120 um" in made.verdict
    assert "tiles were not checked" in made.verdict


def test_it_gives_the_same_again(made: CheckMap, section: Section, tiny_model: GeST) -> None:
    assert check_map(section, tiny_model, size_um=120.0).table.equals(made.table)


def test_few_cells_are_hidden_at_a_time_and_each_tile_once(
    section: Section, tiny_model: GeST, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden: list[np.ndarray] = []
    real = maps.hide_and_generate

    def watched(section, model, cells, *rest, **options):
        hidden.append(cells)
        return real(section, model, cells, *rest, **options)

    monkeypatch.setattr(maps, "hide_and_generate", watched)
    unseen = np.zeros(section.n_obs, bool)
    unseen[:20] = True
    ticks = []
    found = check_map(
        section, tiny_model, unseen=unseen, size_um=120.0,
        on_progress=ticks.append,
    )  # fmt: skip
    assert all(cells[unseen].all() for cells in hidden)
    assert max((cells & ~unseen).sum() for cells in hidden) <= 0.2 * (~unseen).sum()
    times = np.sum(hidden, axis=0)[~unseen]
    assert set(times) == {0, 1}
    assert (np.isfinite(found.gain_of_cells[~unseen]) == (times == 1)).all()
    assert np.isnan(found.gain_of_cells[unseen]).all()
    # What is known so far comes round by round.
    so_far = [tick.payload for tick in ticks if tick.payload is not None]
    assert len(so_far) == len(hidden) - 1
    n_said = [p.table["gain"].notna().sum() for p in so_far]
    assert n_said == sorted(set(n_said))
    done = [tick.done for tick in ticks if tick.stage == "Checking tiles"]
    assert done == sorted(done)
    assert done[-1] == ticks[-1].total


def test_what_trained_the_model_is_not_checked(section: Section, tiny_model: GeST) -> None:
    cells = fingerprints(section.expression, section.genes)
    left = section.coords_um[:, 0] < np.median(section.coords_um[:, 0])
    seen = TrainingCells(np.unique(cells[left]), np.empty(0, np.uint32))
    found = check_map(section, replace(tiny_model, training_cells=seen), size_um=120.0)
    table = found.table
    assert table["trained"].any()
    assert table.loc[table["trained"], "gain"].isna().all()
    assert (table["n_checked"] == np.bincount(found.tile[~left], minlength=len(table))).all()
    assert f"trained on {table['trained'].sum()} tiles" in found.verdict
    all_seen = TrainingCells(np.unique(cells), np.empty(0, np.uint32))
    with pytest.raises(InputError, match="trained on every known cell"):
        check_map(section, replace(tiny_model, training_cells=all_seen))


def test_large_sections_are_sampled(section: Section, tiny_model: GeST) -> None:
    found = check_map(section, tiny_model, size_um=120.0, most_cells=150, seed=1)
    said = found.table["gain"].notna()
    assert 0 < found.table.loc[said, "n_cells"].sum() <= 150
    assert "left out to save time" in found.verdict


def test_tiles_follow_the_region(section: Section, tiny_model: GeST) -> None:
    known = np.ones(section.n_obs, bool)
    usual = CheckMapRequest(section, tiny_model)._size_um(known)
    away = np.linalg.norm(section.coords_um - section.coords_um.mean(0), axis=1)
    known[away < np.sort(away)[45]] = False
    assert CheckMapRequest(section, tiny_model)._size_um(known) != usual
    known[away < np.sort(away)[400]] = False  # no region cuts a section into a few tiles
    assert CheckMapRequest(section, tiny_model)._size_um(known) <= usual
    with pytest.raises(InputError, match="No tile of 20 um"):
        check_map(section, tiny_model, size_um=20.0)
    with pytest.raises(InputError, match="size_um"):
        check_map(section, tiny_model, size_um=-1.0)
    with pytest.raises(InputError, match="most_cells"):
        check_map(section, tiny_model, most_cells=1)


def test_it_is_written_for_the_cells_of_its_section(made: CheckMap, tissue, section) -> None:
    assert made.write(tissue, section.rows) == {keys.CHECK_GAIN}
    column = tissue.obs[keys.CHECK_GAIN].to_numpy()
    np.testing.assert_array_equal(column[section.rows], made.gain_of_cells)
    others = np.setdiff1d(np.arange(tissue.n_obs), section.rows)
    assert np.isnan(column[others]).all()
    made.write(tissue, others[: section.n_obs])  # what others wrote stays
    np.testing.assert_array_equal(tissue.obs[keys.CHECK_GAIN][section.rows], made.gain_of_cells)
