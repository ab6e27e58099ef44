"""Tables of generated cells as a distribution, and of what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from sklearn.metrics import f1_score

from benchmarks.common.scored_section import Group, pools
from benchmarks.common.statistics import over_sections
from benchmarks.common.table import Table
from benchmarks.generation.calibration import pooled_calibration_error
from benchmarks.generation.distribution import LEVELS, skill
from benchmarks.generation.donors import NearestCell, TrueToken
from benchmarks.generation.drawn_scores import PATCH, SAMPLE, SAMPLE_ONE_STEP, WEIGHTED
from benchmarks.generation.named import TRUTH

SCORES = (  # (key, heading, format)
    ("energy_score", "energy score", ".3f"),
    ("crps_svg", "CRPS, SVGs", ".4f"),
    ("crps", "CRPS", ".4f"),
    ("pair_energy_score", "energy score, adjacent pairs", ".3f"),
    ("auc", "two-sample AUC (0.5)", ".3f"),
    ("distinct", "distinct cells", ".2f"),
    ("zeros", "zeros, generated minus measured", "+.3f"),
    ("variance_ratio", "variance ratio (1)", ".3f"),
    ("correlation_error", "gene-gene corr. error", ".3f"),
    ("moran_error", "Moran's I error, SVGs", ".3f"),
    ("composition_error", "composition error", ".3f"),
    ("enrichment_error", "neighbourhood enrichment error", ".3f"),
)
COMPARED = SCORES[:4]
DOWNSTREAM = (
    ("de_sign", "DE: sign of top genes"),
    ("de_rank", "DE: rank correlation"),
    ("de_precision", "DE calls: precision"),
    ("de_recall", "DE calls: recall"),
    ("pairs_rank", "rim pairs: rank correlation"),
    ("pairs_error", "rim pairs: absolute log2 ratio"),
    ("niche_error", "niche shares: error"),
    ("niche_same", "niche: same cells"),
)
WON = 0.9  # of the holes
ORACLE, COPY = TrueToken.name, NearestCell.name


def drawn_tables(groups: Sequence[Group]) -> Iterable[Table]:
    """Yield all tables of the groups that hold draws."""
    for group in groups:
        yield scores_table(group)
    yield bars_table(groups)
    yield difference_table(groups)
    yield coverage_table(groups)
    yield probabilities_table(groups)
    yield names_table(groups)
    yield downstream_table(groups)


def scores_table(group: Group) -> Table:
    """Every method on one section, means over holes; the best baseline on validation starred."""
    rows = []
    for method in group.drawn_methods:
        setting = group.drawn_settings.get(method, "")
        star = "* " if method == group.drawn_best else ""
        cells = [f"{star}{method}" + (f" ({setting})" if setting else "")]
        for key, _, form in SCORES:
            mean = group.drawn_mean(method, key)
            cells.append(f"{mean:{form}}" if np.isfinite(mean) else "-")
        rows.append(cells)
    ours = [r for r in group.drawn if r.method == SAMPLE]
    n_cells = [r.n_cells for r in ours]
    patches = len(group.drawn_values(PATCH, "auc"))
    ranked = sorted(group.drawn_validation.items(), key=lambda item: item[1])
    notes = [
        f"Means over {len(ours)} holes of one section, {sum(n_cells)} cells ({min(n_cells)} to"
        f" {max(n_cells)}); a look-alike patch fits for {patches} of them. Holes of one section"
        " are not replicates, so there is no interval here. Genes are divided by their standard"
        " deviation among the section's known cells. Energy score and CRPS: lower is better.",
        "* best baseline on the validation holes (energy score: "
        + ", ".join(f"{k} {v:.3f}" for k, v in ranked)
        + ").",
    ]
    headings = ["method", *(heading for _, heading, _ in SCORES)]
    return Table(f"{group.name}: cells as a distribution", headings, rows, notes)


def ablation_table(groups: Sequence[Group]) -> Table:
    """GeST sample, each time without one part of the method (ablation)."""
    rows = []
    keys = [score for score in SCORES if score[0] not in ("auc", "distinct")]
    for group in groups:
        for method in dict.fromkeys(r.method for r in group.ablated):
            own = [r.scores for r in group.ablated if r.method == method]
            means = [np.nanmean([s[key] for s in own]) for key, _, _ in keys]
            cells = [f"{m:{form}}" for m, (_, _, form) in zip(means, keys, strict=True)]
            rows.append([group.name, method, str(len(own)), *cells])
    return Table(
        "GeST sample without one part of the method (ablation)",
        ["section", "method", "holes", *(heading for _, heading, _ in keys)],
        rows,
        [
            "Means over the same holes. 'Neighbours apart': without the common variation of"
            " neighbours. 'P as it is': its sharpness is 1. 'No field': the tilts aim at the"
            " decoder's expectation alone. 'No tilt': only p(meta cell), the section's composition"
            " and locality.",
        ],
    )


def bars_table(groups: Sequence[Group]) -> Table:
    """Bars for generated cells, met or missed, by section and by data set."""
    listed = [(g.name, [g]) for g in groups]
    found = pools(groups).items()
    listed += [(f"{name}, together", own) for name, own in found if len(own) > 1]
    return Table(
        "GeST sample against the bars",
        [
            "section or data set",
            "AUC at most 0.62",
            "variance ratio 0.9 to 1.1",
            "zeros within 0.02",
            "Moran's I error at most the look-alike patch's",
            "corr. error at most nearest copy's",
            "energy score below the best baseline",
            "SVG CRPS below the best baseline",
            "skill at least 0.22 (aim 0.30)",
        ],
        [[name, *_bars(own)] for name, own in listed],
        [
            "Means over the holes of a section, then over sections. The best baseline has the"
            " lowest energy score on validation holes. GeST has to be below it in at least 90 % of"
            " the holes; a tie is not below. Skill: (baseline - GeST) / (baseline - oracle) of the"
            " energy score.",
        ],
    )


def _bars(groups: Sequence[Group]) -> list[str]:
    def mean(method: str, key: str) -> float:
        return float(np.mean([g.drawn_mean(method, key) for g in groups]))

    auc, variance = mean(SAMPLE, "auc"), mean(SAMPLE, "variance_ratio")
    zero, gained = mean(SAMPLE, "zeros"), float(np.mean([section_skill(g) for g in groups]))
    # Only holes for which a patch fits are compared with it.
    moran, patch = (float(np.mean([_beside_patch(g)[i] for g in groups])) for i in (0, 1))
    correlation, copied = (mean(m, "correlation_error") for m in (SAMPLE, COPY))
    cells = [
        _verdict(f"{auc:.3f}", auc <= 0.62),
        _verdict(f"{variance:.3f}", 0.9 <= variance <= 1.1),
        _verdict(f"{zero:+.3f}", abs(zero) <= 0.02),
        _verdict(f"{moran:.3f} v. {patch:.3f}", moran <= patch),
        _verdict(f"{correlation:.3f} v. {copied:.3f}", correlation <= copied),
    ]
    n = sum(len(g.drawn_values(SAMPLE, "energy_score")) for g in groups)
    for key in ("energy_score", "crps_svg"):
        won = sum(_won(g, key) for g in groups)
        cells.append(_verdict(f"{won} of {n}", won >= WON * n))
    return [*cells, _verdict(f"{gained:.3f}", gained >= 0.22)]


def _beside_patch(group: Group) -> tuple[float, float]:
    """Return Moran's I error of GeST and of the patch, over holes for which a patch fits."""
    patch = {
        (r.seed, r.radius_um): r.scores["moran_error"] for r in group.drawn if r.method == PATCH
    }
    ours = {
        (r.seed, r.radius_um): r.scores["moran_error"] for r in group.drawn if r.method == SAMPLE
    }
    both = [key for key in ours if key in patch]
    if not both:
        return float("nan"), float("nan")
    return tuple(float(np.mean([of[key] for key in both])) for of in (ours, patch))  # type: ignore


def _won(group: Group, key: str) -> int:
    ours, theirs = (group.drawn_values(m, key) for m in (SAMPLE, group.drawn_best))
    return int((ours < theirs).sum())


def _verdict(text: str, met: bool) -> str:
    return f"{text} {'yes' if met else 'no'}"


def section_skill(group: Group, method: str = SAMPLE) -> float:
    """Return the skill of the energy score over the holes of a section."""
    means = [group.drawn_mean(m, "energy_score") for m in (group.drawn_best, method, ORACLE)]
    return skill(*means)


def difference_table(groups: Sequence[Group]) -> Table:
    """GeST less the best baseline and less itself in one step, by data set, over sections."""
    rows = []
    for name, own in pools(groups).items():
        rows += [_less(name, own, one_step) for one_step in (False, True)]
    return Table(
        "GeST sample minus another method, by data set",
        [
            "data set",
            "minus",
            *(heading for _, heading, _ in COMPARED),
            "holes with a lower score of pairs",
            "skill",
        ],
        rows,
        [
            "Negative: GeST is better. In brackets the 95 % interval (Student's t) over animals"
            " where there are several, over sections otherwise, and how many; one section has no"
            " interval.",
            "'One step' draws each cell without any other generated cell as context, so this row"
            " shows the value of drawing from the rim inward. Holes of one window (192 cells) are"
            " the same in both.",
        ],
    )


def _less(name: str, groups: Sequence[Group], one_step: bool) -> list[str]:
    """Return a row: GeST less itself in one step, or less the best baseline."""

    def other(group: Group) -> str:
        return SAMPLE_ONE_STEP if one_step else group.drawn_best

    def over(of: Callable[[Group], float]) -> str:
        return over_sections([of(g) for g in groups], [g.animal for g in groups]).text()

    def less(key: str) -> Callable[[Group], float]:
        return lambda g: g.drawn_mean(SAMPLE, key) - g.drawn_mean(other(g), key)

    pairs = [
        [g.drawn_values(method, "pair_energy_score") for method in (SAMPLE, other(g))]
        for g in groups
    ]
    won = sum(int((ours < theirs).sum()) for ours, theirs in pairs)
    return [
        name,
        ", ".join(dict.fromkeys(other(g) for g in groups)),
        *(over(less(key)) for key, _, _ in COMPARED),
        f"{won} of {sum(len(ours) for ours, _ in pairs)}",
        "" if one_step else over(section_skill),
    ]


def coverage_table(groups: Sequence[Group]) -> Table:
    """Coverage of the randomised probability integral transform, by depth and by gene."""
    rows, names = [], [f"{level:.0%}" for level in LEVELS]
    for group in groups:
        ours = [r for r in group.drawn if r.method == SAMPLE]
        bands = list(dict.fromkeys(b for r in ours for b in r.bands))
        bands.sort(key=lambda b: float(b.strip(">").split("-")[0]))
        for band in bands:
            here = [r.bands[band] for r in ours if band in r.bands]
            cells = [int(b["n_cells"]) for b in here]
            shares = [float(np.average([b[name] for b in here], weights=cells)) for name in names]
            near = (
                max(abs(s - level) for s, level in zip(shares, LEVELS, strict=True)) <= 0.02 + 1e-9
            )
            rows.append(
                [
                    group.name,
                    f"{band} um",
                    str(sum(cells)),
                    *(f"{s:.3f}" for s in shares),
                    "yes" if near else "no",
                ]
            )
        total = sum(r.n_cells for r in ours)
        shares = [np.sum([r.covered[name] for r in ours], axis=0) / total for name in names]
        close = [
            float((np.abs(s - level) <= 0.05 + 1e-9).mean())
            for s, level in zip(shares, LEVELS, strict=True)
        ]
        rows.append(
            [
                group.name,
                "genes within five points",
                str(total),
                *(f"{c:.3f}" for c in close),
                "yes" if min(close) >= 0.9 else "no",
            ]
        )
    return Table(
        "Coverage of GeST sample's central intervals (randomised probability integral transform)",
        ["section", "depth", "cells", *names, "within two points; for 90 % of genes within five"],
        rows,
        [
            "Most values are zero, so ties are broken at random; a plain 50 % interval would cover"
            " about 75 % of them."
        ],
    )


def probabilities_table(groups: Sequence[Group]) -> Table:
    """Whether probabilities of types and meta cells are right."""
    rows = []
    for group in groups:
        for what in dict.fromkeys(r.what for r in group.named):
            own = [r for r in group.named if r.what == what]
            cells = [r.n_cells for r in own]
            for method in own[0].losses:
                loss = float(np.average([r.losses[method] for r in own], weights=cells))
                error = pooled_calibration_error([r.bins[method] for r in own])
                rows.append(
                    [
                        group.name,
                        what,
                        method,
                        str(sum(cells)),
                        f"{loss:.3f}",
                        _verdict(f"{error:.3f}", error <= 0.03),
                    ]
                )
    return Table(
        "Probabilities of types, of the vocabulary's first level and of meta cells",
        ["section", "of", "method", "cells", "log loss", "calibration error at most 0.03"],
        rows,
        [
            "All cells of all holes of a section. Expected calibration error of the likeliest name,"
            " ten bins. Shares are among the nearest known cells, their number tuned on validation"
            " holes, with 2 % of the section's composition. Temperature is learned in training."
        ],
    )


def names_table(groups: Sequence[Group]) -> Table:
    """Macro-F1 of the names that generated cells are given."""
    rows = []
    for group in groups:
        for what in dict.fromkeys(r.what for r in group.named if r.called):
            own = [r for r in group.named if r.what == what]
            truth = [name for r in own for name in r.called[TRUTH]]
            for method in own[0].called:
                if method == TRUTH:
                    continue
                called = [name for r in own for name in r.called[method]]
                score = f1_score(truth, called, average="macro", zero_division=0.0)
                same = np.mean([a == b for a, b in zip(truth, called, strict=True)])
                rows.append(
                    [group.name, what, method, str(len(truth)), f"{score:.3f}", f"{same:.3f}"]
                )
    return Table(
        "Names of generated cells",
        ["section", "of", "method", "cells", "macro-F1", "right"],
        rows,
        [
            "All cells of all holes of a section. A sampled cell has the name of its donor; a"
            " random neighbour is drawn by the tuned shares."
        ],
    )


def downstream_table(groups: Sequence[Group]) -> Table:
    """Downstream results from filled holes, compared with those from measured holes."""
    rows = []
    for group in groups:
        methods = dict.fromkeys(r.method for r in group.downstream)
        for method in methods:
            own = [r.scores for r in group.downstream if r.method == method]
            cells = [group.name, method]
            for key, _ in DOWNSTREAM:
                found = [s[key] for s in own if np.isfinite(s.get(key, np.nan))]
                cells.append(f"{np.mean(found):.3f} ({len(found)})" if found else "-")
            rows.append(cells)
    return Table(
        "Downstream results from filled holes, compared with those from measured holes",
        ["section", "method", *(heading for _, heading in DOWNSTREAM)],
        rows,
        [
            "Means over holes, in brackets how many. DE: cells of the hole against as many known"
            " cells around it; the top genes are those of the largest |t| in the truth, calls are"
            " at a false discovery rate of 5 %. Rim pairs: products of two genes in neighbouring"
            " cells on both sides of the rim, over the section's mean; ligands and receptors where"
            " the panel has ten pairs of CellChatDB, or else the 30 pairs most correlated between"
            " neighbours. Niches: eight, clustered with the hole's cells in place, in holes of 250"
            " cells or more.",
            "'Surroundings only' leaves the hole empty: it takes the inner half of the ring against"
            " the outer, the pairs beside the rim, the niche of the nearest known cell.",
            f"A mean such as '{WEIGHTED}' has almost no variance, so tests on it are overconfident."
            " Generated cells are not observations, however they are made.",
        ],
    )
