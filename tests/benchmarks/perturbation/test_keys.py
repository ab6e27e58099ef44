"""Edits that keys have on a panel, and how what is said of them is scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.perturbation.key_scores import Row, score, tables
from benchmarks.perturbation.key_tissues import NAIVE, OURS
from benchmarks.perturbation.keys import (
    CYTOSIG,
    FOOTPRINT,
    PAIRS,
    PROGENY,
    PROGENY_TOP,
    TARGETS,
    KeyedEdit,
    edits_of,
)

FOOT = [f"Foot{i}" for i in range(24)]
GENES = ("Tgfb1", "Tgfbr1", "Lif", *FOOT, "Rare")
WEIGHTS = np.where(np.arange(24) % 2, 1.5, -0.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    upper = [g.upper() for g in FOOT]
    cytosig = pd.DataFrame({"LIF": 1.0, "BMP2": 1.0}, index=[*upper[:11], "RARE"])
    cytosig.to_csv(tmp_path / "cytosig_human_43.csv.gz")
    mouse = pd.DataFrame({"gene": FOOT, "pathway": "TGFb", "weight": WEIGHTS})
    mouse.to_csv(tmp_path / "progeny_mouse_p05.csv.gz", index=False)
    pd.DataFrame({"V1": upper, "TGFb": WEIGHTS}).to_csv(tmp_path / "progeny_human_top.csv.gz")
    factor = pd.DataFrame({"source": "LIF", "target": upper[:10], "weight": 1})
    factor.to_csv(tmp_path / "collectri_human_tf_target_signed.csv.gz", index=False)
    pair = {"ligand.symbol": ["Tgfb1", "Lif"], "receptor.symbol": ["Tgfbr2, Tgfbr1", "Lifr"]}
    pd.DataFrame(pair).to_csv(tmp_path / "cellchatdb_mouse_lr.csv.gz", index=False)
    human = {k: [v.upper() for v in values] for k, values in pair.items()}
    pd.DataFrame(human).to_csv(tmp_path / "cellchatdb_human_lr.csv.gz", index=False)
    return tmp_path


SHARE = np.array([0.5] * (len(GENES) - 1) + [0.01])


def test_a_column_counts_where_its_gene_and_enough_others_are_expressed(folder: Path) -> None:
    edits = edits_of(folder, "mouse", GENES, SHARE)
    found = {(e.key, e.name): e for e in edits}
    assert set(found) == {
        (CYTOSIG, "LIF"),
        (PROGENY, "TGFb"),
        (FOOTPRINT, "TGFb"),
        (TARGETS, "LIF"),
        (PAIRS, "Tgfb1"),
    }
    cytokine = found[CYTOSIG, "LIF"]
    assert cytokine.edited.tolist() == [GENES.index("Lif")]
    assert np.count_nonzero(cytokine.weight) == 11  # "Rare" is not expressed
    pair = found[PAIRS, "Tgfb1"]
    assert np.flatnonzero(pair.weight).tolist() == [GENES.index("Tgfbr1")]
    human = edits_of(folder, "human", tuple(g.upper() for g in GENES), SHARE)
    assert {e.key for e in human} == {e.key for e in edits} | {PROGENY_TOP}


def test_a_ligand_that_few_cells_express_is_not_edited(folder: Path) -> None:
    share = SHARE.copy()
    share[GENES.index("Lif")] = 0.01
    assert CYTOSIG not in {e.key for e in edits_of(folder, "mouse", GENES, share)}


def test_halves_of_a_footprint_are_never_both_edited_and_judged(folder: Path) -> None:
    halves = [e for e in edits_of(folder, "mouse", GENES, SHARE, 2) if e.key == FOOTPRINT]
    assert len(halves) == 4
    for half in halves:
        judged = np.flatnonzero(half.weight)
        assert not set(judged) & set(half.edited)
        assert len(judged) + len(half.edited) == 24
        assert np.array_equal(half.sign, np.sign(WEIGHTS[half.edited - 3]))
    assert sorted([*halves[0].edited, *halves[1].edited]) == list(range(3, 27))


def keyed(key: str, name: str, weight: list[float]) -> KeyedEdit:
    return KeyedEdit(key, name, np.array([0]), np.ones(1), np.array(weight, float))


def test_scores_know_right_from_wrong_and_leave_the_edited_gene_out() -> None:
    edit = keyed(CYTOSIG, "a", [0, 2, 1, -1, -2, 0])
    other = keyed(CYTOSIG, "b", [0, -1, -1, 1, 1, 0])
    effect = np.array([-99, 0.4, 0.3, -0.1, -0.2, 0])
    share = np.ones(6)
    right = score("t", edit, [other], OURS, effect, None, share)
    assert (right.direction, right.auroc, right.rho, right.others) == (1, 1, pytest.approx(1), 0)
    wrong = score("t", edit, [other], OURS, -effect, None, share)
    assert (wrong.direction, wrong.auroc, wrong.rho) == (0, 0, pytest.approx(-1))
    copied = score("t", edit, [other], NAIVE, np.eye(6)[0], None, share)
    assert (copied.direction, copied.auroc, copied.rho) == (0, 0.5, 0)
    told = np.array([True, True, False, False, True, True])
    some = score("t", edit, [other], OURS, effect, told, share)
    assert (some.n_reported, some.n_reported_right) == (2, 2)


def test_receptors_are_ranked_by_size_and_targets_against_all_others() -> None:
    effect = np.array([9, -0.4, 0.3, 0.1, 0.0, 0.2])
    pair = keyed(PAIRS, "a", [0, 1, 0, 0, 0, 0])
    row = score("t", pair, [], OURS, effect, None, np.ones(6))
    assert row.auroc == 1
    assert np.isnan(row.direction)
    factor = keyed(TARGETS, "a", [0, -1, 1, 1, 0, 0])
    row = score("t", factor, [], OURS, effect, None, np.ones(6))
    assert row.auroc == pytest.approx(5 / 6)  # 0.1 is below 0.2
    assert row.direction == 1


def test_tables_take_edits_as_replicates() -> None:
    rows = [
        Row("t", FOOTPRINT, name, method, 12, 0.5, auroc, 0.1, 0.5)
        for name, parts in (("a", (0.5, 0.7)), ("b", (0.8, 0.8)))
        for method, gain in ((OURS, 0.1), (NAIVE, 0.0))
        for auroc in np.add(parts, gain)
    ]
    (table,) = tables(rows)
    ours = dict(zip(table.headings, table.rows[0], strict=True))
    assert ours["edits"] == "2"
    assert ours["AUROC"].startswith("0.80 [0.70, 0.90]")
    assert ours["own less other columns"].startswith("+0.30")
