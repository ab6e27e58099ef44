"""One search for niches as it was asked for, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_gest import keys
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.preview import Preview, named
from napari_gest.app.script import read_call, section_call
from napari_gest.app.session import Opened, Session
from napari_gest.errors import InputError
from napari_gest.tasks.progress import Progress

if TYPE_CHECKING:
    import shapely
    from anndata import AnnData

    from napari_gest.model.gest import GeST
    from napari_gest.tasks.generation.generated import Generated
    from napari_gest.tasks.niches.cluster import ClusterRequest
    from napari_gest.tasks.niches.embed import Embedded
    from napari_gest.tasks.niches.generated_niches import GeneratedNiches
    from napari_gest.tasks.niches.niche_tree import NicheTree
    from napari_gest.tasks.niches.niches import Clustered

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

    def work(self, load: Callable[[str], GeST]) -> Generator[Progress, None, NicheSearch]:
        """Load the model, embed what was not, and build the tree of niches; for a worker thread."""
        yield Progress("Loading the model", 0, 1)
        from napari_gest.tasks.niches.embed import EmbedRequest
        from napari_gest.tasks.niches.generated_niches import GeneratedNicheRequest
        from napari_gest.tasks.niches.niche_tree import NicheTreeRequest
        from napari_gest.tasks.threads import share_processors

        share_processors()
        model = load(self.model.name)
        embedded = []
        for one in self.opened:
            request = EmbedRequest(one.section, model)
            before = (self.embedded or {}).get((one.section, self.model.path))
            before = before or request.stored(one.adata)
            embedded.append(before or (yield from request.run()))
            yield Progress("Measuring areas", 0, 1)
            _ = one.section.areas_um2  # kept by the section
        n = sum(len(e.rows) for e in embedded)
        leaves = min(MOST_NICHES, n // 2)
        tree = yield from NicheTreeRequest(embedded, n_leaves=leaves, seed=self.seed).run()
        compared = []
        for result in self.generated:
            compared.append((yield from GeneratedNicheRequest(result, model, embedded).run()))
        return NicheSearch(self, tuple(embedded), tree, tuple(compared))

    def script(self, by: str, value: float, edits: Sequence[str] = ()) -> str:
        """Return Python code that does the same with the public functions.

        Parameters
        ----------
        by, value
            ``"number"`` of niches, or ``"resolution"`` they were found at.
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
        asked = f"n_niches={value}" if by == "number" else f"method='leiden', resolution={value}"
        lines += [
            "]",
            f"model = GeST.load({self.model.load_name!r})",
            "embedded = [embed_niches(section, model) for section in sections]",
            f"niches = cluster_niches(embedded, {asked}, seed={self.seed})",
            *(f"niches = niches.{edit}" for edit in edits),
        ]
        if len(files) == 1:
            lines += ["niches.write(adata)", 'write_tissue(adata, "niches.h5ad")']
        else:
            for number, (key, name) in enumerate(names.items(), 1):
                places = [i for i, one in enumerate(self.opened) if id(one.adata) == key]
                own = ", ".join(f"sections[{i}]" for i in places)
                lines.append(f"niches.part({own}).write({name})")
                lines.append(f'write_tissue({name}, "niches_{number}.h5ad")')
        used = "GeST, Section, cluster_niches, embed_niches, read_tissue, write_tissue"
        return "\n".join([f"from napari_gest import {used}", "", *lines]) + "\n"


@dataclass(frozen=True, eq=False)
class NicheSearch:
    """What a search returns: embeddings, and the tree that previews any number of niches."""

    plan: NichePlan
    embedded: tuple[Embedded, ...]
    tree: NicheTree
    generated: tuple[GeneratedNiches, ...]

    def request(self, by: str, value: float) -> ClusterRequest:
        """Return a clustering of the same embeddings, to be run by a worker.

        Parameters
        ----------
        by, value
            ``"number"`` of niches, or ``"resolution"`` of Leiden.
        """
        from napari_gest.tasks.niches.cluster import ClusterRequest

        if by == "number":
            return ClusterRequest(self.embedded, int(value), seed=self.plan.seed)
        return ClusterRequest(self.embedded, method="leiden", resolution=value, seed=self.plan.seed)

    def is_open(self, session: Session) -> bool:
        """Tell whether every section is still open."""
        return all(session.sections.get(o.label) is o for o in self.plan.opened)

    def preview(self, niches: Clustered) -> Preview:
        """Return what to paint."""
        parts = {
            o.label: named(labels, niches.names, niches.colors)
            for o, labels in zip(self.plan.opened, self._labels(niches), strict=True)
        }
        generated = {
            one.generated: named(one.labels(niches), niches.names, niches.colors)
            for one in self.generated
        }
        return Preview("niches", parts, generated)

    @property
    def draws(self) -> str:
        """Which draws the generated cells are of, "draw 1 of 1"; empty where none was drawn."""
        named = (one.generated.draw_name(one.draw) for one in self.generated)
        return ", ".join(dict.fromkeys(filter(None, named)))

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

    def compare(
        self, generated: Sequence[Generated], load: Callable[[str], GeST]
    ) -> Generator[Progress, None, NicheSearch]:
        """Return the same with further generated cells; for a worker thread."""
        yield Progress("Loading the model", 0, 1)
        from napari_gest.tasks.niches.generated_niches import GeneratedNicheRequest

        model, compared = load(self.plan.model.name), list(self.generated)
        for one in generated:
            compared.append((yield from GeneratedNicheRequest(one, model, self.embedded).run()))
        return replace(self, generated=tuple(compared))

    def not_compared(self) -> list[Generated]:
        """Return generated cells that were kept but not compared."""
        from napari_gest.tasks.generation.generated import Generated

        known = {id(one.generated) for one in self.generated}
        results = [result for o in self.plan.opened for result in o.results]
        return [r for r in results if isinstance(r, Generated) and id(r) not in known]

    def generated_kept(self) -> frozenset[GeneratedNiches]:
        """Return the generated cells compared that were kept themselves."""
        results = {id(result) for o in self.plan.opened for result in o.results}
        return frozenset(one for one in self.generated if id(one.generated) in results)

    def kept(self, niches: Clustered) -> list[tuple[list[Opened], NicheCommit]]:
        """Return what to keep, one result for each AnnData and the sections it holds."""
        generated = self.generated_kept()
        groups: dict[int, list[int]] = {}
        for index, one in enumerate(self.plan.opened):
            groups.setdefault(id(one.adata), []).append(index)
        out = []
        for group in groups.values():
            opened = [self.plan.opened[i] for i in group]
            sections = {id(o.section) for o in opened}
            made = tuple(one for one in generated if id(one.generated.section) in sections)
            own = tuple(self.embedded[i] for i in group)
            part = niches.part(*(niches.sections[i] for i in group))
            out.append((opened, NicheCommit(own, part, made, niches)))
        return out

    def outlines(self, niches: Clustered, index: int) -> list[shapely.MultiPolygon]:
        """Return the area of each niche in one of the sections, um, x y."""
        from napari_gest.tissue.outline import outlines

        coords_um = self.plan.opened[index].section.coords_um
        return outlines(coords_um, self._labels(niches)[index], niches.n_niches)

    def _labels(self, niches: Clustered) -> list[NDArray[np.int64]]:
        return np.split(niches.labels, self._ends[:-1])

    @property
    def _ends(self) -> list[int]:
        return np.cumsum([o.section.n_obs for o in self.plan.opened]).tolist()


@dataclass(frozen=True, eq=False)
class NicheCommit:
    """Embeddings and niches of the sections of one AnnData, and of kept generated cells in them.

    Attributes
    ----------
    embedded, niches
        Of these sections.
    generated
        Generated cells that were kept themselves.
    together
        Niches of all sections that were clustered.
    """

    embedded: tuple[Embedded, ...]
    niches: Clustered
    generated: tuple[GeneratedNiches, ...]
    together: Clustered

    @property
    def rows(self) -> NDArray[np.int64]:
        """(n,) row of each cell in the AnnData, -1 for a new one."""
        return np.concatenate([self.niches.rows, *(g.generated.rows for g in self.generated)])

    def write(self, adata: AnnData) -> frozenset[str]:
        """Write obsm, obs and uns; return the names of the keys that changed."""
        changed = set(self.niches.write(adata))
        for one in self.embedded:
            changed |= one.write(adata)
        if keys.GENERATED_NICHE in adata.obs:  # of other niches
            del adata.obs[keys.GENERATED_NICHE]
            changed.add(keys.GENERATED_NICHE)
        for made in self.generated:
            changed |= made.write(adata, self.together)
        return frozenset(changed)

    def to_anndata(self, adata: AnnData) -> AnnData:
        """Return the copy that has rows for new cells, with their niches written into it.

        It stays as it is where other niches were kept since.
        """
        held = adata.obs[keys.NICHE]
        names, rows = self.niches.names, self.niches.rows
        same = tuple(held.cat.categories) == names and np.array_equal(
            held.cat.codes.to_numpy()[rows], self.niches.labels
        )
        for made in self.generated if same else ():
            if (made.rows_in(adata) >= 0)[made.generated.rows < 0].any():
                made.write(adata, self.together)
        return adata
