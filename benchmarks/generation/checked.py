"""Accuracy of the check: its expectations for a hole, compared with the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import spearmanr

from benchmarks.common.datasets import Loaded
from benchmarks.common.holes import Case
from benchmarks.common.metrics import accuracy, pearson
from benchmarks.generation.command import fill
from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.check import check_generation
from napari_gest.tasks.generation.check_report import Check
from napari_gest.tasks.generation.generate import FIELD_SHARE
from napari_gest.tissue.section import Section
from napari_gest.tissue.window import compact_groups

RADII_UM = (150.0, 300.0)  # of the holes that are checked: each costs two runs of generation
_BLOCK = 25  # neighbouring cells that go to one half together


@dataclass
class CheckRow:
    """One hole: expectations of the check, and the truth.

    Attributes
    ----------
    split, section, seed, radius_um, n_cells
        As in `DrawnRow`.
    refused
        Why no check was possible; empty if one was made.
    scores
        By name; see `score_check`.
    """

    split: str
    section: str
    seed: int
    radius_um: float
    n_cells: int
    refused: str
    scores: dict[str, float]


def score_checks(
    split: str,
    section: Section,
    loaded: Loaded,
    model: GeST,
    on_step: Callable[[str], None] = lambda _: None,
    **generate_settings: Any,
) -> Iterator[CheckRow]:
    """Yield a row for each hole of a section that is checked.

    Parameters are those of `score_distribution`; a hole's own truth is hidden from the check.
    """
    radii = [r for r in RADII_UM if r in loaded.radii_um] or list(loaded.radii_um[:1])
    wanted = [loaded.radii_um.index(r) for r in radii]
    cases = loaded.test_cases(section)
    for case in [cases[i] for i in wanted]:
        on_step(f"{section.name} {case.hole.radius_um:.0f} um: check")
        place = split, section.name, loaded.seed, case.hole.radius_um, len(case.truth)
        present = ~case.hole.buffer
        visible, unseen = section.subset(present), case.hole.mask[present]
        try:
            check = check_generation(visible, model, unseen, seed=loaded.seed)
        except InputError as error:
            yield CheckRow(*place, str(error), {})
            continue
        # With the whole share of the field, the mean is the field.
        made = fill(model, section, case, loaded, **generate_settings | {"field": 1.0})
        scores = score_check(case, check, loaded.genes, made.decoder, made.mean)
        yield CheckRow(*place, "", scores)


def score_check(
    case: Case,
    check: Check,
    genes: tuple[str, ...],
    decoder: NDArray[np.float32],
    field: NDArray[np.float32],
) -> dict[str, float]:
    """Return how well a check predicted the results in a hole.

    Parameters
    ----------
    case
        The hole.
    check
        The check, made without the hole's truth.
    genes
        G names, in the order of the case.
    decoder, field
        (m, G) predictions of decoder and section's field for the hole, model space.

    Returns
    -------
    correlation_rank, moran_rank
        Spearman over genes of the expected correlation, and of Moran's I, with the real
        correlation.
    gain_agreement, gain_halves
        Pearson over genes of the expected with the real gain over the neighbours' mean, and of
        the real gain in one half of the cells with that in the other (blocks of neighbours).
    likely, gained
        Expected number of genes with a gain, and their real number.
    claims, claims_right
        Genes that the check calls almost surely better, and how many of them are.
    least_reliability
        Lowest reliability among the genes with a claim.
    chosen_share, error_chosen, error_usual, error_none, error_whole
        Share of the field, and SVG ``rmse_z`` with it, with the usual share, none and all.
    """
    table = check.table.reindex(list(genes))
    known = case.known_coords
    near = cKDTree(known).query(case.hole_coords, k=[*range(1, check.neighbours + 1)])[1]
    local = case.known_values[near].mean(1)

    def mixed(share: float) -> NDArray[np.float32]:
        return decoder + np.float32(share) * (field - decoder)

    made = mixed(check.field)
    r, base = _correlation(case.truth, made), _correlation(case.truth, local)
    gain = r - base
    first = _half(case.hole_coords)
    one, two = (
        _correlation(case.truth[h], made[h]) - _correlation(case.truth[h], local[h])
        for h in (first, ~first)
    )
    use = table["expected_correlation"].notna().to_numpy() & (case.truth.std(0) > 0)
    expected = table["gain"].to_numpy()
    sure = use & table.index.isin(check.better)
    claimed = table["reliability"].to_numpy()[table["claim"].fillna(False).to_numpy(bool)]
    errors = {
        name: accuracy(case.truth, mixed(share), case.svg)["rmse_z_svg"]
        for name, share in (
            ("chosen", check.field),
            ("usual", FIELD_SHARE),
            ("none", 0.0),
            ("whole", 1.0),
        )
    }
    return {
        "correlation_rank": _rank(table["expected_correlation"].to_numpy()[use], r[use]),
        "moran_rank": _rank(table["moran"].to_numpy()[use], r[use]),
        "gain_agreement": float(np.corrcoef(expected[use], gain[use])[0, 1]),
        "gain_halves": float(np.corrcoef(one[use], two[use])[0, 1]),
        "likely": float(table["p_gain"].to_numpy()[use].sum()),
        "gained": float((gain[use] > 0).sum()),
        "genes": float(use.sum()),
        "claims": float(sure.sum()),
        "claims_right": float((gain[sure] > 0).sum()),
        "least_reliability": float(claimed.min()) if len(claimed) else float("nan"),
        "chosen_share": check.field,
        **{f"error_{name}": float(error) for name, error in errors.items()},
    }


def _half(coords_um: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (m,) bool, one half of the cells, in blocks of neighbours."""
    chosen = np.zeros(len(coords_um), bool)
    for number, cells in enumerate(compact_groups(coords_um, _BLOCK)):
        chosen[cells] = number % 2 == 0
    return chosen


def _correlation(truth: NDArray[np.floating], made: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (G,) Pearson's r over cells, 0 for a gene that does not vary."""
    return np.nan_to_num(pearson(truth, made))


def _rank(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    return float(spearmanr(a, b)[0])
