"""Published generators in the same holes as GeST, the baselines and the oracle."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import napari_gest
from benchmarks.card.measure import split_of
from benchmarks.card.rows import DATA, QUICK
from benchmarks.common.datasets import VALIDATION_SEED, Loaded, load
from benchmarks.common.holes import RADII_UM as ALL_RADII_UM
from benchmarks.common.holes import Case
from benchmarks.common.metrics import svgs
from benchmarks.common.scored_section import Group
from benchmarks.common.split_run import RADII_QUICK, quick_split
from benchmarks.common.table import Table
from benchmarks.common.training import trained
from benchmarks.common.vocabulary import tokens
from benchmarks.generation.donors import TrueToken, Typed
from benchmarks.generation.drawn import (
    N_DRAWS,
    TunedBaselines,
    gest_draws,
    tune_baselines,
    typed_cases,
)
from benchmarks.generation.drawn_report import scores_table
from benchmarks.generation.drawn_scores import SAMPLE, DrawnRow, Draws, score_draws
from benchmarks.rivals.call import Outcome, call, read_result
from benchmarks.rivals.cases import bare
from benchmarks.rivals.environments import build_error
from benchmarks.rivals.registry import GENERATION, Rival
from benchmarks.rivals.run import NAN, Options, Row, digest_of
from benchmarks.rivals.table import sources
from napari_gest.files import JSON, write_text
from napari_gest.model.gest import GeST
from napari_gest.tasks.training.start import BUNDLED_BASE
from napari_gest.tissue.expression import log_normalize
from napari_gest.tissue.section import Section

HEAD = """# Published generators in the same holes

Written by `python -m benchmarks rivals-generation`. How the methods are run is told in
[the README of the rivals](../../benchmarks/rivals/README.md).

{title}: holes of the development section {section}, whose seeds no test has. GeST and the
settings of the baselines were learned from {train}. No test section was looked at.
"""
RADII_UM = ALL_RADII_UM[:3]  # larger holes, all empty at once, would leave too little of a section
_KEPT = ("work_s", "wall_s", "cpu_s", "peak_mb", "error")  # of an outcome, beside its draws


@dataclass(frozen=True, eq=False)
class Emptied:
    """A section with all of its holes empty at once, so that a rival learns once for all of them.

    Attributes
    ----------
    name
        Name of split, section and seed, in files.
    section
        The section, on the panel of the split.
    cases
        Its holes. The cells of the others are hidden from every method, GeST included.
    """

    name: str
    section: Section
    cases: list[Case]

    @property
    def hole(self) -> NDArray[np.bool_]:
        """(n_obs,) whether a cell is in a hole."""
        return np.logical_or.reduce([case.hole.mask for case in self.cases])

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n_obs,) whether a method may see a cell."""
        return np.logical_and.reduce([case.hole.known for case in self.cases])


def run_generators(
    data: str,
    seeds: Sequence[int],
    given: str | None,
    rivals: Sequence[Rival],
    options: Options,
    say: Callable[[str], None],
) -> tuple[str, list[Table], dict[str, Any]]:
    """Return the head of a page, its tables, and all numbers.

    Parameters
    ----------
    data
        Development data, by its name on the card.
    seeds
        Seeds of the holes.
    given
        GeST, by name or folder; None to train one on the training sections.
    rivals
        Published methods.
    options
        How these are called.
    say
        Called with the name of each step.
    """
    about, quick = DATA[data], data == "simulated"
    if quick:
        quick_split()
    split = replace(split_of(about), name=f"{data.replace(' ', '-')}-development")
    radii = RADII_QUICK if quick else RADII_UM
    group = Group([], "", {}, {}, "")
    costs: list[Row] = []
    tuned: TunedBaselines | None = None
    for seed in seeds:
        # Holes of development have other seeds than any that is tested.
        holes = {"seed": VALIDATION_SEED + seed, "radii_um": radii}
        loaded = load(split, **holes)
        if given is None:
            small = {"model_settings": QUICK.model, "train_settings": QUICK.train}
            done = trained(split, loaded, 0, **small if quick else {"start": BUNDLED_BASE})
            model, group.note = done.model, done.note
        else:
            model = GeST.load(given)
            group.note = f"given model '{model.name}'"
        loaded = load(split, **holes, genes=model.genes, target_sum=model.target_sum)
        if tuned is None:
            tuned = tune_baselines(loaded, model, say)
            group.drawn_best, group.drawn_settings = tuned.best, tuned.settings
            group.drawn_validation = tuned.validation
        (section,) = loaded.test
        drawn, cost = score_generators(
            split.name, section, loaded, tuned, model, rivals, options, say
        )
        group.drawn += drawn
        costs += cost
    head = HEAD.format(title=about.title, section=about.scored, train=", ".join(about.train))
    record = {"scores": asdict(group), "costs": [asdict(row) for row in costs]}
    return head, [*generator_tables(group, costs), sources([GENERATION])], record


def emptied(split: str, section: Section, loaded: Loaded) -> Emptied:
    """Return a section with the test holes of ``loaded`` empty at once."""
    cases = loaded.test_cases(section)
    seen = np.logical_and.reduce([case.hole.known for case in cases])
    apart = []
    for case in cases:
        hole = replace(case.hole, buffer=~seen & ~case.hole.mask)
        svg = svgs(case.values, case.coords_um, hole.known)
        apart.append(replace(case, hole=hole, svg=svg))
    return Emptied(f"{split}-{section.name}-seed{loaded.seed}", section, apart)


def run_generator(
    rival: Rival, holes: Emptied, seed: int, options: Options, n_draws: int = N_DRAWS
) -> Outcome:
    """Return a rival's draws of the cells of all holes, or its error, and what the call cost.

    A stored call of the same version, script and holes is not repeated, unless it failed and has
    more time now.

    Parameters
    ----------
    rival
        The method.
    holes
        The section.
    seed
        Seed of the method.
    options
        How it is called.
    n_draws
        Draws of every cell.
    """
    if not rival.python.exists():
        return Outcome(error=build_error(rival.environment), wall_s=NAN, cpu_s=NAN, peak_mb=NAN)
    kept = options.cache / GENERATION / rival.name / f"{holes.name}.json"
    out = kept.with_suffix(".npz")
    cells = hashlib.sha256(np.packbits([holes.known, holes.hole]).tobytes()).hexdigest()[:16]
    digest = f"{digest_of(rival)} {cells} {n_draws}"
    if kept.exists() and not options.fresh:
        found = json.loads(kept.read_text())
        outcome = Outcome(**{key: found[key] for key in _KEPT})
        had_its_time = options.kept_only or outcome.wall_s >= options.timeout_s
        final = had_its_time if outcome.error else out.exists()
        if found["digest"] == digest and final:
            if not outcome.error:
                read_result(out, outcome)
            return outcome
    if options.kept_only:
        return Outcome(error="not run yet", wall_s=NAN, cpu_s=NAN, peak_mb=NAN)
    with tempfile.TemporaryDirectory() as folder:
        data, positions = Path(folder) / "known.h5ad", Path(folder) / "positions.npy"
        bare(holes.section.subset(holes.known)).write_h5ad(data)
        np.save(positions, holes.section.coords_um[holes.hole])
        arguments = ["--data", str(data), "--positions", str(positions)]
        arguments += ["--draws", str(n_draws), "--seed", str(seed)]
        outcome = call(
            rival.python, rival.script, arguments, out, options.timeout_s, options.threads
        )
    text = json.dumps({"digest": digest} | {key: getattr(outcome, key) for key in _KEPT}, indent=1)
    write_text(kept, text, JSON, overwrite=True)
    return outcome


def in_model_space(counts: NDArray[np.float32], target_sum: float) -> NDArray[np.float32]:
    """Return draws (n_draws, m, G) of counts in model space."""
    flat = log_normalize(np.asarray(counts, np.float32).reshape(-1, counts.shape[-1]), target_sum)
    return flat.reshape(counts.shape)


def score_generators(
    split: str,
    section: Section,
    loaded: Loaded,
    tuned: TunedBaselines,
    model: GeST,
    rivals: Iterable[Rival],
    options: Options,
    say: Callable[[str], None],
) -> tuple[list[DrawnRow], list[Row]]:
    """Return the scores of every method on every hole of a section, and what each method cost.

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
    rivals
        Published methods.
    options
        How these are called.
    say
        Called with the name of each step.
    """
    holes, seed = emptied(split, section, loaded), loaded.seed
    typed = typed_cases(holes.cases, loaded, model)
    drawn: list[DrawnRow] = []
    costs: list[Row] = []

    def score(name: str, kind: str, one: Typed, draws: Draws) -> None:
        place = split, section.name, seed, one.case.hole.radius_um
        scores = score_draws(one, draws, seed)
        drawn.append(DrawnRow(*place, name, kind, len(one.case.truth), scores, {}, {}))

    def cost(name: str, version: str, error: str = "", **taken: float) -> None:
        row = Row(GENERATION, name, version, split, section.name, seed, int(holes.hole.sum()))
        costs.append(replace(row, **taken, threads=options.threads, error=error))

    wall_s, cpu_s = -time.perf_counter(), -time.process_time()
    say(f"{section.name}: {SAMPLE}")
    ours = [gest_draws(model, section, one, loaded, None).draws for one in typed]
    wall_s, cpu_s = wall_s + time.perf_counter(), cpu_s + time.process_time()
    cost(SAMPLE, napari_gest.__version__, work_s=wall_s, wall_s=wall_s, cpu_s=cpu_s)
    for one, draws in zip(typed, ours, strict=True):
        score(SAMPLE, "gest", one, draws)
    for rival in rivals:
        say(f"{section.name}: {rival.name}")
        outcome = run_generator(rival, holes, seed, options)
        error = outcome.error or _wrong(outcome.draws, holes)
        taken = {key: getattr(outcome, key) for key in ("work_s", "wall_s", "cpu_s", "peak_mb")}
        cost(rival.name, rival.version, error, **taken)
        if error:
            continue
        assert outcome.draws is not None
        values = in_model_space(outcome.draws, loaded.target_sum)
        for one in typed:
            mine = values[:, one.case.hole.mask[holes.hole]]
            # A generated cell is no measured one, so its meta cell is the nearest.
            token = np.stack([tokens(model, loaded, each) for each in mine])
            score(rival.name, "rival", one, Draws(mine, token))
    for method in (*tuned.methods, TrueToken()):
        kind = "oracle" if isinstance(method, TrueToken) else "baseline"
        for one in typed:
            donor = method.draw(one, N_DRAWS, seed)
            score(method.name, kind, one, Draws.of(one, donor, bool((donor == donor[0]).all())))
    return drawn, costs


def _wrong(draws: NDArray[np.float32] | None, holes: Emptied) -> str:
    """Return what is wrong with draws; empty if nothing is."""
    wanted = N_DRAWS, int(holes.hole.sum()), len(holes.section.genes)
    if draws is None or draws.shape != wanted:
        return f"draws of shape {None if draws is None else draws.shape}, not {wanted}"
    if not np.isfinite(draws).all() or (draws < 0).any():
        return "draws are not all finite and non-negative"
    return ""


def generator_tables(group: Group, costs: Sequence[Row]) -> Iterator[Table]:
    """Yield the scores of every method, and what each cost.

    Parameters
    ----------
    group
        Scores of one section.
    costs
        A row for each method and seed.
    """
    scored = scores_table(group)
    ours = [r for r in group.drawn if r.method == SAMPLE]
    yield replace(
        scored,
        notes=[
            f"Means over {len(ours)} holes of one section, {sum(r.n_cells for r in ours)} cells,"
            f" {N_DRAWS} draws of each. Holes of one section are not replicates, so there is no"
            " interval. All holes are empty at once for every method. Genes are divided by their"
            " standard deviation among the section's known cells. Energy score and CRPS: lower is"
            " better.",
            scored.notes[-1],
            f"GeST: {group.note}.",
            "Cells of a published method are no measured cells, so 'distinct cells' says nothing"
            " about them. Their meta cells, from which composition and enrichment are counted, are"
            " the nearest ones.",
        ],
    )
    lines = []
    for row in costs:
        numbers = (row.work_s, row.wall_s, row.cpu_s, row.peak_mb)
        cells = [f"{n:.0f}" if np.isfinite(n) else "-" for n in numbers]
        error = row.error.replace("|", "/")
        lines.append([row.method, row.version or "-", str(row.seed), *cells, error or "-"])
    threads = sorted({row.threads for row in costs})
    yield Table(
        "What each method cost",
        ["method", "version", "seed", "method s", "wall s", "CPU s", "peak MiB", "error"],
        lines,
        [
            "A published method learns from the section's known cells, then generates: both are"
            f" counted, with {', '.join(map(str, threads))} thread(s). GeST was trained before, on"
            " other sections: only its generation is counted, in the process of the benchmark. The"
            " machine may have been shared: CPU s is what the process itself used.",
        ],
    )
