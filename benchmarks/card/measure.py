"""One row of the card with one seed, measured, in a process of its own.

``python -m benchmarks.card.measure`` reads lines ``ROW SEED`` and prints a line of JSON for each:
scores and counts, or an error, and the modules of this project that were used.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.card.bins import binned
from benchmarks.card.digest import code_of, recorded, used
from benchmarks.card.rows import DATA, DEVELOPMENT, QUICK, ROWS, Data, Row
from benchmarks.common.datasets import VALIDATION_SEED, Loaded, Source, Split, load
from benchmarks.common.holes import RADII_UM, Case
from benchmarks.common.metrics import accuracy, pearson
from benchmarks.common.training import RUNS, trained
from benchmarks.generation.baselines import PointBaseline, predict_case, simple_baselines
from benchmarks.generation.command import fill
from benchmarks.generation.drawn import score_ablations
from benchmarks.generation.learned_baselines import CoordinateMLP, SparseGP
from napari_gest.files import make_folder
from napari_gest.model.gest import GeST
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.moran import morans_i
from napari_gest.tissue.section import Section
from napari_gest.tissue.window import window_side

SCORES = ("rmse_z", "rmse_z_svg", "rmse", "rmse_svg", "spearman_gene", "spearman_gene_svg")
_TRAINING_ROOM = "napari_gest.tasks.training"
DRAWN = ("energy_score", "crps_svg")
# Of a model that was kept by an earlier row nothing of this is called.
TRAINING = (
    "benchmarks.card.measure",
    "napari_gest.model.kmeans",
    "napari_gest.model.loss",
    "napari_gest.model.temperature",
    "napari_gest.tasks.training.train_loop",
    "napari_gest.tasks.training.train_windows",
    "napari_gest.tissue.order",
)
_VALIDATION_CASES = 5  # on which baselines are tuned, so that tuning takes minutes


def measure(row: Row, data: Data, seed: int) -> dict[str, Any]:
    """Return ``n_holes``, ``n_cells``, ``n_train``, ``scores`` and ``genes`` as in `Result`."""
    split = split_of(data, own=bool(row.extra.get("own")))
    # Holes of development have other seeds than any that is tested.
    first = VALIDATION_SEED + seed if data.part == DEVELOPMENT else seed
    radii = RADII_UM[:3] if row.kind == "drawn" else RADII_UM
    loaded = load(split, seed=first, radii_um=radii)
    loaded = replace(loaded, train=[_strip(s, row.extra.get("share", 1.0)) for s in loaded.train])
    (section,) = loaded.test
    cases, found = MEASURES[row.kind](row, split, loaded, section, seed)
    about = {
        "n_holes": len(cases),
        "n_cells": sum(len(case.truth) for case in cases),
        "n_train": sum(s.n_obs for s in loaded.train),
    }
    return about | found


# The holes that were scored, and what was found on them.
Measured = tuple[list[Case], dict[str, Any]]


def _in_space_of(model: GeST, loaded: Loaded) -> Loaded:
    """Return the same with the model's total of a cell, which its validation cells left alone."""
    return replace(loaded, target_sum=model.target_sum)


def split_of(data: Data, own: bool = False) -> Split:
    """Return the training sections and the scored one; bins are made and kept in ``runs/``."""
    file = data.file
    train = data.train
    if data.patients:
        obs = read_tissue(Source(file).resolve()).obs
        theirs = obs["patient"].astype(str).isin(data.patients)
        train = tuple(sorted(set(obs["section"][theirs].astype(str))))
    if data.bin_um:
        path = RUNS / "card" / f"bins-{data.bin_um:g}um-of-{file}"
        if not path.exists():
            make_folder(path.parent)
            write_tissue(binned(read_tissue(Source(file).resolve()), data.bin_um), path)
        file = str(path)
    sources = (Source(file, train),) if train and not own else ()
    return Split(f"card-{data.scored}", sources, Source(file, (data.scored,)))


def _strip(section: Section, share: float) -> Section:
    """Return a connected part of a section: this share of its cells, those with the lowest x."""
    if share == 1.0:
        return section
    order = np.argsort(section.coords_um[:, 0], kind="stable")
    part = np.zeros(section.n_obs, bool)
    part[order[: round(share * section.n_obs)]] = True
    return section.subset(part)


def model_of(row: Row, split: Split, loaded: Loaded, training_seed: int) -> GeST:
    """Return the row's model, trained or kept from another row with the same training."""
    shape = dict(row.model)
    if "window_um" in row.extra:
        shape["window_cells"] = _cells_in(row.extra["window_um"], loaded.train)
    return trained(
        split,
        loaded,
        training_seed,
        model_settings=shape,
        train_settings=row.train,
        start=row.extra.get("start"),
        runs=RUNS / "card" / code_of("napari_gest.model", "napari_gest.tissue", _TRAINING_ROOM),
    ).model


def _cells_in(side_um: float, sections: Sequence[Section]) -> int:
    """Return how many cells a square of a side holds at the sections' median density."""
    n = 256
    side = float(np.mean([window_side(s.coords_um, n) for s in sections]))
    return max(8, round(n * (side_um / side) ** 2))


def _decoder(row: Row, split: Split, loaded: Loaded, section: Section, seed: int) -> Measured:
    if row.extra.get("continuous"):
        from benchmarks.card.continuous import fill_continuous, train_continuous

        regressor = train_continuous(row, loaded, seed)
        loaded = _in_space_of(regressor, loaded)
        cases = loaded.test_cases(section)
        made = [fill_continuous(regressor, section, case, loaded) for case in cases]
    else:
        model = model_of(row, split, loaded, seed)
        loaded = _in_space_of(model, loaded)
        cases = loaded.test_cases(section)
        settings = {"mode": "weighted", "field": 0.0} | row.generate
        made = [fill(model, section, case, loaded, **settings).mean for case in cases]
    scores = _means([_scored(c, m) for c, m in zip(cases, made, strict=True)])
    return cases, {"scores": {"GeST": scores}}


def _methods(row: Row, split: Split, loaded: Loaded, section: Section, seed: int) -> Measured:
    # One model for all seeds of the holes where they do not change what trains.
    model = model_of(row, split, loaded, 0 if split.train else seed)
    loaded = _in_space_of(model, loaded)
    cases = loaded.test_cases(section)
    made: dict[str, list[Any]] = {"GeST": [], "GeST, pick": [], "GeST, no field": []}
    for case in cases:
        filled = fill(model, section, case, loaded, mode="weighted")
        made["GeST"].append(filled.mean)
        made["GeST, no field"].append(filled.decoder)
        made["GeST, pick"].append(fill(model, section, case, loaded, mode="pick").mean)
    for baseline in tuned(loaded, seed):
        made[baseline.name] = [predict_case(baseline, case) for case in cases]
    scores = {
        name: _means([_scored(c, m) for c, m in zip(cases, values, strict=True)])
        for name, values in made.items()
    }
    ranked = _ranked(section, cases, loaded)
    genes = {name: _by_gene(cases, values, ranked) for name, values in made.items()}
    return cases, {"scores": scores, "genes": genes}


def tuned(loaded: Loaded, seed: int) -> list[PointBaseline]:
    """Return the baselines, tuned on holes in training sections.

    They are the paper's two (a Gaussian process and a network of coordinates) and the simple ones.
    The two networks of neighbours of ``generation`` take most of its time and are left out.
    """
    validation = loaded.validation_cases()
    step = max(1, len(validation) // _VALIDATION_CASES)
    baselines = [*simple_baselines(), SparseGP(), CoordinateMLP(seed=seed)]
    return [baseline.fit(validation[::step][:_VALIDATION_CASES]) for baseline in baselines]


def _drawn(row: Row, split: Split, loaded: Loaded, section: Section, seed: int) -> Measured:
    model = model_of(row, split, loaded, seed)
    loaded = _in_space_of(model, loaded)
    found: dict[str, list[Mapping[str, float]]] = {}
    for drawn in score_ablations("card", section, loaded, model):
        found.setdefault(drawn.method, []).append(drawn.scores)
    means = {
        name: {key: float(np.nanmean([s[key] for s in scores])) for key in DRAWN}
        for name, scores in found.items()
    }
    return loaded.test_cases(section), {"scores": means}


MEASURES = {"decoder": _decoder, "methods": _methods, "drawn": _drawn}


def _scored(case: Case, made: np.ndarray) -> dict[str, float]:
    return accuracy(case.truth, made, case.svg)


def _means(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.nanmean([s[name] for s in scores])) for name in SCORES}


def _ranked(section: Section, cases: Sequence[Case], loaded: Loaded) -> np.ndarray:
    """Return the 200 most spatially variable genes, by Moran's I outside all holes."""
    known = np.logical_and.reduce([case.hole.known for case in cases])
    values = section.subset(known).model_space(loaded.target_sum)
    found = morans_i(values, section.coords_um[known])
    return np.argsort(-np.nan_to_num(found, nan=-1.0), kind="stable")[:200]


def _by_gene(cases: Sequence[Case], made: Sequence[np.ndarray], ranked: np.ndarray) -> list[float]:
    """Return (n,) the error ``sqrt(2 (1 - r))`` of each gene, r a mean over the holes."""
    r = [pearson(c.truth[:, ranked], m[:, ranked]) for c, m in zip(cases, made, strict=True)]
    error = np.sqrt(2 * (1 - np.nanmean(r, axis=0)))
    return [float(e) for e in error]


def answer(row_id: str, seed: int) -> dict[str, Any]:
    """Return what a row with a seed came to, and the modules that were used."""
    row = next(row for row in (*ROWS, QUICK) if row.id == row_id)
    with recorded() as modules:
        try:
            found = measure(row, DATA[row.data], seed)
        except Exception as error:  # whatever it is, it is the row's result
            found = {"error": f"{type(error).__name__}: {error}"}
    return found | {"modules": sorted({*modules, *used(TRAINING)})}


def main() -> None:
    """Answer line by line."""
    torch.set_num_threads(1)  # two threads wait for each other on busy processors
    for line in sys.stdin:
        row_id, seed = line.split()
        with redirect_stdout(sys.stderr):  # what libraries print is no answer
            found = answer(row_id, int(seed))
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
