"""Cost of embedding and clustering niches, and the effect of shared windows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from benchmarks.common.timing import Figure
from benchmarks.niches.scored import Cost
from napari_gest.model.gest import GeST
from napari_gest.tasks.niches.cluster import cluster_niches
from napari_gest.tasks.niches.embed import embed_niches
from napari_gest.tasks.niches.niche_tree import niche_tree
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate

MODEL = "mouse-preoptic-merfish"
SIZES = (20_000, 100_000, 500_000)
# Read, form and largest number of cells; the decoder's reads take minutes for more.
READS: tuple[tuple[str, str | None, int], ...] = (
    ("content", None, 500_000),
    ("expression", "shared", 100_000),
    ("hidden", "shared", 20_000),
    ("hidden", "exact", 20_000),
)


# Cells of which a tree is built at most.
_MOST_TREE = 100_000


def left_out(sizes: Sequence[int]) -> list[str]:
    """Return what is not run at these sizes, a line each; nothing is left out without a word."""
    lines = []
    for n in sizes:
        reads = [r if form is None else f"{r}, {form}" for r, form, most in READS if n > most]
        if n > _MOST_TREE:
            reads.append("the tree of niches")
        if reads:
            lines.append(f"{n:,} cells: left out, as too slow here: {'; '.join(reads)}.")
    return lines


def figures(
    sizes: Sequence[int] = SIZES, small: int = 4000, on_step: Callable[[str], None] = lambda _: None
) -> list[Figure]:
    """Measure on simulated tissue in the panel of a bundled model."""
    model = GeST.load(MODEL)
    found: list[Figure] = []
    for n in sizes:
        on_step(f"simulating {n:,} cells")
        section = tissue(model, n)
        for read, form, most in READS:
            if n > most:
                continue
            what = read if form is None else f"{read}, {form}"
            on_step(f"embedding {n:,} cells: {what}")
            with Cost() as cost:
                embedded = embed_niches(section, model, read=read, form=form)
            bar = n == 20_000
            per_cell = 1e6 * cost.wall_s / n
            found.append(
                Figure(
                    f"embedding {n:,} cells, {what}",
                    f"{cost.wall_s:.1f} s, {per_cell:.0f} us a cell, peak {cost.peak_mb:,.0f} MB",
                    "at most 60 s" if bar else "",
                    cost.wall_s <= 60 if bar else None,
                    {"cells": n, "wall_s": cost.wall_s, "peak_mb": cost.peak_mb},
                )
            )
            if read == "content" and n <= _MOST_TREE:
                on_step(f"a tree of {n:,} cells")
                found += _tree(embedded, n)
    on_step("shared windows beside exact ones")
    section = tissue(model, small)
    return found + [_agreement(section, model, read) for read in ("hidden", "expression")]


def tissue(model: GeST, n_cells: int) -> Section:
    """Return a simulated section in the model's panel."""
    profiles = np.expm1(model.tokenizer.c_expr.astype(np.float64))
    adata = simulate(n_cells, None, 1, 0, profiles=profiles, genes=model.genes)
    return Section.from_anndata(adata)


def _tree(embedded: object, n: int) -> list[Figure]:
    started = time.perf_counter()
    tree = niche_tree(embedded)
    built = time.perf_counter() - started
    cuts = []
    for k in (5, 12, 20):
        started = time.perf_counter()
        tree.cut(k)
        cuts.append(time.perf_counter() - started)
    bar = n == 100_000
    return [
        Figure(f"building the tree of {n:,} cells", f"{built:.1f} s", "", None, {"wall_s": built}),
        Figure(
            f"another number of niches for {n:,} cells",
            f"{1000 * max(cuts):.0f} ms",
            "at most 300 ms" if bar else "",
            max(cuts) <= 0.3 if bar else None,
            {"wall_s": max(cuts)},
        ),
    ]


def _agreement(section: Section, model: GeST, read: str) -> Figure:
    made, seconds = {}, {}
    for form in ("exact", "shared"):
        started = time.perf_counter()
        made[form] = embed_niches(section, model, read=read, form=form, niche_cells=128)
        seconds[form] = time.perf_counter() - started
    a, b = (made[f].embedding - made[f].embedding.mean(0) for f in ("exact", "shared"))
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = (a * b).sum(1) / np.maximum(norm, 1e-9)
    labels = [cluster_niches(made[f], 8).labels for f in ("exact", "shared")]
    again = cluster_niches(made["exact"], 8, seed=1).labels
    ami = adjusted_mutual_info_score(*labels)
    noise = adjusted_mutual_info_score(labels[0], again)
    speed = seconds["exact"] / seconds["shared"]
    return Figure(
        f"shared beside exact windows, {read}",
        f"cosine {cosine.mean():.3f}, AMI {ami:.3f} (two seeds of exact: {noise:.3f}),"
        f" {speed:.0f} times as fast",
        "",
        None,
        {"cosine": float(cosine.mean()), "ami": ami, "seeds": noise, "ratio": speed},
    )
