"""Generated cells as a distribution: GeST, baselines, oracle and measured patches, by hole."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.datasets import Loaded
from benchmarks.common.holes import Case
from benchmarks.common.vocabulary import columns, tokens
from benchmarks.generation.distribution import two_sample_auc
from benchmarks.generation.donors import Donation, TrueToken, Typed, baselines, validation_score
from benchmarks.generation.downstream import DownstreamRow, conclusions
from benchmarks.generation.drawn_scores import (
    PATCH,
    SAMPLE,
    SAMPLE_COOL,
    SAMPLE_NO_FIELD,
    SAMPLE_NO_TILT,
    SAMPLE_ONE_STEP,
    SAMPLE_P_ALONE,
    SAMPLE_UNSHARED,
    SAMPLE_UNSHARP,
    WEIGHTED,
    DrawnRow,
    Draws,
    calibration_scores,
    population_scores,
    score_draws,
)
from benchmarks.generation.lookalike import look_alike
from benchmarks.generation.named import (
    LEVEL_1,
    NamedRow,
    combined_types,
    meta_cell_row,
    named_rows,
    tuned_number,
)
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.cell_types import CellTypes, NamedTypes
from napari_gest.tasks.generation.generate import Generated, GenerateRequest
from napari_gest.tasks.generation.generation import Generation
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tissue.section import Section

N_DRAWS = 12
AUC_DRAWS = 2  # for GeST and the look-alike patch; other methods have one


@dataclass
class TunedBaselines:
    """Baselines with the settings that validation chose; test holes are not used.

    Attributes
    ----------
    methods
        All baselines.
    validation
        Energy score of each on the validation holes.
    numbers
        Number of neighbours whose shares predict each kind of name best.
    """

    methods: list[Donation]
    validation: dict[str, float]
    numbers: dict[str, int] = field(default_factory=dict)

    @property
    def best(self) -> str:
        """Name of the baseline with the lowest validation score."""
        return min(self.validation, key=self.validation.__getitem__)

    @property
    def settings(self) -> dict[str, str]:
        """Tuned settings, by method."""
        return {m.name: m.setting for m in self.methods}


def tune_baselines(
    loaded: Loaded, model: GeST, on_step: Callable[[str], None] = lambda _: None
) -> TunedBaselines:
    """Choose the numbers of nearest cells on holes in the training sections."""
    validation = typed_cases(loaded.validation_cases(), loaded, model)
    methods, scores = [], {}
    for method in baselines():
        on_step(f"tuning {method.name}")
        chosen = method.fit(validation)
        methods.append(chosen)
        scores[chosen.name] = validation_score(chosen, validation)
    on_step("tuning shares among neighbours")
    numbers = {LEVEL_1: tuned_number(validation, {})}
    types = {s.name: own for s in loaded.train if (own := loaded.types_of(s)) is not None}
    if loaded.type_key is not None:
        named = [typed for typed in validation if typed.case.section in types]
        numbers[loaded.type_key] = tuned_number(named, types)
    return TunedBaselines(methods, scores, numbers)


def typed_cases(cases: Sequence[Case], loaded: Loaded, model: GeST) -> list[Typed]:
    """Return the cases with the meta cells of their sections, each section read once."""
    read: dict[str, NDArray[np.int64]] = {}
    for case in cases:
        if case.section not in read:
            read[case.section] = tokens(model, loaded, case.values)
    vocabulary = model.tokenizer
    kind, place = vocabulary.levels[:, 0], vocabulary.c_pca
    return [Typed(case, read[case.section], kind, place) for case in cases]


def score_distribution(
    split: str,
    section: Section,
    loaded: Loaded,
    tuned: TunedBaselines,
    model: GeST,
    on_step: Callable[[str], None] = lambda _: None,
    **generate_settings: Any,
) -> Iterator[DrawnRow | DownstreamRow | NamedRow]:
    """Yield a row for every method on every test hole of a section, and downstream results.

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
        Settings of `generate` besides mode, seed and draws.
    """
    seed = loaded.seed
    for typed in typed_cases(loaded.test_cases(section), loaded, model):
        case = typed.case
        place = split, section.name, seed, case.hole.radius_um
        kept: dict[str, Draws] = {}
        types = loaded.types_of(section)
        asked = generate_settings | {"types": combined_types(typed, types)}
        sampled = gest_draws(model, section, typed, loaded, None, **asked)
        assert sampled.types is not None
        yield from named_rows(place, typed, types, sampled.types, tuned.numbers, seed)
        mean, p = gest_mean(model, section, typed, loaded, sampled.field, **generate_settings)
        yield meta_cell_row(place, typed, p, model.emission.temperature)
        methods = _ours(model, section, typed, loaded, sampled, mean, generate_settings)
        for name, kind, draws in (*methods, *_theirs(typed, tuned, seed)):
            on_step(f"{section.name} {case.hole.radius_um:.0f} um: {name}")
            scores = score_draws(typed, draws, seed, AUC_DRAWS if name == SAMPLE else 1)
            bands, covered = ({}, {}) if draws.point else calibration_scores(typed, draws, seed)
            if name not in (SAMPLE, tuned.best):
                covered = {}
            yield DrawnRow(*place, name, kind, len(case.truth), scores, bands, covered)
            if name in (SAMPLE, WEIGHTED, tuned.best):
                kept[name] = draws
        patch = look_alike(case, seed)
        if patch is not None:
            scores = _patch_scores(typed, patch, seed)
            yield DrawnRow(*place, PATCH, "real", len(case.truth), scores, {}, {})
        on_step(f"{section.name} {case.hole.radius_um:.0f} um: conclusions")
        yield from conclusions(split, section, loaded, typed, model, kept)


def _ours(
    model: GeST,
    section: Section,
    typed: Typed,
    loaded: Loaded,
    sampled: Sampled,
    mean: NDArray[np.float32],
    settings: dict[str, Any],
) -> Iterator[tuple[str, str, Draws]]:
    """Yield GeST's draws, those in one step, and its expected expression."""
    case, scored = typed.case, (model, section, typed, loaded)
    yield SAMPLE, "gest", sampled.draws
    # A frontier much larger than the hole decodes all cells at once.
    together = settings | {"frontier": 1000 * len(case.truth)}
    yield SAMPLE_ONE_STEP, "gest", gest_draws(*scored, sampled.field, **together).draws
    token = tokens(model, loaded, mean)
    yield WEIGHTED, "gest", Draws(np.stack([mean] * 2), np.stack([token] * 2), None, True)


def score_ablations(
    split: str,
    section: Section,
    loaded: Loaded,
    model: GeST,
    on_step: Callable[[str], None] = lambda _: None,
    **generate_settings: Any,
) -> Iterator[DrawnRow]:
    """Yield GeST, and GeST without one part of the method, on every test hole of a section.

    Parameters are those of `score_distribution`. There is no AUC: trees take most of the time.
    """
    own, unsharp = model.emission, {"sharpness": 1.0}
    alone = unsharp | {"tilt": 0.0, "locality": 0.0, "prior_shift": 0.0}
    no_field = {"field": 0.0}
    parts: dict[str, dict[str, Any]] = {
        SAMPLE: {},
        SAMPLE_UNSHARED: {"emission": own.model_copy(update={"common_reach": 0.0})},
        SAMPLE_COOL: {"emission": own.model_copy(update={"temperature": 1.0})},
        SAMPLE_UNSHARP: {"emission": own.model_copy(update=unsharp)},
        SAMPLE_NO_FIELD: no_field,
        # The expectation enters through the tilt alone, so these need no field.
        SAMPLE_NO_TILT: no_field | {"emission": own.model_copy(update={"tilt": 0.0})},
        SAMPLE_P_ALONE: no_field | {"emission": own.model_copy(update=alone)},
    }
    for typed in typed_cases(loaded.test_cases(section), loaded, model):
        case = typed.case
        place = split, section.name, loaded.seed, case.hole.radius_um
        fitted = None
        for name, extra in parts.items():
            on_step(f"{section.name} {case.hole.radius_um:.0f} um: {name}")
            given = None if "field" in extra else fitted
            settings = generate_settings | extra
            sampled = gest_draws(model, section, typed, loaded, given, **settings)
            fitted = fitted if sampled.field is None else sampled.field
            scores = score_draws(typed, sampled.draws, loaded.seed, 0)
            yield DrawnRow(*place, name, "gest", len(case.truth), scores, {}, {})


def _theirs(typed: Typed, tuned: TunedBaselines, seed: int) -> Iterator[tuple[str, str, Draws]]:
    for method in tuned.methods:
        donor = method.draw(typed, N_DRAWS, seed)
        point = bool((donor == donor[0]).all())
        yield method.name, "baseline", Draws.of(typed, donor[:2] if point else donor, point)
    oracle = TrueToken()
    yield oracle.name, "oracle", Draws.of(typed, oracle.draw(typed, N_DRAWS, seed))


def _patch_scores(typed: Typed, patch: NDArray[np.int64], seed: int) -> dict[str, float]:
    case = typed.case
    made = case.known_values[patch]
    scores = population_scores(typed, made, typed.known_token[patch], case.known_coords[patch])
    auc = [two_sample_auc(case.truth, made, seed + i) for i in range(AUC_DRAWS)]
    return scores | {"auc": float(np.mean(auc))}


@dataclass(frozen=True, eq=False)
class Sampled:
    """Cells of a hole that mode ``sample`` drew.

    Attributes
    ----------
    draws
        The draws.
    field
        The section's field.
    types
        Types of the cells, if they were requested.
    """

    draws: Draws
    field: NDArray[np.float32] | None
    types: NamedTypes | None


def gest_draws(
    model: GeST,
    section: Section,
    typed: Typed,
    loaded: Loaded,
    fitted: NDArray[np.float32] | None,
    **settings: Any,
) -> Sampled:
    """Draw the cells of a hole with mode ``sample``.

    Parameters
    ----------
    model, section, typed, loaded
        As in `score_distribution`.
    fitted
        The section's field, if another run on the same hole has fitted it.
    settings
        Settings of `generate`.
    """
    hole = typed.case.hole
    made, run = _generated(model, section, typed.case, loaded, fitted, "sample", N_DRAWS, settings)
    assert made.donor is not None
    order = _order(made, section.rows[hole.mask])
    donor = np.stack([made.donor, *(d.donor for d in made.further)])[:, order]
    # From the section without the hole's ring to the known cells of the case.
    known = np.full(section.n_obs, -1)
    known[hole.known] = np.arange(hole.known.sum())
    types = made.types
    if types is not None:
        types = replace(types, probability=types.probability[order], code=types.code[order])
    return Sampled(Draws.of(typed, known[np.flatnonzero(~hole.buffer)[donor]]), run.field, types)


def gest_mean(
    model: GeST,
    section: Section,
    typed: Typed,
    loaded: Loaded,
    fitted: NDArray[np.float32] | None,
    **settings: Any,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (m, G) the expected expression, mode ``weighted``, and (m, K) p(meta cell)."""
    case = typed.case
    made, run = _generated(model, section, case, loaded, fitted, "weighted", 1, settings)
    order = _order(made, section.rows[case.hole.mask])
    panel = columns(made.genes, loaded.genes)
    return made.expression[order][:, panel], run.mixture.numpy()[run.by_row][order]


def _generated(
    model: GeST,
    section: Section,
    case: Case,
    loaded: Loaded,
    fitted: NDArray[np.float32] | None,
    mode: str,
    n_draws: int,
    settings: dict[str, Any],
) -> tuple[Generated, Generation]:
    present = ~case.hole.buffer
    if "types" in settings:
        types: CellTypes = settings["types"]
        settings = settings | {"types": CellTypes(types.key, types.labels[present])}
    asked = {"mode": mode, "draws": n_draws, "seed": loaded.seed} | settings
    request = GenerateRequest(section.subset(present), model, case.hole.mask[present], **asked)
    run = request.begin()
    if fitted is not None:
        # The field depends on section, hole and seed alone, so it would be the same.
        run.fit_field = lambda: _given(fitted)  # type: ignore[method-assign]
    return finish(run.steps()), run


def _order(made: Generated, rows: NDArray[np.int64]) -> list[int]:
    """Return the index of the cells of ``rows`` in the result."""
    place = {row: i for i, row in enumerate(made.rows)}
    return [place[row] for row in rows]


def _given(field: NDArray[np.float32]) -> Generator[Progress, None, NDArray[np.float32]]:
    yield from ()
    return field
