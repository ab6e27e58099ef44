"""Training: generative pre-training, and continued training on new tissue (Sec. 4.4, 5.2)."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from scipy.spatial import cKDTree
from torch import Tensor, nn

import napari_gest
from napari_gest.errors import CheckpointError, InputError
from napari_gest.model.checkpoint import atomic_folder
from napari_gest.model.config import ModelConfig
from napari_gest.model.decoder import Decoder
from napari_gest.model.gest import GeST
from napari_gest.model.loss import hierarchical_loss
from napari_gest.model.tokenizer import MetaCellTokenizer, floored
from napari_gest.tasks.progress import Clock, Progress, finish
from napari_gest.tissue.geometry import N_GEOMETRY, Geometry
from napari_gest.tissue.order import serialize
from napari_gest.tissue.pool import Pool
from napari_gest.tissue.section import Section
from napari_gest.tissue.window import crop, hole_window, reach, reflect_rotate, window_side

_STATE, _SETTINGS = "state.safetensors", "state.json"
_WARMUP = 100  # steps
_CLIP = 1.0  # gradient norm
_SCORED_GENES = 500  # the most variable ones, so that the cost does not grow with the panel
_VALIDATION_CELLS = 2000  # at most, so that validating stays cheap


class TrainConfig(BaseModel):
    """How a model is trained. Frozen, and kept in the model's card.

    Attributes
    ----------
    n_steps
        Optimiser steps; the learning rate warms up, then falls to zero over them.
    batch_windows
        Windows B in a step.
    targets
        Cells predicted in a window of order ``hole``.
    learning_rate, weight_decay
        Of AdamW.
    ema_decay
        The model kept is a running average of the weights; this is its decay per step.
    cell_dropout
        Up to this share of a window's cells is left out.
    order
        ``hole``: windows as generation sees them, a group of cells hidden in a disc of random
        radius and the known cells around it, far ones first. The others serialize a square and
        predict every cell from those before it (Sec. 4.2).
    hole_radius
        Largest radius of the discs, in mean distances between neighbouring cells.
    expression_weight
        Weight of the squared error of the weighted read-out against the measured expression, in
        genes scaled to unit variance, beside the hierarchical loss.
    validation_share
        Share of cells that lie in validation holes, where no validation section is given.
    validate_every, patience
        Steps between validations, and validations without a gain after which training ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_steps: int = Field(400, ge=1)
    batch_windows: int = Field(8, ge=1)
    targets: int = Field(192, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    ema_decay: float = Field(0.99, ge=0, lt=1)
    cell_dropout: float = Field(0.3, ge=0, lt=1)
    order: Literal["hole", "inward", "corner", "eq6", "random", "strict"] = "hole"
    hole_radius: float = Field(16.0, ge=0)
    expression_weight: float = Field(20.0, ge=0)
    validation_share: float = Field(0.05, gt=0, lt=0.5)
    validate_every: int = Field(50, ge=1)
    patience: int = Field(8, ge=1)


@dataclass(frozen=True)
class Fitted:
    """A trained model and its validation curve.

    Attributes
    ----------
    model
        The model at its best validation.
    curve
        One entry per validation: ``step``, ``train_loss``, ``nll`` (nats per cell),
        ``error`` (squared error of the weighted read-out over genes scaled to unit variance),
        ``rmse_z`` (the paper's metric over all validation cells, by which the best is chosen)
        and ``seconds`` since the start.
    """

    model: GeST
    curve: list[dict[str, float]]


@dataclass(frozen=True, eq=False)
class FitRequest:
    """One training run and all it needs.

    Attributes
    ----------
    sections
        Sections to train on. Their panel must be the same.
    model_config
        Shape of the model; ignored but for its vocabulary where ``start`` is given.
    train_config
        How to train.
    seed
        Of vocabulary, weights, windows and dropout.
    validation
        Section to validate on; by default holes are set aside in the training sections.
    checkpoint_dir
        Folder for the state of the run. A run with the same settings goes on from it.
    start
        Model to train on. If its panel differs, its transformer is kept and the vocabulary and
        the two gene-facing layers are made anew.
    name
        Name of the trained model.
    """

    sections: Sequence[Section]
    model_config: ModelConfig
    train_config: TrainConfig
    seed: int
    validation: Section | None = None
    checkpoint_dir: Path | None = None
    start: GeST | None = None
    name: str = "unnamed"

    def check(self) -> None:
        """Raise InputError if the sections cannot be trained on together."""
        if not self.sections:
            raise InputError("There is no section to train on.", "Give one at least.")
        genes = self.sections[0].genes
        for section in [*self.sections, *([self.validation] if self.validation else [])]:
            if section.genes != genes:
                shared = len(set(section.genes) & set(genes))
                raise InputError(
                    f"Sections '{self.sections[0].name}' and '{section.name}' have different"
                    f" panels ({shared} shared genes).",
                    "A vocabulary belongs to one panel: train on sections measured with the same"
                    " genes, in the same order.",
                )
        if self.model_config.n_geometry not in (0, N_GEOMETRY):
            raise InputError(
                f"n_geometry is {self.model_config.n_geometry}.",
                f"It is {N_GEOMETRY}, or 0 to leave the arrangement of cells out.",
            )
        smallest = min(self.sections, key=lambda s: s.n_obs)
        if smallest.n_obs < 32:
            raise InputError(
                f"Section '{smallest.name}' has {smallest.n_obs} cells.",
                "A section needs 32 cells at least to train on.",
            )

    def run(self) -> Generator[Progress, None, Fitted]:
        """Train; yields after every step, returns the model at its best validation."""
        self.check()
        yield Progress("Building the vocabulary", 0, 1)
        run = _Run(self)
        return (yield from run.steps())


def fit(
    sections: Sequence[Section],
    model_config: ModelConfig | None = None,
    train_config: TrainConfig | None = None,
    *,
    seed: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
    **settings: Any,
) -> GeST:
    """Train a model from scratch and return it.

    Parameters
    ----------
    sections
        Sections measured with one panel.
    model_config, train_config, seed
        As in ``FitRequest``; the defaults by default.
    on_progress
        Called after every step.
    settings
        Further fields of ``FitRequest``: validation, checkpoint_dir, name.
    """
    request = FitRequest(
        sections, model_config or ModelConfig(), train_config or TrainConfig(), seed, **settings
    )
    return finish(request.run(), on_progress).model


def fine_tune(
    model: GeST,
    sections: Sequence[Section],
    train_config: TrainConfig | None = None,
    *,
    seed: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
    **settings: Any,
) -> GeST:
    """Train a model on with new tissue ("Ours-FT", Sec. 5.2) and return a new model.

    Parameters are those of ``fit``. For another panel the transformer is kept and the vocabulary
    rebuilt.
    """
    return fit(
        sections,
        model.config,
        train_config,
        seed=seed,
        on_progress=on_progress,
        start=model,
        **settings,
    )


@dataclass(frozen=True, eq=False)
class _Tissue:
    """A section as training reads it: hidden cells are out of ``tree`` and in ``targets``."""

    coords: NDArray[np.float64]
    token: NDArray[np.int64]
    values: NDArray[np.float32]  # (n_obs, S) the scored genes, each over its spread
    residual: NDArray[np.float32]  # (n_obs, S) what the meta cell leaves of them
    geometry: NDArray[np.float32]  # (n_obs, n_geometry) among all cells, hidden ones too
    tree: cKDTree


@dataclass(frozen=True, eq=False)
class _Batch:
    mixture: Tensor  # (B, L, K) meta cells of the content
    content_xy: Tensor  # (B, L, 2)
    mass: Tensor  # (B, L)
    residual: Tensor  # (B, L, S): measured minus meta cell, scored genes
    content_geometry: Tensor  # (B, L, n_geometry)
    query_xy: Tensor  # (B, Q, 2)
    query_geometry: Tensor  # (B, Q, n_geometry)
    target: Tensor  # (B * Q,)
    values: Tensor  # (B * Q, S)
    causal: bool

    def to(self, device: torch.device) -> _Batch:
        tensors = {f.name: getattr(self, f.name).to(device) for f in fields(self)[:-1]}
        return _Batch(**tensors, causal=self.causal)


@dataclass(frozen=True, eq=False)
class _Window:
    """Some cells of a tissue to predict, and those that are known, pooled."""

    tissue: _Tissue
    context: NDArray[np.int64]  # (n,)
    pool: Pool
    targets: NDArray[np.int64]  # (Q,)
    origin: NDArray[np.float64]  # (2,) um
    turn: NDArray[np.float64]  # (2, 2) from um to half windows
    n_meta_cells: int

    def read(self, n_items: int, n_targets: int) -> tuple[NDArray[Any], ...]:
        """Return the fields of a ``_Batch`` for the last items and the first targets."""
        t, pool, targets = self.tissue, self.pool, self.targets[:n_targets]
        return (
            pool.shares(t.token[self.context], self.n_meta_cells)[-n_items:],
            pool.mean(self._place(self.context))[-n_items:],
            pool.mass[-n_items:],
            pool.mean(t.residual[self.context])[-n_items:],
            pool.mean(t.geometry[self.context])[-n_items:],
            self._place(targets),
            t.geometry[targets],
            t.token[targets],
            t.values[targets],
        )

    def _place(self, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        return ((self.tissue.coords[cells] - self.origin) @ self.turn).astype(np.float32)


def _stack(windows: Sequence[tuple[NDArray[Any], ...]], causal: bool) -> _Batch:
    *parts, target, values = (np.stack(part) for part in zip(*windows, strict=True))
    flat = [target.reshape(-1), values.reshape(-1, values.shape[-1])]
    tensors = [torch.from_numpy(part) for part in [*parts, *flat]]
    names = [f.name for f in fields(_Batch)[:-1]]
    return _Batch(**dict(zip(names, tensors, strict=True)), causal=causal)


class _Run:
    """The moving parts of one training run."""

    def __init__(self, request: FitRequest) -> None:
        self.request, self.config = request, request.train_config
        hidden = _validation_holes(request)
        training = [s.subset(~h) for s, h in zip(request.sections, hidden, strict=True)]
        self.model = _model(request, training)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = self.model.network.to(self.device)
        self.average = copy.deepcopy(self.network)
        target_sum, tokenizer = self.model.target_sum, self.model.tokenizer
        self.score = _Score.of(tokenizer)
        self.tissues = [
            _tissue(s, ~h, target_sum, tokenizer, self.score)
            for s, h in zip(request.sections, hidden, strict=True)
        ]
        if request.validation is not None:
            holes = _discs(request.validation, 0.2, self.model.config, request.seed)
            checked = [(request.validation, holes)]
        else:
            checked = list(zip(request.sections, hidden, strict=True))
        self.validation = [
            batch.to(self.device)
            for s, h in checked
            for batch in _validation_batches(s, h, self.model, self.score)
        ]
        sizes = np.array([len(t.coords) for t in self.tissues], float)
        self.share = sizes / sizes.sum()
        self.levels = torch.from_numpy(tokenizer.levels).to(self.device)
        self.scaled = torch.from_numpy(self.score.scale(tokenizer.c_expr)).to(self.device)
        decayed = [p for p in self.network.parameters() if p.ndim == 2]
        others = [p for p in self.network.parameters() if p.ndim != 2]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": self.config.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=self.config.learning_rate,
            betas=(0.9, 0.98),
        )
        self.curve: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self.losses: list[float] = []
        self.spent = 0.0

    def steps(self) -> Generator[Progress, None, Fitted]:
        first = self.resume()
        clock = Clock("Training", self.config.n_steps - first)
        started = time.monotonic() - self.spent
        if not self.curve:
            self.validate(0, 0.0)
            yield Progress("Training", 0, self.config.n_steps, payload=self.curve[-1])
        for step in range(first, self.config.n_steps):
            if self.exhausted():
                break
            self.losses.append(self.step(step))
            done = step + 1
            tick = clock.tick(done - first)
            if done % self.config.validate_every == 0 or done == self.config.n_steps:
                self.spent = time.monotonic() - started
                self.validate(done, self.spent)
                self.save(done)
                yield replace(tick, payload=self.curve[-1])
            else:
                yield tick
        self.average.load_state_dict(self.best)
        card = {
            "version": napari_gest.__version__,
            "sections": [{"name": s.name, "cells": s.n_obs} for s in self.request.sections],
            "parameters": self.model.n_parameters,
            "training": self.config.model_dump(),
            "seed": self.request.seed,
            "start": self.request.start.name if self.request.start else None,
            "curve": self.curve,
        }
        model = replace(
            self.model, network=self.average.cpu().eval(), name=self.request.name, card=card
        )
        return Fitted(model, self.curve)

    def step(self, step: int) -> float:
        """Take one optimiser step; all its randomness comes from the seed and the step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self.warmth(step)
        batch = self.batch(np.random.default_rng([self.request.seed, step])).to(self.device)
        self.network.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.request.seed * 1_000_003 + step)
            loss = self.loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        self.optimizer.step()
        # Early on the average follows closely, or the first, random weights would linger.
        decay = min(self.config.ema_decay, (step + 1) / (step + 10))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)
        return loss.item()

    def warmth(self, step: int) -> float:
        """Return the share of the learning rate in force at a step."""
        fall = 0.5 * (1 + math.cos(math.pi * step / self.config.n_steps))
        return min(1.0, (step + 1) / _WARMUP) * fall

    def loss(self, batch: _Batch) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=fast_bfloat16(self.device)):
            logits, residual = _predict(self.network, batch)
        loss = hierarchical_loss(logits, batch.target, self.levels).mean()
        if self.config.expression_weight:
            error = self.error(logits, residual, batch.values)
            loss = loss + self.config.expression_weight * error
        return loss

    def error(self, logits: Tensor, residual: Tensor | float, values: Tensor) -> Tensor:
        """Return the squared error of the weighted read-out in genes of unit variance."""
        return F.mse_loss(logits.softmax(-1) @ self.scaled + residual, values)

    def batch(self, rng: np.random.Generator) -> _Batch:
        """Draw windows from the training tissue."""
        windows = [self.window(rng) for _ in range(self.config.batch_windows)]
        # Windows at a section's end may hold fewer cells; all are cut to the shortest.
        n_context = min(len(w.pool.mass) for w in windows)
        n_targets = min(len(w.targets) for w in windows)
        return _stack([w.read(n_context, n_targets) for w in windows], self.config.order != "hole")

    def window(self, rng: np.random.Generator) -> _Window:
        """Draw a window of a training tissue."""
        tissue = self.tissues[rng.choice(len(self.tissues), p=self.share)]
        model, n = self.model.config, self.model.config.window_cells
        centre = tissue.coords[rng.integers(len(tissue.coords))]
        dropped = rng.uniform(0, self.config.cell_dropout)
        if self.config.order == "hole":
            spacing = model.window_um / math.sqrt(n)
            radius = self.config.hole_radius * spacing * rng.uniform()
            # A small section must keep more cells than it hides.
            radius = min(radius, 0.3 * float(np.ptp(tissue.coords, axis=0).min()))
            n_targets = min(self.config.targets, len(tissue.coords) // 4)
            context, targets = hole_window(
                tissue.tree, centre, radius, reach(n), n_targets, dropped, rng
            )
            origin = tissue.coords[targets].mean(0)
            pool = Pool.around(tissue.coords[context] - origin, n)
        else:
            inside = crop(tissue.tree, centre, n, dropped, rng)
            order = serialize(
                tissue.coords[inside] - centre, self.config.order, model.window_um, rng
            )
            cells, origin = inside[order], centre
            context, targets = cells[:-1], cells[1:]
            pool = Pool(np.arange(len(context)), np.ones(len(context), np.float32))
        turn = reflect_rotate(np.eye(2), rng) * (2 / model.window_um)
        return _Window(
            tissue, context, pool, targets, origin, turn, self.model.tokenizer.n_meta_cells
        )

    @torch.inference_mode()
    def validate(self, step: int, seconds: float) -> None:
        """Score the averaged weights on the validation holes and keep them if they are best."""
        self.average.eval()
        nll = error = 0.0
        n = sum(len(batch.target) for batch in self.validation)
        made, truth = [], []
        for batch in self.validation:
            logits, residual = _predict(self.average, batch)
            weight = len(batch.target) / n
            nll += weight * F.cross_entropy(logits, batch.target).item()
            error += weight * self.error(logits, residual, batch.values).item()
            made.append(logits.softmax(-1) @ self.scaled + residual)
            truth.append(batch.values)
        recent = self.losses[-self.config.validate_every :]
        self.curve.append(
            {
                "step": step,
                "train_loss": float(np.mean(recent)) if recent else math.nan,
                "nll": nll,
                "error": error,
                "rmse_z": _rmse_z(torch.cat(made), torch.cat(truth)),
                "seconds": round(seconds, 1),
            }
        )
        if self.curve[-1]["rmse_z"] <= min(entry["rmse_z"] for entry in self.curve):
            self.best = {k: v.clone() for k, v in self.average.state_dict().items()}

    def exhausted(self) -> bool:
        scores = [entry["rmse_z"] for entry in self.curve]
        return len(scores) - 1 - int(np.argmin(scores)) >= self.config.patience

    def settings(self) -> dict[str, Any]:
        """Return what must be the same for a run to go on from a checkpoint."""
        return {
            "model": self.model.config.model_dump(mode="json"),
            "training": self.config.model_dump(mode="json"),
            "seed": self.request.seed,
            "cells": [s.n_obs for s in self.request.sections],
            "genes": list(self.model.genes),
        }

    def save(self, step: int) -> None:
        if self.request.checkpoint_dir is None:
            return
        tensors = {f"now.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{k}": v for k, v in state.items()}
        about = {
            "step": step,
            "curve": self.curve,
            "spent": self.spent,
            "losses": self.losses[-self.config.validate_every :],
            "settings": self.settings(),
        }
        with atomic_folder(Path(self.request.checkpoint_dir), overwrite=True) as folder:
            (folder / _STATE).write_bytes(save({k: v.contiguous() for k, v in tensors.items()}))
            (folder / _SETTINGS).write_text(json.dumps(about), encoding="utf-8")

    def resume(self) -> int:
        """Go on from a checkpoint if there is one; return the step to take next."""
        folder = self.request.checkpoint_dir
        if folder is None or not (Path(folder) / _SETTINGS).exists():
            return 0
        folder = Path(folder)
        try:
            about = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
            tensors = load_file(folder / _STATE)
        except (OSError, ValueError, SafetensorError) as error:
            raise CheckpointError(
                f"The training state in {folder} is damaged ({error}).",
                "Remove the folder to train from the start.",
            ) from error
        if about["settings"] != json.loads(json.dumps(self.settings())):
            raise InputError(
                f"The training state in {folder} belongs to a run with other data or settings.",
                "Give those again, or another folder.",
            )

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.network.load_state_dict(part("now."))
        self.average.load_state_dict(part("average."))
        self.best = part("best.")
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in part("optimizer.").items():
            i, name = key.split(".")
            state.setdefault(int(i), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.curve, self.spent = about["curve"], about["spent"]
        self.losses = about["losses"]
        return int(about["step"])


def fast_bfloat16(device: torch.device) -> bool:
    """Whether this device multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    flags = torch.backends.cpu.get_cpu_capability()
    return "AMX" in flags or bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())


def _predict(network: Decoder, batch: _Batch) -> tuple[Tensor, Tensor | float]:
    """Return logits (B * Q, K) and inherited residuals (B * Q, S)."""
    context = network.encode(
        network.table(),
        batch.mixture,
        batch.content_xy,
        mass=batch.mass,
        geometry=batch.content_geometry,
    )
    hidden = network.ask(
        context, batch.query_xy, geometry=batch.query_geometry, causal=batch.causal
    )
    logits, inherited = network.predict(hidden, context, batch.query_xy, causal=batch.causal)
    residual = 0.0 if inherited is None else (inherited @ batch.residual).flatten(0, 1)
    return logits.flatten(0, 1), residual


def _rmse_z(made: Tensor, truth: Tensor) -> float:
    """Return the mean over genes of sqrt(2 (1 - r)), r over all cells (Table 1)."""
    made, truth = made - made.mean(0), truth - truth.mean(0)
    norm = (made.square().sum(0) * truth.square().sum(0)).sqrt()
    r = (made * truth).sum(0)[norm > 1e-9] / norm[norm > 1e-9]
    return (2 * (1 - r)).clamp_min(0).sqrt().mean().item()


def _model(request: FitRequest, training: Sequence[Section]) -> GeST:
    """Return the model to train: new, the one to go on with, or its transformer in a new panel."""
    start, genes = request.start, training[0].genes
    if start is not None and start.genes == genes:
        # A head reads the embeddings of the network it was trained on.
        return replace(start, network=copy.deepcopy(start.network), head=None)
    totals = np.concatenate([np.asarray(s.expression.sum(1)).ravel() for s in training])
    target_sum = float(np.median(totals[totals > 0]))
    config = start.config if start is not None else request.model_config
    side = float(np.mean([window_side(s.coords_um, config.window_cells) for s in training]))
    # Positions count in half windows, so a transformer meets its window at the density it knows.
    config = config.model_copy(update={"window_um": side})
    tokenizer = MetaCellTokenizer.fit(
        np.concatenate([s.model_space(target_sum) for s in training]),
        genes,
        target_sum,
        n_meta_cells=config.n_meta_cells,
        n_pcs=config.n_pcs,
        level_sizes=config.level_sizes,
        seed=request.seed,
    )
    model = GeST.create(config, tokenizer, seed=request.seed, name=request.name)
    if start is not None:
        kept = {
            k: v
            for k, v in start.network.state_dict().items()
            if not k.startswith(("embed.", "to_genes."))
        }
        model.network.load_state_dict(kept, strict=False)
    return model


@dataclass(frozen=True, eq=False)
class _Score:
    """The genes in which the weighted read-out is scored, each over its spread."""

    genes: NDArray[np.int64]
    spread: NDArray[np.float32]

    @classmethod
    def of(cls, tokenizer: MetaCellTokenizer) -> _Score:
        between = tokenizer.v_expr + np.square(tokenizer.c_expr - tokenizer.mean)
        spread = np.sqrt(tokenizer.frequency @ between)
        genes = np.sort(np.argsort(-spread, kind="stable")[:_SCORED_GENES])
        return cls(genes, floored(spread)[genes])

    def scale(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, S) of values (n, G)."""
        return values[:, self.genes] / self.spread


def _tissue(
    section: Section,
    seen: NDArray[np.bool_],
    target_sum: float,
    tokenizer: MetaCellTokenizer,
    score: _Score,
) -> _Tissue:
    geometry = Geometry(section.coords_um)(np.flatnonzero(seen))
    section = section.subset(seen)
    values = section.model_space(target_sum)
    token = tokenizer.tokens(values).astype(np.int64)
    scaled = score.scale(values)
    residual = scaled - score.scale(tokenizer.c_expr)[token]
    return _Tissue(section.coords_um, token, scaled, residual, geometry, cKDTree(section.coords_um))


def _validation_holes(request: FitRequest) -> list[NDArray[np.bool_]]:
    """Return which cells of each training section are set aside for validation."""
    if request.validation is not None:
        return [np.zeros(s.n_obs, bool) for s in request.sections]
    share = request.train_config.validation_share
    config = request.model_config
    return [_discs(s, share, config, request.seed) for s in request.sections]


def _discs(section: Section, share: float, config: ModelConfig, seed: int) -> NDArray[np.bool_]:
    """Return (n_obs,) bool: discs of a window's cells at most, with ``share`` of all cells."""
    rng = np.random.default_rng([seed, section.n_obs])
    tree = cKDTree(section.coords_um)
    wanted = max(8, round(share * section.n_obs))
    size = min(wanted, section.n_obs // 4, config.window_cells)
    hidden = np.zeros(section.n_obs, bool)
    while hidden.sum() < wanted:
        centre = section.coords_um[rng.integers(section.n_obs)]
        hidden[tree.query(centre, k=size)[1]] = True
    return hidden


def _validation_batches(
    section: Section, hidden: NDArray[np.bool_], model: GeST, score: _Score
) -> list[_Batch]:
    """Return the hidden cells in groups, each with its nearest known cells as context."""
    everything = np.ones(section.n_obs, bool)
    tissue = _tissue(section, everything, model.target_sum, model.tokenizer, score)
    known, todo = np.flatnonzero(~hidden), np.flatnonzero(hidden)
    tree, n = cKDTree(section.coords_um[known]), model.config.window_cells
    turn = np.eye(2) * (2 / model.config.window_um)
    batches: list[_Batch] = []
    while len(todo) and len(batches) * 32 < _VALIDATION_CELLS:
        distance = np.linalg.norm(section.coords_um[todo] - section.coords_um[todo[0]], axis=1)
        order = np.argsort(distance, kind="stable")
        group, todo = todo[order[:32]], todo[order[32:]]
        centre = section.coords_um[group].mean(0)
        context = known[tree.query(centre, k=min(len(known), reach(n)))[1]]
        pool = Pool.around(section.coords_um[context] - centre, n)
        window = _Window(tissue, context, pool, group, centre, turn, model.tokenizer.n_meta_cells)
        batches.append(_stack([window.read(len(pool.mass), len(group))], causal=False))
    return batches
