"""Generation: GeST and the baselines, hole by hole, on sections held out of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.datasets import Loaded
from benchmarks.common.holes import Case, case_seed
from benchmarks.common.metrics import accuracy, by_depth
from benchmarks.common.vocabulary import columns, tokens
from benchmarks.generation.baselines import (
    PointBaseline,
    predict_case,
    simple_baselines,
    validation_score,
)
from benchmarks.generation.calibration import calibration, expected_calibration_error
from benchmarks.generation.graph_baseline import GraphImputer
from benchmarks.generation.learned_baselines import trained_baselines
from benchmarks.generation.realism import composition_error, realism
from benchmarks.generation.split_half import halves
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.generate import GenerateRequest
from napari_gest.tasks.progress import finish
from napari_gest.tissue.section import Section

MODES = ("weighted", "pick", "sample")
OURS = "GeST weighted"
ONE_STEP = "GeST weighted, one step"
NO_FIELD = "GeST weighted, no field"
PROFILES = "GeST weighted, profiles alone"
ORACLE = "true token (oracle)"
SPLIT_HALF = "split half (noise ceiling)"
RING_UM = 50.0  # width of the ring of cells that the buffered score hides as well


@dataclass
class Row:
    """One method on one hole.

    Attributes
    ----------
    split, section, seed, radius_um, method
        What was scored.
    kind
        ``"baseline"``, ``"gest"`` or ``"oracle"``.
    scores
        As `accuracy` names them.
    depth
        The same by band of depth from the known cells.
    realism, calibration
        If they were requested and are defined.
    """

    split: str
    section: str
    seed: int
    radius_um: float
    method: str
    kind: str
    scores: dict[str, float]
    depth: dict[str, dict[str, float]]
    realism: dict[str, float] = field(default_factory=dict)
    calibration: dict[str, float] = field(default_factory=dict)


@dataclass
class TunedPointBaselines:
    """Baselines tuned on validation holes.

    Attributes
    ----------
    baselines
        All baselines, tuned.
    validation
        SVG ``rmse_z`` of each on the validation holes.
    """

    baselines: list[PointBaseline]
    validation: dict[str, float]

    @property
    def best(self) -> str:
        """Name of the baseline with the lowest validation score; test holes are not used."""
        return min(self.validation, key=self.validation.__getitem__)

    @property
    def settings(self) -> dict[str, str]:
        """Tuned settings, by baseline."""
        return {f.name: f.setting for f in self.baselines}


def tune_point_baselines(
    validation: Sequence[Case], seed: int, on_step: Callable[[str], None] = lambda _: None
) -> TunedPointBaselines:
    """Tune every baseline on the validation cases and score it there."""
    baselines, scores = [*simple_baselines(), *trained_baselines(seed), GraphImputer(seed)], {}
    for baseline in baselines:
        on_step(f"tuning {baseline.name}")
        scores[baseline.name] = validation_score(baseline.fit(validation), validation)
    return TunedPointBaselines(baselines, scores)


def score_section(
    split: str,
    section: Section,
    loaded: Loaded,
    tuned: TunedPointBaselines,
    model: GeST,
    on_step: Callable[[str], None] = lambda _: None,
    **generate_settings: Any,
) -> Iterator[Row]:
    """Yield a row for every method on every test hole of a section.

    Parameters
    ----------
    split
        Name of the split.
    section
        The held-out section, on the panel of ``loaded``.
    loaded
        Holes and seeds.
    tuned
        Baselines, already tuned.
    model
        GeST; its ``target_sum`` is that of ``loaded``.
    on_step
        Called with the name of each step.
    generate_settings
        Settings of `generate` besides mode and seed.
    """
    for case in loaded.test_cases(section):

        def row(
            method: str,
            kind: str,
            mean: NDArray,
            filled: Filled | None = None,
            full: bool = False,
            case: Case = case,
        ) -> Row:
            scored = _scored(split, loaded, case, method, kind, mean)
            if full:
                scored.realism = realism(case.truth, mean, case.hole_coords, loaded.seed)
                scored.realism["composition_error"] = _composition(model, loaded, case.truth, mean)
            if filled is not None:
                scored.calibration = calibration(case.truth, mean, filled.sd, case.depth_um)
                p, true = filled.probability, tokens(model, loaded, case.truth)
                error = expected_calibration_error(p.max(1), p.argmax(1) == true)
                scored.calibration["ECE of p(c)"] = error
            return scored

        for baseline in tuned.baselines:
            on_step(f"{section.name} {case.hole.radius_um:.0f} um: {baseline.name}")
            full = baseline.name in (tuned.best, "nearest copy")
            yield row(baseline.name, "baseline", predict_case(baseline, case), full=full)
        for mode in MODES:
            on_step(f"{section.name} {case.hole.radius_um:.0f} um: GeST {mode}")
            made = fill(model, section, case, loaded, mode=mode, **generate_settings)
            # The sd is that of the mixture, so it belongs to its mean, the weighted read-out.
            weighted = made if mode == "weighted" else None
            yield row(f"GeST {mode}", "gest", made.mean, weighted, full=True)
        # A frontier much larger than the hole decodes all cells at once.
        one_step = generate_settings | {"frontier": 1000 * len(case.truth)}
        made = fill(model, section, case, loaded, mode="weighted", **one_step)
        yield row(ONE_STEP, "gest", made.mean)
        for name, plain in (
            (NO_FIELD, {"field": 0.0}),
            (PROFILES, {"field": 0.0, "residuals": False}),
        ):
            made = fill(model, section, case, loaded, mode="weighted", **generate_settings | plain)
            yield row(name, "gest", made.mean)
        yield row(ORACLE, "oracle", _own_token(model, loaded, case.truth), full=True)
        if section.holds_counts:
            hidden = section.subset(case.hole.mask)
            one, other = halves(hidden, loaded.target_sum, case_seed(section.name, loaded.seed))
            yield _scored(split, loaded, case, SPLIT_HALF, "oracle", one, other)


def score_ring(
    split: str,
    section: Section,
    loaded: Loaded,
    tuned: TunedPointBaselines,
    model: GeST,
    on_step: Callable[[str], None] = lambda _: None,
    **generate_settings: Any,
) -> Iterator[Row]:
    """Yield GeST (weighted) and the best baseline on the same holes, with a ring hidden too.

    Parameters are those of `score_section`; nothing is trained or tuned again.
    """
    for case in replace(loaded, buffer_um=RING_UM).test_cases(section):
        on_step(f"{section.name} {case.hole.radius_um:.0f} um, ring: GeST weighted")
        made = fill(model, section, case, loaded, mode="weighted", **generate_settings)
        yield _scored(split, loaded, case, OURS, "gest", made.mean)
        on_step(f"{section.name} {case.hole.radius_um:.0f} um, ring: {tuned.best}")
        best = next(baseline for baseline in tuned.baselines if baseline.name == tuned.best)
        yield _scored(split, loaded, case, tuned.best, "baseline", predict_case(best, case))


def _scored(
    split: str,
    loaded: Loaded,
    case: Case,
    method: str,
    kind: str,
    mean: NDArray,
    truth: NDArray | None = None,
) -> Row:
    truth = case.truth if truth is None else truth
    return Row(
        split,
        case.section,
        loaded.seed,
        case.hole.radius_um,
        method,
        kind,
        accuracy(truth, mean, case.svg),
        by_depth(truth, mean, case.depth_um, case.svg),
    )


@dataclass(frozen=True, eq=False)
class Filled:
    """A filled hole, its cells in the order of ``case.truth``.

    Attributes
    ----------
    mean, sd
        (m, G), on the panel of the split.
    decoder
        (m, G), prediction of the decoder alone, without the section's field.
    probability
        (m, K) p(meta cell); one-hot except in mode ``weighted``.
    """

    mean: NDArray[np.float32]
    sd: NDArray[np.float32]
    decoder: NDArray[np.float32]
    probability: NDArray[np.float32]


def fill(model: GeST, section: Section, case: Case, loaded: Loaded, **settings: Any) -> Filled:
    """Generate the cells of a hole."""
    present = ~case.hole.buffer
    visible = section.subset(present)
    request = GenerateRequest(visible, model, case.hole.mask[present], seed=loaded.seed, **settings)
    run = request.begin()
    generated = finish(run.steps())
    place = {row: i for i, row in enumerate(generated.rows)}
    order = [place[row] for row in section.rows[case.hole.mask]]
    panel = columns(generated.genes, loaded.genes)
    return Filled(
        generated.expression[order][:, panel],
        generated.sd[order][:, panel],
        run.mean_of[run.by_row][order][:, panel],
        run.mixture.numpy()[run.by_row][order],
    )


def _own_token(model: GeST, loaded: Loaded, truth: NDArray) -> NDArray[np.float32]:
    """Return each true cell's meta cell, the best prediction by meta cells."""
    return model.tokenizer.c_expr[tokens(model, loaded, truth)][
        :, columns(model.genes, loaded.genes)
    ]


def _composition(model: GeST, loaded: Loaded, truth: NDArray, mean: NDArray) -> float:
    """Total variation between the two compositions in the vocabulary's coarse clusters."""
    kinds = [model.tokenizer.levels[tokens(model, loaded, v), 0] for v in (truth, mean)]
    return composition_error(*kinds)
