"""Types of generated cells, from the names of the section's own cells that resemble them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.tissue.kept import check_named, kept_column
from napari_gest.tissue.section import Section
from napari_gest.tissue.window import compact_groups

if TYPE_CHECKING:
    from anndata import AnnData

# Share of the section's own composition in every probability, so that no probability is zero.
_PRIOR = 0.02
_MOST_TYPES = 500
_TOGETHER = 1000  # cells that are named together


@dataclass(frozen=True, eq=False)
class CellTypes:
    """Names of the cells of a section.

    Attributes
    ----------
    key
        The obs column of the names.
    labels
        (n_obs,) name of each cell of the section, None where it has none.
    """

    key: str
    labels: NDArray[np.object_]

    @classmethod
    def from_obs(cls, adata: AnnData, key: str, section: Section) -> CellTypes:
        """Read the names from an obs column.

        Raises
        ------
        InputError
            If there is no such column, it holds numbers instead of names, or its output column
            (``obs["gest_<key>"]``) is a key that napari-gest uses otherwise.
        """
        from napari_gest.tasks.labels.annotate import labels_from_obs  # slow to import

        labels = labels_from_obs(
            adata, key, section.rows, include_generated=section.include_generated
        )
        types = cls(key, labels)
        types.check(section.n_obs, np.zeros(section.n_obs, bool))
        check_named(adata, *output_keys(key))
        return types

    def check(self, n_obs: int, unseen: NDArray[np.bool_]) -> None:
        """Raise InputError unless known cells have names, and the output column is allowed."""
        taken = {v for v in vars(keys).values() if isinstance(v, str)}
        for name in output_keys(self.key):
            if name in taken:
                raise InputError(
                    f"Types cannot be read from the column '{self.key}': the result would be"
                    f" obs['{name}'], where napari-gest keeps something else.",
                    "Copy the column to another name and give that.",
                )
        if self.labels.shape != (n_obs,):
            raise InputError(
                f"There are {len(self.labels)} type names for {n_obs} cells.",
                "Give one for each cell of the section, None where there is none.",
            )
        if not any(name is not None for name in self.labels[~unseen]):
            raise InputError(
                f"No known cell of the section has a name in '{self.key}'.",
                "Choose a column that names this section's cells.",
            )
        if len(self.names) > _MOST_TYPES:
            raise InputError(
                f"'{self.key}' has {len(self.names)} different names.",
                f"Choose a column of types: {_MOST_TYPES} at most, many cells each.",
            )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted({str(name) for name in self.labels if name is not None}))

    @cached_property
    def _code(self) -> NDArray[np.int16]:
        """(n_obs,) index of each cell's name, -1 where it has none."""
        return pd.Index(self.names).get_indexer(pd.Index(self.labels)).astype(np.int16)

    def one_hot(self, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (m, C) 1 where a cell has a name; a row of zeros where it has none."""
        code = self._code[cells]
        out = np.zeros((len(code), len(self.names)))
        out[np.flatnonzero(code >= 0), code[code >= 0]] = 1
        return out

    def probability(
        self, weights: NDArray[np.float64], donors: NDArray[np.int64], known: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return (q, C) the probability of each name at q positions.

        Parameters
        ----------
        weights
            (q, n) weights of the donors, rows sum to 1.
        donors, known
            (n,) indices in the section of the donors; (n_obs,) which cells are known.
        """
        code = self._code[known]
        prior = np.bincount(code[code >= 0], minlength=len(self.names)).astype(np.float64)
        share = weights @ self.one_hot(donors)
        # Donors without a name are ignored.
        named = share.sum(1, keepdims=True)
        share = np.where(named > 0, share / np.where(named > 0, named, 1), 0)
        mixed = np.where(named > 0, 1 - _PRIOR, 0) * share
        mixed += (1 - mixed.sum(1, keepdims=True)) * (prior / prior.sum())
        return np.asarray(mixed, np.float32)


@dataclass(frozen=True, eq=False)
class NamedTypes:
    """Types of the cells of a run.

    Attributes
    ----------
    key
        The obs column of the names.
    names
        The C names.
    probability
        (n, C) float32.
    code
        (n,) int64, index of the name of each cell.
    """

    key: str
    names: tuple[str, ...]
    probability: NDArray[np.float32]
    code: NDArray[np.int64]

    @property
    def labels(self) -> NDArray[np.object_]:
        """(n,) the name of each cell."""
        return np.array(self.names, object)[self.code]

    @property
    def confidence(self) -> NDArray[np.float32]:
        """(n,) the probability of that name."""
        return self.probability[np.arange(len(self.code)), self.code]

    @property
    def columns(self) -> tuple[str, str]:
        """The columns in obs that ``write`` fills: names and their probabilities."""
        return output_keys(self.key)

    def write(self, adata: AnnData, rows: NDArray[np.int64], take: NDArray[np.bool_]) -> set[str]:
        """Write the cells ``take`` (n,) into their ``rows``; returns the keys that changed."""
        label_key, confidence_key = self.columns
        names = np.full(adata.n_obs, None, object)
        confidence = kept_column(adata, confidence_key)
        if label_key in adata.obs:
            old = adata.obs[label_key].astype(object)
            names[old.notna()] = old[old.notna()]
        names[rows], confidence[rows] = self.labels[take], self.confidence[take]
        adata.obs[label_key] = pd.Categorical(names)
        adata.obs[confidence_key] = confidence
        return {label_key, confidence_key}


def output_keys(key: str) -> tuple[str, str]:
    """Return the output columns in obs of the names of ``key`` and of their probabilities."""
    return f"gest_{key}", f"gest_{key}_confidence"


def name_in_proportion(
    probability: NDArray[np.float32], coords_um: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Name cells such that their composition is the expected one.

    Where types mix, the likeliest type is the same nearly everywhere, and naming cells by it gives
    a region of one type. Here each name is assigned as often as it is expected in a neighbourhood,
    to the cells where it is likeliest (an optimal assignment).

    Parameters
    ----------
    probability
        (n, C), rows sum to 1.
    coords_um
        (n, 2) um; many cells are named in compact groups.

    Returns
    -------
    (n,) int64, the index of each cell's name.
    """
    code = np.empty(len(probability), np.int64)
    for cells in compact_groups(coords_um, _TOGETHER):
        part = probability[cells].astype(np.float64)
        wanted = part.sum(0)
        count = np.floor(wanted).astype(np.int64)
        rest = len(cells) - int(count.sum())
        count[np.argsort(count - wanted, kind="stable")[:rest]] += 1
        columns = np.repeat(np.arange(part.shape[1]), count)
        cost = -np.log(np.maximum(part[:, columns], 1e-12))
        place, column = linear_sum_assignment(cost)
        code[cells[place]] = columns[column]
    return code
