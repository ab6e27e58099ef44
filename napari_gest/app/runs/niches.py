"""One search for niches as it was asked for, and what it finds."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_gest import keys
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import Opened, Snapshot
from napari_gest.app.preview import Preview, named
from napari_gest.app.runs.base import Load, RunKind
from napari_gest.app.script import Script
from napari_gest.errors import InputError
from napari_gest.tasks.progress import Progress

if TYPE_CHECKING:
    import shapely
    from anndata import AnnData

    from napari_gest.app.state import State
    from napari_gest.tasks.generation.generated import Generated
    from napari_gest.tasks.niches.cluster import ClusterRequest
    from napari_gest.tasks.niches.embed import Embedded
    from napari_gest.tasks.niches.generated_niches import GeneratedNiches
    from napari_gest.tasks.niches.niche_tree import NicheTree
    from napari_gest.tasks.niches.niches import Clustered

MOST_NICHES = 30
_FEWEST_CELLS = 4


@dataclass(frozen=True, eq=False)
class NicheRun:
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

    kind: ClassVar[RunKind] = "niches"

    opened: tuple[Opened, ...]
    model: ModelInfo
    generated: tuple[Generated, ...] = ()
    embedded: Mapping[tuple[Any, Path], Embedded] | None = None
    seed: int = 0

    @classmethod
    def of(cls, state: State, model: ModelInfo, opened: tuple[Opened, ...]) -> NicheRun:
        """Return the search in sections: with what a session generated and embedded in them."""
        from napari_gest.app.from_file import is_from_file

        own = {id(o.section) for o in opened}
        shown = {entry.id for entry in state.shown_runs("generation")}
        generated = tuple(
            entry.outcome.result
            for entry in state.listed("generation")
            if entry.id in shown.union(state.kept)
            and id(entry.outcome.result.section) in own
            and not is_from_file(entry)
        )
        embedded = {
            (one.section, model.path): made
            for entry in state.runs
            if entry.kind == "niches" and entry.run.model.path == model.path
            for one, made in zip(entry.run.opened, entry.outcome.search.embedded, strict=True)
            if id(one.section) in own
        }
        return cls(opened, model, generated, embedded)

    @property
    def title(self) -> str:
        """Of which sections."""
        return "niches of " + ", ".join(o.label for o in self.opened)

    @property
    def settings(self) -> str:
        """How many sections are clustered together."""
        n = len(self.opened)
        return "1 section" if n == 1 else f"{n} sections together"

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """The sections whose niches are found."""
        return tuple(Snapshot(o.label, o.section) for o in self.opened)

    def changed_since(self, state: State) -> str | None:
        """Return nothing: niches do not depend on a region."""
        return None

    def check(self) -> None:
        """Raise InputError if there are too few cells, or the file of one was changed."""
        for one in self.opened:
            one.require_same_file()
        n = sum(o.section.n_obs for o in self.opened)
        if n < _FEWEST_CELLS:
            raise InputError(f"There are {n} cells.", "Open tissue with more cells.")

    def work(self, load: Load) -> Generator[Progress, None, NicheSearch]:
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
            if before is None or before.settings != request.settings:
                before = request.stored(one.adata)
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

    def script(self, by: str = "number", value: float = 8, edits: Sequence[str] = ()) -> str:
        """Return Python code that does the same with the public functions; see ``add_to``."""
        script = Script()
        self.add_to(script, object(), by, value, edits)
        return script.text("niches")

    def add_to(
        self, script: Script, result: object, by: str, value: float, edits: Sequence[str] = ()
    ) -> tuple[str, str]:
        """Add the lines that give niches, and write them, to a script.

        Parameters
        ----------
        script
            Takes the lines.
        result
            What the niches are known by to other runs.
        by, value
            ``"number"`` of niches, or ``"resolution"`` they were found at.
        edits
            Calls on the niches that follow, such as ``merged(['niche 1', 'niche 2'])``.

        Returns
        -------
        The variables of the embeddings and of the niches.
        """
        sections = [script.section(one.section, one.path) for one in self.opened]
        model = script.model(self.model)
        embedded = script.result(self, "embedded")
        niches = script.result(result, "niches")
        script.use("embed_niches", "cluster_niches")
        each = ", ".join(f"embed_niches({section}, {model})" for section in sections)
        number = f"{value:g}" if float(value).is_integer() else repr(value)
        asked = f"n_niches={number}" if by == "number" else f"method='leiden', resolution={value}"
        script.add(
            f"{embedded} = [{each}]",
            f"{niches} = cluster_niches({embedded}, {asked}, seed={self.seed})",
            *(f"{niches} = {niches}.{edit}" for edit in edits),
        )
        files: dict[str, list[int]] = {}
        for place, one in enumerate(self.opened):
            files.setdefault(script.adata(one.section, one.path), []).append(place)
        for adata, places in files.items():
            own = ", ".join(sections[i] for i in places)
            part = niches if len(files) == 1 else f"{niches}.part({own})"
            script.add(f"{part}.write({adata})")
            script.add(*(f"{embedded}[{i}].write({adata})" for i in places))
        return embedded, niches


@dataclass(frozen=True, eq=False)
class NicheSearch:
    """What a search returns: embeddings, and the tree that previews any number of niches."""

    run: NicheRun
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
            return ClusterRequest(self.embedded, int(value), seed=self.run.seed)
        return ClusterRequest(self.embedded, method="leiden", resolution=value, seed=self.run.seed)

    def preview(self, niches: Clustered) -> Preview:
        """Return what to paint."""
        parts = {
            o.section: named(labels, niches.names, niches.colors)
            for o, labels in zip(self.run.opened, self._labels(niches), strict=True)
        }
        generated = {
            one.generated: named(one.labels(niches), niches.names, niches.colors)
            for one in self.generated
        }
        return Preview("niches", parts, generated)

    @property
    def draws(self) -> str:
        """Which draws the generated cells are of, "draw 1 of 2"; empty where there is one alone."""
        named = (
            one.generated.draw_name(one.draw) for one in self.generated if one.generated.n_draws > 1
        )
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
        sections = [id(o.section) for o in self.run.opened]
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
            for o in self.run.opened
        ]
        return pd.concat(parts, ignore_index=True)

    def compare(
        self, generated: Sequence[Generated], load: Load
    ) -> Generator[Progress, None, NicheSearch]:
        """Return the same with further generated cells; for a worker thread."""
        yield Progress("Loading the model", 0, 1)
        from napari_gest.tasks.niches.generated_niches import GeneratedNicheRequest

        model, compared = load(self.run.model.name), list(self.generated)
        for one in generated:
            compared.append((yield from GeneratedNicheRequest(one, model, self.embedded).run()))
        return replace(self, generated=tuple(compared))

    def not_compared(self, kept: Sequence[Generated]) -> list[Generated]:
        """Return generated cells on these sections that were kept but not compared."""
        known = {id(one.generated) for one in self.generated}
        own = {id(o.section) for o in self.run.opened}
        return [r for r in kept if id(r.section) in own and id(r) not in known]

    def commits(
        self, niches: Clustered, kept: Sequence[Generated]
    ) -> list[tuple[tuple[Opened, ...], NicheCommit]]:
        """Return what to write, one result for each AnnData and the sections it holds.

        Parameters
        ----------
        niches
            The niches that are kept.
        kept
            Results of generation that are kept themselves.
        """
        results = {id(result) for result in kept}
        generated = [one for one in self.generated if id(one.generated) in results]
        groups: dict[int, list[int]] = {}
        for index, one in enumerate(self.run.opened):
            groups.setdefault(id(one.adata), []).append(index)
        out = []
        for group in groups.values():
            opened = tuple(self.run.opened[i] for i in group)
            sections = {id(o.section) for o in opened}
            made = tuple(one for one in generated if id(one.generated.section) in sections)
            own = tuple(self.embedded[i] for i in group)
            part = niches.part(*(niches.sections[i] for i in group))
            out.append((opened, NicheCommit(own, part, made, niches)))
        return out

    def outlines(self, niches: Clustered, index: int) -> list[shapely.MultiPolygon]:
        """Return the area of each niche in one of the sections, um, x y."""
        from napari_gest.tissue.outline import outlines

        coords_um = self.run.opened[index].section.coords_um
        return outlines(coords_um, self._labels(niches)[index], niches.n_niches)

    def _labels(self, niches: Clustered) -> list[NDArray[np.int64]]:
        return np.split(niches.labels, self._ends[:-1])

    @property
    def _ends(self) -> list[int]:
        return np.cumsum([o.section.n_obs for o in self.run.opened]).tolist()


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

    names_cells: ClassVar[bool] = True  # those that other results add rows for

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
