"""One search for niches as it was asked for, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_gest.errors import InputError
from napari_gest.session import Opened, Session
from napari_gest.tasks.progress import Progress
from napari_gest.viewer.preview import Preview, named
from napari_gest.viewer.script import read_call, section_call
from napari_gest.viewer.shelf import ModelInfo

if TYPE_CHECKING:
    import shapely
    from anndata import AnnData

    from napari_gest.model.gest import GeST
    from napari_gest.tasks.cluster import ClusterRequest
    from napari_gest.tasks.embed import Embedded
    from napari_gest.tasks.generated import Generated
    from napari_gest.tasks.generated_niches import GeneratedNiches
    from napari_gest.tasks.niche_tree import NicheTree
    from napari_gest.tasks.niches import Clustered

MOST_NICHES = 30
_FEWEST_CELLS = 4


@dataclass(frozen=True, eq=False)
class NichePlan:
    """A search to come.

    Attributes
    ----------
    opened
        Sections whose niches are found together.
    model
        Model to use.
    generated
        Finished results of runs on these sections, whose cells are compared.
    embedded
        What was embedded before, by section and model; nothing is embedded twice.
    seed
        Seed of the clustering.
    """

    opened: tuple[Opened, ...]
    model: ModelInfo
    generated: tuple[Generated, ...] = ()
    embedded: Mapping[tuple[Any, Path], Embedded] | None = None
    seed: int = 0

    def check(self) -> None:
        """Raise InputError if there are too few cells."""
        n = sum(o.section.n_obs for o in self.opened)
        if n < _FEWEST_CELLS:
            raise InputError(f"There are {n} cells.", "Open tissue with more cells.")

    def work(self, load: Callable[[str], GeST]) -> Generator[Progress, None, Found]:
        """Load the model, embed, and build the tree of niches; for a worker thread."""
        yield Progress("Loading the model", 0, 1)
        from napari_gest.tasks.embed import EmbedRequest
        from napari_gest.tasks.generated_niches import GeneratedNicheRequest
        from napari_gest.tasks.niche_tree import NicheTreeRequest
        from napari_gest.tasks.threads import share_processors

        share_processors()
        model = load(self.model.name)
        embedded = []
        for one in self.opened:
            before = (self.embedded or {}).get((one.section, self.model.path))
            if before is None:
                before = yield from EmbedRequest(one.section, model).run()
            embedded.append(before)
        n = sum(len(e.rows) for e in embedded)
        leaves = min(MOST_NICHES, n // 2)
        tree = yield from NicheTreeRequest(embedded, n_leaves=leaves, seed=self.seed).run()
        compared = []
        for result in self.generated:
            compared.append((yield from GeneratedNicheRequest(result, model, embedded).run()))
        return Found(self, tuple(embedded), tree, tuple(compared))

    def script(self, by: str, value: float, edits: Sequence[str] = ()) -> str:
        """Return Python code that does the same with the public functions.

        Parameters
        ----------
        by, value
            ``"number"`` of niches the tree is cut into, or ``"resolution"`` they were found at.
        edits
            Calls on the niches that follow, such as ``merged(['niche 1', 'niche 2'])``.
        """
        files = {id(o.adata): o for o in self.opened}
        names = {key: "adata" if len(files) == 1 else f"adata_{i + 1}"
                 for i, key in enumerate(files)}  # fmt: skip
        lines = [f"{names[key]} = {read_call(o.path)}" for key, o in files.items()]
        lines += ["sections = ["]
        for one in self.opened:
            lines.append(f"    {section_call(one.section, names[id(one.adata)])},")
        if by == "number":
            found = [
                f"tree = niche_tree(embedded, n_leaves={self._leaves}, seed={self.seed})",
                f"niches = tree.cut({value})",
            ]
        else:
            settings = f"method='leiden', resolution={value}, seed={self.seed}"
            found = [f"niches = cluster_niches(embedded, {settings})"]
        lines += [
            "]",
            f"model = GeST.load({self.model.load_name!r})",
            "embedded = [embed_niches(section, model) for section in sections]",
            *found,
            *(f"niches = niches.{edit}" for edit in edits),
        ]
        if len(files) == 1:
            lines += ["niches.write(adata)", 'write_tissue(adata, "niches.h5ad")']
        else:
            for number, (key, one) in enumerate(files.items(), 1):
                lines.append(f"niches.part({one.section.name!r}).write({names[key]})")
                lines.append(f'write_tissue({names[key]}, "niches_{number}.h5ad")')
        names = ["GeST", "Section", "embed_niches", "read_tissue", "write_tissue"]
        names.append("niche_tree" if by == "number" else "cluster_niches")
        head = ", ".join(sorted(names))
        return "\n".join([f"from napari_gest import {head}", "", *lines]) + "\n"

    @property
    def _leaves(self) -> int:
        return min(MOST_NICHES, sum(o.section.n_obs for o in self.opened) // 2)


@dataclass(frozen=True, eq=False)
class Found:
    """What a search returns: embeddings, and the tree that gives any number of niches."""

    plan: NichePlan
    embedded: tuple[Embedded, ...]
    tree: NicheTree
    generated: tuple[GeneratedNiches, ...]

    def at_resolution(self, resolution: float) -> ClusterRequest:
        """Return a clustering of the same embeddings by Leiden, to be run by a worker."""
        from napari_gest.tasks.cluster import ClusterRequest

        return ClusterRequest(
            self.embedded, method="leiden", resolution=resolution, seed=self.plan.seed
        )

    def is_open(self, session: Session) -> bool:
        """Tell whether every section is still open."""
        return all(session.sections.get(o.label) is o for o in self.plan.opened)

    def preview(self, niches: Clustered) -> Preview:
        """Return what to paint for a cut of the tree."""
        parts = {
            o.label: named(labels, niches.names, niches.colors)
            for o, labels in zip(self.plan.opened, self._labels(niches), strict=True)
        }
        generated = {
            one.generated: named(one.labels(niches), niches.names, niches.colors)
            for one in self.generated
        }
        return Preview("niches", parts, generated)

    def generated_counts(self, niches: Clustered) -> NDArray[np.int64]:
        """Return (K,) generated cells in each niche."""
        count = np.zeros(niches.n_niches, np.int64)
        for one in self.generated:
            count += np.bincount(one.labels(niches), minlength=niches.n_niches)
        return count

    def same_niche(self, niches: Clustered) -> tuple[int, int]:
        """Return how many generated cells are in the niche of the measured cell, and of how many.

        Cells placed where none was measured do not count.
        """
        same = total = 0
        sections = [id(o.section) for o in self.plan.opened]
        labels = dict(zip(sections, self._labels(niches), strict=True))
        for one in self.generated:
            index = one.generated.index
            truth = labels[id(one.generated.section)][index]
            same += int((one.labels(niches)[: len(index)] == truth).sum())
            total += len(index)
        return same, total

    def values(self, column: str) -> pd.Series:
        """Return (n,) an obs column of all cells; missing where a section has none."""
        parts = [
            o.obs_values(column).astype(object)
            if column in o.adata.obs
            else pd.Series([None] * o.section.n_obs)
            for o in self.plan.opened
        ]
        return pd.concat(parts, ignore_index=True)

    def kept(self, niches: Clustered) -> list[tuple[list[Opened], Kept]]:
        """Return what to keep, one result for each AnnData and the sections it holds."""
        groups: dict[int, list[int]] = {}
        for index, one in enumerate(self.plan.opened):
            groups.setdefault(id(one.adata), []).append(index)
        out = []
        for group in groups.values():
            own = [self.embedded[i] for i in group]
            out.append(
                ([self.plan.opened[i] for i in group], Kept(tuple(own), self._take(niches, group)))
            )
        return out

    def outlines(self, niches: Clustered, index: int) -> list[shapely.MultiPolygon]:
        """Return the area of each niche in one of the sections, um, x y."""
        from napari_gest.tissue.outline import outlines

        coords_um = self.plan.opened[index].section.coords_um
        return outlines(coords_um, self._labels(niches)[index], niches.n_niches)

    def _labels(self, niches: Clustered) -> list[NDArray[np.int64]]:
        return np.split(niches.labels, self._ends[:-1])

    def _take(self, niches: Clustered, group: list[int]) -> Clustered:
        starts = [0, *self._ends[:-1]]
        cells = np.concatenate([np.arange(starts[i], self._ends[i]) for i in group])
        return replace(
            niches,
            sections=tuple(niches.sections[i] for i in group),
            labels=niches.labels[cells],
            probability=niches.probability[cells],
        )

    @property
    def _ends(self) -> list[int]:
        return np.cumsum([o.section.n_obs for o in self.plan.opened]).tolist()


@dataclass(frozen=True, eq=False)
class Kept:
    """Embeddings and niches of the sections of one AnnData."""

    embedded: tuple[Embedded, ...]
    niches: Clustered

    @property
    def rows(self) -> NDArray[np.int64]:
        """(n,) row of each cell in the AnnData."""
        return self.niches.rows

    def write(self, adata: AnnData) -> frozenset[str]:
        """Write obsm, obs and uns; return the names of the keys that changed."""
        changed = self.niches.write(adata)
        for one in self.embedded:
            changed |= one.write(adata)
        return changed
