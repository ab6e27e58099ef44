"""The bundled sample and similar tissues: GeST against 60 neighbours, and their realism."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from benchmarks.common.datasets import data_dir
from benchmarks.common.table import Table
from napari_gest.app.sample_tissue import SAMPLE_ROI, SAMPLE_SECTION, gene_around
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.generate import GenerateRequest
from napari_gest.tasks.progress import finish
from napari_gest.tissue.io import read_tissue
from napari_gest.tissue.moran import morans_i
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section, section_names

MAKE = Path(__file__).parents[2] / "sample_data" / "make.py"
SEEDS = (0, 1, 2, 3, 4)
_NEIGHBOURS = 60
_REAL = "merfish_mpoa_a1_135g.h5ad"
_REAL_TOTALS = "merfish_mpoa_a1_155g.h5ad"  # of the same animal, not scaled to one total


@dataclass(frozen=True)
class Score:
    """GeST and the mean of the 60 nearest measured cells, in one region.

    Attributes
    ----------
    tissue, seed
        Seed of the simulation, or "shipped", and that of generation.
    n_cells
        Cells in the region.
    gene
        The gene that the rule chooses; ``gene_r`` and ``neighbours_gene_r`` are its correlations.
    rmse_z, pearson, spearman
        As in ``Generated.agreement``, over all genes.
    decoder_rmse_z
        Without the section's own field.
    """

    tissue: str
    seed: int
    n_cells: int
    gene: str
    rmse_z: float
    neighbours_rmse_z: float
    pearson: float
    neighbours_pearson: float
    spearman: float
    neighbours_spearman: float
    gene_r: float
    neighbours_gene_r: float
    decoder_rmse_z: float

    @property
    def gain(self) -> float:
        """How much lower ``rmse_z`` is than that of 60 neighbours."""
        return self.neighbours_rmse_z - self.rmse_z

    @property
    def ahead(self) -> bool:
        """Whether all three figures are better."""
        return (
            self.gain > 0
            and self.pearson > self.neighbours_pearson
            and self.spearman > self.neighbours_spearman
        )


@dataclass(frozen=True)
class Look:
    """Properties of a section, in model space.

    Attributes
    ----------
    top_moran, median_moran
        Moran's I: mean of the five highest, and median over genes.
    zeros
        Share of values that are zero.
    spread
        Mean over genes of the standard deviation over cells.
    genes_per_cell
        Median number of genes with a value above zero in a cell.
    totals
        10th, 50th and 90th percentile of counts per cell; None for data that were scaled.
    per_mm2
        Cells per mm2 at the median nearest-neighbour distance.
    """

    name: str
    n_cells: int
    top_moran: float
    median_moran: float
    zeros: float
    spread: float
    genes_per_cell: float
    totals: tuple[float, float, float] | None
    spacing_um: float


def score(model: GeST, section: Section, roi: Roi, tissue: str, seed: int) -> Score:
    """Generate the region and score it."""
    unseen = roi.contains(section.coords_um)
    request = GenerateRequest(section, model, unseen, mode="weighted", seed=seed)
    made = finish(request.run())
    decoder = finish(replace(request, field=0.0).run()).agreement(section)
    all_genes = made.agreement(section)
    if all_genes is None or all_genes.neighbours is None or decoder is None:
        raise ValueError("no gene varies in the region")
    baseline = all_genes.neighbours
    gene = gene_around(section, roi, model.target_sum)
    values = section.model_space(model.target_sum)[:, section.genes.index(gene)]
    known = np.flatnonzero(~unseen)
    tree = cKDTree(section.coords_um[known])
    near = known[tree.query(section.coords_um[unseen], min(_NEIGHBOURS, len(known)))[1]]
    ours = made.expression[:, made.genes.index(gene)]
    return Score(
        tissue,
        seed,
        int(unseen.sum()),
        gene,
        all_genes.rmse_z,
        baseline.rmse_z,
        all_genes.pearson,
        baseline.pearson,
        all_genes.spearman,
        baseline.spearman,
        _r(values[unseen], ours),
        _r(values[unseen], values[near].mean(axis=1)),
        decoder.rmse_z,
    )


def _r(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def look(name: str, section: Section, target_sum: float, counts: bool) -> Look:
    """Measure the properties of a section."""
    values = section.model_space(target_sum)
    moran = np.sort(morans_i(values, section.coords_um))
    totals = np.quantile(np.asarray(section.expression.sum(axis=1)).ravel(), [0.1, 0.5, 0.9])
    return Look(
        name,
        section.n_obs,
        float(moran[-5:].mean()),
        float(np.median(moran)),
        float((values == 0).mean()),
        float(values.std(axis=0).mean()),
        float(np.median((values > 0).sum(axis=1))),
        (float(totals[0]), float(totals[1]), float(totals[2])) if counts else None,
        float(np.median(cKDTree(section.coords_um).query(section.coords_um, 2)[0][:, 1])),
    )


def run(
    model_name: str | None, seeds: Sequence[int], step: Callable[[str], None]
) -> tuple[list[Score], list[Look]]:
    """Score tissues of ``seeds``, then the shipped file with ``seeds`` of generation.

    Properties of real sections of the same region and panel are measured where the files are
    present; these sections are not scored.
    """
    script = runpy.run_path(str(MAKE))
    model = GeST.load(script["MODEL"] if model_name is None else model_name)
    scores, looks = [], []
    for seed in seeds:
        step(f"tissue of seed {seed}")
        adata, roi = script["tissue"](model, seed)
        section = Section.from_anndata(adata)
        scores.append(score(model, section, roi, str(seed), 0))
        looks.append(look(f"simulated, seed {seed}", section, model.target_sum, True))
    section = Section.from_anndata(read_tissue(SAMPLE_SECTION))
    roi = Roi.read_geojson(SAMPLE_ROI)
    for seed in seeds:
        step(f"shipped file, generation with seed {seed}")
        scores.append(score(model, section, roi, "shipped", seed))
    looks += _real(model, step)
    return scores, looks


def _real(model: GeST, step: Callable[[str], None]) -> Iterator[Look]:
    for file, panel in ((_REAL, True), (_REAL_TOTALS, False)):
        path = data_dir() / file
        if not path.exists():
            step(f"skipped {file}: absent; point GEST_DATA at the folder of the data sets")
            continue
        adata = read_tissue(path)
        for name in section_names(adata):
            section = Section.from_anndata(adata, name)
            if panel == (set(section.genes) == set(model.genes)):
                step(f"looking at {name} of {file}")
                yield look(f"real, {name}, {len(section.genes)} genes", section,
                           model.target_sum, not panel)  # fmt: skip


def tables(scores: Sequence[Score], looks: Sequence[Look]) -> list[Table]:
    """Return a table for seeds of the tissue, one for seeds of generation, and one of looks."""
    headings = ["seed", "cells", "rmse_z", "60 neighbours", "lower by", "Pearson",
                "60 neighbours", "Spearman", "60 neighbours", "gene", "its r", "60 neighbours",
                "decoder alone, rmse_z"]  # fmt: skip
    made = []
    for title, shipped in (
        ("Five tissues, seeds of the simulation", False),
        ("The shipped file, seeds of generation", True),
    ):
        part = [s for s in scores if (s.tissue == "shipped") == shipped]
        if not part:
            continue
        rows = [
            [str(s.seed) if shipped else s.tissue, str(s.n_cells), f"{s.rmse_z:.3f}",
             f"{s.neighbours_rmse_z:.3f}", f"{s.gain:.3f}", f"{s.pearson:.3f}",
             f"{s.neighbours_pearson:.3f}", f"{s.spearman:.3f}", f"{s.neighbours_spearman:.3f}",
             s.gene, f"{s.gene_r:.2f}", f"{s.neighbours_gene_r:.2f}", f"{s.decoder_rmse_z:.3f}"]
            for s in part
        ]  # fmt: skip
        gains = [s.gain for s in part]
        notes = [
            f"GeST is ahead in all three figures with {sum(s.ahead for s in part)} of {len(part)}"
            f" seeds; its rmse_z is lower by {min(gains):.3f} to {max(gains):.3f},"
            f" {np.mean(gains):.3f} on average."
        ]
        made.append(Table(title, headings, rows, notes))
    if looks:
        made.append(_looks(looks))
    return made


def _looks(looks: Sequence[Look]) -> Table:
    headings = ["section", "cells", "Moran's I, five highest", "median", "zeros", "spread",
                "genes in a cell", "counts in a cell", "to the nearest cell, um"]  # fmt: skip
    rows = [
        [one.name, f"{one.n_cells:,}", f"{one.top_moran:.2f}", f"{one.median_moran:.3f}",
         f"{one.zeros:.2f}", f"{one.spread:.2f}", f"{one.genes_per_cell:.0f}",
         "scaled" if one.totals is None else " / ".join(f"{v:.0f}" for v in one.totals),
         f"{one.spacing_um:.1f}"]
        for one in looks
    ]  # fmt: skip
    notes = [
        "Counts: 10th, 50th and 90th percentile. Real sections: MERFISH of the mouse preoptic area"
        " (Moffitt et al. 2018); those of 155 genes keep their totals, divided by cell volume."
    ]
    return Table("Properties of the tissues", headings, rows, notes)


def preamble() -> str:
    """Return the text above the tables in a file."""
    provenance = json.loads((SAMPLE_SECTION.parent / "provenance.json").read_text())
    return (
        "# The bundled sample\n\n"
        "Written by `python -m benchmarks sample --markdown`; not edited by hand. The tissue is"
        " simulated, its\nprofiles are the model's own vocabulary, and its anatomy is designed to"
        " be predictable from surroundings.\nSo these figures confirm that the demo shows what it"
        " claims to show. They are not evidence about real\ntissue; for that see"
        " [expected-expression.md](expected-expression.md). `sample_data/make.py` holds the"
        "\nrule that chooses region and gene; in the shipped file they are"
        f" {provenance['cells_in_region']} cells and {provenance['gene']}.\n"
    )
