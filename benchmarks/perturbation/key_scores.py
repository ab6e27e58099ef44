"""What methods say of edits against the keys: direction and rank, with intervals over edits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from benchmarks.common.datasets import data_dir
from benchmarks.common.statistics import bootstrap_interval, paired_p
from benchmarks.common.table import Table
from benchmarks.perturbation.command import wilson
from benchmarks.perturbation.key_tissues import METHODS, N_REGIONS, OURS, SIGNS, Ready, Tissue, said
from benchmarks.perturbation.keys import KEYS, LEAST_GENES, LEAST_SHARE, PAIRS, KeyedEdit, edits_of

_FEWEST_OF_A_SIGN = 2
FOLDER = "keys"


@dataclass
class Row:
    """One method on one edit; means over its regions.

    Attributes
    ----------
    tissue, key, name, method
        What was scored; edits of one name, such as halves of a footprint, are one replicate.
    n_genes
        Genes with a direction in the key, or receptors.
    direction
        Share of them whose predicted sign is the key's; no effect counts as wrong.
    auroc
        Probability that a gene that the key raises is ranked above one that it lowers; in a key
        that names all targets, above one that is no target; for pairs, that a receptor's effect is
        larger than that of other genes.
    rho
        Spearman correlation of effect and weight over judged genes.
    others
        The AUROC of the same effect against the other columns of the key.
    n_reported, n_reported_right
        Reported directions of genes that the key names, and how many are the key's.
    """

    tissue: str
    key: str
    name: str
    method: str
    n_genes: int
    direction: float
    auroc: float
    rho: float
    others: float
    n_reported: int = 0
    n_reported_right: int = 0


def run_tissue(tissue: Tissue, step: Callable[[str], None], only: Sequence[str] = ()) -> list[Row]:
    """Edit a tissue by the keys, all of them if none is named, and score every method."""
    ready = Ready.make(tissue, step)
    edits = edits_of(data_dir() / FOLDER, tissue.species, ready.genes, ready.share)
    rows: list[Row] = []
    for edit in [e for e in edits if not only or e.key in only]:
        others = [e for e in edits if e.key == edit.key and e.name != edit.name]
        made: dict[str, list[Row]] = {}
        for one in said(ready, edit, step):
            made.setdefault(one.method, []).append(
                score(tissue.name, edit, others, one.method, one.effect, one.reported, ready.share)
            )
        rows += [_mean(parts) for parts in made.values()]
    return rows


def score(
    tissue: str,
    edit: KeyedEdit,
    others: Sequence[KeyedEdit],
    method: str,
    effect: NDArray[np.float64],
    reported: NDArray[np.bool_] | None,
    share: NDArray[np.float64],
) -> Row:
    """Score one effect (G,) against its key and against the key's other columns."""
    free = share >= LEAST_SHARE
    free[edit.edited] = False
    named = free & (edit.weight != 0)
    right = np.sign(effect) == np.sign(edit.weight)
    told = named if reported is None else named & reported
    known = edit.signed
    judged = free if edit.complete else named
    elsewhere = [_auroc(edit, effect, e.weight, free) for e in others]
    return Row(
        tissue,
        edit.key,
        edit.name,
        method,
        int(named.sum()),
        float(right[named].mean()) if known else np.nan,
        _auroc(edit, effect, edit.weight, free),
        _spearman(effect[judged], edit.weight[judged]) if known else np.nan,
        _nanmean(elsewhere),
        0 if reported is None or not known else int(told.sum()),
        0 if reported is None or not known else int((right & told).sum()),
    )


def _auroc(
    edit: KeyedEdit, effect: NDArray[np.float64], weight: NDArray[np.float64], free: NDArray
) -> float:
    """Return the AUROC of an effect for the weights of a column of the edit's key."""
    value = effect if edit.signed else np.abs(effect)
    high = free & (weight > 0)
    low = free & (weight <= 0 if edit.complete else weight < 0)
    least = _FEWEST_OF_A_SIGN if edit.signed else 1
    n_high, n_low = int(high.sum()), int(low.sum())
    if n_high < least or n_low < least:
        return float("nan")
    ranks = rankdata(np.concatenate([value[high], value[low]]))[:n_high]
    return float((ranks.sum() - n_high * (n_high + 1) / 2) / (n_high * n_low))


def _spearman(effect: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Return the rank correlation; 0 where one of the two does not vary."""
    if len(effect) < 3 or np.ptp(effect) == 0 or np.ptp(weight) == 0:
        return 0.0
    return float(spearmanr(effect, weight).statistic)


def _mean(rows: Sequence[Row]) -> Row:
    """Return the mean over regions, or over parts of a replicate."""
    first = rows[0]
    return Row(
        first.tissue,
        first.key,
        first.name,
        first.method,
        round(float(np.mean([r.n_genes for r in rows]))),
        *(
            _nanmean([getattr(r, name) for r in rows])
            for name in ("direction", "auroc", "rho", "others")
        ),
        sum(r.n_reported for r in rows),
        sum(r.n_reported_right for r in rows),
    )


def _nanmean(values: Iterable[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def tables(rows: Sequence[Row]) -> list[Table]:
    """Return one table for each key."""
    return [_table(key, [r for r in rows if r.key == key]) for key in KEYS if _has(rows, key)]


def _has(rows: Sequence[Row], key: str) -> bool:
    return any(r.key == key for r in rows)


def _table(key: str, rows: Sequence[Row]) -> Table:
    lines = []
    for tissue in dict.fromkeys(r.tissue for r in rows):
        mine = [r for r in rows if r.tissue == tissue]
        ours = _by_name(mine, OURS)
        for method in METHODS:
            made = _by_name(mine, method)
            if not made:
                continue
            excess = {n: r.auroc - r.others for n, r in made.items()}
            both = [n for n in made if np.isfinite([made[n].auroc, ours[n].auroc]).all()]
            p = "" if method == OURS else _p(ours, made, both)
            line = [tissue, method, str(len(made))]
            if key != PAIRS:
                line += [
                    _interval([r.direction for r in made.values()], ".0%"),
                    _interval([r.rho for r in made.values()], "+.2f"),
                ]
            lines.append(
                [
                    *line,
                    _interval([r.auroc for r in made.values()], ".2f"),
                    _interval(list(excess.values()), "+.2f"),
                    p,
                ]
            )
    signed = ["direction right", "Spearman"] if key != PAIRS else []
    title = f"{key}: {_WHAT[key]}"
    return Table(
        title,
        ["tissue", "method", "edits", *signed, "AUROC", "own less other columns", "paired p"],
        lines,
        [n for n in (_genes(rows), _reported(rows)) if n],
    )


_WHAT = {
    "CytoSig": "a cytokine is raised, genes that it raises or lowers in other experiments",
    "PROGENy": "a pathway's ligand or factor is raised, its footprint is judged",
    "PROGENy, top 100": "the same with the list of 100 genes a pathway",
    "PROGENy footprint": "half of a footprint is moved two-fold, the other half is judged",
    "CollecTRI": "a transcription factor is raised, its targets are judged",
    "CellChatDB": "a ligand is raised, are its receptors among the genes that change most?",
}
_ABOUT = (
    "# Edits against keys of other experiments",
    "`python -m benchmarks perturbation-keys` wrote these tables;"
    " [perturbation.md](perturbation.md) sums them up.",
    f"Each edit is made in {N_REGIONS} regions (discs of 100 um, or of two distances between"
    " spots, around a random cell that has the gene) and read in the cells up to as far around."
    " A raised gene is set to the 95 % quantile of the cells that have it.",
    f"A gene is edited or judged where {LEAST_SHARE:.0%} of the cells express it; a column counts"
    f" where it says something of {LEAST_GENES} judged genes. Human and mouse names are matched in"
    " capitals. PROGENy is the full table of mouse (p below 0.05).",
    "Intervals: 95 % bootstrap over edits, which are the replicates (regions and halves of one are"
    " averaged). Own less other columns: the AUROC less that of the same prediction against the"
    " key's other columns. Paired p: Wilcoxon over edits against GeST's response, not corrected.",
    "The keys come from other experiments and mostly from other cells, so they are no spatial"
    " truth. What a region itself does cannot say anything of genes that are not edited: its AUROC"
    " is 0.5 and its direction wrong by construction.\n",
)
HEAD = "\n\n".join(_ABOUT)


def _genes(rows: Sequence[Row]) -> str:
    mine = [r for r in rows if r.method == OURS]
    parts = []
    for tissue in dict.fromkeys(r.tissue for r in mine):
        names = _by_name([r for r in mine if r.tissue == tissue], OURS)
        n = [r.n_genes for r in names.values()]
        listed = ", ".join(list(names)[:12]) + (", ..." if len(names) > 12 else "")
        parts.append(f"{tissue}: {min(n)} to {max(n)} genes an edit ({listed})")
    return "; ".join(parts) + "."


def _reported(rows: Sequence[Row]) -> str:
    parts = []
    for tissue in dict.fromkeys(r.tissue for r in rows):
        mine = [r for r in rows if r.tissue == tissue and r.method == SIGNS]
        n, k = sum(r.n_reported for r in mine), sum(r.n_reported_right for r in mine)
        if n:
            low, high = wilson(k, n)
            parts.append(f"{tissue}: {k} of {n} ({k / n:.0%} [{low:.0%}, {high:.0%}])")
    if not parts:
        return ""
    return (
        "Reported directions (at most 5 % expected wrong) of genes that the key names, in the"
        f" first region, with the key's sign: {'; '.join(parts)}. Wilson intervals, which take"
        " genes as independent."
    )


def _by_name(rows: Sequence[Row], method: str) -> dict[str, Row]:
    """Return a row for each name of an edit, the mean over its parts."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.method == method:
            found.setdefault(row.name, []).append(row)
    return {name: _mean(parts) for name, parts in found.items()}


def _p(ours: dict[str, Row], theirs: dict[str, Row], names: Sequence[str]) -> str:
    if len(names) < 2:
        return ""
    return f"{paired_p([ours[n].auroc for n in names], [theirs[n].auroc for n in names]):.2g}"


def _interval(values: Sequence[float], form: str) -> str:
    known = [v for v in values if np.isfinite(v)]
    if not known:
        return "none"
    if len(known) < 2:
        return f"{known[0]:{form}} (1 edit)"
    low, high = bootstrap_interval(known)
    return f"{np.mean(known):{form}} [{low:{form}}, {high:{form}}]"
