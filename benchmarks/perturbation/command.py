"""Perturbation: detection of a planted response, and false reports under the null."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, wilcoxon
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.common.table import Table
from benchmarks.perturbation.counterfactuals import RESPONSE, Prediction, predictions, request
from benchmarks.perturbation.planted import Planted, Setting, trained_on
from napari_gest.model.gest import GeST
from napari_gest.tasks.perturbation.perturb import ALL, Perturbed
from napari_gest.tasks.perturbation.respond import Residuals, ResponseRequest, with_response
from napari_gest.tasks.perturbation.significance import false_discovery_rates, significance
from napari_gest.tasks.progress import finish

# Seeds 0 to 3 were for development; 100 to 104 were looked at once, after which the false
# discovery rate got its factor for dependent genes. These were not looked at before.
SEEDS = (105, 106, 107, 108, 109)
NOMINAL = 0.05


@dataclass
class Score:
    """One method on one tissue.

    Attributes
    ----------
    method, seed
        What was scored.
    n_right, n_targets
        Targets whose direction was right, of how many.
    auroc, aupr
        Of the size of the effect, targets against other genes.
    correlation
        With the true effect, over all genes except the edited one.
    decay_error
        Mean absolute difference between the curves of effect by distance, each divided by its first
        band; NaN if nothing responds in the first band.
    pcc_control, pcc_perturbed
        Over sections, mean correlation over genes between cells around the region and the true
        perturbed profile (Fig. 4b).
    """

    method: str
    seed: int
    n_right: int
    n_targets: int
    auroc: float
    aupr: float
    correlation: float
    decay_error: float
    pcc_control: list[float] = field(default_factory=list)
    pcc_perturbed: list[float] = field(default_factory=list)


@dataclass
class Calls:
    """Genes reported at a nominal FDR of 5 % in one run of an edit.

    Attributes
    ----------
    kind
        ``programme``: the ligand. ``no programme``: the ligand where targets are silent.
        ``other gene``: a gene that drives nothing, in tissue with a programme.
    seed
        Seed of the tissue.
    found, false
        Number of reported genes, and of those that are not targets of the edit.
    strict_found, strict_false
        The same if a gene must also exceed edits of random genes.
    """

    kind: str
    seed: int
    found: int
    false: int
    strict_found: int
    strict_false: int


def run_seed(
    setting: Setting, seed: int, n_null: int, n_other: int, step: Callable[[str], None]
) -> tuple[list[Score], list[Calls]]:
    """Score every method on one tissue, and test it, its null and other edits."""
    step(f"seed {seed}: tissue")
    planted = Planted.make(setting, seed)
    trained = trained_on(
        planted, seed, lambda p: step(f"seed {seed}: {p.stage} {p.done}/{p.total}")
    )
    step(f"seed {seed}: response")
    tissue = finish(ResponseRequest(planted.sections, trained).run())
    model = with_response(trained, tissue)
    asked = [request(planted, s, model) for s in planted.sections]
    rows = [r.section.rows[r.index] for r in asked]
    distance = [r.distance_um[r.index] for r in asked]
    truth = [planted.true_effect(r, model.target_sum) for r in rows]
    after = [planted.values("perturbed", r, model.target_sum) for r in rows]
    scores: list[Score] = []
    calls: list[Calls] = []
    targets = set(planted.adata.var_names[planted.sign != 0])
    for method, made, results in predictions(
        planted, model, lambda what: step(f"seed {seed}: {what}")
    ):
        scores.append(_score(method, seed, planted, made, truth, distance, after))
        if method == RESPONSE:
            for number, result in enumerate(results, 1):
                step(f"seed {seed}: significance, section {number}")
                calls.append(_call("programme", seed, seed, result, tissue, targets))
    for number, edit in enumerate(planted.other_edits(n_other, seed), 1):
        step(f"seed {seed}: edit of another gene, {number} of {n_other}")
        section = planted.sections[number % len(planted.sections)]
        result = finish(request(planted, section, model, edits=(edit,)).run())
        calls.append(_call("other gene", seed, number, result, tissue, set()))
    for draw in range(1, n_null + 1):
        step(f"seed {seed}: null run {draw} of {n_null}")
        calls.append(_null_run(setting, seed, trained, draw))
    return scores, calls


def _null_run(setting: Setting, seed: int, trained: GeST, draw: int) -> Calls:
    """Test the edit on tissue without a programme, with a response fitted there."""
    # A third of the sections is enough to fit a response, and leaves time for more runs.
    thirds = max(1, setting.n_sections // 3)
    n_cells = setting.n_cells // setting.n_sections * thirds
    silent = replace(setting.silent(), n_cells=n_cells, n_sections=thirds)
    planted = Planted.make(silent, seed, draw)
    tissue = finish(ResponseRequest(planted.sections, trained).run())
    model = with_response(trained, tissue)
    result = finish(request(planted, planted.sections[0], model).run())
    return _call("no programme", seed, draw, result, tissue, set())


def _call(
    kind: str, seed: int, draw: int, result: Perturbed, tissue: Residuals, targets: set[str]
) -> Calls:
    table = significance(result, seed=draw, tissue=tissue).table
    table = table[table["band"] == ALL]
    counts = []
    strict = false_discovery_rates(table[["p_genes", "p_positions"]].max(axis=1, skipna=False))
    for fdr in (table["fdr"], strict):
        genes = table["gene"][np.asarray(fdr < NOMINAL)]
        counts += [len(genes), int((~genes.isin(targets)).sum())]
    return Calls(kind, seed, *counts)


def _score(
    method: str,
    seed: int,
    planted: Planted,
    made: Sequence[Prediction],
    truth: Sequence[NDArray],
    distance: Sequence[NDArray],
    after: Sequence[NDArray],
) -> Score:
    sign, others = planted.sign, planted.others
    effect = np.concatenate([m.effect for m in made])
    true = np.concatenate(list(truth))
    mean, true_mean = effect.mean(0, dtype=np.float64), true.mean(0, dtype=np.float64)
    targets = sign != 0
    size = np.abs(mean[others])
    profiles = [a.mean(0) for a in after]
    return Score(
        method,
        seed,
        int((np.sign(mean[targets]) == sign[targets]).sum()),
        int(targets.sum()),
        float(roc_auc_score(targets[others], size)),
        float(average_precision_score(targets[others], size)),
        _correlation(mean[others], true_mean[others]),
        _decay_error(effect, true, sign, np.concatenate(list(distance)), planted.setting),
        [_mean_pcc(m.control, p) for m, p in zip(made, profiles, strict=True)],
        [_mean_pcc(m.perturbed, p) for m, p in zip(made, profiles, strict=True)],
    )


def _correlation(a: NDArray, b: NDArray) -> float:
    """Pearson; 0 if one of the two does not vary."""
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 1e-12 else 0.0


def _mean_pcc(cells: NDArray, profile: NDArray) -> float:
    return float(np.mean([_correlation(c, profile) for c in cells.astype(np.float64)]))


def _decay_error(
    effect: NDArray, truth: NDArray, sign: NDArray, distance: NDArray, setting: Setting
) -> float:
    edges = np.linspace(0, setting.reach_um, 5)
    curves = []
    for values in (effect, truth):
        toward = values[:, sign != 0] @ sign[sign != 0]
        band = np.digitize(distance, edges[1:-1], right=True)
        curve = np.array([toward[band == b].mean() for b in range(len(edges) - 1)])
        if not curve[0] > 0:
            return float("nan")
        curves.append(curve / curve[0])
    return float(np.abs(curves[0] - curves[1]).mean())


def wilson(n_right: int, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a share."""
    interval = binomtest(n_right, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def tables(scores: Sequence[Score], calls: Sequence[Calls], setting: Setting) -> list[Table]:
    """Return the results as tables."""
    methods = list(dict.fromkeys(s.method for s in scores))
    rows, figure = [], []
    for method in methods:
        mine = [s for s in scores if s.method == method]
        right, n = sum(s.n_right for s in mine), sum(s.n_targets for s in mine)
        low, high = wilson(right, n)
        decay = np.array([s.decay_error for s in mine])
        rows.append(
            [
                method,
                f"{right / n:.1%} [{low:.1%}, {high:.1%}]",
                _spread([s.auroc for s in mine]),
                _spread([s.aupr for s in mine]),
                _spread([s.correlation for s in mine]),
                f"{np.nanmean(decay):.2f}" if np.isfinite(decay).any() else "none",
            ]
        )
        control = np.concatenate([s.pcc_control for s in mine])
        perturbed = np.concatenate([s.pcc_perturbed for s in mine])
        gain = perturbed - control
        p = wilcoxon(gain).pvalue if gain.any() else 1.0
        figure.append(
            [
                method,
                f"{control.mean():.4f}",
                f"{perturbed.mean():.4f}",
                f"{gain.mean():+.4f}",
                f"{p:.1e}",
                str(len(gain)),
            ]
        )
    programme = setting.programme
    seeds = sorted({s.seed for s in scores})
    known = Table(
        "Planted programme: the response around an edited region",
        ["method", "direction right", "AUROC", "AUPR", "correlation", "decay error"],
        rows,
        [
            f"n = {len(seeds)} seeds ({', '.join(map(str, seeds))}), each {setting.n_cells}"
            f" control cells in {setting.n_sections} sections, {setting.n_genes} genes,"
            f" {programme.n_up} targets up and {programme.n_down} down; decay"
            f" {programme.decay_um:g} um; one region of radius {programme.roi_radius_um:g} um a"
            f" section; effect read up to {setting.reach_um:g} um from its cells.",
            "Direction: 95 % Wilson interval over targets and seeds; no effect counts as wrong."
            " Others: mean (lowest to highest seed). Only control cells were trained on.",
        ],
    )
    fig4b = Table(
        "Correlation with the true perturbed profile (Fig. 4b)",
        ["method", "control", "perturbed", "gain", "paired p", "n sections"],
        figure,
        ["Mean over cells of the correlation over genes; paired Wilcoxon test over sections."],
    )
    return [known, fig4b, _honest(calls, programme.n_up + programme.n_down)]


def _honest(calls: Sequence[Calls], n_targets: int) -> Table:
    """Return the reported genes, for the programme and under the nulls."""
    lines = []
    for test, found, false in (
        ("like cells exchanged", "found", "false"),
        ("and random genes", "strict_found", "strict_false"),
    ):
        for kind, what in (
            ("programme", "edit of the ligand"),
            ("no programme", "the same, targets silent"),
            ("other gene", "edit of a gene that drives nothing"),
        ):
            mine = [c for c in calls if c.kind == kind]
            if not mine:
                continue
            n, wrong = (sum(getattr(c, name) for c in mine) for name in (found, false))
            some = sum(getattr(c, found) > 0 for c in mine)
            low, high = wilson(some, len(mine))
            runs = f"{some} of {len(mine)}: {some / len(mine):.1%} [{low:.1%}, {high:.1%}]"
            rate = recall = ""
            if kind == "programme":
                rate = "none" if not n else f"{wrong / n:.1%} [{_interval(wrong, n)}]"
                recall = f"{(n - wrong) / (len(mine) * n_targets):.1%}"
            lines.append([test, what, str(n), str(wrong), rate, recall, runs])
    return Table(
        f"What is reported at FDR 5 % ({RESPONSE})",
        ["test", "edit", "genes", "false", "measured FDR", "recall", "runs that report a gene"],
        lines,
        [
            "One run is one edited section; Benjamini-Yekutieli in each; 95 % Wilson intervals,"
            " which take genes and runs as independent although sections of a seed share a fit.",
            "Targets silent: other draws of the same anatomies, a third of the sections, the"
            " response fitted there. A gene that drives nothing can still follow genes of its"
            " gradient or niche, and is then reported: the test tells chance, not cause.",
            "First rows: the test the table of results uses. Last rows: a gene also has to stand"
            " out among same-size edits of random genes.",
        ],
    )


def _interval(n_right: int, n: int) -> str:
    low, high = wilson(n_right, n)
    return f"{low:.1%}, {high:.1%}"


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.2f} to {max(values):.2f})"
