"""What clustering returns: niches, what is in each, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.files import table_kind
from napari_gest.palette import palette
from napari_gest.tissue.expression import log_normalize
from napari_gest.tissue.section import Section

if TYPE_CHECKING:
    from anndata import AnnData

REPORT = table_kind("a table of niches", ("niche", "area_mm2"))

_N_MARKERS = 10
_AT_ONCE = 65_536  # cells that are put in order at a time


@dataclass(frozen=True, eq=False)
class Clustered:
    """Niches of the cells of one or more sections.

    Attributes
    ----------
    sections
        The sections, one after another; n cells in all.
    labels
        (n,) int64 niche of each cell; niche 0 has most cells.
    probability
        (n, K) float32, rows sum to 1.
    names, colors
        K names, and K colours as "#rrggbb".
    stability
        (K,) mean Jaccard index with the most similar niche when clustered with other seeds;
        None if it was not repeated.
    settings
        What made them.
    """

    sections: tuple[Section, ...]
    labels: NDArray[np.int64]
    probability: NDArray[np.float32]
    names: tuple[str, ...]
    colors: tuple[str, ...]
    stability: NDArray[np.float64] | None
    settings: dict[str, Any]

    @classmethod
    def of(
        cls,
        sections: Sequence[Section],
        labels: NDArray[np.int64],
        probability: NDArray[np.float32],
        stability: NDArray[np.float64] | None,
        settings: dict[str, Any],
    ) -> Clustered:
        """Return niches named by number, in the colours of the palette."""
        k = probability.shape[1]
        names = tuple(f"niche {i + 1}" for i in range(k))
        return cls(tuple(sections), labels, probability, names, palette(k), stability, settings)

    @property
    def n_niches(self) -> int:
        return len(self.names)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """(n,) probability of each cell's niche."""
        return self.probability[np.arange(len(self.labels)), self.labels]

    @property
    def rows(self) -> NDArray[np.int64]:
        """(n,) row of each cell in the AnnData its section came from."""
        return np.concatenate([s.rows for s in self.sections])

    def part(self, *sections: str | Section) -> Clustered:
        """Return the cells of some sections, in the order of ``self``; the niches stay the same.

        Parameters
        ----------
        sections
            The sections, or their names. Sections of several files may have the same name: give
            those themselves.

        Raises
        ------
        InputError
            If there is none of a name, or more than one.
        """
        wanted = {self._index(section) for section in sections}
        parts = np.split(np.arange(len(self.labels)), np.cumsum([s.n_obs for s in self.sections]))
        cells = np.concatenate([parts[i] for i in sorted(wanted)])
        return replace(
            self,
            sections=tuple(self.sections[i] for i in sorted(wanted)),
            labels=self.labels[cells],
            probability=self.probability[cells],
        )

    def _index(self, section: str | Section) -> int:
        """Return the place of a section, or of the only one of a name."""
        if isinstance(section, str):
            found, name = [i for i, s in enumerate(self.sections) if s.name == section], section
        else:
            found, name = [i for i, s in enumerate(self.sections) if s is section], section.name
        if len(found) > 1:
            raise InputError(
                f"{len(found)} sections are named '{name}'.", "Give the section itself."
            )
        if not found:
            raise InputError(
                f"There is no section '{name}' among these niches.",
                f"Choose from {', '.join(s.name for s in self.sections)}.",
            )
        return found[0]

    def renamed(self, names: Mapping[str, str]) -> Clustered:
        """Return the niches with some names changed; ``names`` maps old ones to new ones."""
        new = tuple(names.get(name, name) for name in self.names)
        if len(set(new)) < len(new):
            raise InputError("Two niches would have the same name.", "Merge them instead.")
        return replace(self, names=new)

    def recolored(self, colors: Mapping[str, str]) -> Clustered:
        """Return the niches with the colours of some names changed, "#rrggbb" each."""
        pairs = zip(self.names, self.colors, strict=True)
        return replace(self, colors=tuple(colors.get(n, c) for n, c in pairs))

    def merged(self, names: Sequence[str]) -> Clustered:
        """Return fewer niches: those of ``names`` become one, under the first of the names."""
        unknown = set(names) - set(self.names)
        if unknown or len(set(names)) < 2:
            raise InputError(
                f"Niches {', '.join(names) or '(none)'} cannot be merged.",
                f"Name two at least, from {', '.join(self.names)}.",
            )
        first = self.names.index(names[0])
        goal = [first if n in names else i for i, n in enumerate(self.names)]
        kept, place = np.unique(goal, return_inverse=True)
        probability = np.zeros((len(self.labels), len(kept)), np.float32)
        for old, new in enumerate(place):
            probability[:, new] += self.probability[:, old]
        return replace(
            self,
            labels=place[self.labels].astype(np.int64),
            probability=probability,
            names=tuple(self.names[i] for i in kept),
            colors=tuple(self.colors[i] for i in kept),
            stability=None,
        )

    def colored_like(self, other: Clustered) -> Clustered:
        """Return the niches in the colours of those of ``other`` that have most cells in common.

        ``other`` is another clustering of the same cells; each of its colours is taken once.
        """
        shape = self.n_niches, other.n_niches
        pairs = self.labels * other.n_niches + other.labels
        common = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)
        free = list(palette(self.n_niches + other.n_niches))
        taken = dict(zip(*linear_sum_assignment(-common), strict=True))
        own = {i: other.colors[j] for i, j in taken.items()}
        free = [color for color in free if color not in own.values()]
        return replace(self, colors=tuple(own.get(i) or free.pop(0) for i in range(self.n_niches)))

    def write(self, adata: AnnData) -> frozenset[str]:
        """Write niches, their colours and probabilities; cells of other sections have none.

        All sections must come from ``adata``; of several files, write each ``part`` to its own.

        Returns
        -------
        The names of the keys that changed.
        """
        code = np.full(adata.n_obs, -1, np.int64)
        code[self.rows] = self.labels
        confidence = np.full(adata.n_obs, np.nan, np.float32)
        confidence[self.rows] = self.confidence
        adata.obs[keys.NICHE] = self._categorical(code)
        adata.obs[keys.NICHE_CONFIDENCE] = confidence
        adata.uns[keys.NICHE_COLORS] = list(self.colors)
        return frozenset({keys.NICHE, keys.NICHE_CONFIDENCE, keys.NICHE_COLORS})

    def _categorical(self, codes: NDArray[np.int64]) -> Any:
        return pd.Categorical.from_codes(cast(Any, codes), pd.Index(self.names))

    def summary(self) -> pd.DataFrame:
        """Return one row per niche: cells, share, area_um2, confidence, stability, sections."""
        k = self.n_niches
        cells = np.bincount(self.labels, minlength=k)
        area = np.concatenate([s.areas_um2 for s in self.sections])
        of_section = np.repeat(np.arange(len(self.sections)), [s.n_obs for s in self.sections])
        present = np.zeros((k, len(self.sections)), bool)
        present[self.labels, of_section] = True
        return pd.DataFrame(
            {
                "cells": cells,
                "share": cells / max(len(self.labels), 1),
                "area_um2": np.bincount(self.labels, area, k),
                "confidence": np.bincount(self.labels, self.confidence, k) / np.maximum(cells, 1),
                "stability": np.nan if self.stability is None else self.stability,
                "sections": present.sum(1),
            },
            index=pd.Index(self.names, name="niche"),
        )

    def report(self, values: pd.Series | None = None, n_genes: int = 5) -> pd.DataFrame:
        """Return one row per niche with all that is known of it, to be saved as a table.

        Parameters
        ----------
        values
            (n,) such as cell types, whose shares become columns named ``share of <value>``.
        n_genes
            Marker genes in the column ``markers``, best first; it is empty where sections differ
            in their genes.
        """
        table = self.summary()
        table.insert(2, "area_mm2", table.pop("area_um2") / 1e6)
        table["markers"] = ""
        if len({s.genes for s in self.sections}) == 1:
            table["markers"] = self.markers(n_genes).groupby("niche")["gene"].agg(", ".join)
        if values is None:
            return table
        return table.join(self.composition(values).add_prefix("share of "))

    def composition(self, values: pd.Series) -> pd.DataFrame:
        """Return (K niches, categories) shares of ``values`` (n,), such as cell types.

        Cells without a value do not count.
        """
        values = pd.Series(np.asarray(values)).reset_index(drop=True)
        niche = pd.Series(self._categorical(self.labels))
        table = pd.crosstab(niche, values, dropna=False).reindex(list(self.names), fill_value=0)
        table = table.loc[:, [c for c in table.columns if not pd.isna(c)]]
        table.index.name, table.columns.name = "niche", None
        return table.div(table.sum(axis=1).clip(lower=1), axis=0)

    def markers(self, n_genes: int = _N_MARKERS) -> pd.DataFrame:
        """Return the genes that tell each niche from all other cells, best first.

        Columns niche, gene, log_fold_change (model space, natural logarithm) and t, Welch's.
        """
        k, genes = self.n_niches, self.sections[0].genes
        cells = np.bincount(self.labels, minlength=k).astype(np.float64)
        first, second = np.zeros((k, len(genes))), np.zeros((k, len(genes)))
        totals = [np.asarray(s.expression.sum(1)).ravel() for s in self.sections]
        target_sum = float(np.median(np.concatenate(totals)))
        done = 0
        for section in self.sections:
            for span, values in section.blocks():
                part = log_normalize(values, target_sum)
                here = self.labels[done + span.start : done + span.stop]
                member = np.eye(k, dtype=np.float32)[here].T
                first += member @ part
                second += member @ np.square(part)
            done += section.n_obs
        rest = np.maximum(cells.sum() - cells, 1)[:, None]
        n = np.maximum(cells, 1)[:, None]
        inside, outside = first / n, (first.sum(0) - first) / rest
        spread = (second / n - inside**2) / n
        spread += ((second.sum(0) - second) / rest - outside**2) / rest
        t = (inside - outside) / np.sqrt(np.maximum(spread, 1e-12))
        rows = [
            (self.names[i], genes[g], inside[i, g] - outside[i, g], t[i, g])
            for i in range(k)
            for g in np.argsort(-t[i], kind="stable")[:n_genes]
        ]
        return pd.DataFrame(rows, columns=["niche", "gene", "log_fold_change", "t"])


def ordered(
    probability: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Return labels (n,), probabilities (n, K) and (K,) which column of ``probability`` each was.

    Niches are sorted by size and none is empty. The probabilities that are given are written over
    where no niche is empty.
    """
    n, k = probability.shape
    label = probability.argmax(1)
    count = np.bincount(label, minlength=k)
    order = np.argsort(-count, kind="stable")[: int((count > 0).sum())]
    place = np.full(k, -1, np.int64)
    place[order] = np.arange(len(order))
    kept = probability if len(order) == k else np.empty((n, len(order)), probability.dtype)
    turned = np.eye(k, dtype=probability.dtype)[:, order]
    for start in range(0, n, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        # As a product, which is the same and takes half the time of picking columns.
        some = probability[part] @ turned
        kept[part] = some / some.sum(1, keepdims=True)
        label[part] = place[label[part]]
    return label, kept, order
