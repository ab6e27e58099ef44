"""The rows of the card: what is to be known, on which data, with how many seeds, wanted how much.

Nothing here imports the model, so that the page is rendered in seconds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.card.digest import ROOT

DEVELOPMENT, TEST = "development", "test"
# Seeds of a row that takes a minute; more of them make an interval narrower.
FIVE = (0, 1, 2, 3, 4)
OURS, L8H8, WINDOW_600 = "ours", "size L8H8", "window 600 um"
# Of the bundled base, which a row starts from; a test compares them.
BASE, BASE_SHAPE = "gest-base", {"n_layers": 5, "n_heads": 5, "d_model": 160, "dropout": 0.1}


@dataclass(frozen=True)
class Data:
    """Sections that train, and one with holes that is scored.

    Attributes
    ----------
    title
        Technology and tissue.
    file
        In the folder of data sets.
    train
        Training sections; where there are none, the scored section outside its holes.
    scored
        The section whose holes are scored.
    part
        ``"development"``: may be looked at while a method is made. ``"test"``: scored once.
    patients
        Sections of these patients train, in place of ``train``.
    bin_um
        Cells are first added up in square bins of this side; 0 leaves them as they are.
    """

    title: str
    file: str
    train: tuple[str, ...]
    scored: str
    part: str
    patients: tuple[str, ...] = ()
    bin_um: float = 0.0


_MPOA, _MOLCART = "merfish_mpoa_a1_135g.h5ad", "molcart_cortex_100g.h5ad"
_DLPFC, _HER2ST = "visium_dlpfc_3s_2000g.h5ad", "her2st_patients_AtoF.h5ad"
_BRAIN, _PANCREAS = "xenium_mouse_brain_248g.h5ad", "xenium_pancreas_south_377g.h5ad"

DATA = {
    "molcart A2": Data("Molecular Cartography, mouse cortex", _MOLCART, ("A1",), "A2", DEVELOPMENT),
    "mpoa +0.21": Data(
        "MERFISH, mouse preoptic area", _MPOA, ("A1_-0.29",), "A1_+0.21", DEVELOPMENT
    ),
    "dlpfc 151674": Data(
        "Visium, human DLPFC, across sections", _DLPFC, ("151673", "151675"), "151674", TEST
    ),
    "her2st F1": Data(
        "legacy ST (200 um), HER2+ breast tumours, across patients",
        _HER2ST,
        (),
        "F1",
        TEST,
        tuple("ABCDE"),
    ),
    "embryo": Data(
        "Visium CytAssist, mouse embryo, holes",
        "visium_mouse_embryo_2000g.h5ad",
        (),
        "mouse_embryo_cytassist",
        TEST,
    ),
    "pancreas east": Data(
        "Xenium, human pancreas, from one part to the other",
        _PANCREAS,
        ("south_west_tumour",),
        "south_east_acinar",
        TEST,
    ),
    "brain": Data("Xenium, mouse brain, holes", _BRAIN, (), "xenium_mbrain_tiny", TEST),
    "brain bins": Data(
        "bins of 50 um made of Xenium cells, mouse brain, holes",
        _BRAIN,
        (),
        "xenium_mbrain_tiny",
        TEST,
        bin_um=50.0,
    ),
    # For --quick, which writes it.
    "simulated": Data(
        "simulated tissue",
        str(ROOT / "runs" / "quick" / "simulated.h5ad"),
        ("section_1",),
        "section_2",
        DEVELOPMENT,
    ),
}


@dataclass(frozen=True)
class Row:
    """One row of the card on one data set.

    Attributes
    ----------
    table
        Table of the paper: ``"1"`` (with Figure 3) or ``"4"``.
    group, name
        Heading and text of the row.
    data
        Key of `DATA`.
    kind
        How it is measured: ``"methods"`` (GeST and baselines), ``"decoder"`` (one trained model,
        without the section's field) or ``"drawn"`` (cells of mode ``sample``).
    reference
        Name of the row that it is compared with, seed by seed; itself if it is one.
    model, train, generate
        Settings that replace the usual ones.
    extra
        Other settings of the measurement: ``share`` of each training section, ``window_um``,
        ``start``, ``own`` section alone, ``continuous`` expression in place of meta cells.
    seeds
        Seeds wanted: of the holes and, in Table 4, of the training too.
    wanted, step
        Rank of the first seed, lower ones run first, and what each further seed adds to it: with
        a large step, later seeds of a row come after first seeds of other rows.
    minutes
        Processor minutes that a seed is expected to take.
    paper
        R.all of the row minus that of "Ours" in Table 4 of the paper; None if it has none.
    """

    table: str
    group: str
    name: str
    data: str
    kind: str
    reference: str = OURS
    model: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    generate: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = FIVE
    wanted: int = 50
    step: int = 12
    minutes: float = 0.3
    paper: float | None = None

    @property
    def id(self) -> str:
        """Name of its folder of results."""
        words = f"table{self.table} {self.data} {self.name}".lower()
        return "-".join("".join(c if c.isalnum() or c in "+." else " " for c in words).split())

    @property
    def settings(self) -> str:
        """Hash of everything that says what is measured; the texts and ranks do not count."""
        data = DATA[self.data]
        told = [
            [data.file, data.train, data.scored, data.part, data.patients, data.bin_um],
            [self.kind, self.model, self.train, self.generate, self.extra],
        ]
        text = json.dumps(told, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def units(self) -> Iterator[tuple[float, Row, int]]:
        """Yield rank, row and seed for every seed."""
        for place, seed in enumerate(self.seeds):
            yield self.wanted + self.step * place, self, seed


def _size(n: int) -> dict[str, Any]:
    return {"n_layers": n, "n_heads": n, "d_model": 160}


# Short, so that a row takes half a minute: what holds at this length may not hold at another.
SHORT = {
    "n_steps": 100,
    "batch_windows": 2,
    "learning_rate": 2e-3,
    "warmup": 20,
    "validate_every": 25,
}
# Of Table 1, the same for all tissue: the usual model of fewer than 15,000 cells.
MIDDLE = {"n_steps": 400, "batch_windows": 4, "validate_every": 50, "cell_dropout": 0.3}
_SMALL = {"n_layers": 3, "n_heads": 4, "d_model": 64, "dropout": 0.15}
_NO_POSITION = {
    "position_code": "ones",
    "distance_bias": False,
    "local_prior": False,
    "n_geometry": 0,
}
_PAPER = {"distance_bias": False, "local_prior": False, "n_geometry": 0, "pooled_context": False}


def _table_4(data: str, later: int) -> Iterator[Row]:
    """Yield the ablations on one data set; ``later`` is added to their ranks."""

    def row(group: str, name: str, wanted: int, **other: Any) -> Row:
        train = SHORT | other.pop("train", {})
        return Row("4", group, name, data, "decoder", wanted=wanted + later, train=train, **other)

    yield row("reference", OURS, 0, step=2)
    for n, paper in ((2, 0.004), (4, 0.006), (8, 0.0), (16, -0.005)):
        yield row(
            "model size (width 160, equal steps)",
            f"size L{n}H{n}",
            30 if n > 4 else 20,
            model=_size(n),
            reference=L8H8,
            seeds=(0,) if n == 16 else FIVE,
            minutes=0.1 * n,
            paper=paper,
        )
    for share, text, paper in ((1 / 2, "1/2", 0.014), (1 / 3, "1/3", 0.008)):
        yield row(
            "training data", f"data {text} of each section", 8, extra={"share": share}, paper=paper
        )
    yield row("training data", "the scored section alone", 18, extra={"own": True})
    for side, paper in ((200, 0.009), (400, None), (600, 0.0), (800, 0.004)):
        yield row(
            "window (nearest cells alone)",
            f"window {side} um",
            26 if side > 600 else 14,
            extra={"window_um": float(side)},
            model={"pooled_context": False},
            reference=WINDOW_600,
            minutes=0.001 * side,
            paper=paper,
        )
    yield row(
        "window (nearest cells alone)",
        "window 800 um L12H8",
        40,
        extra={"window_um": 800.0},
        model={"pooled_context": False, "n_layers": 12, "n_heads": 8},
        reference=WINDOW_600,
        seeds=(0,),
        minutes=5.0,
        paper=-0.005,
    )
    parts = "parts of the paper's model"
    yield row(parts, "no hierarchy in the loss", 2, train={"hierarchy": False}, paper=0.015, step=3)
    yield row(
        parts,
        "no quantisation",
        3,
        extra={"continuous": True},
        paper=0.022,
        step=3,
    )
    yield row(parts, "no position at all", 2, model=_NO_POSITION, paper=0.030, step=3)
    yield row(parts, "no code of positions (ones)", 4, model={"position_code": "ones"})
    yield row(parts, "read out by picking", 12, generate={"mode": "pick"})
    for order, text, paper in (
        ("random", "random", 0.017),
        ("eq6", "equation 6 literally", None),
        ("corner", "near a corner first", None),
        ("strict", "strictly by distance", None),
        ("inward", "inward", None),
    ):
        yield row(
            "order of training windows (ours: hole)",
            f"order: {text}",
            6 if order in ("random", "eq6") else 16,
            train={"order": order},
            paper=paper,
        )
    for k in (64, 256, 1024):
        yield row("vocabulary (ours: K 512)", f"K {k}", 15, model={"n_meta_cells": k})
    own = "what this project added"
    yield row(own, "no local prior", 5, model={"local_prior": False})
    yield row(own, "no geometry", 9, model={"n_geometry": 0})
    yield row(own, "no pooled context", 9, model={"pooled_context": False})
    yield row(own, "no residuals", 7, generate={"residuals": False})
    yield row(own, "no expression loss", 7, train={"expression_weight": 0.0})
    yield row(own, "with the section's field", 5, generate={"field": 0.7})
    yield row(
        own,
        "none of them",
        10,
        model=_PAPER | {"profiles": "paper"},
        train={"expression_weight": 0.0},
        generate={"residuals": False},
    )
    if data != "mpoa +0.21":  # the base has seen that section
        shape = BASE_SHAPE
        yield row(own, "shape of the base, from scratch", 22, model=shape, minutes=0.7)
        yield row(
            own,
            "from the base",
            22,
            model=shape,
            extra={"start": BASE},
            reference="shape of the base, from scratch",
            minutes=0.7,
        )


def _table_1() -> Iterator[Row]:
    ranks = {
        "molcart A2": 1, "mpoa +0.21": 13, "embryo": 10, "dlpfc 151674": 11, "her2st F1": 17,
        "pancreas east": 19, "brain": 21, "brain bins": 17,
    }  # fmt: skip
    for data, wanted in ranks.items():
        yield Row(
            "1",
            DATA[data].part,
            "methods",
            data,
            "methods",
            model=_SMALL,
            train=SHORT if DATA[data].part == DEVELOPMENT else MIDDLE,
            wanted=wanted,
            step=20,
            minutes=2 if DATA[data].part == DEVELOPMENT else 5,
        )


ROWS = (
    *_table_1(),
    *_table_4("molcart A2", 0),
    *_table_4("mpoa +0.21", 60),
    Row(
        "4", "emission", "drawn cells", "molcart A2", "drawn", "", train=SHORT, wanted=24, minutes=2
    ),
)

QUICK = Row(
    "4",
    "reference",
    OURS,
    "simulated",
    "decoder",
    model={"n_layers": 1, "n_heads": 2, "d_model": 16, "n_meta_cells": 32, "n_pcs": 10},
    train={"n_steps": 4, "batch_windows": 2, "validate_every": 2},
    seeds=(0,),
)


def queue() -> list[tuple[Row, int]]:
    """Return rows and seeds, most wanted first."""
    units = sorted((u for row in ROWS for u in row.units()), key=lambda u: (u[0], u[2], u[1].id))
    return [(row, seed) for _, row, seed in units]
