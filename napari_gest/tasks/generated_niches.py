"""Niches of generated cells, told by the measured cells whose niches are most like theirs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree
from sklearn.neighbors import NearestNeighbors

from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks.embed import Embedded, EmbedRequest
from napari_gest.tasks.generated import Generated
from napari_gest.tasks.niches import Clustered
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tissue.section import Section
from napari_gest.tissue.window import window_side

_ALIKE = 15  # measured cells that tell the niche of a generated one
_ALIKE_SETTINGS = ("read", "form", "niche_cells")
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
    """

    generated: Generated
    model: GeST
    embedded: Sequence[Embedded]

    def check(self) -> None:
        """Raise InputError if the measured cells were embedded by another model."""
        made_by = {e.settings["model"] for e in self.embedded}
        if made_by != {self.model.name}:
            raise InputError(
                f"The measured cells were embedded by {', '.join(sorted(made_by)) or 'no model'}.",
                f"Embed them with '{self.model.name}', or choose their model.",
            )
        self.generated.section.align(self.model.genes)

    def run(self) -> Generator[Progress, None, GeneratedNiches]:
        """Embed the tissue around the generated cells; yields after every few windows."""
        self.check()
        tissue = as_section(self.generated)
        own = np.zeros(tissue.n_obs, bool)
        own[self.generated.index] = True
        own[self.generated.section.n_obs :] = True
        side = window_side(tissue.coords_um, self.model.config.window_cells)
        near = cKDTree(tissue.coords_um[own]).query(tissue.coords_um)[0] < _MARGIN * side
        settings = self.embedded[0].settings
        made = yield from EmbedRequest(
            tissue.subset(near),
            self.model,
            **{name: settings[name] for name in _ALIKE_SETTINGS if name in settings},
        ).run()
        yield Progress("Comparing generated cells", 0, 1)
        measured = np.concatenate([e.embedding for e in self.embedded])
        nearest = NearestNeighbors(n_neighbors=min(_ALIKE, len(measured))).fit(measured)
        alike = nearest.kneighbors(made.embedding[own[near]], return_distance=False)
        yield Progress("Comparing generated cells", 1, 1)
        return GeneratedNiches(self.generated, alike)


@dataclass(frozen=True, eq=False)
class GeneratedNiches:
    """Generated cells and the measured cells whose niches are most like theirs.

    Attributes
    ----------
    generated
        The cells.
    alike
        (m, k) int64 index of measured cells, over the sections embedded one after another.
    """

    generated: Generated
    alike: NDArray[np.int64]

    def labels(self, clustered: Clustered) -> NDArray[np.int64]:
        """Return (m,) niche of each generated cell, however the measured ones were clustered."""
        mean = np.zeros((len(self.alike), clustered.n_niches), np.float32)
        for column in self.alike.T:
            mean += clustered.probability[column]
        return mean.argmax(1)


def generated_niches(
    generated: Generated,
    model: GeST,
    embedded: Embedded | Sequence[Embedded],
    *,
    on_progress: Callable[[Progress], None] | None = None,
) -> GeneratedNiches:
    """Find the measured cells whose niches are most like those of generated cells.

    Parameters are those of ``GeneratedNicheRequest``; ``on_progress`` is called between steps.
    """
    several = [embedded] if isinstance(embedded, Embedded) else list(embedded)
    return finish(GeneratedNicheRequest(generated, model, several).run(), on_progress)


def as_section(generated: Generated) -> Section:
    """Return the section as if the generated cells had been measured, new ones last.

    It has the genes that were both measured and generated; ``rows`` of new cells are -1.
    """
    section = generated.section
    genes = tuple(g for g in generated.genes if g in set(section.genes))
    place = [section.genes.index(g) for g in genes]
    made = np.expm1(generated.expression[:, [generated.genes.index(g) for g in genes]])
    made = sparse.csr_matrix(np.maximum(made, 0, dtype=np.float32))
    n_new = int((generated.rows < 0).sum())
    order = np.concatenate([np.arange(section.n_obs), np.zeros(n_new, np.int64)])
    order[generated.index] = section.n_obs + np.arange(len(generated.index))
    order[section.n_obs :] = section.n_obs + len(generated.index) + np.arange(n_new)
    stacked = sparse.vstack([section.expression[:, place], made], format="csr")
    new = generated.rows < 0
    return replace(
        section,
        coords_um=np.concatenate([section.coords_um, generated.coords_um[new]]),
        expression=sparse.csr_matrix(stacked[order]),
        genes=genes,
        obs_names=np.concatenate([section.obs_names, [f"new {i + 1}" for i in range(n_new)]]),
        rows=np.concatenate([section.rows, generated.rows[new]]),
    )
