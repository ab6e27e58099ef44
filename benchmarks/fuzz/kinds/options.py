"""Options of the public functions, drawn from unusual values."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from benchmarks.fuzz import values
from benchmarks.fuzz.base import SHAPE, TRAINING, region
from benchmarks.fuzz.case import Room, Work, WrongError
from napari_gest.model.config import ModelConfig
from napari_gest.tasks.generation.generate import generate
from napari_gest.tasks.labels.annotate import HeadConfig, annotate, labels_from_obs, train_head
from napari_gest.tasks.niches.cluster import cluster_niches
from napari_gest.tasks.niches.embed import embed_niches
from napari_gest.tasks.niches.niche_tree import niche_tree
from napari_gest.tasks.perturbation.dose import dose_response
from napari_gest.tasks.perturbation.influence import influence
from napari_gest.tasks.perturbation.perturb import perturb
from napari_gest.tasks.perturbation.significance import significance
from napari_gest.tasks.training.train import TrainConfig, fit
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.placement import place_cells
from napari_gest.tissue.reading import Reading
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate

Options = dict[str, Any]


def prepare(room: Room) -> Work:
    call, usual = room.pick(CALLS)
    options = dict(usual)
    for name in room.rng.permutation(sorted(usual))[: room.pick((1, 1, 2, 3))]:
        odd = values.option(room.rng)
        old = usual[name]
        if isinstance(old, tuple) and room.chance(0.6):
            odd = tuple(values.number(room.rng) for _ in range(int(room.rng.integers(0, 4))))
        options[str(name)] = odd
        room.note(f"{name}={odd!r}"[:80])
        room.names += [str(name), str(name).replace("_", " "), *str(name).split("_")]
    room.note(call.__name__.strip("_"))
    return lambda: call(room, options)


def finite(result: Any) -> None:
    """Raise unless all numbers in a result are finite."""
    if isinstance(result, pd.DataFrame):
        result = result.select_dtypes("number").to_numpy()
    array = result.data if sparse.issparse(result) else np.asarray(result)
    if not np.isfinite(array).all():
        raise WrongError(f"{(~np.isfinite(array)).sum()} of {array.size} values are not finite")


def _generate(room: Room, options: Options) -> None:
    section = room.base.sections[0]
    new = options.pop("new", None)
    if new is not None:
        options["new_coords_um"] = new
    made = generate(section, room.base.model, _unseen(section), **options)
    for result in (made.expression, made.sd, made.entropy):
        finite(result)
    if (made.expression < 0).any():
        raise WrongError("negative expression")


def _unseen(section: Section) -> np.ndarray:
    return np.arange(section.n_obs) < 4


def _middle(section: Section) -> np.ndarray:
    return np.linalg.norm(section.coords_um - section.coords_um.mean(0), axis=1) < 40


def _embed(room: Room, options: Options) -> None:
    finite(embed_niches(room.base.sections[0], room.base.model, **options).embedding)


def _cluster(room: Room, options: Options) -> None:
    embedded = [embed_niches(room.base.sections[0], room.base.model)]
    finite(cluster_niches(embedded, **options).probability)


def _tree(room: Room, options: Options) -> None:
    embedded = [embed_niches(room.base.sections[0], room.base.model)]
    cut = options.pop("n_niches")
    finite(niche_tree(embedded, **options).cut(cut).probability)


def _head(room: Room, options: Options) -> None:
    section, seed = room.base.sections[0], {}
    labels = labels_from_obs(room.base.adata, "region", section.rows)
    model = train_head(room.base.model, [section], [labels], HeadConfig(**options), **seed)
    finite(annotate(section, model).probability)


def _perturb(room: Room, options: Options) -> None:
    section = room.base.sections[0]
    edit = Edit(options.pop("gene"), options.pop("op"), options.pop("value"))
    made = perturb(section, room.base.model, _middle(section), [edit], **options)
    finite(made.effect)
    finite(made.effects())


def _significance(room: Room, options: Options) -> None:
    section = room.base.sections[0]
    made = perturb(
        section, room.base.model, _middle(section), [Edit("gene_3", "set", 60.0)], reach_um=60.0,
        bands_um=(0.0, 30.0, 60.0),
    )  # fmt: skip
    if "strengths" in options:
        finite(dose_response(made, **options))
    else:
        table = significance(made, **options).table
        finite(table["effect"])
        # Edited genes are not tested.
        finite(table.loc[table["gene"] != "gene_3", ["pvalue", "fdr"]])


def _influence(room: Room, options: Options) -> None:
    section = room.base.sections[0]
    made = influence(section, room.base.model, **options)
    finite(made.influence)


def _fit(room: Room, options: Options) -> None:
    shape = {k: options.pop(k) for k in ModelConfig.model_fields if k in options}
    shape = {**SHAPE, **shape}
    training = {k: options.pop(k) for k in TRAINING.model_dump() if k in options}
    training = TRAINING.model_dump() | {"n_steps": 2, "validate_every": 1} | training
    model = fit(room.base.sections, ModelConfig(**shape), TrainConfig(**training), **options)
    for weight in model.network.state_dict().values():
        finite(weight.numpy())
    model.save(room.out / "model")


def _simulate(room: Room, options: Options) -> None:
    made = simulate(**options)
    finite(made.X)
    finite(made.obsm["spatial"])


def _place(room: Room, options: Options) -> None:
    section, seed = room.base.sections[0], 0
    scale = options.pop("scale")
    if isinstance(scale, bool) or not isinstance(scale, int | float):
        scale = 2.0
    scale = float(scale) if abs(scale) <= sys.float_info.max else math.inf
    room.names += ["region", "outline", "cells"]
    roi = region(section)
    rings = [np.asarray(roi.geometry.exterior.coords) * scale]
    made = place_cells(Roi.from_vertices(rings), section.coords_um, np.random.default_rng(seed))
    finite(made)


def _reading(room: Room, options: Options) -> None:
    name = options.pop("name")
    section = Section.read(Reading(**options), room.base.adata, name)
    finite(section.coords_um)
    finite(section.areas_um2)
    if not section.n_obs:
        raise WrongError("a section without cells")


def _edit(room: Room, options: Options) -> None:
    strength = options.pop("strength")
    fold = options.pop("log2fc")
    edit = Edit(**options) if fold is None else Edit.fold(options["gene"], fold)
    finite(edit.apply(np.array([0.0, 1.0, 7.0]), strength))


CALLS: tuple[tuple[Callable[[Room, Options], None], Options], ...] = (
    (_generate, {"mode": "weighted", "seed": 0, "temperature": 1.0, "frontier": 64, "passes": 2,
                 "residuals": True, "field": 0.0, "new": None}),
    (_generate, {"mode": "sample", "seed": 0, "temperature": 1.0, "top_k": 3, "draws": 2,
                 "new": None}),
    (_generate, {"mode": "weighted", "seed": 0, "field": 0.7, "frontier": 1}),
    (_embed, {"read": "expression", "form": "shared", "niche_cells": 64}),
    (_embed, {"read": "content", "niche_cells": 12}),
    (_cluster, {"n_niches": 3, "method": "kmeans", "smoothing": 1.0, "seed": 0, "repeats": 1}),
    (_cluster, {"n_niches": 3, "method": "mixture", "smoothing": 1.0, "seed": 0}),
    (_cluster, {"n_niches": None, "method": "leiden", "resolution": 1.0, "seed": 0}),
    (_tree, {"n_leaves": 8, "smoothing": 1.0, "seed": 0, "n_niches": 3}),
    (_head, {"reads": ("content",), "form": None, "niche_cells": None, "pools": (1, 7),
             "penalty": 0.5, "adapt": True, "smoothing": 2.0}),
    (_perturb, {"gene": "gene_3", "op": "set", "value": 60.0, "strength": 1.0,
     "input": "continuous",
                "readout": "response", "reach_um": 60.0, "bands_um": (0.0, 30.0, 60.0), "seed": 0}),
    (_perturb, {"gene": "gene_3", "op": "multiply", "value": 4.0, "strength": 1.0,
                "readout": "generation", "reach_um": 40.0, "bands_um": (0.0, 40.0), "seed": 0,
                "frontier": 64, "passes": 1}),
    (_significance, {"n_permutations": 19, "seed": 0}),
    (_significance, {"strengths": (0.5, 1.0)}),
    (_influence, {"cell": 3, "seed": 0, "k": 4, "n_random": 5}),
    (_fit, {"seed": 0, "name": "made", "n_layers": 1, "n_heads": 2, "d_model": 8,
     "window_cells": 24,
            "n_meta_cells": 8, "n_pcs": 4, "level_sizes": (4, 3, 2), "dropout": 0.1}),
    (_fit, {"seed": 0, "n_steps": 2, "batch_windows": 1, "targets": 8, "learning_rate": 1e-3,
            "weight_decay": 0.05, "ema_decay": 0.9, "cell_dropout": 0.3, "order": "hole",
            "hole_radius": 8.0, "expression_weight": 1.0, "validation_share": 0.1}),
    (_simulate, {"n_cells": 40, "n_genes": 6, "n_sections": 2, "seed": 0,
                 "anatomy": "layers"}),
    (_place, {"scale": 1.0}),
    (_reading, {"spatial_key": "spatial", "section_key": "section", "layer": None,
     "name": "section_1",
                "um_per_unit": 1.0, "scale": "auto"}),
    (_edit, {"gene": "gene_1", "op": "set", "value": 2.0, "strength": 1.0, "log2fc": None}),
    (_edit, {"gene": "gene_1", "op": "multiply", "value": 2.0, "strength": 1.0, "log2fc": 1.0}),
)  # fmt: skip
