"""The result of a check: expected correlation and gain of each gene, and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from napari_gest import keys
from napari_gest.files import table_kind
from napari_gest.tissue.moran import morans_i

if TYPE_CHECKING:
    from anndata import AnnData

_BLOCK = 25  # cells that are resampled together, because neighbours resemble each other
_RESAMPLES = 200
_RELIABLE = 0.3  # smallest reliability for a claim about a gene
_SURE = 0.95  # smallest probability of a gain for a gene to count as better than the baseline
_BELIEVABLE = 0.2  # smallest expected correlation of a believable gene
_MORAN_CELLS = 4000
COLUMNS = ("expected_correlation", "gain", "p_gain", "reliability", "gain_reliability", "moran")
CHECK_TABLE = table_kind("a table of a check", ("gene", *COLUMNS, "claim"))
NextStep = Literal["shrink", "train", "composition", "genes", "smaller"]
Grade = Literal["well", "partly", "hardly", "untold"]
_ADVICE: dict[NextStep, str] = {
    "shrink": "shrink the region, or read only its outer part.",
    "train": "train a model on this tissue, or use the neighbours' mean.",
    "composition": "read the region's types and composition rather than single genes.",
    "genes": "read the genes that are listed first; leave the others alone.",
    "smaller": "check a smaller region, or one with more tissue like it around.",
}
_TRAINED_HERE: dict[NextStep, str] = {
    "train": "use the neighbours' mean. This model knows this tissue; a longer training may help.",
    "smaller": "check a smaller region, or with a model of other sections: this one has seen most"
    " of this section.",
}
DEPTHS_UM = (0.0, 25.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 500.0)


@dataclass(frozen=True, eq=False)
class Scored:
    """A hidden patch: its measured values, and the predictions of each method.

    Attributes
    ----------
    coords_um
        (m, 2) um.
    truth, decoder
        (m, G) model space.
    field
        (m, G) prediction of the section's field, or None.
    neighbours
        (m, G) mean of the k nearest visible cells, by k.
    depth_um
        (m,) um to the nearest visible cell.
    """

    coords_um: NDArray[np.float64]
    truth: NDArray[np.float32]
    decoder: NDArray[np.float32]
    field: NDArray[np.float32] | None
    neighbours: dict[int, NDArray[np.float32]]
    depth_um: NDArray[np.float64]

    def expected(self, share: float) -> NDArray[np.float32]:
        """Return (m, G) the weighted read-out with a ``share`` of the field."""
        if self.field is None:
            return self.decoder
        return self.decoder + np.float32(share) * (self.field - self.decoder)


@dataclass(frozen=True, eq=False)
class Check:
    """How far generated cells of a region can be trusted, judged on look-alike patches.

    Attributes
    ----------
    table
        One row per gene: ``expected_correlation`` of generated with true expression over cells;
        ``gain``, the difference to the correlation of the mean of the nearest cells; ``p_gain``,
        the probability that the gain is above zero; ``reliability`` of the expected correlation
        and ``gain_reliability`` (0 to 1); ``moran`` of the known cells; and ``claim``, whether
        the reliability suffices for a claim about the gene.
    field
        The share of the section's field that the choosing patches chose.
    neighbours
        The number of cells in the local mean.
    depth_um
        Depth beyond which generated cells are no better than the section's mean; None if they are
        better at all depths of the patches.
    deepest_um
        The largest depth of the patches.
    region_depth_um
        The region's own largest depth.
    n_cells, n_reporting, n_choosing
        Cells and patches that report, and patches that choose.
    trained_here
        Whether the model was trained on most of the section.
    """

    table: pd.DataFrame
    field: float
    neighbours: int
    depth_um: float | None
    deepest_um: float
    region_depth_um: float
    n_cells: int
    n_reporting: int
    n_choosing: int
    trained_here: bool = False

    @classmethod
    def of(
        cls,
        patches: list[Scored],
        region: Scored,
        *,
        share: float,
        neighbours: int,
        genes: tuple[str, ...],
        measured: NDArray[np.bool_],
        known: NDArray[np.float32],
        known_um: NDArray[np.float64],
        n_choosing: int,
        trained_here: bool = False,
    ) -> Check:
        """Judge the reporting patches.

        Parameters
        ----------
        patches
            The reporting patches.
        region
            The region itself, whose truth is not known.
        share, neighbours
            Settings from the choosing patches.
        genes, measured
            G names, and (G,) bool: which were measured in the section.
        known, known_um
            (n, G) model space and (n, 2) um of the visible cells.
        n_choosing
            Patches that chose.
        trained_here
            Whether the model was trained on most of the section.
        """
        made = [p.expected(share) for p in patches]
        local = [p.neighbours[neighbours] for p in patches]
        step = max(1, len(known) // _MORAN_CELLS)
        near = _compact(known_um, step)
        moran = morans_i(known[near], known_um[near])
        spread = np.maximum(known.std(0), 1e-6)
        blocks = _Blocks.of(patches)
        r, r_draws = blocks.correlation(made)
        base, base_draws = blocks.correlation(local)
        # Variance between patches, of the correlation and of the gain.
        each = [_Blocks.of([p]) for p in patches]
        own = [b.correlation([m]) for b, m in zip(each, made, strict=True)]
        theirs = [b.correlation([m]) for b, m in zip(each, local, strict=True)]
        r_place = between_places([(v, d.var(0)) for v, d in own], measured)
        gain_place = between_places(
            [(v - w, (d - e).var(0)) for (v, d), (w, e) in zip(own, theirs, strict=True)],
            measured,
        )

        def features(m: list[NDArray[np.float32]], n: list[NDArray[np.float32]]) -> NDArray:
            # A calibrated mean correlates with the truth as its spread does with the gene's own.
            said, local_said = (np.mean([v.std(0) for v in part], axis=0) for part in (m, n))
            return np.stack([said / spread, local_said / spread, moran, known.mean(0)], 1)

        seen = features(made, local)
        here = features([region.expected(share)], [region.neighbours[neighbours]])
        # A region may vary more than its patches. What was learned of genes ends where they end:
        # a line drawn on from there passes a correlation of 1.
        here = np.clip(here, seen[measured].min(0), seen[measured].max(0))
        expected, reliability, _ = shrunk(
            r, r_draws.var(0), seen, here, measured, place=r_place, n_places=len(patches)
        )
        # A gain does not depend on the variance of a gene, only on the predicted gain.
        ours = region.expected(share), region.neighbours[neighbours]
        noise = (r_draws - base_draws).var(0)
        gain, gain_reliability, gain_sd = shrunk(
            r - base,
            noise,
            foreseen_gain(made, local, spread)[:, None],
            foreseen_gain([ours[0]], [ours[1]], spread)[:, None],
            measured,
            place=gain_place,
            n_places=len(patches),
            through_origin=True,
        )
        # The region's gain is a mean over its own number of cells.
        cells = sum(len(p.truth) for p in patches), len(region.truth)
        gain_sd = np.sqrt(np.square(gain_sd) + noise * cells[0] / cells[1])
        table = pd.DataFrame(
            {
                "expected_correlation": np.clip(expected, -1, 1),
                "gain": gain,
                "p_gain": norm.sf(0, gain, np.maximum(gain_sd, 1e-9)),
                "reliability": reliability,
                "gain_reliability": gain_reliability,
                "moran": moran,
            },
            index=pd.Index(genes, name="gene"),
        )[measured]
        table["claim"] = table["reliability"] >= _RELIABLE
        table = table.sort_values("expected_correlation", ascending=False, kind="stable")
        depths = np.concatenate([p.depth_um for p in patches])
        return cls(
            table,
            share,
            neighbours,
            _useful_depth(patches, made, known.mean(0), spread, measured),
            float(depths.max()),
            float(region.depth_um.max()),
            len(depths),
            len(patches),
            n_choosing,
            trained_here,
        )

    @property
    def better(self) -> list[str]:
        """Genes that are almost surely better than the neighbours' mean, of those with a claim."""
        sure = self.table["claim"] & (self.table["gain_reliability"] >= _RELIABLE)
        return [str(gene) for gene in self.table.index[sure & (self.table["p_gain"] >= _SURE)]]

    @property
    def n_better(self) -> int:
        """How many genes are almost surely better than the neighbours' mean."""
        return len(self.better)

    @property
    def n_likely(self) -> int:
        """Expected number of genes that are better than the neighbours' mean."""
        return round(float(self.table["p_gain"].sum()))

    @property
    def believable(self) -> list[str]:
        """Genes for which a correlation above 0.2 is claimed, the best first."""
        good = self.table["claim"] & (self.table["expected_correlation"] >= _BELIEVABLE)
        return [str(gene) for gene in self.table.index[good]]

    @property
    def headline(self) -> str:
        """The first sentence of the verdict."""
        n, mean = len(self.table), f"the mean of {self.neighbours} neighbours"
        if self._is_untold:
            return "This cannot be told: the look-alike patches are too small."
        if self.n_likely <= n / 2:
            return (
                f"Hardly better than {mean}: ahead for about {self.n_likely} of {n} genes, and"
                " chance would give half."
            )
        sure = f" ({self.n_better} of them almost surely)" if self.n_better else ""
        return f"Better than {mean} for about {self.n_likely} of {n} genes{sure}."

    @property
    def reasons(self) -> tuple[str, ...]:
        """The sentences of the verdict after the first."""
        n, claimed = len(self.table), int(self.table["claim"].sum())
        lines = [f"Based on {self.n_reporting} look-alike patches ({self.n_cells} cells)."]
        best = self.believable[:3]
        if best:
            lines.append(
                f"A correlation of {_BELIEVABLE} or more is expected for {len(self.believable)}"
                f" genes (best: {', '.join(best)})."
            )
        else:
            lines.append(f"No gene is expected to correlate by {_BELIEVABLE} or more.")
        if claimed < n:
            few = "1 gene" if n - claimed == 1 else f"{n - claimed} genes"
            lines.append(f"The patches are too small for a claim about {few}.")
        if self.depth_um == 0:
            lines.append("The expected expression is nowhere better than the section's mean.")
        elif self.depth_um is not None:
            lines.append(
                f"Beyond {self.depth_um:.0f} um from known cells the expected expression is no"
                " better than the section's mean."
            )
        elif self._is_too_deep:
            lines.append(
                f"The region is {self.region_depth_um:.0f} um deep; the deepest patch reaches only"
                f" {self.deepest_um:.0f} um."
            )
        lines.append(f"Next: {self.advice}")
        return tuple(lines)

    @property
    def verdict(self) -> str:
        """The check in plain sentences."""
        return " ".join([self.headline, *self.reasons])

    @property
    def next_step(self) -> NextStep:
        """The next step, as one word."""
        if self._is_untold:
            return "smaller"
        if self.n_likely <= len(self.table) / 2 or self.depth_um == 0:
            return "train"
        if self.depth_um is not None and self.depth_um < 0.7 * self.region_depth_um:
            return "shrink"
        return "genes" if self.believable else "composition"

    @property
    def advice(self) -> str:
        """The next step, as a sentence."""
        usual = _ADVICE[self.next_step]
        if self.next_step == "genes" and self._is_too_deep:
            return (
                f"read the genes that are listed first, within {self.deepest_um:.0f} um of known"
                " cells; nothing is known of the rest."
            )
        return _TRAINED_HERE.get(self.next_step, usual) if self.trained_here else usual

    @property
    def grade(self) -> Grade:
        """How useful generation is, as one word; ``partly`` if only some genes or depths are.

        It is ``untold`` where the patches say nothing of any gene.
        """
        if self._is_untold:
            return "untold"
        if self.n_likely <= len(self.table) / 2:
            return "partly" if self.n_better else "hardly"
        return "well" if self.next_step == "genes" and not self._is_too_deep else "partly"

    @property
    def _is_untold(self) -> bool:
        """Whether neither a correlation nor a gain is reliable for any gene."""
        said = self.table["claim"] | (self.table["gain_reliability"] >= _RELIABLE)
        return not bool(said.any())

    @property
    def _is_too_deep(self) -> bool:
        """Whether the region is deeper than all patches."""
        return self.region_depth_um > 1.2 * self.deepest_um

    def settings(self) -> dict[str, Any]:
        """Return the content of ``uns["gest"]["check"]``."""
        return {
            "verdict": self.verdict,
            "field": self.field,
            "neighbours": self.neighbours,
            "depth_um": float("nan") if self.depth_um is None else self.depth_um,
            "deepest_um": self.deepest_um,
            "n_cells": self.n_cells,
            "n_reporting": self.n_reporting,
            "n_choosing": self.n_choosing,
            "n_better": self.n_better,
            "n_likely": self.n_likely,
            "genes": self.table.index.to_numpy(dtype=str),
            **{str(name): self.table[name].to_numpy() for name in self.table},
        }

    def write(self, adata: AnnData) -> frozenset[str]:
        """Write the check into ``uns["gest"]["check"]``; returns the key that changed."""
        adata.uns[keys.UNS] = {**adata.uns.get(keys.UNS, {}), "check": self.settings()}
        return frozenset({keys.UNS})


class _Blocks:
    """Correlations over cells within patches, and their variance over resampled blocks."""

    def __init__(self, truth: NDArray[np.float64], block: NDArray[np.int64], n: int) -> None:
        self.truth, self.block, self.n = truth, block, n
        rng = np.random.default_rng(0)
        self.weights = rng.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES).astype(np.float64)

    @classmethod
    def of(cls, patches: list[Scored]) -> _Blocks:
        from napari_gest.tissue.window import compact_groups

        block, n = [], 0
        for patch in patches:
            own = np.empty(len(patch.truth), np.int64)
            for cells in compact_groups(patch.coords_um, _BLOCK):
                own[cells] = n
                n += 1
            block.append(own)
        return cls(_centred([p.truth for p in patches]), np.concatenate(block), n)

    def correlation(
        self, made: list[NDArray[np.float32]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (G,) Pearson's r within patches, and (resamples, G) of resampled blocks."""
        x, y = _centred(made), self.truth
        sums = [self._sums(part) for part in (x * y, x * x, y * y)]
        whole = [s.sum(0) for s in sums]
        drawn = [self.weights @ s for s in sums]
        return _ratio(*whole), _ratio(*drawn)

    def _sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.zeros((self.n, values.shape[1]))
        np.add.at(out, self.block, values)
        return out


def _centred(parts: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return all cells, with each gene centred on its mean in the cell's own patch."""
    return np.concatenate([p - p.mean(0, dtype=np.float64) for p in parts])


def _ratio(
    xy: NDArray[np.float64], xx: NDArray[np.float64], yy: NDArray[np.float64]
) -> NDArray[np.float64]:
    norm_ = np.sqrt(xx * yy)
    return np.asarray(np.divide(xy, norm_, out=np.zeros_like(xy), where=norm_ > 1e-12))


def between_places(
    places: list[tuple[NDArray[np.float64], NDArray[np.float64]]], use: NDArray[np.bool_]
) -> float:
    """Return the variance between places that sampling does not explain, a mean over genes.

    Parameters
    ----------
    places
        For each place (G,) values and their sampling variances.
    use
        (G,) bool, genes that count.
    """
    if len(places) < 2:
        return 0.0
    values = np.stack([v for v, _ in places])[:, use]
    noise = np.stack([n for _, n in places])[:, use]
    return max(float((values.var(0, ddof=1) - noise.mean(0)).mean()), 0.0)


def foreseen_gain(
    made: list[NDArray[np.float32]], local: list[NDArray[np.float32]], spread: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return (G,) the gain in correlation that is predicted from the generated means alone.

    If the generated means are calibrated, the truth equals them plus noise. Then their correlation
    with the truth is the ratio of their standard deviation to the gene's, and the correlation of
    the local mean follows from its covariance with them.

    Parameters
    ----------
    made, local
        (m_i, G) generated means and local means, patch by patch.
    spread
        (G,) standard deviation of the gene over cells.
    """
    x, y = _centred(made), _centred(local)
    own, other = x.std(0), np.maximum(y.std(0), 1e-9)
    return np.asarray((own - (x * y).mean(0) / other) / spread)


def shrunk(
    observed: NDArray[np.float64],
    noise: NDArray[np.float64],
    features: NDArray[np.floating],
    elsewhere: NDArray[np.floating],
    use: NDArray[np.bool_],
    *,
    place: float = 0.0,
    n_places: int = 1,
    through_origin: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return empirical Bayes estimates: each observation is shrunk towards similar genes.

    The prior mean is linear in the features. The prior variance is the variance that noise does
    not explain. The shrunk deviation of a gene from its prior mean in the patches is added to its
    prior mean in the region.

    Parameters
    ----------
    observed
        (G,) one number per gene, in the patches.
    noise
        (G,) its sampling variance.
    features, elsewhere
        (G, F) features of the gene, known without the truth, in the patches and in the region.
    use
        (G,) bool, genes from which the prior is estimated.
    place, n_places
        Variance between places, and the number of patches over which ``observed`` is a mean. The
        region is another place.
    through_origin
        Whether the prior mean has no intercept.

    Returns
    -------
    estimate, reliability, sd
        (G,) each, of the region. Reliability is one minus the share of estimation error in the
        total variance over genes; sd is the standard deviation of the estimate.
    """
    noise = np.maximum(noise, 1e-6) + place / n_places
    mean, sd = features[use].mean(0), features[use].std(0)
    sd = np.where(sd > 1e-9, sd, 1)

    def design(values: NDArray[np.floating]) -> NDArray[np.float64]:
        if through_origin:
            return np.asarray(values / sd, np.float64)
        return np.column_stack([np.ones(len(values)), (values - mean) / sd])

    weight = np.where(use, 1 / (noise + max(float(np.var(observed[use])), 1e-6)), 0.0)
    x = design(features)
    ridge = 1e-2 * weight.sum() * np.eye(x.shape[1])
    if not through_origin:
        ridge[0, 0] = 0  # the mean over genes is not shrunk
    slope = np.linalg.solve((x * weight[:, None]).T @ x + ridge, (x * weight[:, None]).T @ observed)
    prior = x @ slope
    rest = np.square(observed - prior)[use] - noise[use]
    prior_variance = max(float(np.average(rest, weights=1 / noise[use])), 1e-5)
    keep = prior_variance / (prior_variance + noise)
    estimate = design(elsewhere) @ slope + keep * (observed - prior)
    variance = prior_variance * (1 - keep) + place
    # The prior mean itself is uncertain where few genes have similar features.
    known = np.where(use, 1 / (noise + prior_variance), 0.0)
    spread = np.linalg.inv((x * known[:, None]).T @ x + 1e-9 * np.eye(x.shape[1]))
    there = design(elsewhere)
    of_prior = np.einsum("gf,fh,gh->g", there, spread, there)
    reliability = 1 - variance / (prior_variance + place + float(np.var(prior[use])))
    return estimate, np.clip(reliability, 0, 1), np.sqrt(variance + np.square(1 - keep) * of_prior)


def _useful_depth(
    patches: list[Scored],
    made: list[NDArray[np.float32]],
    mean: NDArray[np.float32],
    spread: NDArray[np.float32],
    measured: NDArray[np.bool_],
) -> float | None:
    """Return the depth beyond which the error is not below that of the section's mean."""
    depth = np.concatenate([p.depth_um for p in patches])
    gain = np.concatenate(
        [
            (
                (np.square(p.truth - mean) - np.square(p.truth - m))[:, measured]
                / np.square(spread[measured])
            ).mean(1)
            for p, m in zip(patches, made, strict=True)
        ]
    )
    band = np.digitize(depth, DEPTHS_UM) - 1
    for number in range(band.max() + 1):
        inside, beyond = gain[band == number], gain[band >= number]
        if len(beyond) < _BLOCK:
            return None
        if len(inside) >= _BLOCK and not _above_zero(inside) and not _above_zero(beyond):
            return DEPTHS_UM[number]
    return None


def _above_zero(values: NDArray[np.floating]) -> bool:
    """Whether a mean is above zero by more than its standard error."""
    return bool(values.mean() > values.std() / np.sqrt(len(values)))


def _compact(coords_um: NDArray[np.float64], step: int) -> NDArray[np.int64]:
    """Return the indices of one part in ``step`` of the cells, a contiguous strip."""
    order = np.argsort(coords_um[:, 0], kind="stable")
    size = len(order) // step
    start = (len(order) - size) // 2
    return np.sort(order[start : start + size])
