"""The loop of one training run: steps, validation, checkpoints."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

import napari_gest
from napari_gest.errors import CheckpointError, InputError
from napari_gest.model.checkpoint import atomic_folder
from napari_gest.model.decoder import Decoder
from napari_gest.model.gest import GeST
from napari_gest.model.loss import hierarchical_loss
from napari_gest.model.optimizer import AdamW
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tasks.progress import Clock, Progress
from napari_gest.tasks.train import FitRequest
from napari_gest.tasks.train_windows import (
    Batch,
    Score,
    discs,
    draw_window,
    stack,
    tissue_of,
    validation_batches,
)
from napari_gest.tissue.section import Section, name_order
from napari_gest.tissue.window import window_side

_STATE, _SETTINGS = "state.safetensors", "state.json"
_WARMUP = 100  # steps
_CLIP = 1.0  # gradient norm


class TrainLoop:
    """The moving parts of one training run."""

    def __init__(self, request: FitRequest) -> None:
        request = _in_order(request)
        self.request, self.config = request, request.train_config
        hidden = _validation_holes(request)
        training = [s.subset(~h) for s, h in zip(request.sections, hidden, strict=True)]
        self.model = _model(request, training)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = self.model.network.to(self.device)
        self.average = copy.deepcopy(self.network)
        target_sum, tokenizer = self.model.target_sum, self.model.tokenizer
        self.score = Score.of(tokenizer)
        self.tissues = [
            tissue_of(s, ~h, target_sum, tokenizer, self.score)
            for s, h in zip(request.sections, hidden, strict=True)
        ]
        if request.validation is not None:
            holes = discs(request.validation, 0.2, self.model.config, request.seed)
            checked = [(request.validation, holes)]
        else:
            checked = list(zip(request.sections, hidden, strict=True))
        self.validation = [
            batch.to(self.device)
            for s, h in checked
            for batch in validation_batches(s, h, self.model, self.score)
        ]
        sizes = np.array([len(t.coords) for t in self.tissues], float)
        self.share = sizes / sizes.sum()
        self.levels = torch.from_numpy(tokenizer.levels).to(self.device)
        self.scaled = torch.from_numpy(self.score.scale(tokenizer.c_expr)).to(self.device)
        parameters = list(self.network.parameters())
        self.optimizer = AdamW(
            parameters,
            self.config.weight_decay,
            betas=(0.9, 0.98),
            decays=[p.ndim == 2 for p in parameters],
        )
        self.curve: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self.losses: list[float] = []
        self.spent = 0.0

    def steps(self) -> Generator[Progress, None, tuple[GeST, list[dict[str, float]]]]:
        """Train; yields after every step, returns the best model and the validation curve."""
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
            "device": self.device.type,
            "start": self.request.start.name if self.request.start else None,
            "curve": self.curve,
        }
        model = replace(
            self.model, network=self.average.cpu().eval(), name=self.request.name, card=card
        )
        return model, self.curve

    def step(self, step: int) -> float:
        """Take one optimiser step; all its randomness comes from the seed and the step."""
        batch = self.batch(np.random.default_rng([self.request.seed, step])).to(self.device)
        self.network.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.request.seed * 1_000_003 + step)
            loss = self.loss(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        self.optimizer.step(self.config.learning_rate * self.warmth(step))
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

    def loss(self, batch: Batch) -> Tensor:
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

    def batch(self, rng: np.random.Generator) -> Batch:
        """Draw windows from the training tissue."""
        windows = [
            draw_window(
                self.tissues[rng.choice(len(self.tissues), p=self.share)],
                self.model.config,
                self.config,
                rng,
            )
            for _ in range(self.config.batch_windows)
        ]
        # Windows at a section's end may hold fewer cells; all are cut to the shortest.
        n_context = min(len(w.pool.mass) for w in windows)
        n_targets = min(len(w.targets) for w in windows)
        return stack([w.read(n_context, n_targets) for w in windows], self.config.order != "hole")

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
        entry = {
            "step": step,
            "nll": nll,
            "error": error,
            "rmse_z": _rmse_z(torch.cat(made), torch.cat(truth)),
            "seconds": round(seconds, 1),
        }
        if recent := self.losses[-self.config.validate_every :]:
            entry["train_loss"] = float(np.mean(recent))
        self.curve.append(entry)
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
        tensors |= {f"optimizer.{k}": v for k, v in self.optimizer.state().items()}
        tensors["vocabulary"] = torch.from_numpy(self.model.tokenizer.c_expr)
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

        try:
            vocabulary = tensors["vocabulary"].numpy()
            now = self.model.tokenizer.c_expr
            if vocabulary.shape != now.shape or not np.allclose(vocabulary, now, atol=1e-3):
                raise InputError(
                    f"The training state in {folder} has another vocabulary than these sections"
                    " give here.",
                    "Go on with the data and the library versions it was begun with, or give"
                    " another folder.",
                )
            self.network.load_state_dict(part("now."))
            self.average.load_state_dict(part("average."))
            self.best = part("best.")
            self.optimizer.load(part("optimizer."), int(about["step"]))
        except KeyError as error:
            raise CheckpointError(
                f"The training state in {folder} was written by another version.",
                "Remove the folder to train from the start.",
            ) from error
        self.curve, self.spent = about["curve"], about["spent"]
        self.losses = about["losses"]
        return int(about["step"])


def fast_bfloat16(device: torch.device) -> bool:
    """Whether this device multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    flags = torch.backends.cpu.get_cpu_capability()
    return "AMX" in flags or bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())


def _predict(network: Decoder, batch: Batch) -> tuple[Tensor, Tensor | float]:
    """Return logits (B * Q, K) and inherited residuals (B * Q, S)."""
    logits, inherited = network(
        batch.mixture,
        batch.content_xy,
        batch.query_xy,
        mass=batch.mass,
        content_geometry=batch.content_geometry,
        query_geometry=batch.query_geometry,
        causal=batch.causal,
    )
    residual = 0.0 if inherited is None else (inherited @ batch.residual).flatten(0, 1)
    return logits.flatten(0, 1), residual


def _rmse_z(made: Tensor, truth: Tensor) -> float:
    """Return the mean over genes of sqrt(2 (1 - r)), r over all cells (Table 1)."""
    made, truth = made - made.mean(0), truth - truth.mean(0)
    norm = (made.square().sum(0) * truth.square().sum(0)).sqrt()
    r = (made * truth).sum(0)[norm > 1e-9] / norm[norm > 1e-9]
    return (2 * (1 - r)).clamp_min(0).sqrt().mean().item()


def _in_order(request: FitRequest) -> FitRequest:
    """Return the request with sections by name and their cells by place, whatever the file."""
    validation = request.validation
    return replace(
        request,
        sections=[request.sections[i].ordered() for i in name_order(request.sections)],
        validation=None if validation is None else validation.ordered(),
    )


def _model(request: FitRequest, training: Sequence[Section]) -> GeST:
    """Return the model to train: new, the one to go on with, or its transformer in a new panel."""
    start, genes = request.start, training[0].genes
    if start is not None and start.genes == genes:
        # What was fitted to the predictions of a network goes with it.
        return replace(start, network=copy.deepcopy(start.network), head=None, response=None)
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


def _validation_holes(request: FitRequest) -> list[NDArray[np.bool_]]:
    """Return which cells of each training section are set aside for validation."""
    if request.validation is not None:
        return [np.zeros(s.n_obs, bool) for s in request.sections]
    share = request.train_config.validation_share
    config = request.model_config
    return [discs(s, share, config, request.seed) for s in request.sections]
