"""The loop of one training run: steps, validation, checkpoints."""

from __future__ import annotations

import copy
import json
import math
import secrets
import time
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import DTypeLike, NDArray
from torch import Tensor, nn

import napari_gest
from napari_gest.errors import InputError, ResultError
from napari_gest.files import Scratch
from napari_gest.memory import give_back
from napari_gest.model.decoder import Decoder
from napari_gest.model.devices import AtOnce, chosen_device, full_precision
from napari_gest.model.gest import GeST
from napari_gest.model.loss import hierarchical_loss
from napari_gest.model.optimizer import AdamW
from napari_gest.model.temperature import best_temperature
from napari_gest.model.training_cells import TrainingCells
from napari_gest.tasks.finite import require_finite
from napari_gest.tasks.progress import Clock, Progress
from napari_gest.tasks.training.budget import planned_before
from napari_gest.tasks.training.ranks import Ranks
from napari_gest.tasks.training.start import model_to_train
from napari_gest.tasks.training.train_config import TrainConfig
from napari_gest.tasks.training.train_state import AboutState, TrainState, write_state
from napari_gest.tasks.training.train_windows import (
    Batch,
    Score,
    Tissue,
    Window,
    discs,
    draw_window,
    fill,
    stack,
    tissue_of,
    validation_batches,
)
from napari_gest.tissue.fingerprint import fingerprints
from napari_gest.tissue.in_order import drop_copies
from napari_gest.tissue.section import Section, name_order, section_record
from napari_gest.tissue.window import symmetries

if TYPE_CHECKING:
    from napari_gest.tasks.training.train import FitRequest

_CLIP = 1.0  # gradient norm
_REHEARSED = 4  # steps whose time is taken before the number of steps is settled
MOST_IN_MEMORY = 2**30  # bytes of training tissue; above, it is read from files
_TURNS = 4  # of a window, over which generation averages p(meta cell)
_TRAINED, _SELECTING, _REPORTING = 0, 1, 2  # what a cell of a training section is for


@dataclass(frozen=True, eq=False)
class Batches(Sequence[Batch]):
    """Batches of which one at a time is in memory, where ``files`` hold them."""

    batches: Sequence[Batch]
    files: Scratch | None

    def __len__(self) -> int:
        return len(self.batches)

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Batch]: ...
    def __getitem__(self, index: int | slice) -> Batch | Sequence[Batch]:
        if self.files is not None:
            self.files.release()
        return self.batches[index]


class TrainLoop:
    """The moving parts of one training run."""

    def __init__(self, request: FitRequest, ranks: Ranks | None = None) -> None:
        request = _in_order(request)
        self.request, self.config = request, request.train_config
        self.ranks = ranks = ranks or Ranks(chosen_device(request.device))
        self.device = ranks.device
        patches = _patches(request)
        hidden = [role != _TRAINED for role in patches]
        pairs = list(zip(request.sections, hidden, strict=True))
        self.model = ranks.once(lambda: model_to_train(request, [s.subset(~h) for s, h in pairs]))
        self.at_once = AtOnce(self.config.batch_windows)
        self.network = self.model.network.to(self.device)
        self.average = copy.deepcopy(self.network)
        tokenizer = self.model.tokenizer
        self.score = Score.of(tokenizer)
        self.scratch: Scratch | None = None
        self.tissues = self._read(pairs)
        # Validated by the first process; what the others are told is enough for them.
        self.validation = self._validation(pairs, patches) if ranks.first else Batches([], None)
        self.cells = ranks.once(lambda: _training_cells(request, patches))
        if any(s.on_disk for s in request.sections):
            give_back()
        sizes = np.array([len(t.coords) for t in self.tissues], float)
        self.share = sizes / sizes.sum()
        coarse = tokenizer.levels if self.config.hierarchy else tokenizer.levels[:, :0]
        self.levels = torch.from_numpy(coarse).to(self.device)
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
        self.budget, self.validation_s = request.budget, 0.0
        self.clock = time.monotonic if self.budget is None else self.budget.clock

    def _read(self, pairs: Sequence[tuple[Section, NDArray[np.bool_]]]) -> list[Tissue]:
        """Return the training tissue: in memory, or in files that a machine's processes share.

        Of tissue that stays on disk it is in files, too.
        """
        ranks, tokenizer = self.ranks, self.model.tokenizer
        given = (self.model.target_sum, tokenizer, self.score)
        n = sum(int((~h).sum()) for _, h in pairs)
        here = 4 * n * len(self.score.genes) < MOST_IN_MEMORY
        if ranks.n == 1 and here and not any(s.on_disk for s, _ in pairs):
            return [tissue_of(s, ~h, *given) for s, h in pairs]
        give_back()
        # Of each machine the process with the lowest rank fills the files.
        token = ranks.once(lambda: secrets.token_hex(8))
        name, owner = f"{token}-{ranks.rank - ranks.local_rank}", ranks.local_rank == 0

        def filled() -> tuple[None, tuple[()]]:
            if owner:
                self.scratch = scratch = Scratch(name)
                for i, (s, h) in enumerate(pairs):
                    make = partial(_made, scratch, str(i))
                    fill(s, ~h, *given, make, after=scratch.release)
            return None, ()

        def read() -> list[Tissue]:
            self.scratch = files = self.scratch or Scratch(name, owner=False)
            profiles = self.score.scale(tokenizer.c_expr)
            return [
                Tissue.of(lambda what, i=i: files.read(f"{i}-{what}"), profiles)  # type: ignore[misc]
                for i in range(len(pairs))
            ]

        try:
            ranks.least(filled)
            return ranks.least(lambda: (read(), ()))[0]
        except BaseException:
            self.close()
            raise

    def _validation(
        self,
        pairs: Sequence[tuple[Section, NDArray[np.bool_]]],
        patches: Sequence[NDArray[np.int8]],
    ) -> Batches:
        request = self.request
        if request.validation is not None:
            holes = discs(request.validation, 0.2, self.model.config, request.seed) >= 0
            checked = [(request.validation, holes, holes)]
        else:
            roles = zip(pairs, patches, strict=True)
            checked = [(s, h, role == _SELECTING) for (s, h), role in roles]
        batches: list[Batch] = []
        for s, h, asked in checked:
            for batch in validation_batches(s, h, asked, self.model, self.score):
                if s.on_disk and self.scratch and self.scratch.owner and self.device.type == "cpu":
                    make = partial(_made, self.scratch, f"validation-{len(batches)}")
                    batches.append(batch.stored(make))
                    self.scratch.release()
                else:
                    batches.append(batch.to(self.device))
        return Batches(batches, self.scratch)

    def close(self) -> None:
        """Let go of the training tissue, and of its files where it has some."""
        self.tissues = []
        for section in [*self.request.sections, self.request.validation]:
            if section is not None:
                drop_copies(section.expression)
        if self.scratch is not None:
            self.scratch.close()

    def steps(self) -> Generator[Progress, None, tuple[GeST, list[dict[str, float]]]]:
        """Train; yields after every step, returns the best model and the validation curve."""
        try:
            return (yield from self._steps())
        finally:
            self.close()

    def _steps(self) -> Generator[Progress, None, tuple[GeST, list[dict[str, float]]]]:
        first = self.resume()
        started = time.monotonic() - self.spent
        if not self.curve:
            self.validate(0, 0.0)
            self.plan()
            yield Progress("Training", 0, self.config.n_steps, payload=self.curve[-1])
        clock = Clock("Training", self.config.n_steps - first)
        for step in range(first, self.config.n_steps):
            if self.exhausted():
                break
            self.losses.append(self.step(step))
            done = step + 1
            if not math.isfinite(self.losses[-1]):
                raise self._diverged(f"in step {done}")
            tick = clock.tick(done - first)
            late = self.budget is not None and self.ranks.once(self._over)
            if done % self.config.validate_every == 0 or done == self.config.n_steps or late:
                self.spent = time.monotonic() - started
                self.validate(done, self.spent)
                self.save(done)
                yield replace(tick, payload=self.curve[-1])
                if late:
                    break
            else:
                yield tick
            if news := self.at_once.news():
                yield replace(tick, stage=news)
        require_finite("The trained model", **self.best)
        self.average.load_state_dict(self.best)
        temperature = self.ranks.once(lambda: temperature_on(self.average, self.validation))
        card = {
            "version": napari_gest.__version__,
            "sections": [section_record(s, s.n_obs) for s in self.request.sections],
            "parameters": self.model.n_parameters,
            "training": self.config.model_dump(),
            "budget_s": None if self.budget is None else self.budget.seconds,
            "seed": self.request.seed,
            "device": self.device.type,
            **({"processes": self.ranks.n} if self.ranks.n > 1 else {}),
            "start": self.request.start.name if self.request.start else None,
            "curve": self.curve,
        }
        model = replace(
            self.model,
            network=self.average.cpu().eval(),
            name=self.request.name,
            card=card,
            training_cells=self.cells,
            emission=self.model.emission.model_copy(update={"temperature": temperature}),
        )
        return model, self.curve

    def plan(self) -> None:
        """Settle the number of steps by how long a few take that train nothing."""
        if self.budget is None:
            return
        taken = []
        for number in range(_REHEARSED):
            began = self.clock()
            self.gradients(number)
            self.network.zero_grad(set_to_none=True)
            taken.append(self.clock() - began)
        # The first one is slower, and the optimiser is left out.
        step_s = 1.05 * float(np.mean(taken[1:]))
        plan, validation_s = self.budget.plan, self.validation_s
        self.config = self.ranks.once(lambda: plan(self.config, step_s, validation_s))

    def _over(self) -> bool:
        assert self.budget is not None
        return self.budget.over(self.validation_s)

    def step(self, step: int) -> float:
        """Take one optimiser step; all its randomness comes from the seed and the step."""
        loss = self.gradients(step)
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        self.optimizer.step(self.config.learning_rate * warmth(self.config, step))
        follow(self.average, self.network, self.config, step)
        return loss

    def gradients(self, step: int) -> float:
        """Put the gradients of a step in place and return its loss, over all processes."""
        batch = self.batch(step)
        parameters = list(self.network.parameters())

        def own() -> list[Tensor]:
            loss = self._own_gradients(step, batch, parameters)
            made = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
            return [*made, torch.tensor([loss], device=self.device)]

        if self.ranks.n == 1:
            return self._own_gradients(step, batch, parameters)
        *sums, loss = self.ranks.sum(own)
        for p, gradient in zip(parameters, sums, strict=True):
            if p.grad is not None:
                p.grad = gradient
        return loss.item()

    def _own_gradients(self, step: int, batch: Batch, parameters: Sequence[nn.Parameter]) -> float:
        """Add up the gradients of this process's windows; in parts where memory is short."""
        self.network.train()
        ranks, n = self.ranks, self.config.batch_windows

        def some(part: slice) -> float:
            windows = batch.windows(part).to(self.device)
            with torch.random.fork_rng(devices=[]):
                first = ranks.rank + part.start * ranks.n  # index in the batch of all
                torch.manual_seed(_key(self.request.seed, step, first))
                loss = self.loss(windows) * (windows.n_windows / n)
            return add_gradients(parameters, loss)

        return sum(self.at_once.each(batch.n_windows, some))

    def loss(self, batch: Batch) -> Tensor:
        return training_loss(self.network, batch, self.levels, self.scaled, self.config)

    def batch(self, step: int) -> Batch:
        """Draw this process's windows of a step: each by the seed, the step and its index."""

        def own() -> tuple[list[Window], tuple[int, int]]:
            windows = []
            for index in range(self.ranks.rank, self.config.batch_windows, self.ranks.n):
                rng = np.random.default_rng([self.request.seed, step, index])
                tissue = self.tissues[rng.choice(len(self.tissues), p=self.share)]
                windows.append(draw_window(tissue, self.model.config, self.config, rng))
            n_context = min(len(w.pool.mass) for w in windows)
            return windows, (n_context, min(len(w.targets) for w in windows))

        # Windows at a section's end may hold fewer cells; all are cut to the shortest.
        windows, (n_context, n_targets) = self.ranks.least(own)
        parts = []
        for window in windows:
            parts.append(window.read(n_context, n_targets))
            if self.scratch is not None:
                self.scratch.release()
        return stack(parts, self.config.order != "hole")

    @torch.inference_mode()
    def validate(self, step: int, seconds: float) -> None:
        """Score the averaged weights on the validation holes; keep them as ``config.keep`` says."""
        began = self.clock()
        self.average.eval()
        entry = self.ranks.once(lambda: self._scored(step, seconds))
        self._require_finite(entry)
        self.curve.append(entry)
        self.validation_s = self.clock() - began
        best = self.curve[-1]["rmse_z"] <= min(entry["rmse_z"] for entry in self.curve)
        if best or self.config.keep == "last":
            self.best = {k: v.clone() for k, v in self.average.state_dict().items()}

    def _scored(self, step: int, seconds: float) -> dict[str, float]:
        scores = scores_on(self.average, self.validation, self.scaled)
        entry = {"step": step, **scores, "seconds": round(seconds, 1)}
        if recent := self.losses[-self.config.validate_every :]:
            entry["train_loss"] = float(np.mean(recent))
        return entry

    def _require_finite(self, entry: dict[str, float]) -> None:
        """Raise ResultError where there is nothing to choose the best weights by."""
        if all(math.isfinite(entry[name]) for name in ("nll", "error", "rmse_z")):
            return
        if math.isfinite(entry["nll"]) and math.isfinite(entry["error"]):
            raise ResultError(
                "The validation cells cannot be scored: no gene varies among them and among their"
                " predictions.",
                "Set more cells aside (validation_share), or give a section to validate on.",
            )
        raise self._diverged(f"at the validation after {entry['step']} steps")

    def _diverged(self, when: str) -> ResultError:
        kept = ""
        if self.curve and self.request.checkpoint_dir is not None:
            kept = f" The state of step {self.curve[-1]['step']} is kept."
        return ResultError(
            f"Training stopped: {when} the loss is not a finite number.",
            f"Train with a smaller learning_rate than {self.config.learning_rate:g}, weight_decay"
            f" than {self.config.weight_decay:g} or expression_weight than"
            f" {self.config.expression_weight:g}, and look for extreme values in the tissue.{kept}",
        )

    def exhausted(self) -> bool:
        if self.config.keep == "last":
            return False
        scores = [entry["rmse_z"] for entry in self.curve]
        return len(scores) - 1 - int(np.argmin(scores)) >= self.config.patience

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What must be the same for a run to go on from a checkpoint, as JSON has it."""
        request = self.request
        told = {
            "model": self.model.config.model_dump(mode="json"),
            "training": self.config.model_dump(mode="json"),
            "seed": request.seed,
            "sections": [s.digest for s in request.sections],
            "validation": request.validation.digest if request.validation else None,
            "start": request.start.digest if request.start else None,
            "genes": list(self.model.genes),
        }
        settings: dict[str, Any] = json.loads(json.dumps(told))
        return settings

    def save(self, step: int) -> None:
        if self.request.checkpoint_dir is None:
            return
        self.ranks.once(lambda: self._write(step))

    def _write(self, step: int) -> None:
        assert self.request.checkpoint_dir is not None
        tensors = {f"now.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        tensors |= {f"optimizer.{k}": v for k, v in self.optimizer.state().items()}
        tensors["vocabulary"] = torch.from_numpy(self.model.tokenizer.c_expr)
        write_state(
            self.request.checkpoint_dir,
            tensors,
            step=step,
            curve=self.curve,
            spent=self.spent,
            losses=self.losses[-self.config.validate_every :],
            settings=self.settings,
        )

    def resume(self) -> int:
        """Go on from a checkpoint if there is one; return the step to take next."""
        found = self.ranks.once(self._found)
        if found is None:
            return 0
        about, tensors, self.config = found

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.network.load_state_dict(part("now."))
        self.average.load_state_dict(part("average."))
        self.best = part("best.")
        self.optimizer.load(part("optimizer."), about.step)
        self.curve, self.spent, self.losses = list(about.curve), about.spent, list(about.losses)
        return about.step

    def _found(self) -> tuple[AboutState, dict[str, Tensor], TrainConfig] | None:
        """Return the state that is on the disk, once it is known to be of this run."""
        folder = self.request.checkpoint_dir
        state = TrainState.find(None if folder is None else Path(folder))
        if state is None:
            return None
        if self.budget is not None:
            self.config = planned_before(self.config, state.about.settings)
        state.check(self.settings, self.config.n_steps)
        weights = {k: tuple(v.shape) for k, v in self.network.state_dict().items()}
        means = {k: tuple(v.shape) for k, v in self.optimizer.state().items()}
        groups = {"now.": weights, "average.": weights, "best.": weights, "optimizer.": means}
        shapes = {prefix + k: v for prefix, part in groups.items() for k, v in part.items()}
        now = self.model.tokenizer.c_expr
        tensors = state.tensors(shapes | {"vocabulary": now.shape})
        if not np.allclose(tensors["vocabulary"].numpy(), now, atol=1e-3):
            raise InputError(
                f"The training state in {state.folder} has another vocabulary than these"
                " sections give here.",
                "Go on with the data and the library versions it was begun with, or give"
                " another folder.",
            )
        return state.about, tensors, self.config


@torch.inference_mode()
def temperature_on(network: Decoder, validation: Sequence[Batch]) -> float:
    """Return the temperature of p(meta cell) on validation cells that trained nothing."""
    network.eval()
    logits = []
    for batch in validation:
        turns = torch.from_numpy(symmetries()[:_TURNS]).to(batch.content_xy.device)
        logits.append(torch.stack([predict(network, batch.turned(turn))[0] for turn in turns]))
    return best_temperature(logits, [batch.target for batch in validation])


def fast_bfloat16(device: torch.device) -> bool:
    """Whether this device multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type != "cpu":
        return False
    flags = torch.backends.cpu.get_cpu_capability()
    return "AMX" in flags or bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())


def fast(device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which a device computes fastest."""
    if fast_bfloat16(device):
        return torch.autocast(device.type, torch.bfloat16)
    return full_precision(device)


def training_loss(
    network: Decoder, batch: Batch, levels: Tensor, scaled: Tensor, config: TrainConfig
) -> Tensor:
    """Return the loss of windows, computed as fast as their device can.

    Parameters
    ----------
    network, batch
        The network in training, and the windows.
    levels
        (K, 3) coarse labels of the meta cells, or (K, 0).
    scaled
        (K, S) expression of the meta cells in scored genes of unit variance.
    config
        Has the weight of the read-out's squared error.
    """
    with fast(batch.target.device):
        logits, residual = predict(network, batch)
    loss = hierarchical_loss(logits, batch.target, levels).mean()
    if config.expression_weight:
        error = F.mse_loss(logits.softmax(-1) @ scaled + residual, batch.values)
        loss = loss + config.expression_weight * error
    return loss


def add_gradients(parameters: Sequence[nn.Parameter], loss: Tensor) -> float:
    """Add the gradients of a loss to those that are there, all of them or none; return the loss.

    Taken from a part that runs out of memory on the way, no gradient is added twice.
    """
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    for p, gradient in zip(parameters, found, strict=True):
        if gradient is not None:
            p.grad = gradient if p.grad is None else p.grad.add_(gradient)
    return loss.item()


def _key(*numbers: int) -> int:
    """Return one seed for torch from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def predict(network: Decoder, batch: Batch) -> tuple[Tensor, Tensor | float]:
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


def warmth(config: TrainConfig, step: int) -> float:
    """Return the share of the learning rate in force at a step."""
    fall = 0.5 * (1 + math.cos(math.pi * step / config.n_steps))
    return min(1.0, (step + 1) / config.warmup) * fall


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, config: TrainConfig, step: int) -> None:
    """Move the running average of the weights towards those after a step."""
    # Early on the average follows closely, or the first, random weights would linger.
    decay = min(config.ema_decay, (step + 1) / (step + 10))
    for kept, new in zip(average.parameters(), network.parameters(), strict=True):
        kept.lerp_(new, 1 - decay)


@torch.inference_mode()
def scores_on(network: Decoder, batches: Sequence[Batch], scaled: Tensor) -> dict[str, float]:
    """Return ``nll``, ``error`` and ``rmse_z`` of validation cells, as in ``Fitted.curve``.

    Parameters
    ----------
    network
        The network, in evaluation mode.
    batches
        The cells.
    scaled
        (K, S) expression of the meta cells in scored genes of unit variance.
    """
    nll = error = 0.0
    n = sum(len(batch.target) for batch in batches)
    made, truth = [], []
    for batch in batches:
        logits, residual = predict(network, batch)
        read = logits.softmax(-1) @ scaled + residual
        weight = len(batch.target) / n
        nll += weight * F.cross_entropy(logits, batch.target).item()
        error += weight * F.mse_loss(read, batch.values).item()
        made.append(read)
        truth.append(batch.values)
    return {
        "nll": nll,
        "error": error,
        "rmse_z": rmse_z_over_cells(torch.cat(made), torch.cat(truth)),
    }


def rmse_z_over_cells(made: Tensor, truth: Tensor) -> float:
    """Return the mean over genes of sqrt(2 (1 - r)), r over all cells (Table 1)."""
    made, truth = made - made.mean(0), truth - truth.mean(0)
    norm = (made.square().sum(0) * truth.square().sum(0)).sqrt()
    r = (made * truth).sum(0)[norm > 1e-9] / norm[norm > 1e-9]
    return (2 * (1 - r)).clamp_min(0).sqrt().mean().item()


def _made(
    scratch: Scratch, of: str, what: str, shape: tuple[int, ...], dtype: DTypeLike
) -> NDArray[Any]:
    """Return an array of a section, or of a batch, in files."""
    return scratch.make(f"{of}-{what}", shape, dtype)


def _in_order(request: FitRequest) -> FitRequest:
    """Return the request with sections by name and their cells by place, whatever the file."""
    validation = request.validation
    return replace(
        request,
        sections=[request.sections[i].gathered() for i in name_order(request.sections)],
        validation=None if validation is None else validation.gathered(),
    )


def _patches(request: FitRequest) -> list[NDArray[np.int8]]:
    """Return the role of each cell of each training section.

    Patches of a hole's size are left out of vocabulary and training. Every other one selects the
    training step; the rest is kept for whoever wants to know how good the model is there.
    """
    if request.validation is not None:
        return [np.full(s.n_obs, _TRAINED, np.int8) for s in request.sections]
    share, config = request.train_config.validation_share, request.model_config
    at_least = 2 if len(request.sections) == 1 else 1
    roles: list[NDArray[np.int8]] = []
    before = 0
    for section in request.sections:
        disc = discs(section, share, config, request.seed, at_least=at_least)
        role = np.where((disc + before) % 2 == 0, _SELECTING, _REPORTING)
        roles.append(np.where(disc < 0, _TRAINED, role).astype(np.int8))
        before += int(disc.max()) + 1
    return roles


def _training_cells(request: FitRequest, roles: Sequence[NDArray[np.int8]]) -> TrainingCells:
    """Return the fingerprints of the cells that train the model and that select its step."""
    cells = [fingerprints(s.expression, s.genes) for s in request.sections]
    trained = [c[role == _TRAINED] for c, role in zip(cells, roles, strict=True)]
    selecting = [c[role == _SELECTING] for c, role in zip(cells, roles, strict=True)]
    if request.validation is not None:
        section = request.validation
        selecting.append(fingerprints(section.expression, section.genes))
    earlier = request.start.training_cells if request.start is not None else None
    return TrainingCells(np.concatenate(trained), np.concatenate(selecting)).joined(earlier)
