"""Niches of generated cells, told by the measured cells whose niches are most like theirs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.limits import check_number
from napari_gest.model.devices import Device, check_device
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.generated import Generated
from napari_gest.tasks.niches.embed import Embedded, EmbedRequest
from napari_gest.tasks.niches.niches import Clustered
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tissue.kept import kept_column
from napari_gest.tissue.section import Section, cell_order, stored_coordinates
from napari_gest.tissue.window import window_side

if TYPE_CHECKING:
    from anndata import AnnData

_ALIKE = 15  # measured cells that tell the niche of a generated one
_ALIKE_SETTINGS = ("read", "form", "niche_cells")
_SAME_PLACE_UM = 0.01
_MARGIN = 2.0  # window sides of tissue around the generated cells


@dataclass(frozen=True, eq=False)
class GeneratedNicheRequest:
    """Embed generated cells and find the measured cells most like them.

    Attributes
    ----------
    generated
        Generated cells of one of the sections embedded.
    model
        The model that embedded the measured cells.
    embedded
        Measured cells of one or more sections, as they were clustered.
    draw
        Which draw of mode ``sample`` is read, 1 to ``Generated.n_draws``.
    device
        As in ``EmbedRequest``.
    """

    generated: Generated
    model: GeST
    embedded: Sequence[Embedded]
    draw: int = 1
    device: Device = "auto"

    def check(self) -> None:
        """Raise InputError if another model embedded the measured cells, or there is no draw."""
        check_number("draw", self.draw, 1, self.generated.n_draws, whole=True)
        check_device(self.device)
        # By what models compute with: another one may have the same name, and the same another.
        if {e.settings.get("model_digest") for e in self.embedded} != {self.model.digest}:
            made_by = ", ".join(sorted({str(e.settings["model"]) for e in self.embedded}))
            if made_by == self.model.name:
                made_by = f"another model of the name '{made_by}'"
            raise InputError(
                f"The measured cells were embedded by {made_by or 'no model'}.",
                f"Embed them with '{self.model.name}' as it is now, or choose their model.",
            )
        self.generated.section.align(self.model.genes)

    def run(self) -> Generator[Progress, None, GeneratedNiches]:
        """Embed the tissue around the generated cells; yields after every few windows."""
        self.check()
        tissue = as_section(self.generated.of_draw(self.draw))
        own = np.zeros(tissue.n_obs, bool)
        own[self.generated.index] = True
        own[self.generated.section.n_obs :] = True
        side = window_side(tissue.coords_um[tissue.order], self.model.config.window_cells)
        near = cKDTree(tissue.coords_um[own]).query(tissue.coords_um)[0] < _MARGIN * side
        settings = self.embedded[0].settings
        made = yield from EmbedRequest(
            tissue.subset(near),
            self.model,
            device=self.device,
            **{name: settings[name] for name in _ALIKE_SETTINGS if name in settings},
        ).run()
        yield Progress("Comparing generated cells", 0, 1)
        from sklearn.neighbors import NearestNeighbors  # 60 MB, after the embedding

        measured = np.concatenate([e.embedding for e in self.embedded])
        order = cell_order([e.section for e in self.embedded])
        nearest = NearestNeighbors(n_neighbors=min(_ALIKE, len(measured))).fit(measured[order])
        cells = made.section.where(own[near])
        found = nearest.kneighbors(made.embedding[cells], return_distance=False)
        alike = order[found][np.argsort(cells)]
        yield Progress("Comparing generated cells", 1, 1)
        return GeneratedNiches(self.generated, alike, self.draw)


@dataclass(frozen=True, eq=False)
class GeneratedNiches:
    """Generated cells and the measured cells whose niches are most like theirs.

    Attributes
    ----------
    generated
        The cells.
    alike
        (m, k) int64 index of measured cells, over the sections embedded one after another.
    draw
        The draw of the cells that was read.
    """

    generated: Generated
    alike: NDArray[np.int64]
    draw: int = 1

    def probability(self, clustered: Clustered) -> NDArray[np.float32]:
        """Return (m, K) probability of each niche, the mean of the measured cells most alike."""
        mean = np.zeros((len(self.alike), clustered.n_niches), np.float32)
        for column in self.alike.T:
            mean += clustered.probability[column]
        return mean / max(self.alike.shape[1], 1)

    def labels(self, clustered: Clustered) -> NDArray[np.int64]:
        """Return (m,) niche of each generated cell, however the measured ones were clustered."""
        return self.probability(clustered).argmax(1)

    def write(self, adata: AnnData, clustered: Clustered) -> frozenset[str]:
        """Write the niches of generated cells beside those of measured ones.

        ``obs["gest_generated_niche"]`` is the niche of a cell as it was generated. A cell that
        was measured too keeps the niche it was measured in; a new one, which has no other, gets
        it in ``obs["gest_niche"]`` and ``obs["gest_niche_confidence"]`` as well.
        ``uns["gest_generated_niche_from"]`` says, by section, which draw of how many was read.

        Parameters
        ----------
        adata
            Holds the niches already (``clustered.write``). New cells without a row in it, as
            ``Generated.to_anndata`` adds, are left out.
        clustered
            Niches of all the cells that were embedded, in the same order.

        Returns
        -------
        The names of the keys that changed.

        Raises
        ------
        InputError
            If ``adata`` does not hold these niches.
        """
        names = list(clustered.names)
        measured = adata.obs.get(keys.NICHE)
        if not _categorical(measured) or list(measured.cat.categories) != names:
            raise InputError(
                "The tissue does not hold the niches of the measured cells.",
                "Write those first: niches.write(adata).",
            )
        rows, share = self.rows_in(adata), self.probability(clustered)
        old = adata.obs.get(keys.GENERATED_NICHE)
        code = np.full(adata.n_obs, -1)
        if _categorical(old) and list(old.cat.categories) == names:
            code = old.cat.codes.to_numpy(np.int64, copy=True)
        there, label = rows >= 0, share.argmax(1)
        code[rows[there]] = label[there]
        adata.obs[keys.GENERATED_NICHE] = pd.Categorical.from_codes(code, pd.Index(names))
        adata.uns[keys.GENERATED_NICHE_COLORS] = list(clustered.colors)
        self._write_draw(adata, fresh=old is None)
        changed = {keys.GENERATED_NICHE, keys.GENERATED_NICHE_COLORS, keys.GENERATED_NICHED}
        new = there & (self.generated.rows < 0)
        if new.any():
            code = measured.cat.codes.to_numpy(np.int64, copy=True)
            code[rows[new]] = label[new]
            adata.obs[keys.NICHE] = pd.Categorical.from_codes(code, pd.Index(names))
            confidence = kept_column(adata, keys.NICHE_CONFIDENCE)
            confidence[rows[new]] = share.max(1)[new]
            adata.obs[keys.NICHE_CONFIDENCE] = confidence
            changed |= {keys.NICHE, keys.NICHE_CONFIDENCE}
        return frozenset(changed)

    def _write_draw(self, adata: AnnData, fresh: bool) -> None:
        """Write the draw that was read; other sections keep theirs unless their niches are gone."""
        own = {
            "sections": np.array([self.generated.section_name]),
            "draw": np.array([self.draw]),
            "draws": np.array([self.generated.n_draws]),
        }
        about = adata.uns.get(keys.GENERATED_NICHED)
        if about is not None and not fresh:
            others = np.atleast_1d(about["sections"]).astype(str) != self.generated.section_name
            own = {k: np.append(np.atleast_1d(about[k])[others], v) for k, v in own.items()}
        adata.uns[keys.GENERATED_NICHED] = own

    def rows_in(self, adata: AnnData) -> NDArray[np.int64]:
        """Return (m,) the row of each cell, -1 where it has none; new ones are known by place."""
        made, section = self.generated, self.generated.section
        rows, new = made.rows.copy(), np.flatnonzero(made.rows < 0)
        if not len(new) or keys.NEW_CELL not in adata.obs:
            return rows
        own = kept_column(adata, keys.NEW_CELL)
        if section.section_key in adata.obs:
            own = own & (adata.obs[section.section_key].astype(str) == section.name).to_numpy()
        there = np.flatnonzero(own)
        if len(there):
            place = stored_coordinates(adata, section.spatial_key)[there] * section.um_per_unit
            far, near = cKDTree(place).query(made.coords_um[new])
            same = far < _SAME_PLACE_UM
            rows[new[same]] = there[near[same]]
        return rows


def generated_niches(
    generated: Generated,
    model: GeST,
    embedded: Embedded | Sequence[Embedded],
    *,
    draw: int = 1,
    device: Device = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> GeneratedNiches:
    """Find the measured cells whose niches are most like those of generated cells.

    Parameters
    ----------
    generated, model
        As in ``GeneratedNicheRequest``.
    embedded
        What ``embed_niches`` returned, for one section or several.
    draw
        Which draw of mode ``sample`` is read, 1 to ``generated.n_draws``.
    device
        As for ``embed_niches``.
    on_progress
        Called between steps.

    Raises
    ------
    InputError
        If the measured cells were embedded by another model, or there is no such draw.
    """
    several = [embedded] if isinstance(embedded, Embedded) else list(embedded)
    request = GeneratedNicheRequest(generated, model, several, draw, device)
    return finish(request.run(), on_progress)


def as_section(generated: Generated) -> Section:
    """Return the section as if the generated cells had been measured, new ones last.

    It has the genes that were both measured and generated; ``rows`` of new cells are -1.
    """
    section = generated.section
    genes = tuple(g for g in generated.genes if g in set(section.genes))
    made = np.expm1(generated.expression[:, [generated.genes.index(g) for g in genes]])
    made = sparse.csr_matrix(np.maximum(made, 0, dtype=np.float32))
    n_new = int((generated.rows < 0).sum())
    order = np.concatenate([np.arange(section.n_obs), np.zeros(n_new, np.int64)])
    order[generated.index] = section.n_obs + np.arange(len(generated.index))
    order[section.n_obs :] = section.n_obs + len(generated.index) + np.arange(n_new)
    measured = section.expression_of(np.arange(section.n_obs), genes)
    stacked = sparse.vstack([measured, made], format="csr")
    new = generated.rows < 0
    return replace(
        section,
        coords_um=np.concatenate([section.coords_um, generated.coords_um[new]]),
        expression=sparse.csr_matrix(stacked[order]),
        genes=genes,
        names=np.concatenate([section.obs_names, [f"new {i + 1}" for i in range(n_new)]]),
        rows=np.concatenate([section.rows, generated.rows[new]]),
    )


def _categorical(column: Any) -> bool:
    return isinstance(column, pd.Series) and isinstance(column.dtype, pd.CategoricalDtype)
