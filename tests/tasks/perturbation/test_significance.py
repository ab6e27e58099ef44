"""Tests against chance: p-values under the null, false discovery rates, and who is compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from anndata import AnnData
from scipy.stats import kstest

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.tasks.perturbation.perturb import Perturbed, perturb
from napari_gest.tasks.perturbation.significance import (
    SignificanceRequest,
    false_discovery_rates,
    pooled_p,
    significance,
    stand_out,
)
from napari_gest.tissue.edits import Edit


def test_p_values_are_uniform_under_the_null() -> None:
    rng = np.random.default_rng(0)
    null = rng.normal(size=(200, 40))
    p = np.concatenate([pooled_p(rng.normal(size=40), null) for _ in range(50)])
    assert kstest(p, "uniform").pvalue > 0.01


def test_genes_of_a_null_edit_are_uniform_whatever_their_common_scale() -> None:
    rng = np.random.default_rng(1)
    every = np.ones(400, bool)

    def draw() -> np.ndarray:
        return stand_out(rng.lognormal(0, 1) * rng.normal(size=400) + rng.normal(), every)

    null = np.stack([draw() for _ in range(100)])
    p = np.concatenate([pooled_p(draw(), null) for _ in range(20)])
    assert kstest(p, "uniform").pvalue > 0.01
    assert abs((p < 0.05).mean() - 0.05) < 0.01


def test_what_shows_nothing_has_p_one() -> None:
    null = np.random.default_rng(0).normal(size=(30, 4))
    assert np.array_equal(pooled_p(np.zeros(4), null), np.ones(4))
    assert np.array_equal(stand_out(np.zeros(4), np.ones(4, bool)), np.zeros(4))


def test_too_few_draws_are_no_test() -> None:
    null = np.random.default_rng(0).normal(size=(30, 3))
    valid = np.ones((30, 3), bool)
    valid[:12, 1] = False
    p = pooled_p(np.array([1.0, 1.0, 1.0]), null, valid)
    assert np.isnan(p[1])
    assert np.isfinite(p[[0, 2]]).all()


def test_false_discovery_rates_are_the_textbook_ones_for_dependent_genes() -> None:
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.005, 0.5])
    known = p[np.isfinite(p)]
    order = np.argsort(known)
    expected = np.empty(len(known))
    smallest, factor = 1.0, 1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5
    for rank in range(len(known), 0, -1):
        i = order[rank - 1]
        smallest = min(smallest, factor * known[i] * len(known) / rank)
        expected[i] = smallest
    found = false_discovery_rates(p)
    assert np.isnan(found[1])
    assert np.allclose(found[np.isfinite(p)], expected)


def test_the_table_has_a_row_for_each_gene_and_band(effect: Perturbed) -> None:
    table = significance(effect, n_permutations=20, seed=1).table
    assert len(table) == 3 * 30
    assert set(table["band"]) == {"all", "0-30 um", "30-60 um"}
    edited = table["gene"] == "gene_3"
    # No draw edits the one edited gene, so it has nothing to be compared with.
    assert table.loc[edited, "pvalue"].isna().all()
    tested = table[~edited]
    assert tested["pvalue"].between(0, 1).all()
    assert (tested["fdr"] >= tested["pvalue"]).all()
    # A response is tested where like cells exchange levels; random genes are shown beside it.
    assert np.array_equal(tested["pvalue"], tested["p_positions"])
    assert tested["p_genes"].notna().all()
    # How sure the direction is; the share among all that are as sure is no larger.
    assert table.loc[edited, ["lfsr", "svalue"]].isna().all(axis=None)
    assert (table.loc[edited, "reported"] == "none").all()
    assert tested["lfsr"].between(0, 1).all()
    assert (tested["svalue"] <= tested["lfsr"] + 1e-12).all()
    sure = tested["svalue"] <= 0.05
    assert (tested.loc[sure, "reported"] == tested.loc[sure, "direction"]).all()
    assert (tested.loc[~sure, "reported"] == "none").all()


def test_a_tested_effect_is_written_with_its_table(effect: Perturbed) -> None:
    tested = significance(effect, n_permutations=20, seed=1)
    adata = AnnData(np.zeros((effect.section.n_obs, 30), np.float32))
    adata.var_names = list(effect.genes)
    changed = tested.write(adata)
    assert keys.PERTURBATION in changed
    held = adata.uns[keys.PERTURBATION]
    assert held["genes"].equals(tested.table)
    assert held["test"] == {"n_permutations": 20, "seed": 1, "sign_level": 0.05}


def test_a_generated_effect_has_to_beat_both_nulls(effect: Perturbed) -> None:
    asked = effect.request
    made = perturb(
        asked.section, asked.model, asked.roi, asked.edits, reach_um=40.0, bands_um=(0, 40),
        readout="generation", passes=1,
    )  # fmt: skip
    table = significance(made, n_permutations=19).table
    tested = table[table["p_genes"].notna()]
    assert len(tested) > 5
    larger = tested[["p_genes", "p_positions"]].max(axis=1)
    assert np.array_equal(tested["pvalue"], larger)
    assert table.loc[table["p_genes"].isna(), "pvalue"].isna().all()


def test_several_edited_genes_are_compared_with_random_edits(effect: Perturbed) -> None:
    edits = [Edit(gene, "multiply", 3.0) for gene in effect.genes[:25]]
    asked = effect.request
    made = perturb(
        asked.section, asked.model, asked.roi, edits, reach_um=60.0, bands_um=(0, 60),
        response=effect.predictor.head,
    )  # fmt: skip
    table = significance(made, n_permutations=60).table.set_index("gene")
    table = table[table["band"] == "all"]
    edited = list(effect.genes[:25])
    assert table.loc[edited, "p_positions"].isna().all()
    assert np.array_equal(table.loc[edited, "pvalue"], table.loc[edited, "p_genes"])
    assert table.loc[list(effect.genes[25:]), "p_positions"].notna().all()


def test_tissue_that_contradicts_the_direction_speaks_for_no_response(effect: Perturbed) -> None:
    head = effect.predictor.head
    turned = replace(head, cross=-head.cross)
    asked = effect.request
    made = perturb(
        asked.section, asked.model, asked.roi, asked.edits, reach_um=60.0, bands_um=(0, 60),
        response=turned,
    )  # fmt: skip
    there = significance(effect, n_permutations=19).table
    back = significance(made, n_permutations=19).table
    there, back = (t[t["band"] == "all"].set_index("gene") for t in (there, back))
    sure = there.index[there["pvalue"] < 0.2]
    assert len(sure)
    opposite = np.sign(there.loc[sure, "effect"]) != np.sign(back.loc[sure, "effect"])
    assert opposite.mean() > 0.8
    assert (back.loc[sure[opposite], "pvalue"] == 1).all()


def test_one_seed_gives_one_table(effect: Perturbed) -> None:
    one, two = (significance(effect, n_permutations=19, seed=2).table for _ in range(2))
    assert one.equals(two)


def test_random_genes_are_edited_by_as_much(effect: Perturbed) -> None:
    request = SignificanceRequest(effect, n_permutations=19)
    spread = effect.section.model_space(effect.request.model.target_sum).std(0, dtype=np.float64)
    change = effect.edited.after - effect.edited.before
    size = np.abs(change / np.where(spread > 0, spread, 1)).sum(1)
    draws = list(request._random_genes(np.random.default_rng(0)))
    genes = [int(np.flatnonzero((d.after != d.before).any(0))[0]) for d in draws]
    assert len(set(genes)) == len(genes) == 19
    assert effect.genes.index("gene_3") not in genes
    for draw, gene in zip(draws, genes, strict=True):
        assert np.allclose(
            np.abs(draw.after - draw.before)[:, gene] / spread[gene], size, atol=1e-4
        )


def test_random_positions_are_elsewhere(effect: Perturbed) -> None:
    request = SignificanceRequest(effect, n_permutations=19)
    near = set(effect.index) | set(np.flatnonzero(effect.request.roi))
    for draw in request._random_positions(np.random.default_rng(0)):
        assert not near & set(draw.cells)
        assert len(draw.cells) == len(effect.edited.cells)


def test_a_cancelled_test_leaves_the_effect(effect: Perturbed) -> None:
    before = effect.perturbed.copy()
    work = SignificanceRequest(effect, n_permutations=19).run()
    next(work)
    work.close()
    assert np.array_equal(effect.perturbed, before)


def test_too_few_permutations_are_refused(effect: Perturbed) -> None:
    with pytest.raises(InputError, match="n_permutations is 5"):
        significance(effect, n_permutations=5)
