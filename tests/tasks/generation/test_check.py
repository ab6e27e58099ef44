"""The check: measured patches are hidden, generated and compared; what trained is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from training import MODEL, SHORT

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.model.training_cells import TrainingCells
from napari_gest.tasks.generation.check import CheckRequest, check_generation, choose_share
from napari_gest.tasks.generation.check_report import Scored, shrunk
from napari_gest.tasks.generation.generate import FIELD_SHARE, generate
from napari_gest.tasks.training.train import fit
from napari_gest.tissue.fingerprint import fingerprints
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate

pytestmark = pytest.mark.usefixtures("short_field")


@pytest.fixture(scope="module")
def large() -> list[Section]:
    adata = simulate(3000, 24, 2, seed=0)
    return [Section.from_anndata(adata, name) for name in ("section_1", "section_2")]


@pytest.fixture(scope="module")
def model(large: list[Section]) -> GeST:
    return fit(large[:1], MODEL, SHORT)


@pytest.fixture(scope="module")
def hole(large: list[Section]) -> np.ndarray:
    coords = large[1].coords_um
    distance = np.linalg.norm(coords - coords.mean(0), axis=1)
    return distance < np.sort(distance)[60]


def test_a_gene_has_a_row_and_the_verdict_can_be_read(
    large: list[Section], model: GeST, hole: np.ndarray
) -> None:
    check = check_generation(large[1], model, hole)
    table = check.table
    assert set(table.index) == set(model.genes)
    assert table["expected_correlation"].between(-1, 1).all()
    assert table["p_gain"].between(0, 1).all()
    assert table[["reliability", "gain_reliability"]].stack().between(0, 1).all()
    assert table["expected_correlation"].is_monotonic_decreasing
    assert check.n_cells > 40
    # No gene of this small hole is reliable, and then the number of likely ones says nothing.
    assert not table["claim"].any()
    assert "This cannot be told" in check.verdict
    claimed = replace(check, table=table.assign(claim=True))
    assert f"about {check.n_likely} of {len(table)} genes" in claimed.verdict
    assert "Next:" in check.verdict
    again = check_generation(large[1], model, hole)
    assert again.table.equals(table)


def test_the_truth_in_the_region_is_not_read(
    large: list[Section], model: GeST, hole: np.ndarray
) -> None:
    dense = large[1].expression.toarray()
    dense[hole] = np.random.default_rng(0).poisson(20, dense[hole].shape)
    other = replace(large[1], expression=sparse.csr_matrix(dense))
    one, two = (check_generation(section, model, hole) for section in (large[1], other))
    assert one.table.equals(two.table)
    assert one.field == two.field


def test_only_untrained_cells_report(large: list[Section], model: GeST, hole: np.ndarray) -> None:
    section = large[1]
    cells = fingerprints(section.expression, section.genes)
    half = section.coords_um[:, 0] > np.median(section.coords_um[:, 0])
    seen = replace(
        model, training_cells=TrainingCells(np.unique(cells[half]), np.empty(0, np.uint32))
    )
    request = CheckRequest(section, seen, hole)
    visible = np.flatnonzero(~hole)
    for patch in request.patches():
        assert request.untrained()[visible[patch.cells]].mean() >= 0.8
    everything = replace(
        model, training_cells=TrainingCells(np.empty(0, np.uint32), np.unique(cells))
    )
    with pytest.raises(InputError, match="trained on every known cell"):
        check_generation(section, everything, hole)


def test_a_model_that_kept_no_cells_is_not_checked_on_sections_that_it_names(
    large: list[Section], model: GeST
) -> None:
    old = replace(model, training_cells=None)
    unseen = np.zeros(large[0].n_obs, bool)
    unseen[:50] = True
    with pytest.raises(InputError, match="trained on every known cell"):
        check_generation(large[0], old, unseen)
    other = np.zeros(large[1].n_obs, bool)
    other[:50] = True
    assert CheckRequest(large[1], old, other).untrained().all()


def test_patches_that_choose_do_not_report(
    large: list[Section], model: GeST, hole: np.ndarray
) -> None:
    check = check_generation(large[1], model, hole, n_patches=4)
    assert check.n_choosing + check.n_reporting <= 4
    assert min(check.n_choosing, check.n_reporting) >= 1
    with pytest.raises(InputError, match="n_patches"):
        check_generation(large[1], model, hole, n_patches=1)


def _patch(field_error: float, decoder_error: float, n: int = 200) -> Scored:
    rng = np.random.default_rng(0)
    truth = rng.normal(2, 1, (n, 8)).astype(np.float32)
    noise = rng.normal(0, 1, (2, n, 8)).astype(np.float32)
    return Scored(
        coords_um=rng.uniform(0, 100, (n, 2)),
        truth=truth,
        decoder=truth + decoder_error * noise[0],
        field=truth + field_error * noise[1],
        neighbours={},
        depth_um=np.ones(n),
    )


def test_the_share_follows_what_is_better_here() -> None:
    assert choose_share([_patch(0.1, 2.0)]) == 1.0
    assert choose_share([_patch(2.0, 0.1)]) == 0.0
    assert choose_share([_patch(1.0, 1.5)]) == FIELD_SHARE


def test_shrinkage_finds_what_noise_hides() -> None:
    rng = np.random.default_rng(0)
    feature = rng.normal(size=(4000, 1))
    truth = 0.2 + 0.1 * feature[:, 0] + rng.normal(0, 0.05, 4000)
    noise = np.full(4000, 0.1**2)
    seen = truth + rng.normal(0, 0.1, 4000)
    estimate, reliability, sd = shrunk(seen, noise, feature, feature, np.ones(4000, bool))
    before, after = (np.sqrt(np.square(v - truth).mean()) for v in (seen, estimate))
    assert after < 0.6 * before
    assert sd.mean() == pytest.approx(after, rel=0.25)
    # Reliability is the squared correlation of the estimate with the truth.
    assert reliability.mean() == pytest.approx(np.corrcoef(estimate, truth)[0, 1] ** 2, abs=0.1)
    # Noise alone: nothing is claimed.
    flat = shrunk(
        rng.normal(0, 0.1, 4000), noise, rng.normal(size=(4000, 1)), feature, np.ones(4000, bool)
    )
    assert flat[1].mean() < 0.3


def test_it_is_written_beside_the_result(
    large: list[Section], model: GeST, hole: np.ndarray
) -> None:
    adata = simulate(3000, 24, 2, seed=0)
    check = check_generation(large[1], model, hole)
    whole = generate(large[1], model, hole, field=check.field).to_anndata(adata)
    assert check.write(whole) == {keys.UNS}
    kept = whole.uns[keys.UNS]
    assert kept["check"]["verdict"] == check.verdict
    assert kept["seed"] == 0
    assert list(kept["check"]["genes"]) == list(check.table.index)
