"""Train the models that ship with the package: ``python -m benchmarks.bundled [NAME]``.

Resumes from ``runs/bundled/NAME`` and writes ``napari_gest/model/weights/NAME``. With
``--response`` only the response is fitted again, to the weights as they are.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.datasets import Source
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tasks.respond import fit_response
from napari_gest.tasks.train import FitRequest, TrainConfig

WEIGHTS = Path(__file__).parents[1] / "napari_gest" / "model" / "weights"
RUNS = Path("runs") / "bundled"
SEED = 0


@dataclass(frozen=True)
class Bundle:
    """A bundled model: what it is trained on, and what its card says of that."""

    name: str
    sources: tuple[Source, ...]
    card: dict[str, Any]


BUNDLES = (
    Bundle(
        "mouse-preoptic-merfish",
        (Source("merfish_mpoa_a1_135g.h5ad"),),
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
        {
            "data": "Xenium of human breast cancer, four patches of one section and a region of"
            " a second one (Janesick et al. 2023, Nature Communications 14, 8353; 10x Genomics)",
            "licence": "CC-BY-4.0",
            "organism": "human",
            "technology": "Xenium",
        },
    ),
)


def train(bundle: Bundle, console: Console) -> Path:
    """Train one bundled model, write it with its card and return its folder."""
    sections = [section for source in bundle.sources for section in source.read()]
    request = FitRequest(
        sections,
        ModelConfig(),
        TrainConfig(),
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
    model.card["command"] = f"python -m benchmarks.bundled {bundle.name}"
    path = model.save(WEIGHTS / bundle.name, overwrite=True)
    (path / "README.md").write_text(card_text(model.name, model.card, model), encoding="utf-8")
    console.print(f"{path}: {(time.monotonic() - started) / 60:.1f} min")
    return path


def refit(bundle: Bundle, console: Console) -> Path:
    """Fit the response of a bundled model again and write it beside the other files."""
    sections = [section for source in bundle.sources for section in source.read()]
    model = fit_response(GeST.load(bundle.name), sections)
    assert model.response is not None
    model.response.write(WEIGHTS / bundle.name)
    console.print(f"{WEIGHTS / bundle.name}: response")
    return WEIGHTS / bundle.name


def card_text(name: str, card: dict[str, Any], model: Any) -> str:
    """Return the model card as Markdown."""
    config, curve = model.config, card["curve"]
    best = min(curve, key=lambda entry: entry["rmse_z"])
    lines = [
        f"# {name}",
        "",
        f"- Data: {card['data']}.",
        f"- Licence of the data and of these weights: {card['licence']}.",
        f"- Panel: {len(model.genes)} genes. Cells: {sum(s['cells'] for s in card['sections']):,}"
        f" in {len(card['sections'])} sections.",
        f"- Size: {model.n_parameters:,} parameters; {config.n_layers} layers, {config.n_heads}"
        f" heads, width {config.d_model}, K = {model.tokenizer.n_meta_cells} meta cells,"
        f" p = {model.tokenizer.components.shape[0]} components, L = {config.window_cells} cells"
        f" in a window ({config.window_um:.0f} um).",
        f"- Training: `{card['command']}`, seed {card['seed']}, {card['training']}.",
        f"- Validation (holes of a window's size set aside in every section): rmse_z"
        f" {curve[0]['rmse_z']:.4f} untrained, {best['rmse_z']:.4f} at step {best['step']}, which"
        f" is kept; there {best['nll']:.3f} nats per cell.",
        "- Response head (perturbation): fitted to the same sections.",
        "- Score on held-out sections beside the floors: the table in the project's README, of"
        " models trained in the same way without those sections.",
        "",
        "| step | train loss | nats per cell | error | rmse_z | seconds |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {e['step']} | {e['train_loss']:.3f} | {e['nll']:.4f} | {e['error']:.4f}"
        f" | {e['rmse_z']:.4f} | {e['seconds']:.0f} |"
        for e in curve
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    work = refit if "--response" in sys.argv else train
    wanted = [name for name in sys.argv[1:] if not name.startswith("-")]
    for bundle in BUNDLES:
        if not wanted or bundle.name in wanted:
            work(bundle, Console(stderr=True))
