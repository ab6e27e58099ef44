"""Whether the figures of the README and of the summaries are those that are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.card.digest import ROOT
from benchmarks.card.written import Written, numbers, table

README = "README.md"
_RESULTS = "docs/results/"
_GENERATION = f"{_RESULTS}generation.md", "Generation on held-out sections"
_SECTIONS = {
    "A1_+0.26": "mpoa+0.26: A1_+0.26",
    "A1_-0.09": "mpoa-0.09: A1_-0.09",
    "Xenium": "xenium: section_B",
    "MolCart": "molcart: B1",
}
_OURS, _BEST = "GeST weighted", "(best baseline on validation)"


def problems(root: Path = ROOT) -> list[str]:
    """Return what does not agree, one line each; nothing where all does.

    Every row of the README's table of results has to be known here, so that none is unchecked.
    """
    found = list(_readme(root))
    for check in (_expected_expression, _drawn_cells, _niches, _labels):
        found += check(root)
    return found


def _readme(root: Path) -> Iterator[str]:
    shown = table(README, "Results", root)
    stored = _readme_figures(root)
    for row in shown.rows:
        key = next((key for key in stored if row[0].startswith(key)), None)
        if key is None:
            yield f"{README}: nothing stored is known for the row '{row[0]}'"
        else:
            yield from _compare(f"{README}, '{row[0]}'", numbers(row[2:]), stored.pop(key)())
    for key in stored:
        yield f"{README}: there is no row '{key}'"


def _readme_figures(root: Path) -> dict[str, Callable[[], list[str]]]:
    """Return for each row of the README, by how it begins, the figures that are stored."""
    points = table(*_GENERATION, root)
    niches = table(f"{_RESULTS}niches.md", "Niches", root)
    labels = table(f"{_RESULTS}annotation.md", "Annotation", root)
    planted = table(f"{_RESULTS}perturbation.md", "Planted tissue", root)

    def points_of(*sections: str) -> list[str]:
        names = [_SECTIONS[s] for s in sections]
        ours = [points.cell("SVG rmse_z", name, _OURS) for name in names]
        return ours + [_best(points, name)[2] for name in names]

    def molcart() -> list[str]:
        ours, best = points_of("MolCart")
        won = points.cell("holes won, both", _SECTIONS["MolCart"], _OURS)
        return [ours, *numbers([won]), best]

    def drawn() -> list[str]:
        titles = [f"{name}: cells as a distribution" for name in _SECTIONS.values()]
        scored = [table(f"{_RESULTS}cells.md", title, root) for title in titles]
        told = []
        for method in ("GeST sample", "look-alike measured patch"):
            auc = [one.cell("two-sample AUC (0.5)", method) for one in scored]
            told += [min(auc), max(auc)]
        return told

    def niche() -> list[str]:
        none = "GeST's niches in components of the section, no model"
        rivals = [r for r in niches.rows if "rival" in r[1]]
        at = niches.headings.index("ami")
        return [
            niches.cell("ami", "GeST"),
            niches.cell("ami", none),
            max(rival[at] for rival in rivals),
        ]

    def label() -> list[str]:
        at = labels.headings.index("macro_f1")
        rivals = [r[at] for r in labels.rows if "rival" in r[1]]
        return [labels.cell("macro_f1", "GeST"), max(rivals)]

    def direction() -> list[str]:
        at = planted.headings.index("direction right")
        right = {r[0]: r[at].split()[0] for r in planted.rows}
        others = [v for name, v in right.items() if not name.startswith("GeST")]
        ours = right["GeST response, continuous input"]
        return [ours, max(others, key=lambda text: float(text.rstrip("%")))]

    return {
        "expected expression, MERFISH A1_+0.26, A1_-0.09": lambda: points_of(
            "A1_+0.26", "A1_-0.09"
        ),
        "expected expression, Xenium": lambda: points_of("Xenium"),
        "expected expression, MolCart": molcart,
        "drawn cells told from measured ones": drawn,
        "niches": niche,
        "labels": label,
        "planted perturbation": direction,
    }


def _best(points: Written, section: str) -> tuple[str, ...]:
    return next(r for r in points.rows if r[0] == section and r[1].endswith(_BEST))


def _compare(where: str, shown: list[str], stored: list[str]) -> Iterator[str]:
    if shown != stored:
        yield f"{where}: it says {', '.join(shown)}, and {', '.join(stored)} is stored"


def _same_rows(root: Path, summary: Written, page: str, named: dict[str, list[str]]) -> list[str]:
    """Return which rows of a summary, by their first cell, have other numbers than stored."""
    found = []
    for row in summary.rows:
        if row[0] in named:
            found += _compare(f"{page}, '{row[0]}'", numbers(row[1:]), named[row[0]])
    shown = {row[0] for row in summary.rows}
    return found + [f"{page}: there is no row '{name}'" for name in named if name not in shown]


def _expected_expression(root: Path) -> list[str]:
    page = f"{_RESULTS}expected-expression.md"
    shown, stored = table(page, "Expected expression of a hole", root), table(*_GENERATION, root)
    named = {row[:2]: numbers(row[2:]) for row in stored.rows}
    found = []
    for row in shown.rows:
        tuned = row[0].startswith("the same, fine-tuned from ")
        section = row[0].replace("the same", _SECTIONS["MolCart"]) if tuned else row[0]
        key = (section, row[1])
        if key not in named:
            found.append(f"{page}: nothing stored is known for the row '{row[0]}, {row[1]}'")
        else:
            found += _compare(f"{page}, '{row[0]}, {row[1]}'", numbers(row[2:]), named[key])
    return found


def _drawn_cells(root: Path) -> list[str]:
    page, title, found = f"{_RESULTS}drawn-cells.md", "GeST sample against the bars", []
    shown = {
        "Drawn cells as a distribution": ("cells",),
        "Trained from the base": ("cells-from-base", "cells-from-base-later"),
        "A plain `fit` on tissue that the base has not seen": ("cells-foreign",),
    }
    for heading, stored in shown.items():
        written = [table(f"{_RESULTS}{name}.md", title, root) for name in stored]
        rows = {row[0]: numbers(row[1:]) for one in written for row in one.rows}
        found += _same_rows(root, table(page, heading, root), page, rows)
    return found


def _niches(root: Path) -> list[str]:
    page = f"{_RESULTS}niches-and-labels.md"
    stored = table(f"{_RESULTS}niches.md", "Niches", root)
    at = [stored.headings.index(c) for c in ("ami", "dlpfc", "starmap", "osmfish")]
    # What the summary calls otherwise.
    names = {
        "GeST": "GeST",
        "GeST, each section alone": "GeST, each section alone",
        "GeST's niches in components of the section, no model": (
            "GeST's clustering in components of the section, no model"
        ),
        "BANKSY, lambda 0.8, k-means": "BANKSY, lambda 0.8, k-means",
        "STAGATE": "STAGATE",
        "CellCharter": "CellCharter",
        "NicheCompass": "NicheCompass",
        "GraphST": "GraphST",
        "SpaGCN": "SpaGCN",
    }
    wanted = {names[r[0]]: [r[i] for i in at] for r in stored.rows if r[0] in names}
    shown = table(page, "Niches", root)
    rows = tuple((r[0], *(cell.split(" (")[0] for cell in r[1:5])) for r in shown.rows)
    return _same_rows(root, Written(shown.title, shown.headings, rows), page, wanted)


def _labels(root: Path) -> list[str]:
    page = f"{_RESULTS}niches-and-labels.md"
    stored = table(f"{_RESULTS}annotation.md", "Annotation", root)
    mean = {r[0]: r[stored.headings.index("macro_f1")] for r in stored.rows}
    names = {
        "GeST": "GeST",
        "GeST, linear layer alone": "GeST, linear layer alone",
        "GeST, pooled hidden state (the paper's)": "GeST, pooled hidden state (the paper's)",
        "logistic regression, own + neighbour mean (12)": (
            "logistic regression, own and neighbour mean (12)"
        ),
    }
    shown = table(page, "Labels", root)
    rows = tuple((r[0], r[-1]) for r in shown.rows)
    wanted = {names[name]: [mean[name]] for name in names}
    return _same_rows(root, Written(shown.title, shown.headings, rows), page, wanted)
