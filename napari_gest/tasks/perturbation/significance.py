"""Which responses are more than chance: permutation nulls and false discovery rates."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.limits import check_number
from napari_gest.seeds import check_seed
from napari_gest.tasks.finite import require_finite
from napari_gest.tasks.perturbation.counterfactual import Edited, model_space
from napari_gest.tasks.perturbation.false_signs import (
    SIGN_LEVEL,
    SignModel,
    Signs,
    s_values,
)
from napari_gest.tasks.perturbation.local_slopes import local_slopes
from napari_gest.tasks.perturbation.permutation_null import exchange
from napari_gest.tasks.perturbation.perturb import Perturbed
from napari_gest.tasks.perturbation.respond import Residuals, ResponsePredictor, ResponseRequest
from napari_gest.tasks.progress import Clock, Progress, finish, relay

if TYPE_CHECKING:
    from anndata import AnnData

# With fewer draws no p-value can be below 0.05.
FEWEST = 19
_MOST = 100_000  # draws: their statistics are all kept


@dataclass(frozen=True, eq=False)
class SignificanceRequest:
    """One test of an effect: how sure its signs are, and two permutation nulls.

    For a response the probability that a sign is wrong comes from slopes on measured tissue
    (``local_slopes``) and empirical Bayes over genes and identities (``SignModel``). It needs no
    draws. The permutation nulls are stricter.

    The first null edits random genes by as much, counted in each gene's own spread. An edit of
    any gene of a gradient seems to move all genes of it, so what counts is how far a gene stands
    out among all genes: its evidence less their median, over their median deviation, compared
    with all genes of all draws.

    The second null makes the same edit at random positions. For the read-out ``generation`` these
    are random cells that are neither in the region nor around it, and mean effects in spreads are
    compared. For ``response`` like cells of measured tissue exchange their levels of the edited
    genes (``exchange``), which leaves all else in place.

    The p-value of a generated effect is the larger of the two. That of a response is the second:
    genes of one gradient or niche do follow each other, so the first has heavy tails, and beside
    it hardly any single gene could be told from chance. An edited gene is compared with random
    edits of that gene, and where fewer than 19 are, as for the one gene of a single edit, it is
    not tested: that neighbours resemble each other is no response.

    Attributes
    ----------
    perturbed
        The effect to test; it stays as it is, whatever becomes of the test.
    n_permutations
        Draws for each null. Where one gene is edited, every other gene is drawn once at most.
    seed
        Of the draws; they do not follow the order of rows (decision 25).
    tissue
        Measured tissue on which a response is tested, read with the same model; by default it is
        the section of the effect.
    """

    perturbed: Perturbed
    n_permutations: int = 200
    seed: int = 0
    tissue: Residuals | None = None

    def check(self) -> None:
        """Raise InputError if nothing can be tested."""
        check_number("n_permutations", self.n_permutations, FEWEST, _MOST, whole=True)
        check_seed(self.seed)
        if not len(self.perturbed.edited.cells):
            raise InputError(
                "An effect of taking cells out has no random genes to be compared with.",
                "Read the effect alone.",
            )
        if self._response is None and len(self._elsewhere) == 0:
            raise InputError(
                "There is no cell beyond the region and its surroundings.",
                "Lower the reach, so that the edit can be made elsewhere for comparison.",
            )

    def run(self) -> Generator[Progress, None, Significance]:
        """Test; yields at every draw, and more often where a draw takes long."""
        self.check()
        rng = np.random.default_rng(self.seed)
        genes = list(self._random_genes(rng))
        clock = Clock("Testing against random genes", len(genes))
        by_gene: list[NDArray[np.float64]] = []
        for edited in genes:
            effect = yield from self._effect(edited, clock, len(by_gene))
            by_gene.append(self._standing(edited, effect))
        touched = np.stack([_touched(e) for e in genes])
        like = (touched == self._edited_genes) & self.perturbed.request.measured
        observed = self._standing(self.perturbed.edited, self.perturbed.effect)
        p_genes = [
            pooled_p(one, null, like)
            for one, null in zip(observed, np.stack(by_gene, 1), strict=True)
        ]
        if self._response is not None:
            tissue, p_positions, rates = yield from self._exchanged(self._response, rng)
        else:
            tissue, p_positions = None, (yield from self._moved(rng))
            rates = np.full(p_positions.shape, np.nan)
        return Significance(
            self.perturbed,
            self._table(np.stack(p_genes), p_positions, rates),
            {"n_permutations": self.n_permutations, "seed": self.seed},
            tissue,
        )

    @property
    def _response(self) -> ResponsePredictor | None:
        predictor = self.perturbed.predictor
        return predictor if isinstance(predictor, ResponsePredictor) else None

    def _exchanged(
        self, response: ResponsePredictor, rng: np.random.Generator
    ) -> Generator[Progress, None, tuple[Residuals, NDArray[np.float64], NDArray[np.float64]]]:
        """Return the tissue, and by band and gene what it says of the effect.

        These are p-values where like cells exchange their levels, and local false sign rates.
        """
        perturbed, tissue = self.perturbed, self.tissue or response.tissue
        if tissue is None:
            request = ResponseRequest([perturbed.section], response.model, perturbed.request.device)
            tissue = yield from request.run()
        direction = _direction(perturbed, response, tissue)
        bands = list(perturbed.bands().values())
        doses = [response.doses(perturbed.edited, inside) for inside in bands]
        found, drawn = yield from exchange(tissue, direction, doses, self.n_permutations, rng)
        require_finite("The test", statistic=found, permuted=drawn)
        tested = tissue.measured & ~self._edited_genes
        p, rates = np.full(found.shape, np.nan), np.full(found.shape, np.nan)
        signs = signs_of(perturbed, tissue)
        yield Progress("Probabilities of wrong signs", 1, 1)
        for b, inside in enumerate(bands):
            sign = np.sign(perturbed.effect[inside].mean(0, dtype=np.float64))
            rates[b, tested] = signs[b].false_rate(sign)[tested]
            # Tissue that contradicts the predicted direction speaks for no response.
            agreed = np.maximum(found[b] * sign, 0)
            p[b, tested] = pooled_p(agreed[tested], drawn[b][:, tested])
        return tissue, p, rates

    def _moved(self, rng: np.random.Generator) -> Generator[Progress, None, NDArray[np.float64]]:
        """Return (n_bands, G) p-values of the same edit in random cells elsewhere."""
        clock = Clock("Testing against random positions", self.n_permutations)
        drawn: list[NDArray[np.float64]] = []
        for edited in self._random_positions(rng):
            effect = yield from self._effect(edited, clock, len(drawn))
            drawn.append(self._means(effect))
        observed = self._means(self.perturbed.effect)
        pairs = zip(observed, np.stack(drawn, 1), strict=True)
        return np.stack([pooled_p(one, null) for one, null in pairs])

    def _effect(
        self, edited: Edited, clock: Clock, done: int
    ) -> Generator[Progress, None, NDArray[np.float32]]:
        steps = self.perturbed.predictor.expression(edited, clock.stage)
        answer = yield from relay(steps, lambda _: clock.tick(done))
        yield clock.tick(done + 1)
        effect: NDArray[np.float32] = answer - self.perturbed.control
        require_finite("The test", effect=effect)
        return effect

    @cached_property
    def _values(self) -> NDArray[np.float32]:
        """(n_obs, G) the section as measured, model space, cells in its order."""
        section = self.perturbed.section
        return model_space(section, self.perturbed.request.model, section.order)[0]

    @cached_property
    def _spread(self) -> NDArray[np.float64]:
        """(G,) spread of each gene over the section."""
        spread = self._values.std(0, dtype=np.float64)
        spread[~self.perturbed.request.measured] = 0
        return spread

    @cached_property
    def _change(self) -> NDArray[np.float64]:
        edited = self.perturbed.edited
        return edited.after.astype(np.float64) - edited.before

    @property
    def _edited_genes(self) -> NDArray[np.bool_]:
        return (self._change != 0).any(0)

    @cached_property
    def _elsewhere(self) -> NDArray[np.int64]:
        around = self.perturbed.request.roi.copy()
        around[self.perturbed.index] = True
        return self.perturbed.section.where(~around)

    def _random_genes(self, rng: np.random.Generator) -> Iterator[Edited]:
        """Yield the edit with its genes swapped for random ones of the same standardised size."""
        edited, spread = self.perturbed.edited, self._spread
        source = np.flatnonzero(self._edited_genes & (spread > 0))
        varied = np.flatnonzero(spread > 0)
        size = self._change[:, source] / spread[source]
        if len(source) == 1:
            others = rng.permutation(varied[varied != source[0]])[: self.n_permutations]
            chosen = [np.array([g]) for g in others]
        else:
            chosen = [
                rng.choice(varied, len(source), replace=False) for _ in range(self.n_permutations)
            ]
        for genes in chosen:
            after = edited.before.astype(np.float64)
            after[:, genes] += size * spread[genes]
            yield Edited(edited.cells, edited.before, after.astype(np.float32), edited.removed)

    def _random_positions(self, rng: np.random.Generator) -> Iterator[Edited]:
        """Yield the same changes, each in a random cell elsewhere."""
        rank = self.perturbed.section.rank
        changes = self._change[np.argsort(rank[self.perturbed.edited.cells])]
        n = min(len(changes), len(self._elsewhere))
        for _ in range(self.n_permutations):
            drawn = rng.choice(len(self._elsewhere), n, replace=False)
            cells = self._elsewhere[np.sort(drawn)]
            before = self._values[rank[cells]]
            change = changes[rng.permutation(len(changes))[:n]]
            after = np.where(change == 0, before, np.maximum(before + change, 0))
            yield Edited(cells, before, after.astype(np.float32), np.empty(0, np.int64))

    def _means(self, effect: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (n_bands, G) mean effect in spreads."""
        unit = np.where(self._spread > 0, self._spread, np.inf)
        bands = self.perturbed.bands().values()
        return np.stack([effect[inside].mean(0, dtype=np.float64) / unit for inside in bands])

    def _standing(self, edited: Edited, effect: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (n_bands, G) how far each gene stands out among those that are not edited."""
        judged = self.perturbed.request.measured & ~_touched(edited)
        if not judged.any():
            judged = self.perturbed.request.measured
        out = []
        for inside in self.perturbed.bands().values():
            evidence = self.perturbed.predictor.evidence(edited, effect, inside)
            out.append(stand_out(evidence, judged))
        return np.stack(out)

    def _table(
        self,
        p_genes: NDArray[np.float64],
        p_positions: NDArray[np.float64],
        rates: NDArray[np.float64],
    ) -> pd.DataFrame:
        measured = self.perturbed.request.measured
        pvalue = np.maximum(p_genes, p_positions)
        if self._response is not None:
            pvalue = np.where(self._edited_genes, p_genes, p_positions)
        fdr = np.stack([false_discovery_rates(p[measured]) for p in pvalue])
        svalue = np.stack([s_values(rate[measured]) for rate in rates]).ravel()
        columns = {
            "p_genes": p_genes,
            "p_positions": p_positions,
            "pvalue": pvalue,
            "lfsr": rates,
        }
        values = {name: p[:, measured].ravel() for name, p in columns.items()}
        table = self.perturbed.effects().assign(**values, fdr=fdr.ravel(), svalue=svalue)
        return table.assign(reported=table["direction"].where(svalue <= SIGN_LEVEL, "none"))


@dataclass(frozen=True, eq=False)
class Significance:
    """A tested effect.

    Attributes
    ----------
    perturbed
        The effect.
    table
        ``Perturbed.effects``; ``p_genes``, ``p_positions``, ``pvalue`` and ``fdr``,
        ``false_discovery_rates`` within a band; for a response also ``lfsr``, the probability
        that the direction is wrong or that there is no response, ``svalue``, the share of wrong
        signs among all genes of the band with no larger ``lfsr``, and ``reported``, the direction
        where that is 5 % at most, else none. Missing where a gene was not tested.
    settings
        What made it.
    tissue
        The measured tissue a response was tested on; the next test on it can start from there.
    """

    perturbed: Perturbed
    table: pd.DataFrame
    settings: dict[str, Any]
    tissue: Residuals | None = None

    @property
    def rows(self) -> NDArray[np.int64]:
        """(n,) row of each surrounding cell in the AnnData."""
        return self.perturbed.rows

    def write(self, adata: AnnData) -> frozenset[str]:
        """Write the effect as ``Perturbed.write`` does, with the table in ``uns``.

        Returns
        -------
        The names of the keys that changed.
        """
        changed = self.perturbed.write(adata)
        adata.uns[keys.PERTURBATION]["test"] = {**self.settings, "sign_level": SIGN_LEVEL}
        adata.uns[keys.PERTURBATION]["genes"] = self.table.copy()
        return changed


def significance(
    perturbed: Perturbed,
    *,
    n_permutations: int = 200,
    seed: int = 0,
    tissue: Residuals | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Significance:
    """Test an effect against permutation nulls.

    Parameters
    ----------
    perturbed, n_permutations, seed, tissue
        As in ``SignificanceRequest``.
    on_progress
        Called at every draw.

    Raises
    ------
    InputError
        If nothing can be tested.
    """
    request = SignificanceRequest(perturbed, n_permutations, seed, tissue)
    return finish(request.run(), on_progress)


def signs_of(perturbed: Perturbed, tissue: Residuals) -> list[Signs]:
    """Return for each band what measured tissue says of the signs of a response.

    Raises
    ------
    InputError
        If the effect is no response, but was generated.
    """
    response = perturbed.predictor
    if not isinstance(response, ResponsePredictor):
        raise InputError(
            "A generated effect has no slopes whose signs could be wrong.",
            "Choose the read-out 'response'.",
        )
    direction = _direction(perturbed, response, tissue)
    slopes = local_slopes(tissue, direction)
    require_finite("The test", slope=slopes.slope)
    edited = (perturbed.edited.after != perturbed.edited.before).any(0)
    model = SignModel.fit(slopes.slope, slopes.error, tissue.measured & ~edited)
    bands = perturbed.bands().values()
    return [model.signs(response.doses(perturbed.edited, inside)) for inside in bands]


def _direction(
    perturbed: Perturbed, response: ResponsePredictor, tissue: Residuals
) -> NDArray[np.float64]:
    """Return (G,) of unit length, the edit in spreads of the tissue."""
    # The head and the tissue may have other spreads; the edit is the same.
    direction = response.change(perturbed.edited).sum(0) * response.head.spread / tissue.spread
    direction[~tissue.measured] = 0
    return np.asarray(direction / max(float(np.linalg.norm(direction)), 1e-12))


def untested(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of effects with the columns of a test, all of them missing."""
    missing = dict.fromkeys(("pvalue", "fdr", "lfsr", "svalue"), np.nan)
    return table.assign(**missing, reported="none")


def stand_out(evidence: NDArray[np.float64], judged: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return evidence (G,) less its median, over its median deviation, of genes ``judged``.

    Where most genes show nothing at all there is no deviation, and only what is not the median
    stands out.
    """
    median = np.median(evidence[judged])
    off = evidence - median
    scale = 1.4826 * np.median(np.abs(off[judged]))
    if scale > 0:
        return np.asarray(off / scale)
    return np.where(off == 0, 0.0, np.copysign(np.inf, off))


def pooled_p(
    observed: NDArray[np.float64],
    null: NDArray[np.float64],
    valid: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Return (G,) two-sided p-values against draws (P, G), pooled over genes.

    ``valid`` (P, G) says which draws a gene may be compared with; a gene with fewer than 19 is
    not tested and gets NaN. What shows nothing has p 1.
    """
    valid = np.ones(null.shape, bool) if valid is None else valid
    tested = valid.sum(0) >= FEWEST
    pool = np.sort(np.abs(null[valid & tested]))
    at_least = len(pool) - np.searchsorted(pool, np.abs(observed) * (1 - 1e-12))
    p = np.where(observed == 0, 1.0, (1 + at_least) / (1 + len(pool)))
    return np.where(tested, p, np.nan)


def _touched(edited: Edited) -> NDArray[np.bool_]:
    return (edited.after != edited.before).any(0)


def false_discovery_rates(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n,) false discovery rates; missing p-values stay missing and do not count.

    Benjamini-Hochberg's step-up with Benjamini and Yekutieli's factor, the sum of 1 / i up to n:
    genes of one tissue depend on each other both ways, since what a cell has of one it lacks of
    others, and then the plain form can let more through than it says.
    """
    out = np.full(len(p), np.nan)
    tested = np.isfinite(p)
    if tested.any():
        out[tested] = false_discovery_control(p[tested], method="by")
    return out
