"""Perturbation on real tissue: a stroke table, and known biology."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import binomtest

from benchmarks.common.table import Table
from benchmarks.perturbation.command import wilson
from napari_gest.model.gest import GeST
from napari_gest.tasks.perturbation.perturb import perturb
from napari_gest.tasks.perturbation.respond import fit_response
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.io import read_tissue
from napari_gest.tissue.section import Section, section_names

MODEL, TISSUE, STROKE = (
    "mouse-preoptic-merfish",
    "merfish_mpoa_a1_135g.h5ad",
    "deg_mouse_stroke_nvu.csv",
)
_RADIUS_UM, _REACH_UM = 150.0, 100.0
_PSEUDO = 20.0  # added to means of astrocytes, which the table gives without a fold change
_LEAST = 0.3  # log2 fold changes below this have no direction

FORMS: dict[str, dict[str, Any]] = {
    "response": {"readout": "response", "input": "continuous"},
    "generation": {"readout": "generation", "input": "token"},
}
# Edited cell type, column of the table; and who responds, column of the table.
EDITED = (("Endothelial", "log2fc_EC"), ("Microglia", "log2fc_MG"))
RESPONDERS = (
    ("Astrocyte", "log2fc_AC"),
    ("Pericytes", "log2fc_PC"),
    ("Microglia", "log2fc_MG"),
    ("Endothelial", "log2fc_EC"),
)


@dataclass(frozen=True)
class Known:
    """An edit with a known effect around it; written before any of them was run."""

    of: str
    to: str
    up: tuple[str, ...]
    down: tuple[str, ...]


EXPECTED = (
    Known("Ependymal", "Inhibitory", up=("Gad1",), down=("Cd24a",)),
    Known("Inhibitory", "Ependymal", up=("Cd24a",), down=("Gad1",)),
    Known("OD Mature", "Excitatory", up=("Slc17a6",), down=("Ermn", "Opalin")),
    Known("Excitatory", "OD Mature", up=("Ermn", "Opalin"), down=("Slc17a6",)),
    Known("Astrocyte", "Inhibitory", up=("Gad1",), down=("Aqp4", "Mlc1")),
)


def real_tables(step: Callable[[str], None]) -> list[Table]:
    """Return the tables, or none and a message if data are absent."""
    folder = Path(os.environ.get("GEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    absent = [name for name in (TISSUE, STROKE) if not (folder / name).exists()]
    if absent:
        step(f"skipped real tissue: {', '.join(absent)} absent; point GEST_DATA at the data sets")
        return []
    adata = read_tissue(folder / TISSUE)
    sections = [Section.from_anndata(adata, name) for name in section_names(adata)]
    step("real tissue: fitting the response on four sections")
    model = fit_response(GeST.load(MODEL), sections)
    stroke = _stroke(folder / STROKE, model.genes)
    return [
        _stroke_table(adata, sections, model, stroke, step),
        _known_table(adata, sections, model, step),
    ]


def _stroke(path: Path, panel: tuple[str, ...]) -> pd.DataFrame:
    """Return log2 fold changes of the panel's genes; astrocytes' from their means."""
    table = pd.read_csv(path).rename(columns={"Gene": "gene"})
    table = table[table["gene"].isin(panel)].drop_duplicates("gene").set_index("gene")
    after, before = table["mean_stroke_AC"] + _PSEUDO, table["mean_contra_AC"] + _PSEUDO
    return table.assign(log2fc_AC=np.log2(after / before))


def _stroke_table(
    adata: AnnData,
    sections: list[Section],
    model: GeST,
    stroke: pd.DataFrame,
    step: Callable[[str], None],
) -> Table:
    rows = []
    for kind, column in EDITED:
        known = stroke[column].dropna()
        edits = tuple(Edit.fold(g, v) for g, v in known.items() if v)
        effects: dict[str, list[tuple[NDArray, pd.Series]]] = {}
        cells = 0
        for readout in FORMS:
            for section in sections:
                step(f"real tissue: {kind}, {readout}, {section.name}")
                labels = adata.obs["cell_type"].astype(str).iloc[section.rows]
                edited = labels.str.startswith(kind).to_numpy()
                roi = _densest(section, edited)
                made = perturb(
                    section,
                    model,
                    roi,
                    edits,
                    only=edited,
                    **FORMS[readout],
                    reach_um=_REACH_UM,
                )
                cells += made.n_edited if readout == "response" else 0
                around = labels.iloc[made.index]
                effects.setdefault(readout, []).append((made.effect, around))
        for responder, answer in RESPONDERS:
            if responder == kind:
                continue
            truth = stroke[answer].reindex(known.index)
            judged = truth.index[(truth.abs() >= _LEAST) & (known != 0)]
            place = [model.genes.index(g) for g in judged]
            right = {"naive": np.sign(known[judged]) == np.sign(truth[judged])}
            n_cells = 0
            for readout, parts in effects.items():
                inside = [around.str.startswith(responder).to_numpy() for _, around in parts]
                n_cells = int(sum(i.sum() for i in inside))
                mean = np.concatenate([e[i] for (e, _), i in zip(parts, inside, strict=True)])
                mean = mean.mean(0, dtype=np.float64)[place]
                right[readout] = np.sign(mean) == np.sign(truth[judged].to_numpy())
            better = int((right["response"] & ~right["naive"]).sum())
            worse = int((~right["response"] & right["naive"]).sum())
            p = binomtest(better, better + worse).pvalue if better + worse else 1.0
            rows.append(
                [
                    f"{kind} ({cells})",
                    f"{responder} ({n_cells})",
                    str(len(judged)),
                    *(_share(right[m]) for m in ("response", "generation", "naive")),
                    f"{p:.2f}",
                ]
            )
    return Table(
        "Stroke table on the preoptic area: direction right in cells around the edit",
        [
            "edited (cells)",
            "responding (cells)",
            "genes",
            "GeST response",
            "GeST generation (paper)",
            "same change as in the ROI",
            "paired p",
        ],
        rows,
        [
            "Mouse stroke against the other hemisphere, sorted cells. Fold changes of one cell type"
            f" are given to its cells in a region of {_RADIUS_UM:g} um a section, four sections;"
            f" predicted signs in cells up to {_REACH_UM:g} um around against that type's column.",
            f"Genes with both columns and a fold change of at least 2^{_LEAST:g}; astrocytes from"
            f" the table's means plus {_PSEUDO:g}. 95 % Wilson intervals; exact McNemar test of"
            " response against naive. The response was fitted on the four sections.",
            "This is not the paper's experiment: the gene lists of its infarct core and proximal"
            " peri-infarct area (Han et al. 2024) are not available, so its 70.11 % (naive 44.8 %)"
            " is not reproduced. Cells of the table come from cortex with stroke, bulk sorted.",
        ],
    )


def _known_table(
    adata: AnnData, sections: list[Section], model: GeST, step: Callable[[str], None]
) -> Table:
    rows = []
    kinds = adata.obs["cell_type"].astype(str)
    for known in EXPECTED:
        parts: dict[str, list[NDArray]] = {"response": [], "generation": []}
        for section in sections:
            labels = kinds.iloc[section.rows].str
            of, to = (labels.startswith(name).to_numpy() for name in (known.of, known.to))
            if of.sum() < 20 or to.sum() < 20:
                continue
            step(f"real tissue: {known.of} to {known.to}, {section.name}")
            for readout, effects in parts.items():
                made = perturb(
                    section,
                    model,
                    _densest(section, of),
                    only=of,
                    replace_by=to,
                    **FORMS[readout],
                    reach_um=_REACH_UM,
                )
                effects.append(made.effect)
        for sign, genes in (("up", known.up), ("down", known.down)):
            for gene in genes:
                place = model.genes.index(gene)
                found = [
                    float(np.concatenate(e)[:, place].mean(dtype=np.float64))
                    for e in parts.values()
                ]
                agree = [(v > 0) == (sign == "up") and v != 0 for v in found]
                rows.append(
                    [
                        f"{known.of} to {known.to}",
                        f"{gene} {sign}",
                        *(
                            f"{v:+.4f} {'as expected' if a else 'not as expected'}"
                            for v, a in zip(found, agree, strict=True)
                        ),
                    ]
                )
    return Table(
        "Known biology: cells of a region replaced by another type",
        ["edit", "expected around it", "GeST response", "GeST generation (paper)"],
        rows,
        ["Expectations were written before the first run. Mean over cells around, model space."],
    )


def _densest(section: Section, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (n_obs,) bool: the disc around the cell with most wanted cells around it."""
    tree = cKDTree(section.coords_um[wanted])
    counts = tree.query_ball_point(section.coords_um[wanted], _RADIUS_UM, return_length=True)
    centre = section.coords_um[wanted][int(np.argmax(counts))]
    return np.linalg.norm(section.coords_um - centre, axis=1) < _RADIUS_UM


def _share(right: pd.Series | NDArray) -> str:
    n, k = len(right), int(np.sum(right))
    low, high = wilson(k, n)
    return f"{k / n:.0%} [{low:.0%}, {high:.0%}]"
