"""Speed of generation: ratios, each measured in one run on the same threads."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from anndata import AnnData
from numpy.typing import NDArray

from benchmarks.common import imports
from benchmarks.common.holes import draw_holes
from benchmarks.common.metrics import accuracy, svgs
from benchmarks.common.timing import Figure, interleaved
from benchmarks.generation.masked import masked_forward, written_out
from napari_gest.model.config import ModelConfig
from napari_gest.model.decoder import Decoder
from napari_gest.model.gest import GeST, bundled_models
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tasks.generation.generate import GenerateRequest
from napari_gest.tasks.progress import finish
from napari_gest.tissue.geometry import N_GEOMETRY
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate
from napari_gest.tissue.window import window_side


def random_decoder(n_genes: int, **shape: Any) -> Decoder:
    """Return an untrained decoder in evaluation mode; speed does not depend on the weights."""
    config = ModelConfig(**shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        profiles = torch.randn(config.n_meta_cells, n_genes)
        prior = torch.full((config.n_meta_cells,), -np.log(config.n_meta_cells))
        return Decoder(config, profiles, prior).eval()


@torch.no_grad()
def two_stream(repeats: int, n_cells: int = 600) -> list[Figure]:
    """Whole-window forward, two streams against the masked 2L x 2L form."""
    decoder = random_decoder(150, d_model=256, n_layers=8, n_heads=8)
    k = len(decoder.log_prior)
    mixture = F.one_hot(torch.randint(k, (1, n_cells)), k).float()
    content_xy, query_xy = (torch.rand(1, n_cells, 2) * 2 - 1 for _ in range(2))
    geometry = torch.randn(2, 1, n_cells, N_GEOMETRY)
    window = (mixture, content_xy, query_xy)
    told = {"content_geometry": geometry[0], "query_geometry": geometry[1]}
    seconds = interleaved(
        {
            "two_stream_s": lambda: decoder(*window, **told),
            "masked_s": lambda: masked_forward(decoder, *window, **told, attention=written_out),
            "masked_fused_s": lambda: masked_forward(decoder, *window, **told),
        },
        repeats,
    )
    ratio = seconds["masked_s"] / seconds["two_stream_s"]
    fused = seconds["masked_fused_s"] / seconds["two_stream_s"]
    what = f"window forward, d 256, L {n_cells}, 8 layers: two streams v. masked form"
    return [
        Figure(what, f"{ratio:.2f} x", ">= 1.8 x", ratio >= 1.8, seconds | {"ratio": ratio}),
        Figure(
            "  v. the masked form with torch's fused attention",
            f"{fused:.2f} x",
            "",
            None,
            {"ratio": fused, "cells_per_s": n_cells / seconds["two_stream_s"]},
        ),
    ]


@torch.no_grad()
def genes(repeats: int, few: int = 500, many: int = 20_000) -> list[Figure]:
    """Time of the transformer per window, by panel, without the final decoding.

    The parts that depend on the panel, the table of inputs and the folded output matrix, are
    computed once per run and timed separately.
    """

    def window(n_genes: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
        decoder = random_decoder(n_genes, d_model=128, n_layers=4, n_heads=4)
        content = torch.randint(len(decoder.log_prior), (1, 256))
        mixture = F.one_hot(content, len(decoder.log_prior)).float()
        xy, at = torch.rand(1, 256, 2) * 2 - 1, torch.rand(1, 32, 2) * 2 - 1
        table = decoder.table()

        def forward() -> torch.Tensor:
            return decoder.ask(decoder.encode(table, mixture, xy), at)

        def once() -> tuple[torch.Tensor, torch.Tensor]:
            return decoder.table(), decoder.profiles @ decoder.to_genes.weight

        return forward, once

    small, large = window(few), window(many)
    seconds = interleaved({"few_s": small[0], "many_s": large[0]}, repeats * 4)
    once = interleaved({"once_few_s": small[1], "once_many_s": large[1]}, repeats)
    growth = seconds["many_s"] / seconds["few_s"] - 1
    return [
        Figure(
            f"transformer per window, {few:,} to {many:,} genes",
            f"{growth:+.1%}",
            "within 10 %",
            abs(growth) <= 0.10,
            seconds | once | {"growth": growth},
        )
    ]


def tissue_like(model: GeST, n_cells: int, seed: int) -> AnnData:
    """Simulate one section whose cells have the profiles of a model's vocabulary."""
    profiles = np.expm1(model.tokenizer.c_expr)
    return simulate(n_cells, None, 1, seed, profiles=profiles, genes=model.genes)


@dataclass
class Sample:
    """A simulated section in a model's panel with a hole, for timing generation."""

    model: GeST
    section: Section
    unseen: NDArray[np.bool_]

    @classmethod
    def make(cls, model: GeST, n_cells: int, n_unseen: int, seed: int = 0) -> Sample:
        """Simulate a section from the model's vocabulary and open a hole of ``n_unseen`` cells."""
        section = Section.from_anndata(tissue_like(model, n_cells, seed))
        centre = draw_holes(section.coords_um, (200.0,), seed)[0].center
        distance = np.hypot(*(section.coords_um - centre).T)
        unseen = np.zeros(section.n_obs, bool)
        unseen[np.argsort(distance)[:n_unseen]] = True
        return cls(model, section, unseen)

    def request(self, **settings: Any) -> GenerateRequest:
        """Return a request to fill the hole."""
        return GenerateRequest(self.section, self.model, self.unseen, **settings)

    def score(self, **settings: Any) -> tuple[float, float]:
        """Return seconds and SVG rmse_z of filling the hole."""
        started = time.perf_counter()
        generated = finish(self.request(**settings).run())
        seconds = time.perf_counter() - started
        values = self.section.model_space(self.model.target_sum)
        place = {row: i for i, row in enumerate(generated.rows)}
        order = [place[row] for row in self.section.rows[self.unseen]]
        svg = svgs(values, self.section.coords_um, ~self.unseen)
        scores = accuracy(values[self.unseen], generated.expression[order], svg)
        return seconds, scores["rmse_z_svg"]


def first_cells(sample: Sample, repeats: int) -> list[Figure]:
    """Seconds from Run to the first painted cells and to the last."""
    first, total = [], []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        painted = None
        for tick in sample.request().run():
            if painted is None and tick.payload is not None:
                painted = time.perf_counter() - started
        first.append(painted)
        total.append(time.perf_counter() - started)
    n = int(sample.unseen.sum())
    numbers = {"first_s": float(np.median(first[1:])), "total_s": float(np.median(total[1:]))}
    return [
        Figure(
            "first cells painted after Run",
            f"{numbers['first_s']:.2f} s",
            "<= 1 s",
            numbers["first_s"] <= 1,
            numbers,
        ),
        Figure(
            f"a hole of {n:,} cells filled",
            f"{numbers['total_s']:.1f} s",
            "<= 10 s",
            numbers["total_s"] <= 10,
            numbers,
        ),
    ]


def painted_effect(model_name: str, n_around: int, repeats: int) -> list[Figure]:
    """Seconds from Run to control and perturbed surroundings of an edit, before any test.

    A cold run is in a new process with open tissue; it imports torch and loads the model.
    """
    figures = []
    for readout in ("response", "generation"):
        cold = [_effect_seconds(model_name, n_around, readout) for _ in range(repeats)]
        for what, pair in zip(("cold", "again"), np.median(cold, axis=0), strict=True):
            seconds, processor = (float(part) for part in pair)
            figures.append(
                Figure(
                    f"effect on {n_around:,} cells around an edit, {readout}, {what}",
                    f"{seconds:.2f} s ({processor:.2f} s of processor)",
                    "<= 3 s",
                    seconds <= 3,
                    {"seconds": seconds, "processor_s": processor},
                )
            )
    return figures


def _effect_seconds(model_name: str, n_around: int, readout: str) -> NDArray[np.float64]:
    """Return (2, 2): wall and processor seconds of the first and a second run in a new process."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.perturbation.painted",
        model_name,
        str(n_around),
        readout,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return np.array(done.stdout.split(), float).reshape(2, 2)


@torch.no_grad()
def naive_cell(sample: Sample) -> Callable[[], Any]:
    """Return work that predicts one cell from scratch: no cache, no shared context, no table.

    It averages over as many rotated windows as generation does by default.
    """
    model, decoder = sample.model, sample.model.network
    n = model.config.window_cells
    k = model.tokenizer.n_meta_cells
    b = sample.request().passes
    mixture = F.one_hot(torch.randint(k, (b, n)), k).float()
    xy, at = torch.rand(b, n, 2) * 2 - 1, torch.zeros(b, 1, 2)
    profiles = torch.from_numpy(model.tokenizer.c_expr)

    @torch.no_grad()
    def work() -> torch.Tensor:
        context = decoder.encode(decoder.table(), mixture, xy)
        return decoder.logits(decoder.ask(context, at), context, at).softmax(-1) @ profiles

    return work


def frontiers(sample: Sample, repeats: int, sizes: tuple[int, ...]) -> list[Figure]:
    """Generation against naive recomputation and cell-at-a-time, with the error of each frontier.

    All without the section's field, which is fitted once per run for every frontier.
    """
    naive = interleaved({"naive": naive_cell(sample)}, 10 * repeats)["naive"]
    n = int(sample.unseen.sum())
    cost: dict[int | None, tuple[float, float]] = {}
    rounds: dict[int | None, list[tuple[float, float]]] = {}
    for _ in range(repeats):
        for size in (None, *sizes):
            settings = {"field": 0.0} | ({} if size is None else {"frontier": size})
            rounds.setdefault(size, []).append(sample.score(**settings))
    for size, found in rounds.items():
        cost[size] = tuple(np.median(found, axis=0))
    default = cost.pop(None)
    figures = [
        Figure(
            "generation, default frontier, v. naive recompute per cell",
            f"{naive * n / default[0]:.1f} x",
            ">= 20 x",
            naive * n / default[0] >= 20,
            {"naive_s_per_cell": naive, "default_s": default[0], "cells": n},
        ),
        Figure(
            "generation, default frontier, v. one cell at a time with a cache",
            f"{cost[1][0] / default[0]:.1f} x",
            ">= 5 x",
            cost[1][0] / default[0] >= 5,
            {"frontier_1_s": cost[1][0], "default_s": default[0]},
        ),
    ]
    for name, (seconds, score) in {"default": default, **cost}.items():
        figures.append(
            Figure(
                f"  frontier {name}",
                f"{n / seconds:.0f} cells/s, SVG rmse_z {score:.4f}"
                f" ({score - cost[1][1]:+.4f} v. frontier 1)",
                "",
                None,
                {"seconds": seconds, "rmse_z_svg": score},
            )
        )
    return figures


def speed_model(name: str | None) -> tuple[GeST, str]:
    """Return the named model, the first bundled one, or an untrained one, and a description."""
    if name or bundled_models():
        model = GeST.load(name or next(iter(bundled_models())))
        return model, f"model '{model.name}'"
    section = Section.from_anndata(simulate(4000, 135, 1, seed=1))
    config = ModelConfig()
    tokenizer = MetaCellTokenizer.fit(
        section.model_space(250.0),
        section.genes,
        250.0,
        n_meta_cells=config.n_meta_cells,
        n_pcs=config.n_pcs,
        level_sizes=config.level_sizes,
        seed=0,
    )
    side = window_side(section.coords_um, config.window_cells)
    config = config.model_copy(update={"window_um": side})
    return GeST.create(config, tokenizer, seed=0), "untrained model: its scores mean nothing"


def run(model_name: str | None, quick: bool, on_step: Callable[[str], None]) -> list[Figure]:
    """Return every figure."""
    repeats = 2 if quick else 7
    on_step("window forward")
    figures = two_stream(repeats, 200 if quick else 600)
    on_step("genes")
    figures += genes(repeats, 500, 5000 if quick else 20_000)
    model, note = speed_model(model_name)
    figures.append(Figure("generation is timed with", note, "", None, {}))
    sample = Sample.make(model, 2000 if quick else 6000, 150 if quick else 1000)
    on_step("first cells")
    figures += first_cells(sample, 1 if quick else 3)
    if bundled_models():
        on_step("effect of an edit")
        bundled = next(iter(bundled_models()))
        figures += painted_effect(bundled, 200 if quick else 1000, 1 if quick else 3)
    on_step("frontiers")
    sizes = (1, 16, 64) if quick else (1, 4, 8, 16, 32, 64, 128)
    figures += frontiers(sample, 1 if quick else 3, sizes)
    on_step("imports")
    return figures + imports.figures(2 if quick else 5)
