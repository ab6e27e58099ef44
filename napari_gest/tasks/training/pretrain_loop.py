"""The loop of a pretraining: steps that alternate between panels, validation, checkpoints."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Generator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

import napari_gest
from napari_gest.errors import ResultError
from napari_gest.model.base import axes_decoder, reading
from napari_gest.model.config import N_AXES
from napari_gest.model.devices import AtOnce, chosen_device
from napari_gest.model.gest import Base, log_prior
from napari_gest.model.optimizer import AdamW
from napari_gest.model.training_cells import TrainingCells
from napari_gest.tasks.finite import require_finite
from napari_gest.tasks.progress import Clock, Progress
from napari_gest.tasks.training.panels import Panel, by_panel
from napari_gest.tasks.training.train_loop import (
    add_gradients,
    follow,
    scores_on,
    training_loss,
    warmth,
)
from napari_gest.tasks.training.train_state import TrainState, write_state
from napari_gest.tissue.section import section_record

if TYPE_CHECKING:
    from napari_gest.tasks.training.pretrain import PretrainRequest

_CLIP = 1.0  # gradient norm


class PretrainLoop:
    """The moving parts of one pretraining."""

    def __init__(self, request: PretrainRequest) -> None:
        self.request, self.config = request, request.train_config
        self.found = TrainState.find(request.checkpoint_dir)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(request.seed)
            drawn = axes_decoder(request.model_config, draw=True)
        self.panels = [
            Panel.of(sections, request.model_config, self.config, request.seed, drawn)
            for sections in by_panel(request.sections)
        ]
        share = np.array([panel.n_cells for panel in self.panels]) ** request.sampling
        self.share = share / share.sum()
        self.device = chosen_device(request.device)
        self.at_once = AtOnce(self.config.batch_windows)
        self.network = drawn.to(self.device)
        self.average = copy.deepcopy(self.network)
        parameters = list(self.network.parameters())
        self.optimizer = AdamW(
            parameters,
            self.config.weight_decay,
            betas=(0.9, 0.98),
            decays=[p.ndim == 2 for p in parameters],
        )
        self.curve: list[dict[str, float]] = []
        self.losses: list[float] = []
        self.spent = 0.0

    def steps(self) -> Generator[Progress, None, tuple[Base, list[dict[str, float]]]]:
        """Train; yields after every step, returns the base and its validation curve."""
        first = self.resume()
        clock = Clock("Pretraining", self.config.n_steps - first)
        started = time.monotonic() - self.spent
        if not self.curve:
            self.validate(0, 0.0)
            yield Progress("Pretraining", 0, self.config.n_steps, payload=self.curve[-1])
        for step in range(first, self.config.n_steps):
            self.losses.append(self.step(step))
            done = step + 1
            if not math.isfinite(self.losses[-1]):
                raise ResultError(
                    f"Pretraining stopped: in step {done} the loss is not a finite number.",
                    "Train with a smaller learning_rate, and look for extreme values in the"
                    " tissue.",
                )
            tick = clock.tick(done - first)
            if done % self.config.validate_every == 0 or done == self.config.n_steps:
                self.spent = time.monotonic() - started
                self.validate(done, self.spent)
                self.save(done)
                yield replace(tick, payload=self.curve[-1])
            else:
                yield tick
            if news := self.at_once.news():
                yield replace(tick, stage=news)
        require_finite("The base", **self.average.state_dict())
        cells = TrainingCells(
            np.concatenate([panel.trained for panel in self.panels]),
            np.concatenate([panel.selecting for panel in self.panels]),
        )
        card = {
            "version": napari_gest.__version__,
            "sections": [
                section_record(s, s.n_obs)
                for group in by_panel(self.request.sections)
                for s in group
            ],
            "panels": [
                {
                    "name": panel.name,
                    "genes": len(panel.tokenizer.genes),
                    "cells": panel.n_cells,
                    "meta_cells": panel.tokenizer.n_meta_cells,
                    "window_um": round(panel.config.window_um, 1),
                }
                for panel in self.panels
            ],
            "parameters": sum(p.numel() for p in self.average.parameters()),
            "training": self.config.model_dump(),
            "sampling": self.request.sampling,
            "seed": self.request.seed,
            "curve": self.curve,
        }
        network = self.average.cpu().eval()
        made = Base(self.request.model_config, network, self.request.name, card, cells)
        return made, self.curve

    def step(self, step: int) -> float:
        """Take one optimiser step on one panel; its randomness comes from seed and step."""
        rng = np.random.default_rng([self.request.seed, step])
        panel = self.panels[rng.choice(len(self.panels), p=self.share)]
        batch = panel.batch(self.config, rng)
        # An axis and its opposite are the same: what is learned must hold for both.
        signs = torch.from_numpy(rng.choice([-1.0, 1.0], N_AXES).astype(np.float32))
        coordinates = (panel.coordinates * signs).to(self.device)
        network = reading(self.network, coordinates, log_prior(panel.tokenizer))
        levels, scaled = panel.levels.to(self.device), panel.scaled.to(self.device)
        parameters = list(self.network.parameters())
        self.network.train()

        def some(part: slice) -> float:
            windows = batch.windows(part).to(self.device)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.request.seed * 1_000_003 + step + 7919 * part.start)
                loss = training_loss(network, windows, levels, scaled, self.config)
                return add_gradients(parameters, loss * (windows.n_windows / batch.n_windows))

        loss = sum(self.at_once.each(batch.n_windows, some))
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        self.optimizer.step(self.config.learning_rate * warmth(self.config, step))
        follow(self.average, self.network, self.config, step)
        return loss

    def validate(self, step: int, seconds: float) -> None:
        """Score the averaged weights on the holes of every panel."""
        self.average.eval()
        entry: dict[str, float] = {"step": step}
        each = []
        for panel in self.panels:
            coordinates = panel.coordinates.to(self.device)
            network = reading(self.average, coordinates, log_prior(panel.tokenizer))
            holes = [batch.to(self.device) for batch in panel.validation]
            each.append(scores_on(network, holes, panel.scaled.to(self.device)))
            entry[f"rmse_z {panel.name}"] = each[-1]["rmse_z"]
        entry |= {name: float(np.mean([scores[name] for scores in each])) for name in each[0]}
        entry["seconds"] = round(seconds, 1)
        if recent := self.losses[-self.config.validate_every :]:
            entry["train_loss"] = float(np.mean(recent))
        self.curve.append(entry)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What must be the same for a run to go on from a checkpoint, as JSON has it."""
        told = {
            "model": self.request.model_config.model_dump(mode="json"),
            "training": self.config.model_dump(mode="json"),
            "sampling": self.request.sampling,
            "seed": self.request.seed,
            "sections": sorted(s.digest for s in self.request.sections),
        }
        settings: dict[str, Any] = json.loads(json.dumps(told))
        return settings

    def save(self, step: int) -> None:
        if self.request.checkpoint_dir is None:
            return
        tensors = {f"now.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        tensors |= {f"optimizer.{k}": v for k, v in self.optimizer.state().items()}
        tensors |= self.vocabularies
        write_state(
            self.request.checkpoint_dir,
            tensors,
            step=step,
            curve=self.curve,
            spent=self.spent,
            losses=self.losses[-self.config.validate_every :],
            settings=self.settings,
        )

    @property
    def vocabularies(self) -> dict[str, Tensor]:
        return {f"vocabulary.{i}": panel.coordinates for i, panel in enumerate(self.panels)}

    def resume(self) -> int:
        """Go on from a checkpoint if there is one; return the step to take next."""
        if self.found is None:
            return 0
        about = self.found.about
        self.found.check(self.settings, self.config.n_steps)
        weights = {k: tuple(v.shape) for k, v in self.network.state_dict().items()}
        means = {k: tuple(v.shape) for k, v in self.optimizer.state().items()}
        groups = {"now.": weights, "average.": weights, "optimizer.": means}
        shapes = {prefix + k: v for prefix, part in groups.items() for k, v in part.items()}
        shapes |= {k: tuple(v.shape) for k, v in self.vocabularies.items()}
        tensors = self.found.tensors(shapes)

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.network.load_state_dict(part("now."))
        self.average.load_state_dict(part("average."))
        self.optimizer.load(part("optimizer."), about.step)
        self.curve, self.spent, self.losses = list(about.curve), about.spent, list(about.losses)
        self.found = None
        return about.step
