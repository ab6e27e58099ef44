"""The bundled base: what it is trained on, and its card."""

from __future__ import annotations

import copy
import time
from pathlib import Path

from rich.console import Console

from benchmarks.common.datasets import Source
from napari_gest.files import FolderKind, replacing
from napari_gest.model.about import BASE
from napari_gest.model.gest import Base
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tasks.training.pretrain import PretrainRequest
from napari_gest.tasks.training.start import BUNDLED_BASE

# Only what may be published with credit, and no section that a table scores: Xenium section_B and
# two of the preoptic area stay out. The pancreas came through a repository whose licence is for
# academic use, so nothing of it is shipped.
SOURCES = (
    Source("xenium_breast_rep1_313g.h5ad"),
    Source("xenium_mouse_brain_248g.h5ad"),
    Source("merfish_mpoa_a1_135g.h5ad", ("A1_-0.29", "A1_+0.21")),
    Source("visium_mouse_embryo_2000g.h5ad"),
    Source("merfish_nac_253g.h5ad"),
)
DATA = (
    (
        "Xenium, human breast cancer, four patches of one section (a third of its cells)",
        "Janesick et al. 2023, Nature Communications 14, 8353; 10x Genomics",
        "CC BY 4.0",
    ),
    (
        "Xenium, mouse brain, coronal subset",
        "10x Genomics, Fresh Frozen Mouse Brain for Xenium Explorer Demo",
        "CC BY 4.0",
    ),
    (
        "MERFISH, mouse preoptic area, two sections of one animal",
        "Moffitt et al. 2018, Science 362, eaau5324",
        "CC0",
    ),
    (
        "Visium CytAssist, mouse embryo",
        "Perik-Zavodskii and Perik-Zavodskaia 2025, CoexpressDeconvolve, doi"
        " 10.5281/zenodo.14881190",
        "MIT",
    ),
    (
        "MERFISH, mouse nucleus accumbens, 6,000 cells",
        "Chen et al. 2021, Nature Neuroscience 24, 1757; repository Czh3/iSpatial",
        "MIT",
    ),
)
README = "README.md"
BUNDLED = FolderKind(
    BASE.name, BASE.is_one, lambda folder: [n for n in BASE.foreign(folder) if n != README]
)


def train_base(runs: Path, weights: Path, console: Console) -> None:
    """Train the base and write it with its card; a run that was cut off goes on."""
    sections = [section for source in SOURCES for section in source.read()]
    request = PretrainRequest(sections, checkpoint_dir=runs / BUNDLED_BASE, name=BUNDLED_BASE)

    def tell(tick: Progress) -> None:
        if tick.payload:
            console.print(f"{BUNDLED_BASE}: {tick.payload}")

    started = time.monotonic()
    base = finish(request.run(), tell).base
    base.card = {
        "data": [": ".join(part[:2]) for part in DATA],
        "licence": "CC-BY-4.0",
        "command": f"python -m benchmarks.common.bundled {BUNDLED_BASE}",
    } | base.card
    half = copy.deepcopy(base.network).half()  # a wheel should be small
    small = Base(base.config, half, base.name, base.card, base.training_cells)
    with replacing(weights / BUNDLED_BASE, BUNDLED, overwrite=True) as folder:
        small.save(folder, overwrite=True)
        (folder / README).write_text(card_text(base), encoding="utf-8")
    console.print(f"{BUNDLED_BASE}: {(time.monotonic() - started) / 60:.1f} min")


def card_text(base: Base) -> str:
    """Return the card of the base as Markdown."""
    card, config = base.card, base.config
    panels = card["panels"]
    lines = [
        f"# {base.name}",
        "",
        "A transformer over several panels, for models to start from:"
        f" `napari-gest fit tissue.h5ad --start {base.name} --out my-model`, which is the default."
        " It has no vocabulary and generates nothing itself.",
        "",
        "| data | credit | licence |",
        "|---|---|---|",
        *[f"| {' | '.join(part)} |" for part in DATA],
        "",
        f"- Licence of these weights: {card['licence']}.",
        "- Left out: sections that a table of the project scores, and data whose terms do not allow"
        " weights to be published (the pancreas came under an academic licence).",
        f"- Size: {base.n_parameters:,} parameters; {config.n_layers} layers, {config.n_heads}"
        f" heads, width {config.d_model}, L = {config.window_cells} cells in a window.",
        f"- Training: `{card['command']}`, seed {card['seed']}, {card['training']}.",
        "- Validation: holes in every section; the mean over panels of rmse_z, untrained"
        f" {card['curve'][0]['rmse_z']:.4f}, at the end {card['curve'][-1]['rmse_z']:.4f}.",
        "",
        "| panel | genes | cells | meta cells | window (um) |",
        "|---|---:|---:|---:|---:|",
        *[
            f"| {p['name']} | {p['genes']:,} | {p['cells']:,} | {p['meta_cells']}"
            f" | {p['window_um']:.0f} |"
            for p in panels
        ],
        "",
        "| step | train loss | nats per cell | error | rmse_z |"
        + "".join(f" {p['name']} |" for p in panels),
        "|---|---|---|---|---|" + len(panels) * "---|",
        *[
            f"| {e['step']} | {format(e['train_loss'], '.3f') if 'train_loss' in e else ''}"
            f" | {e['nll']:.4f} | {e['error']:.4f} | {e['rmse_z']:.4f} |"
            + "".join(f" {e['rmse_z ' + p['name']]:.4f} |" for p in panels)
            for e in card["curve"]
        ],
    ]
    return "\n".join(lines) + "\n"
