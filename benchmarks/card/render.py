"""``docs/benchmarks.md`` and its figures, from stored results alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.card.digest import ROOT
from benchmarks.card.figures import difference_figure, gene_figure
from benchmarks.card.rows import DATA, DEVELOPMENT, MIDDLE, ROWS, SHORT, TEST, Row
from benchmarks.card.store import Store
from benchmarks.card.summary import (
    OURS,
    Difference,
    difference,
    gene_errors,
    mean,
    scored,
    slope,
    state_of,
    verdict,
)
from benchmarks.card.written import Written, table
from benchmarks.common.table import Table
from napari_gest.files import TEXT, write_text

PAGE = ROOT / "docs" / "benchmarks.md"
FIGURES = ROOT / "docs" / "images"
_FIGURE_3 = "card-genes.png"
_METHODS_SHOWN = (OURS, "sparse GP per PC", "coordinate MLP", "kNN mean")
# What the paper has and stored results cannot have, whatever is run.
_NOT_HERE = (
    "The paper's own sections (MERFISH of a whole mouse brain, Visium of liver cancer, Stereo-seq)"
    " are not here. Nothing is named Stereo-seq: bins made of cells are named so."
)


def write(store: Store | None = None, page: Path = PAGE, figures: Path = FIGURES) -> str:
    """Write the page and its figures; return the text."""
    store = store or Store()
    text = "\n".join(_page(store, figures)).rstrip() + "\n"
    write_text(page, text, TEXT, overwrite=True, parents=True)
    return text


def _page(store: Store, figures: Path) -> Iterator[str]:
    yield "# The paper on one card"
    yield ""
    yield (
        "Written by `make card` from stored results; not edited by hand. `python -m benchmarks"
        " card-run --budget MINUTES` measures what is missing or stale ([decision 43]"
        "(decisions/0043-one-card.md)). Lower `rmse_z` is better, higher Spearman is better."
    )
    yield ""
    yield _count(store)
    yield ""
    yield "## Table 1: generation of unseen cells"
    yield ""
    yield from _earlier()
    for part in (TEST, DEVELOPMENT):
        yield _table_1(store, part).markdown()
    yield _NOT_HERE
    yield ""
    yield from _figure_3(store, figures)
    yield "## Tables 2 and 3: niches and labels"
    yield ""
    yield from _quoted(
        "results/niches.md", "Niches", ("method", "ami", "95 %", "sections", "seeds")
    )
    yield from _quoted(
        "results/annotation.md", "Annotation", ("method", "macro_f1", "95 %", "sections", "seeds")
    )
    yield "## Section 5.4: perturbation"
    yield ""
    yield from _quoted(
        "results/perturbation.md", "Planted tissue", ("method", "direction right", "AUROC")
    )
    yield "## Table 4: ablation"
    yield ""
    yield _setting()
    yield ""
    for data in dict.fromkeys(row.data for row in ROWS if row.table == "4"):
        yield from _table_4(store, data, figures)
    yield from _drawn(store)
    yield "## What the paper claimed, and what held"
    yield ""
    yield from _claims(store)
    yield "## What is missing"
    yield ""
    yield from _missing(store)


def _count(store: Store) -> str:
    states = [state_of(store, row) for row in ROWS]
    there, wanted = sum(s.there for s in states), sum(s.wanted for s in states)
    stale = sum(bool(s.stale) for s in states)
    failed = sum(bool(s.error) for s in states)
    results = [result for row in ROWS for result in store.results(row)]
    spent = sum(result.seconds for result in results) / 60
    replayed = sum(bool(result.replayed) for result in results)
    earlier = (
        f" {replayed} of them were measured with earlier code. Of each set of modules one result"
        " was measured with both, and all figures were the same to the last bit (`card-run"
        " --replay`)."
    )
    return (
        f"State: {there} of {wanted} results ({len(ROWS)} rows, each with its seeds) are there;"
        f" {stale} rows are stale, {failed} have an error. They took {spent:.0f} minutes of"
        " processor. A result is stale where its settings, its data file or a module that it"
        " called has changed since."
    ) + (earlier if replayed else "")


def _earlier() -> Iterator[str]:
    found = table("docs/results/generation.md", "Generation on held-out sections")
    shown = ("section", "method", "rmse_z", "SVG rmse_z", "SVG Spearman / gene", "Spearman / gene")
    rows = _columns(found, shown)
    yield Table(
        "Test sections that were scored before there was a card",
        list(shown),
        rows,
        [
            "From [generation.md](results/generation.md): 25 holes each (5 seeds of 5 holes),"
            " models of version 0.1.0. **Stale**: the digest of their modules is not known, and"
            " much has changed since. They are not scored again without need.",
        ],
    ).markdown()


def _quoted(page: str, title: str, shown: tuple[str, ...]) -> Iterator[str]:
    found = table(f"docs/{page}", title)
    rows = _columns(found, shown)[:8]
    link = f"[{page.rsplit('/')[-1]}]({page})"
    note = f"The first rows of {link}, where data, intervals and all rows are."
    yield Table(title, list(shown), rows, [note]).markdown()


def _columns(found: Written, shown: tuple[str, ...]) -> list[list[str]]:
    at = [found.headings.index(name) for name in shown]
    return [[row[i] for i in at] for row in found.rows]


def _table_1(store: Store, part: str) -> Table:
    lines = []
    for row in (r for r in ROWS if r.table == "1" and DATA[r.data].part == part):
        results, state = scored(store.results(row)), state_of(store, row)
        title = DATA[row.data].title
        if not results:
            lines.append([title, "", *[""] * 6, state.text])
        for method in results[0].scores if results else ():
            values = [
                f"{mean(results, method, score):.3f}"
                for score in ("rmse_z", "rmse_z_svg", "spearman_gene", "spearman_gene_svg")
            ]
            holes, cells = (sum(getattr(r, n) for r in results) for n in ("n_holes", "n_cells"))
            count = f"{holes} ({cells:,})" if method == OURS else ""
            seeds = ", ".join(str(r.seed) for r in results) if method == OURS else ""
            lines.append(
                [title, method, *values, count, seeds, state.text if method == OURS else ""]
            )
    said = MIDDLE if part == TEST else SHORT
    kind = (
        "test sections, scored once per form"
        if part == TEST
        else "development sections, on which settings may have been chosen"
    )
    return Table(
        f"GeST and baselines: {kind}",
        [
            "data",
            "method",
            "rmse_z (R.all)",
            "SVG rmse_z (R.200)",
            "Spearman / gene",
            "SVG Spearman / gene",
            "holes (cells)",
            "seeds",
            "state",
        ],
        lines,
        [
            "Means over holes, then seeds. SVGs: 200, or a fifth of a panel of fewer than 1,000"
            " genes, by Moran's I outside the hole. Baselines are tuned on five holes of the"
            f" training sections. GeST is a small model (3 layers, width 64) of {said['n_steps']}"
            f" steps of {said['batch_windows']} windows, less than the usual training. Holes of"
            " one section are no replicates, so there is no interval.",
        ],
    )


def _figure_3(store: Store, figures: Path) -> Iterator[str]:
    panels: dict[str, dict[str, np.ndarray]] = {}
    lines = []
    for row in (r for r in ROWS if r.table == "1"):
        results = scored(store.results(row))
        errors = {m: gene_errors(results, m) for m in _METHODS_SHOWN}
        errors = {m: e for m, e in errors.items() if np.isfinite(e).sum() > 2}
        if not errors:
            continue
        title = DATA[row.data].title
        panels[title] = errors
        for method, values in errors.items():
            found = slope(values)
            count = [str(len(values)), str(len(results))]
            lines.append([title, method, *count, f"{found.per_100:+.4f}", f"{found.rho:+.3f}"])
    yield "## Figure 3: rank of spatial variation against error"
    yield ""
    if not panels:
        yield "Missing: no row of Table 1 has been measured."
        yield ""
        return
    gene_figure(panels, figures / _FIGURE_3)
    yield f"![Error of each gene by its rank of spatial variation](images/{_FIGURE_3})"
    yield ""
    yield Table(
        "Slope of the error over the rank of spatial variation",
        ["data", "method", "genes", "seeds", "error over 100 ranks", "Spearman of error and rank"],
        lines,
        [
            "Rank 1 varies most in space (Moran's I outside all holes). Error: sqrt(2 (1 - r)) of"
            " a gene, r the mean over holes. A slope above 0 says that genes of more spatial"
            " variation are predicted better; the paper says that GeST has more of it than its"
            " baselines.",
        ],
    ).markdown()


def _setting() -> str:
    return (
        "The decoder alone is scored, without the section's field, which would hide what a part is"
        f" worth. Trainings are short ({SHORT['n_steps']} steps of {SHORT['batch_windows']} windows"
        " unless a row says otherwise), so that each takes a quarter of a minute; what holds at"
        " this length may not hold at the paper's. Holes are those of development. A seed draws"
        " holes, vocabulary and weights; a row minus its reference is taken seed by seed, with"
        " Student's interval over seeds. R.SVG is over a fifth of the panel."
    )


def _against(store: Store, row: Row, score: str) -> Difference:
    reference = next(
        (r for r in ROWS if (r.table, r.data, r.name) == (row.table, row.data, row.reference)), None
    )
    if reference is None or reference is row:
        return Difference(0.0, np.nan, np.nan, 0)
    return difference(store.results(row), store.results(reference), score)


def _table_4(store: Store, data: str, figures: Path) -> Iterator[str]:
    rows = [r for r in ROWS if r.table == "4" and r.data == data and r.kind == "decoder"]
    lines, drawn, group = [], [], ""
    for row in rows:
        if row.group != group:
            group = row.group
            lines.append([f"*{group}*", *[""] * 7])
        results = scored(store.results(row))
        means = [f"{mean(results, OURS, s):.4f}" if results else "" for s in _SHORT_SCORES]
        all_genes, svg = _against(store, row, "rmse_z"), _against(store, row, "rmse_z_svg")
        drawn.append((row.name, svg))
        paper = "" if row.paper is None else f"{row.paper:+.3f}"
        lines.append([row.name, *means, all_genes.text, svg.text, paper, state_of(store, row).text])
    title = f"Ablation on {DATA[data].title}, section {DATA[data].scored}"
    yield Table(
        title,
        [
            "row",
            "R.all",
            "R.SVG",
            "SVG Spearman",
            "R.all minus reference",
            "R.SVG minus reference",
            "paper: R.all minus ours",
            "state",
        ],
        lines,
        [
            "Reference: `ours`; `size L8H8` for sizes, `window 600 um` for windows, and for the"
            " base its shape from scratch. Differences are over the seeds that both rows have,"
            " with a 95 % interval; above 0 is worse. The columns before are means over each"
            " row's own seeds.",
        ],
    ).markdown()
    if any(d.n for _, d in drawn):
        name = f"card-ablation-{data.split()[0]}.png"
        difference_figure(drawn, f"R.SVG minus reference, {DATA[data].title}", figures / name)
        yield f"![What each part is worth on {DATA[data].title}](images/{name})"
        yield ""


_SHORT_SCORES = ("rmse_z", "rmse_z_svg", "spearman_gene_svg")


def _drawn(store: Store) -> Iterator[str]:
    for row in (r for r in ROWS if r.kind == "drawn"):
        results, state = scored(store.results(row)), state_of(store, row)
        lines = [
            [name, *(f"{mean(results, name, s):.4f}" for s in ("energy_score", "crps_svg"))]
            for name in (results[0].scores if results else ())
        ]
        yield Table(
            f"Emission: drawn cells without one part, {DATA[row.data].title}",
            ["method", "energy score", "SVG CRPS"],
            lines,
            [f"State: {state.text}. Both scores are proper; lower is better."],
        ).markdown()


def _claims(store: Store) -> Iterator[str]:
    for data in dict.fromkeys(row.data for row in ROWS if row.table == "4"):
        told: dict[str, list[str]] = {}
        for row in ROWS:
            if row.table == "4" and row.data == data and row.paper is not None:
                if row.reference == row.name:
                    continue
                found = _against(store, row, "rmse_z")
                told.setdefault(verdict(found, row.paper), []).append(row.name)
        said = "; ".join(
            f"**{what}** ({len(names)}): {', '.join(names)}" for what, names in told.items()
        )
        yield f"{DATA[data].title}, R.all against the paper's Table 4: {said}."
        yield ""
    yield (
        "*Held* means that the interval over seeds leaves out zero on the paper's side, *the"
        " opposite* that it does on the other side. The paper gives no interval and one training"
        " per row. Here trainings are short and tissue is small, so what was not decided may hold"
        " at its scale."
    )
    yield ""


def _missing(store: Store) -> Iterator[str]:
    """Yield for each table and data set the rows without any result, and those with some."""
    for table_, data in dict.fromkeys((row.table, row.data) for row in ROWS):
        none, some = [], []
        for row in ROWS:
            state = state_of(store, row)
            if (row.table, row.data) != (table_, data) or state.there == state.wanted:
                continue
            error = f" (failed: {state.error})" if state.error else ""
            if state.there:
                some.append(f"{row.name} {state.there} of {state.wanted}{error}")
            else:
                none.append(f"{row.name}{error}")
        told = [
            f"{what}: {', '.join(names)}"
            for what, names in (("no result", none), ("some seeds", some))
            if names
        ]
        if told:
            yield f"- Table {table_}, {DATA[data].title}. {'; '.join(told)}."
    yield ""
