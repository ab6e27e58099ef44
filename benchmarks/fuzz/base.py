"""The small valid inputs that cases mutate, written by the project itself."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from benchmarks.fuzz import sessions
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tasks.generation.generate import generate
from napari_gest.tasks.labels.annotate import HeadConfig, HeadRequest, annotate, labels_from_obs
from napari_gest.tasks.niches.cluster import cluster_niches
from napari_gest.tasks.niches.embed import embed_niches
from napari_gest.tasks.perturbation.perturb import PerturbRequest
from napari_gest.tasks.perturbation.respond import fit_response
from napari_gest.tasks.perturbation.scenario import Labels, Scenario, Settings, write_scenarios
from napari_gest.tasks.progress import finish
from napari_gest.tasks.training.train import FitRequest, TrainConfig
from napari_gest.tissue.edits import Edit, write_edits
from napari_gest.tissue.io import write_tissue
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate
from napari_gest.tissue.window import window_side

N_CELLS, N_GENES = 240, 16
TRAINING = TrainConfig(n_steps=6, batch_windows=1, targets=8, validate_every=2)
SHAPE = {
    "n_layers": 1, "n_heads": 2, "d_model": 8, "window_cells": 24, "n_meta_cells": 8,
    "n_pcs": 4, "level_sizes": (4, 3, 2),
}  # fmt: skip
H5AD = ("plain.h5ad", "dense.h5ad", "csc.h5ad", "rich.h5ad")
ZARR = ("dense.zarr", "rich.zarr", "csc-3.zarr", "rich-3.zarr")  # -3: of format 3


@dataclass(frozen=True)
class Base:
    """Valid inputs in a folder, and the same in memory.

    Attributes
    ----------
    folder
        The tissues ``H5AD`` and ``ZARR``, ``region.geojson``, ``edits.csv`` and ``deg.csv``, and
        the folders ``scenario``, ``scenarios``, ``model``, ``state`` and ``session.gest``.
    """

    folder: Path

    @cached_property
    def adata(self) -> AnnData:
        return simulate(N_CELLS, N_GENES, 2, seed=3)

    @cached_property
    def sections(self) -> list[Section]:
        return [Section.from_anndata(self.adata, f"section_{i}") for i in (1, 2)]

    @cached_property
    def model(self) -> GeST:
        return GeST.load(self.folder / "model")

    def load(self) -> None:
        """Load everything into memory, so that a forked process does not have to."""
        assert self.adata is not None
        assert self.sections
        assert self.model.head is not None
        _ = [section.geometry for section in self.sections]


def build(folder: Path) -> None:
    """Write the valid inputs; the same bytes each time."""
    base = Base(folder)
    model = _model(base)
    model.save(folder / "model")
    plain = base.adata.copy()
    tissues = {"plain": plain, "dense": _dense(plain), "csc": _csc(plain)}
    tissues["rich"] = _rich(base, model)
    for name in H5AD:
        write_tissue(tissues[Path(name).stem], folder / name)
    for name in ZARR:
        stem, _, version = Path(name).stem.partition("-")
        _write_zarr(tissues[stem], folder / name, int(version or 2))
    roi = region(base.sections[0])
    roi.write_geojson(folder / "region.geojson")
    edits = (
        Edit("gene_2", "set", 9.0),
        Edit("gene_3", "multiply", 2.5),
        Edit("gene_4", "knockout"),
    )
    write_edits(edits, folder / "edits.csv")
    fold = pd.DataFrame(
        {
            "gene": [f"gene_{i}" for i in range(1, N_GENES + 1)],
            "log2FC": np.linspace(-2, 2, N_GENES),
            "padj": 0.01,
        }
    )
    fold.to_csv(folder / "deg.csv", index=False)
    _write_scenarios(folder, roi, edits)
    sessions.build(folder, model)
    run = FitRequest(
        base.sections, ModelConfig(**SHAPE), TRAINING, 0, checkpoint_dir=folder / "state"
    ).run()
    for progress in run:  # stopped after its second validation
        if progress.stage == "Training" and progress.done == 4:
            break
    run.close()
    _same_clock(folder / "state" / "state.json")


def _same_clock(path: Path) -> None:
    """Give a training state the same recorded time in every run."""
    about = json.loads(path.read_text(encoding="utf-8"))
    about["spent"] = 1.0
    for entry in about["curve"]:
        entry["seconds"] = 1.0
    path.write_text(json.dumps(about), encoding="utf-8")


def region(section: Section) -> Roi:
    """Return a square with a hole inside a section, um."""
    x, y = section.coords_um.mean(0)
    corners = np.array([[-50.0, -50.0], [60.0, -50.0], [60.0, 50.0], [-50.0, 50.0]])
    outer = Roi.from_vertices([corners + np.array([x, y])]).geometry
    inner = Roi.from_vertices([corners * 0.1 + np.array([x, y])]).geometry
    return Roi(outer.difference(inner))


def _model(base: Base) -> GeST:
    sections = base.sections
    config = ModelConfig(window_um=window_side(sections[0].coords_um, 24), **SHAPE)
    tokenizer = MetaCellTokenizer.fit(
        np.concatenate([part.model_space(250.0) for part in sections]),
        sections[0].genes,
        250.0,
        n_meta_cells=config.n_meta_cells,
        n_pcs=config.n_pcs,
        level_sizes=config.level_sizes,
        seed=0,
    )
    model = fit_response(GeST.create(config, tokenizer, seed=0, name="tiny"), sections)
    labels = [labels_from_obs(base.adata, "region", part.rows) for part in sections]
    return finish(HeadRequest(model, sections, labels, HeadConfig(), "region").run(), None)


def _dense(plain: AnnData) -> AnnData:
    made = plain[plain.obs["section"] == "section_1"].copy()
    made.X = made.X.toarray()
    del made.obs["section"]
    return made


def _csc(plain: AnnData) -> AnnData:
    made = plain.copy()
    made.layers["counts"] = sparse.csc_matrix(made.X)
    made.X = sparse.csc_matrix(made.X)
    made.raw = made
    made.obsp["near"] = sparse.eye(made.n_obs, format="csr")
    made.varm["loadings"] = np.ones((made.n_vars, 3))
    made.obs["mask"] = np.arange(made.n_obs) % 3 == 0
    made.uns["palette"] = ["#ff0000", "#00ff00"]
    return made


def _rich(base: Base, model: GeST) -> AnnData:
    """Return tissue with the results of every task."""
    made, sections = base.adata.copy(), base.sections
    first = sections[0]
    near = np.linalg.norm(first.coords_um - first.coords_um.mean(0), axis=1)
    generate(first, model, near < 40, field=0.0).write(made)
    embedded = [embed_niches(part, model) for part in sections]
    for one in embedded:
        one.write(made)
    cluster_niches(embedded, 3).write(made)
    for part in sections:
        annotate(part, model).write(made)
    edit = (Edit("gene_3", "set", 60.0),)
    finish(PerturbRequest(first, model, near < 40, edit).run(), None).write(made)
    return made


def _write_zarr(adata: AnnData, path: Path, version: int) -> None:
    import anndata

    with anndata.settings.override(zarr_write_format=version), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_tissue(adata, path)


def _write_scenarios(folder: Path, roi: Roi, edits: tuple[Edit, ...]) -> None:
    settings = Settings(
        name="one",
        model="tiny",
        section="section_1",
        added=("cell_1",),
        erased=("cell_2",),
        reach_um=60.0,
        bands_um=(0.0, 30.0, 60.0),
    )
    table = pd.DataFrame({"band": "all", "gene": ["gene_1", "gene_2"], "effect": [0.5, -0.5]})
    one = Scenario(settings, roi, edits)
    one.write(folder / "scenario", table)
    labels = Labels(key="section", values=("section_1",))
    two = Scenario(settings.model_copy(update={"name": "two", "only": labels}), roi, edits)
    write_scenarios([(one, table), (two, table)], folder / "scenarios")
