"""What matters in pretraining: short bases that differ in one thing, before any training on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.common.bundled_base import SOURCES
from benchmarks.common.datasets import Source
from benchmarks.common.table import Table
from benchmarks.transfer.cases import TISSUES
from napari_gest.model.base import reading
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import Base, log_prior
from napari_gest.tasks.progress import finish
from napari_gest.tasks.training.panels import Panel
from napari_gest.tasks.training.pretrain import PRETRAIN_CONFIG, PretrainRequest
from napari_gest.tasks.training.train_config import TrainConfig
from napari_gest.tasks.training.train_loop import scores_on
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate

UNSEEN = ("molcart", "mop", "starmap", "pancreas")
N_STEPS = 500
_SHAPE = (4, 4, 128)  # layers, heads, width
_HOLES = TrainConfig(validation_share=0.15)  # of tissue that trains nothing


@dataclass(frozen=True)
class Variant:
    """A base, by what it differs in.

    Attributes
    ----------
    name
        What differs.
    sources
        Places in ``SOURCES`` of the data that train it; none are left untrained.
    shape
        Layers, heads and width.
    sampling
        As in ``PretrainRequest``.
    """

    name: str
    sources: tuple[int, ...] = tuple(range(len(SOURCES)))
    shape: tuple[int, int, int] = _SHAPE
    sampling: float = 0.5


VARIANTS = (
    Variant("5 panels, 4 layers of 128, by the root of cells"),
    Variant("untrained", ()),
    Variant("1 panel: brain", (1,)),
    Variant("2 panels: brain, breast", (0, 1)),
    Variant("panels alike", sampling=0.0),
    Variant("cells alike", sampling=1.0),
    Variant("3 layers of 64", shape=(3, 4, 64)),
    Variant("5 layers of 160", shape=(5, 5, 160)),
)


@dataclass(frozen=True)
class Row:
    """A base and what it predicts before it is trained on.

    Attributes
    ----------
    variant
        Name of the variant.
    n_steps
        Steps of pretraining.
    cpu_s
        Processor time of the pretraining, vocabularies included.
    rmse_z, nll
        On holes of tissue that no base has seen, by data set; ``nll`` is in nats a cell.
    """

    variant: str
    n_steps: int
    cpu_s: float
    rmse_z: dict[str, float]
    nll: dict[str, float]


def read_rows(path: Path) -> list[Row]:
    """Return what ``python -m benchmarks pretraining --json`` wrote."""
    return [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def run_pretraining(
    known: Sequence[Row],
    keep: Callable[[Sequence[Row]], None],
    console: Console,
    *,
    n_steps: int = N_STEPS,
    quick: bool = False,
) -> list[Row]:
    """Return a row for each variant; ``keep`` gets all after each one that was computed."""
    rows = {row.variant: row for row in known}
    unseen = _simulated(1) if quick else _unseen()
    for variant in VARIANTS:
        if variant.name not in rows:
            console.print(variant.name)
            sections = _simulated(0) if quick else _seen(variant)
            rows[variant.name] = score(variant, [*sections.values()], unseen, n_steps)
            keep(list(rows.values()))
    return list(rows.values())


def score(
    variant: Variant,
    sections: Sequence[Sequence[Section]],
    unseen: dict[str, list[Section]],
    n_steps: int,
) -> Row:
    """Pretrain and predict the holes of ``unseen``, by data set."""
    layers, heads, width = variant.shape
    shape = ModelConfig(n_layers=layers, n_heads=heads, d_model=width, dropout=0.1)
    rate = {} if variant.sources else {"learning_rate": 1e-12}
    steps = n_steps if variant.sources else 1
    config = PRETRAIN_CONFIG.model_copy(
        update={"n_steps": steps, "validate_every": steps, "warmup": min(100, steps), **rate}
    )
    began = time.process_time()
    request = PretrainRequest(
        [s for group in sections for s in group], shape, config, sampling=variant.sampling
    )
    base = finish(request.run()).base
    spent = round(time.process_time() - began, 1)
    found = {name: _zero_shot(base, group) for name, group in unseen.items()}
    return Row(
        variant.name,
        n_steps if variant.sources else 0,
        spent,
        {name: scores["rmse_z"] for name, scores in found.items()},
        {name: scores["nll"] for name, scores in found.items()},
    )


def _zero_shot(base: Base, sections: Sequence[Section]) -> dict[str, float]:
    network = base.network.eval()
    panel = Panel.of(sections, base.config, _HOLES, 0, network)
    reader = reading(network, panel.coordinates, log_prior(panel.tokenizer))
    return scores_on(reader, panel.validation, panel.scaled)


def _seen(variant: Variant) -> dict[str, list[Section]]:
    # The untrained one needs some tissue all the same, of which it learns nothing.
    return {SOURCES[i].path: SOURCES[i].read() for i in variant.sources or (1,)}


def _unseen() -> dict[str, list[Section]]:
    found = {}
    for name in UNSEEN:
        tissue = TISSUES[name]
        found[name] = Source(tissue.file, tissue.development).read()
    return found


def _simulated(seed: int) -> dict[str, list[Section]]:
    tissue = simulate(1200, 30, 1, seed)
    return {f"simulated {seed}": [Section.from_anndata(tissue)]}


def table(rows: Sequence[Row]) -> Table:
    """Return the table of the variants."""
    names = list(rows[0].rmse_z) if rows else []
    lines = []
    for row in rows:
        line = [row.variant, f"{row.n_steps}", f"{row.cpu_s:.0f}"]
        line += [f"{row.rmse_z[name]:.4f}" for name in names]
        line += [f"{np.mean(list(row.rmse_z.values())):.4f}"]
        line += [f"{np.mean(list(row.nll.values())):.4f}"]
        lines.append(line)
    headings = ["base", "steps", "CPU s", *(f"rmse_z {n}" for n in names), "mean", "nats a cell"]
    return Table(
        "What matters in pretraining: bases before any training on",
        headings,
        lines,
        [
            "Each base differs from the first in one thing. Holes of development sections that"
            " none has seen; one seed, so differences of some thousandths are chance.",
        ],
    )
