"""Train the models that ship with the package: ``python -m benchmarks.common.bundled --help``."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks.common.datasets import Source
from benchmarks.common.scored_section import Group, read_groups
from benchmarks.common.table import Table
from benchmarks.generation.report import readme_table
from napari_gest.files import FolderKind, replacing
from napari_gest.model.checkpoint import MODEL
from napari_gest.model.gest import GeST
from napari_gest.tasks.perturbation.respond import fit_response
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tasks.training.train import FitRequest, configs_for
from napari_gest.tasks.training.train_loop import temperature_on
from napari_gest.tasks.training.train_windows import Score, validation_batches
from napari_gest.tissue.fingerprint import fingerprints

WEIGHTS = Path(__file__).parents[2] / "napari_gest" / "model" / "weights"
RUNS = Path("runs") / "bundled"
SEED = 0
README = "README.md"
# A model folder with its card as text beside it.
BUNDLED_MODEL = FolderKind(
    MODEL.name, MODEL.is_one, lambda folder: [n for n in MODEL.foreign(folder) if n != README]
)


@dataclass(frozen=True)
class Bundle:
    """A bundled model: its training data, and their description on its card.

    ``held_out`` names the splits whose models are trained in the same way without a section.
    """

    name: str
    sources: tuple[Source, ...]
    held_out: tuple[str, ...]
    card: dict[str, Any]


BUNDLES = (
    Bundle(
        "mouse-preoptic-merfish",
        (Source("merfish_mpoa_a1_135g.h5ad"),),
        ("mpoa+0.26", "mpoa-0.09"),
        {
            "data": "MERFISH of the hypothalamic preoptic area of one naive female mouse, four"
            " sections (Moffitt et al. 2018, Science 362, eaau5324)",
            "licence": "CC0-1.0",
            "organism": "mouse",
            "technology": "MERFISH",
        },
    ),
    Bundle(
        "human-breast-xenium",
        (Source("xenium_breast_rep1_313g.h5ad"), Source("xenium_breast_secB_313g.h5ad")),
        ("xenium",),
        {
            "data": "Xenium of human breast cancer, four patches of one section and a region of"
            " a second one (Janesick et al. 2023, Nature Communications 14, 8353; 10x Genomics)",
            "licence": "CC-BY-4.0",
            "organism": "human",
            "technology": "Xenium",
        },
    ),
)


def train(bundle: Bundle, console: Console) -> None:
    """Train one bundled model and write it with its card."""
    sections = [section for source in bundle.sources for section in source.read()]
    request = FitRequest(
        sections,
        *configs_for(sections),
        SEED,
        checkpoint_dir=RUNS / bundle.name,
        name=bundle.name,
    )

    def tell(tick: Progress) -> None:
        if tick.payload:
            console.print(f"{bundle.name}: {tick.payload}")

    started = time.monotonic()
    model = fit_response(finish(request.run(), tell).model, sections)
    model.card = bundle.card | model.card
    model.card["command"] = f"python -m benchmarks.common.bundled {bundle.name}"
    _write(model)
    console.print(f"{bundle.name}: {(time.monotonic() - started) / 60:.1f} min")


def refit(bundle: Bundle, console: Console) -> None:
    """Fit the response of a bundled model again and write it beside the other files."""
    sections = [section for source in bundle.sources for section in source.read()]
    model = fit_response(GeST.load(bundle.name), sections)
    assert model.response is not None
    model.response.write(WEIGHTS / bundle.name, overwrite=True)
    console.print(f"{WEIGHTS / bundle.name}: response")


def temper(bundle: Bundle, console: Console) -> None:
    """Learn the temperature of a bundled model on cells of its sections held out of training.

    Training does this itself; this function is for older weights.
    """
    model = GeST.load(bundle.name)
    assert model.training_cells is not None
    batches, scored = [], Score.of(model.tokenizer)
    for section in (s.ordered() for source in bundle.sources for s in source.read()):
        cells = fingerprints(section.expression, section.genes)
        hidden = ~np.isin(cells, model.training_cells.trained)
        batches += validation_batches(section, hidden, hidden, model, scored)
    found = temperature_on(model.network, batches)
    n_cells = sum(len(batch.target) for batch in batches)
    emission = model.emission.model_copy(update={"temperature": found})
    _write(replace(model, emission=emission))
    console.print(f"{bundle.name}: temperature {found} on {n_cells} cells")


def add_scores(bundle: Bundle, groups: list[Group]) -> None:
    """Write into the card the scores of models trained like ``bundle`` without a section."""
    table = readme_table([g for g in groups if g.rows[0].split in bundle.held_out])
    model = GeST.load(bundle.name)
    model.card["held_out"] = [dict(zip(table.headings, row, strict=True)) for row in table.rows]
    _write(model)


def _write(model: GeST) -> None:
    half = replace(model, network=copy.deepcopy(model.network).half())  # keeps the wheel small
    with replacing(WEIGHTS / model.name, BUNDLED_MODEL, overwrite=True) as folder:
        half.save(folder, overwrite=True)
        (folder / README).write_text(card_text(model), encoding="utf-8")


def card_text(model: GeST) -> str:
    """Return the model card as Markdown."""
    card, config, curve = model.card, model.config, model.card["curve"]
    best = min(curve, key=lambda entry: entry["rmse_z"])
    lines = [
        f"# {model.name}",
        "",
        f"- Data: {card['data']}.",
        f"- Licence of the data and of these weights: {card['licence']}.",
        f"- Panel: {len(model.genes)} genes. Cells: {sum(s['cells'] for s in card['sections']):,}"
        f" in {len(card['sections'])} sections.",
        f"- Size: {model.n_parameters:,} parameters; {config.n_layers} layers, {config.n_heads}"
        f" heads, width {config.d_model}, K = {model.tokenizer.n_meta_cells} meta cells,"
        f" p = {model.tokenizer.components.shape[0]} components, L = {config.window_cells} cells"
        f" in a window ({config.window_um:.0f} um).",
        f"- Training: `{card['command']}`, seed {card['seed']}, on {card['device']},"
        f" {card['training']}.",
        f"- Validation (holes of a window's size set aside in every section): rmse_z"
        f" {curve[0]['rmse_z']:.4f} untrained, {best['rmse_z']:.4f} at step {best['step']}, which"
        f" is kept; there {best['nll']:.3f} nats per cell.",
        f"- Temperature of p(meta cell) in mode `sample`: {model.emission.temperature:g}, learned"
        " on the validation cells.",
        "- Response head (perturbation): fitted to the same sections.",
        "",
        *_held_out(card.get("held_out", [])),
        "| step | train loss | nats per cell | error | rmse_z | seconds |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {e['step']} | {_loss(e)} | {e['nll']:.4f} | {e['error']:.4f}"
        f" | {e['rmse_z']:.4f} | {e['seconds']:.0f} |"
        for e in curve
    ]
    return "\n".join(lines) + "\n"


def _loss(entry: dict[str, float]) -> str:
    return f"{entry['train_loss']:.3f}" if "train_loss" in entry else ""


def _held_out(rows: list[dict[str, str]]) -> list[str]:
    if not rows:
        return []
    table = Table("Scores", list(rows[0]), [list(row.values()) for row in rows], [])
    return [
        "Models trained in the same way without a section and scored on it, with the best baseline"
        " (means over holes):",
        "",
        *table.markdown().splitlines()[2:],
        "",
    ]


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Models; all where none.")] = None,
    response: Annotated[
        bool, typer.Option("--response", help="Only fit the response again, to the weights.")
    ] = False,
    temperature: Annotated[
        bool, typer.Option("--temperature", help="Only learn the temperature again.")
    ] = False,
    scores: Annotated[
        list[Path] | None,
        typer.Option(help="Only write the cards, with scores of a generation --json; repeatable."),
    ] = None,
) -> None:
    """Train bundled models into the package; an interrupted run is resumed."""
    console = Console(stderr=True)
    groups = [group for path in scores or () for group in read_groups(path)]
    for bundle in BUNDLES:
        if names and bundle.name not in names:
            continue
        if scores:
            add_scores(bundle, groups)
        elif response:
            refit(bundle, console)
        elif temperature:
            temper(bundle, console)
        else:
            train(bundle, console)


if __name__ == "__main__":
    typer.run(main)
