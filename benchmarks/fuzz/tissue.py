"""The work on a tissue file: read sections, run a short task, write the result."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from benchmarks.fuzz.case import Room, WrongError
from napari_gest.tasks.generation.generate import generate
from napari_gest.tasks.labels.annotate import HeadConfig, annotate, labels_from_obs, train_head
from napari_gest.tasks.niches.cluster import cluster_niches
from napari_gest.tasks.niches.embed import EmbedRequest, embed_niches
from napari_gest.tasks.niches.generated_niches import generated_niches
from napari_gest.tasks.niches.niche_tree import niche_tree
from napari_gest.tasks.perturbation.perturb import perturb
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.io import in_memory, read_tissue, write_tissue
from napari_gest.tissue.moran import top_svgs
from napari_gest.tissue.outline import outlines
from napari_gest.tissue.reading import layer_names
from napari_gest.tissue.roi import mask_from_obs
from napari_gest.tissue.section import Section, section_names

# Names that a refusal of a tissue file may contain, besides its path.
NAMES = (
    "ection",
    "obsm",
    "obs[",
    "obs column",
    "layer",
    "matrix X",
    "'X'",
    "ells",
    "genes",
    "uns",
)


def work(room: Room, path: Path) -> None:
    """Read tissue, take its sections, run a task on one, write it and read it back."""
    room.names += NAMES
    adata = read_tissue(path)
    names = section_names(adata)
    options: dict[str, Any] = {}
    if room.chance(0.1):
        options["scale"] = room.pick(("linear", "log1p"))
    if room.chance(0.15) and layer_names(adata):
        options["layer"] = room.pick(layer_names(adata))
    sections = [Section.from_anndata(adata, n, **options) for n in names[:3]]
    if not sections:
        sections = [Section.from_anndata(adata, **options)]
    adata = in_memory(adata)
    section = room.pick(sections)
    task = room.pick(TASKS)
    room.note(task.__name__)
    before = _x(adata)
    result = task(room, adata, section, sections)
    if not _same(before, _x(adata)):
        raise WrongError("X was changed")
    out = room.out / f"again{room.pick(('.h5ad',) * 5 + ('.zarr',))}"
    write_tissue(result, out)
    compare(result, read_tissue(out))
    _left_on_disk(room, path, names[:3], options)


def _left_on_disk(room: Room, path: Path, names: list[str], options: dict[str, Any]) -> None:
    """Open what was read once more, lazily: cells and a copy of the file must be the same."""
    opened, whole = read_tissue(path, lazy=True), read_tissue(path)
    for name in names:
        there = Section.from_anndata(opened, name, **options, lazy=True)
        here = Section.from_anndata(whole, name, **options)
        if not _same(here.expression, there.expression[:]):
            raise WrongError(f"section {name!r} has other cells on disk")
    out = room.out / f"copy{path.suffix}"
    write_tissue(opened, out)
    compare(in_memory(whole), read_tissue(out))


def _x(adata: AnnData) -> Any:
    return None if adata.X is None else adata.X.copy()


def _near(room: Room, section: Section, n: int) -> np.ndarray:
    """Return (n_obs,) bool: a cell and the n - 1 nearest to it."""
    centre = section.coords_um[int(room.rng.integers(section.n_obs))]
    with np.errstate(all="ignore"):
        far = np.linalg.norm(section.coords_um - centre, axis=1)
    mask = np.zeros(section.n_obs, bool)
    mask[np.argsort(far, kind="stable")[:n]] = True
    return mask


def finite(what: str, *results: Any) -> None:
    """Raise unless results are finite."""
    for values in results:
        array = values.data if sparse.issparse(values) else np.asarray(values)
        if not np.isfinite(array).all():
            raise WrongError(f"{what}: {(~np.isfinite(array)).sum()} values are not finite")


def _embed(room: Room, adata: AnnData, section: Section, sections: list[Section]) -> AnnData:
    model = room.base.model
    EmbedRequest(section, model).stored(adata)
    embedded = embed_niches(section, model, read=room.pick(("content", "expression")))
    finite("embedding", embedded.embedding)
    embedded.write(adata)
    if EmbedRequest(section, model, read=embedded.settings["read"]).stored(adata) is None:
        raise WrongError("the embedding just stored is not found")
    return adata


def _cluster(room: Room, adata: AnnData, section: Section, sections: list[Section]) -> AnnData:
    embedded = [embed_niches(one, room.base.model) for one in sections]
    if room.chance(0.3):
        found = niche_tree(embedded, n_leaves=8).cut(3)
    else:
        found = cluster_niches(embedded, 3, method=room.pick(("mixture", "kmeans")))
    finite("niches", found.probability)
    found.write(adata)
    finite("markers", found.markers(2)[["log_fold_change", "t"]].to_numpy(float))
    found.summary()
    column = room.pick(list(adata.obs) or ["absent"])
    values = pd.concat([adata.obs[column].iloc[one.rows] for one in sections])
    found.composition(values)
    return adata


def _generate(room: Room, adata: AnnData, section: Section, sections: list[Section]) -> AnnData:
    settings: dict[str, Any] = {"field": room.pick((0.0, 0.0, 0.7))}
    mode = room.pick(("weighted", "weighted", "pick", "sample"))
    new = room.chance(0.3)
    if new:
        settings["new_coords_um"] = section.coords_um[:2] + 1.5
    made = generate(section, room.base.model, _near(room, section, 4), mode=mode, **settings)
    finite("generated", made.expression, made.sd, made.entropy)
    agreement = made.agreement(section)
    if agreement is not None:
        finite("agreement", agreement.rmse, agreement.rmse_z, agreement.pearson)
    if new:
        return made.to_anndata(adata)
    made.write(adata)
    return adata


def _generated_niches(
    room: Room, adata: AnnData, section: Section, sections: list[Section]
) -> AnnData:
    model = room.base.model
    made = generate(section, model, _near(room, section, 4), field=0.0)
    embedded = [embed_niches(one, model) for one in sections]
    found = cluster_niches(embedded, 2, method="kmeans")
    made.write(adata)
    generated_niches(made, model, embedded).write(adata, found)
    return adata


def _annotate(room: Room, adata: AnnData, section: Section, sections: list[Section]) -> AnnData:
    model = room.base.model
    if room.chance(0.5):
        column = room.pick(list(adata.obs) or ["absent"])
        room.names.append(str(column))
        labels = labels_from_obs(adata, column, section.rows)
        config = HeadConfig(penalty=1.0)
        model = train_head(model, [section], [labels], config)
    labelled = annotate(section, model)
    finite("labels", labelled.probability)
    labelled.write(adata)
    return adata


def _perturb(room: Room, adata: AnnData, section: Section, sections: list[Section]) -> AnnData:
    readout = room.pick(("response", "generation"))
    known = room.base.model.genes
    gene = room.pick([g for g in known if g in section.genes] or known)
    made = perturb(
        section,
        room.base.model,
        _near(room, section, 9),
        [Edit(gene, "set", 50.0)],
        readout=readout,
        reach_um=40.0,
        bands_um=(0.0, 20.0, 40.0),
    )
    finite("effect", made.effect, made.effects()[["effect", "control"]].to_numpy(float))
    made.write(adata)
    return adata


def _describe(room: Room, adata: AnnData, section: Section, sections: list[Section]) -> AnnData:
    """Run the functions that describe a section without a model."""
    finite("areas", section.areas_um2)
    section.digest  # noqa: B018
    top_svgs(section.model_space(250.0), section.coords_um, 3)
    labels = np.arange(section.n_obs) % 2
    outlines(section.coords_um, labels, 2)
    column = room.pick(list(adata.obs) or ["absent"])
    room.names.append(str(column))
    mask_from_obs(adata, column, section.rows)
    return adata


TASKS: tuple[Callable[..., AnnData], ...] = (
    _embed, _cluster, _generate, _generate, _generated_niches, _annotate, _perturb, _describe,
)  # fmt: skip


def compare(written: AnnData, read: AnnData) -> None:
    """Raise unless the tissue that was read equals the one that was written."""
    if written.shape != read.shape:
        raise WrongError(f"{written.shape} was written and {read.shape} read")
    for what in ("obs_names", "var_names"):
        if list(map(str, getattr(written, what))) != list(map(str, getattr(read, what))):
            raise WrongError(f"{what} read back are others")
    if not _same(written.X, read.X):
        raise WrongError("X read back is another one")
    for what in ("layers", "obsm"):
        one, other = getattr(written, what), getattr(read, what)
        if set(one) != set(other):
            raise WrongError(f"{what}: {set(one) ^ set(other)} differ")
        for key in one:
            if not _same(one[key], other[key]):
                raise WrongError(f"{what}[{key!r}] read back is another one")
    if list(map(str, written.obs.columns)) != list(map(str, read.obs.columns)):
        raise WrongError("obs columns read back are others")
    for key in written.obs:
        one, other = written.obs[key], read.obs[key]
        if not (one.isna().to_numpy() == other.isna().to_numpy()).all():
            raise WrongError(f"obs[{key!r}] has other gaps")
        there = ~one.isna().to_numpy()
        if list(map(str, one[there])) != list(map(str, other[there])):
            raise WrongError(f"obs[{key!r}] read back is another one")


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    if isinstance(one, pd.DataFrame):
        return isinstance(other, pd.DataFrame) and one.shape == other.shape
    a, b = (x.toarray() if hasattr(x, "toarray") else np.asarray(x) for x in (one, other))
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "fc":
        return bool(np.array_equal(a, b, equal_nan=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [str(x) for x in a.reshape(-1)] == [str(x) for x in b.reshape(-1)]
