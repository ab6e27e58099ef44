"""Tables of the generation benchmark, on screen and as markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks.common.scored_section import SPEARMAN, Group, bar_met, pools
from benchmarks.common.statistics import over_sections
from benchmarks.common.table import Table
from benchmarks.generation.check_table import check_table
from benchmarks.generation.command import ONE_STEP, ORACLE, OURS, RING_UM, SPLIT_HALF
from benchmarks.generation.drawn_report import ablation_table, drawn_tables
from benchmarks.generation.split_half import spearman_brown

# (key, heading, lower is better)
ACCURACY = (
    ("rmse_z_svg", "SVG rmse_z", True),
    ("pearson_gene_svg", "SVG Pearson / gene", False),
    ("spearman_gene_svg", "SVG Spearman / gene", False),
    ("rmse_z", "rmse_z", True),
    ("spearman_gene", "Spearman / gene", False),
    ("spearman_cell", "Spearman / cell", False),
    ("rmse", "rmse", True),
    ("rmse_svg", "SVG rmse", True),
)
COMPARED = ("rmse_z_svg", "spearman_gene_svg", "spearman_gene", "rmse")
HEAD = """# Generation on held-out sections

Written by `python -m benchmarks generation --markdown`, from the runs named in CONTRIBUTING.md; not
edited by hand.
"""
WON = (  # counted in the short table, alone and together
    ("rmse_z_svg",),
    ("spearman_gene",),
    ("rmse_z_svg", "spearman_gene"),
    ("rmse_z_svg", "spearman_gene_svg"),
)
REALISM = (
    ("moran_error", "Moran's I error"),
    ("variance_ratio", "variance ratio (1)"),
    ("correlation_error", "gene-gene corr. error"),
    ("energy", "energy distance"),
    ("auc", "classifier AUC (0.5)"),
    ("composition_error", "composition error"),
)


def accuracy_table(group: Group) -> Table:
    """Every method on one section, means over holes; the best baseline on validation is starred."""
    rows = []
    for method in group.methods:
        setting = group.baseline_settings.get(method, "")
        star = "* " if method == group.best else ""
        cells = [f"{star}{method}" + (f" ({setting})" if setting else "")]
        for key, _, _ in ACCURACY:
            values = group.values(method, key)
            cells.append(
                f"{_mean(values):.4f}" if key.startswith("rmse") else f"{_mean(values):.3f}"
            )
        rows.append(cells)
    first = [r for r in group.rows if r.method == group.methods[0]]
    n_cells = [int(r.scores["n_cells"]) for r in first]
    constant = sum(int(r.scores["n_constant"]) for r in first)
    notes = [
        f"n = {len(first)} holes (seed "
        + ", ".join(dict.fromkeys(str(r.seed) for r in first))
        + f"), {sum(n_cells)} cells ({min(n_cells)} to {max(n_cells)}), radii "
        + ", ".join(f"{radius:.0f}" for radius in sorted({r.radius_um for r in first}))
        + f" um; {int(first[0].scores['n_genes'])} genes, {int(first[0].scores['n_genes_svg'])}"
        f" SVGs; {constant} gene-hole pairs constant in the truth left out of per-gene scores.",
        "* best baseline on the validation holes (SVG rmse_z: "
        + ", ".join(f"{k} {v:.3f}" for k, v in sorted(group.validation.items(), key=_second))
        + "). Means over the holes of one section, which are not replicates: there is no interval.",
        f"GeST: {group.note}.",
        _split_half_note(group),
    ]
    return Table(group.name, ["method", *(h for _, h, _ in ACCURACY)], rows, notes)


def _split_half_note(group: Group) -> str:
    if SPLIT_HALF not in group.methods:
        return (
            "No row of split-half noise: the values of this section are normalised, and only counts"
            " can be split."
        )
    whole = [
        spearman_brown(_mean(group.values(SPLIT_HALF, key)))
        for key in ("pearson_gene_svg", "pearson_gene")
    ]
    return (
        "Split half: each count of the hole's cells is assigned to one of two halves at random,"
        " and one half predicts the other, both at half the depth. Reliability of the full counts"
        f" over cells (Spearman-Brown): {whole[0]:.3f} over SVGs, {whole[1]:.3f} over all genes."
        " The correlation of the counts with noise-free rates is its square root,"
        f" {whole[0] ** 0.5:.3f} and {whole[1] ** 0.5:.3f}."
    )


def verdict_table(groups: Sequence[Group]) -> Table:
    """GeST (weighted) against the best baseline on validation: by section, then by data set."""
    heading = {key: text for key, text, _ in ACCURACY}
    rows = []
    for group in groups:
        for key in COMPARED:
            ours, baseline = _mean(group.values(OURS, key)), _mean(group.values(group.best, key))
            rows.append(
                [
                    group.name,
                    group.best,
                    heading[key],
                    f"{ours:.4f}",
                    f"{baseline:.4f}",
                    f"{ours - baseline:+.4f}",
                    f"{ours / baseline:.3f}",
                    f"{group.won(key)} of {group.n_holes}",
                ]
            )
    for name, own in pools(groups).items():
        for key in COMPARED:
            less = [_mean(g.values(OURS, key)) - _mean(g.values(g.best, key)) for g in own]
            rows.append(
                [
                    f"{name}, over sections",
                    ", ".join(dict.fromkeys(g.best for g in own)),
                    heading[key],
                    "",
                    "",
                    over_sections(less, [g.animal for g in own]).text("+.4f"),
                    "",
                    f"{sum(g.won(key) for g in own)} of {sum(g.n_holes for g in own)}",
                ]
            )
    return Table(
        "GeST (weighted) v. the best baseline on validation",
        [
            "section or data set",
            "best baseline on validation",
            "score",
            "GeST",
            "baseline",
            "difference [95 %]",
            "ratio",
            "holes won",
        ],
        rows,
        [
            "rmse_z and rmse: lower is better; Spearman: higher is better. A tie is not won. Holes"
            " of one section are not replicates: they are counted, and intervals (Student's t) are"
            " over animals where there are several, over sections otherwise.",
        ],
    )


def bar_table(groups: Sequence[Group]) -> Table:
    """Holes won in both scores of the bar together, by section and by data set."""
    found = pools(groups)
    listed = [(g.name, [g]) for g in groups]
    # A section stands for its data set where it is the only one of it.
    listed += [(f"{name}, together", own) for name, own in found.items() if len(own) > 1]
    rows = []
    for name, own in listed:
        n = sum(g.n_holes for g in own)
        counts = [("rmse_z_svg",), *((key,) for key in SPEARMAN)]
        counts += [("rmse_z_svg", key) for key in SPEARMAN]
        won = [sum(g.won(*keys) for g in own) for keys in counts]
        rows.append(
            [
                name,
                ", ".join(dict.fromkeys(g.best for g in own)),
                *(f"{w} of {n}" for w in won),
                f"{max(g.worst_ratio for g in own):.3f}",
                *("met" if bar_met(own, key) else "missed" for key in SPEARMAN),
            ]
        )
    notes = [
        "Bar: SVG rmse_z and Spearman per gene both better in one hole, in at least 80 % of the"
        " holes, and neither SVG rmse_z nor rmse worse by more than 2 % on a section (ratio 1.02)."
        " Spearman is counted over SVGs and over all genes, each with its verdict. A tie is not"
        " won.",
    ]
    # Fine-tuning is another answer to the same data set, not another data set.
    fitted = {name: own for name, own in found.items() if not own[0].fine_tuned}
    notes += [
        f"Data sets on which the bar is met (fine-tuned models apart), Spearman over {genes}:"
        f" {sum(bar_met(own, key) for own in fitted.values())} of {len(fitted)}."
        for key, genes in zip(SPEARMAN, ("SVGs", "all genes"), strict=True)
        if fitted
    ]
    return Table(
        "Holes won in both scores together, GeST (weighted) v. the best baseline on validation",
        [
            "section or data set",
            "best baseline on validation",
            "holes won, SVG rmse_z",
            "SVG Spearman / gene",
            "Spearman / gene",
            "holes won, both (SVG Spearman)",
            "holes won, both (Spearman)",
            "worst ratio",
            "bar (SVG Spearman)",
            "bar (Spearman)",
        ],
        rows,
        notes,
    )


def ring_table(groups: Sequence[Group]) -> Table:
    """GeST and the best baseline, with a ring around each hole unknown as well."""
    ringed = [g.ringed for g in groups if g.buffered]
    made = verdict_table(ringed)
    notes = [
        f"{g.name}: both better in {g.won('rmse_z_svg', SPEARMAN[0])} (SVG Spearman) and"
        f" {g.won('rmse_z_svg', SPEARMAN[1])} (Spearman) of {g.n_holes} holes."
        for g in ringed
    ]
    return Table(
        f"The same holes with a ring of {RING_UM:.0f} um around them dropped from the known cells",
        made.headings,
        made.rows,
        ["Neither GeST nor the baseline is trained or tuned again for it.", *notes],
    )


def depth_table(groups: Sequence[Group]) -> Table:
    """Scores by depth from the known cells, many steps and one step apart."""
    bands = list(dict.fromkeys(b for g in groups for r in g.rows for b in r.depth))
    bands.sort(key=lambda b: float(b.strip(">").split("-")[0]))
    rows = []
    for group in groups:
        for method in (OURS, ONE_STEP, group.best):
            cells = [group.name, method]
            for key in ("rmse_z_svg", "rmse"):
                for band in bands:
                    found = [
                        r.depth[band][key]
                        for r in group.rows
                        if r.method == method and band in r.depth
                    ]
                    cells.append(f"{np.mean(found):.3f} ({len(found)})" if found else "-")
            rows.append(cells)
    headings = ["section", "method"]
    headings += [f"{name} {band} um" for name in ("SVG rmse_z", "rmse") for band in bands]
    return Table(
        "By depth from the nearest known cell; in brackets, holes with 20 cells in the band",
        headings,
        rows,
        ["One step: the whole hole at once; no generated cell is context for another."],
    )


def realism_table(groups: Sequence[Group]) -> Table:
    """Populations: Moran's I, variance, correlation, energy, classifier, composition."""
    rows = []
    for group in groups:
        for method in group.methods:
            found = [r.realism for r in group.rows if r.method == method and r.realism]
            if found:
                means = [f"{np.mean([s[key] for s in found]):.3f}" for key, _ in REALISM]
                rows.append([group.name, method, *means])
    return Table(
        "Realism, means over holes (the ideal is 0 where no other value is named)",
        ["section", "method", *(text for _, text in REALISM)],
        rows,
        [f"'{ORACLE}' shows the error that the vocabulary alone causes."],
    )


def calibration_table(groups: Sequence[Group]) -> Table:
    """Coverage and likelihood of the predicted standard deviation."""
    found = [(g, [r.calibration for r in g.rows if r.calibration]) for g in groups]
    keys = list(dict.fromkeys(k for _, scores in found for s in scores for k in s))
    rows = [[g.name, *(_over(scores, key) for key in keys)] for g, scores in found if scores]
    return Table(
        "Calibration of GeST (weighted), means over holes",
        ["section", *keys],
        rows,
        ["error_rank: Spearman over cells of mean absolute error with mean predicted sd."],
    )


def tables(groups: Sequence[Group]) -> Iterable[Table]:
    """Yield all tables: of the expected expression, of drawn cells, of the check."""
    points = [g for g in groups if g.rows]
    drawn = [g for g in groups if g.drawn]
    if points:
        yield from point_tables(points)
    if drawn:
        yield from drawn_tables(drawn)
    if any(g.ablated for g in groups):
        yield ablation_table([g for g in groups if g.ablated])
    if any(g.checks for g in groups):
        yield check_table(groups)


def point_tables(groups: Sequence[Group]) -> Iterable[Table]:
    """Yield the tables of the expected expression."""
    for group in groups:
        yield accuracy_table(group)
    yield bar_table(groups)
    yield verdict_table(groups)
    if any(g.buffered for g in groups):
        yield ring_table(groups)
    yield depth_table(groups)
    yield realism_table(groups)
    yield calibration_table(groups)


def readme_table(groups: Sequence[Group]) -> Table:
    """The short table: GeST, the best baseline on validation and the oracle."""
    rows = []
    for group in (g for g in groups if g.rows):
        for method in (OURS, group.best, ORACLE):
            star = " (best baseline on validation)" if method == group.best else ""
            rows.append(
                [
                    group.name,
                    method + star,
                    *(f"{_mean(group.values(method, key)):.3f}" for key, _, _ in ACCURACY[:5]),
                    f"{_mean(group.values(method, 'rmse')):.4f}",
                    *(
                        f"{group.won(*keys)} of {group.n_holes}" if method == OURS else ""
                        for keys in WON
                    ),
                ]
            )
    return Table(
        "Generation on held-out sections",
        [
            "section",
            "method",
            *(text for _, text, _ in ACCURACY[:5]),
            "rmse",
            "holes won, SVG rmse_z",
            "holes won, Spearman / gene",
            "holes won, both",
            "holes won, SVG rmse_z and SVG Spearman",
        ],
        rows,
        ["Means over holes; 'both' is SVG rmse_z and Spearman / gene in one hole."],
    )


def _over(scores: Sequence[dict[str, float]], key: str) -> str:
    found = [s[key] for s in scores if key in s]
    return f"{np.mean(found):.3f}" if found else "-"


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _second(item: tuple[str, float]) -> float:
    return item[1]
