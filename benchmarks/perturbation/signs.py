"""Signs that are reported on planted worlds: how many, how many wrong, and an oracle beside."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.common.table import Table
from benchmarks.common.training import RUNS
from benchmarks.perturbation.command import wilson
from benchmarks.perturbation.worlds import Plan, anatomy_of, make_world, plain_tissue
from napari_gest.files import JSON, write_text
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.tasks.perturbation.false_signs import SIGN_LEVEL, SignModel, s_values
from napari_gest.tasks.perturbation.local_slopes import LocalSlopes, local_slopes
from napari_gest.tasks.perturbation.perturb import ALL, PerturbRequest
from napari_gest.tasks.perturbation.respond import Residuals, ResponseRequest, with_response
from napari_gest.tasks.perturbation.significance import signs_of
from napari_gest.tasks.progress import finish
from napari_gest.tasks.training.train import TrainConfig, fit
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.section import Section, section_names

# Anatomies 0 to 2 and seeds below 100 were for development (docs/decisions/0041).
WORLDS = range(1000, 1090)
NULLS = range(2000, 2040)
_ANATOMIES = (100, 101, 102, 103)
_HIGH = 0.95  # the ligand is set to this quantile of the cells that have it
OURS = "lfsr"
PLAIN, SAME = "oracle, regression", "oracle, our regression"


@dataclass(frozen=True)
class Size:
    """How large worlds are, and how long the models learn that stand for bundled ones."""

    n_cells: int = 9000
    n_sections: int = 3
    n_genes: int = 120
    n_steps: int = 60

    @classmethod
    def quick(cls) -> Size:
        """Return a size that takes a minute."""
        return cls(2400, 2, 40, 20)


@dataclass(frozen=True)
class Judged:
    """One method in one world: a rate for each gene but the ligand, and whether it was wrong.

    A sign is wrong where the gene is no target, or moves the other way.
    """

    method: str
    rate: list[float]
    wrong: list[bool]
    reported: list[bool]


@dataclass(frozen=True)
class World:
    """What came of one world."""

    seed: int
    silent: bool
    n_targets: int
    directions_right: int
    n_common: int
    judged: list[Judged]


def run_world(size: Size, seed: int, *, silent: bool, step: Callable[[str], None]) -> World:
    """Make a world, edit its ligand, and judge the signs that are reported; kept in ``runs/``."""
    kept = RUNS / "perturbation" / "signs" / f"{'null' if silent else 'world'}-{seed}-{size}.json"
    kept = kept.with_name(kept.name.replace(" ", ""))
    if kept.exists():
        held = json.loads(kept.read_text())
        return World(**{**held, "judged": [Judged(**j) for j in held["judged"]]})
    anatomy = _ANATOMIES[seed % len(_ANATOMIES)]
    model = _model(anatomy, size, step)
    step(f"{'null' if silent else 'world'} {seed}")
    adata, plan = make_world(
        anatomy_of(anatomy, size.n_genes), size.n_cells, size.n_sections, seed, silent=silent
    )
    sections = [Section.from_anndata(adata, name) for name in section_names(adata)]
    tissue = finish(ResponseRequest(sections, model).run())
    ligand = str(adata.var_names[adata.var["role"] == "ligand"][0])
    level = adata[:, ligand].X.toarray().ravel()
    edit = Edit(ligand, "set", float(np.quantile(level[level > 0], _HIGH)))
    section = sections[0]
    roi = adata.obs["roi"].to_numpy()[section.rows]
    request = PerturbRequest(section, with_response(model, tissue), roi, (edit,))
    result = finish(request.run())
    tested = np.arange(adata.n_vars) != list(adata.var_names).index(ligand)
    truth = np.sign(adata.var["log_fold"].to_numpy())[tested]
    effect = result.effects()
    sign = np.sign(effect.loc[effect["band"] == ALL, "effect"].to_numpy())[tested]
    rate = signs_of(result, tissue)[0].false_rate(np.insert(sign, np.flatnonzero(~tested), 0))
    judged = [_judged(OURS, rate[tested], sign != truth)]
    if not silent:
        order = np.concatenate([s.ordered().rows for s in sections])
        kinds = adata.obs["cell_type"].cat.codes.to_numpy()[order].astype(np.int64)
        for method, slopes in _oracles(tissue, plan, kinds, (~tested).astype(float)):
            doses = np.bincount(kinds, minlength=len(slopes.slope)).astype(float)
            signs = SignModel.fit(slopes.slope, slopes.error, tested).signs(doses)
            best = np.sign(signs.rises - signs.falls)
            judged.append(_judged(method, signs.false_rate(best)[tested], best[tested] != truth))
    targets = truth != 0
    world = World(
        seed,
        silent,
        int(targets.sum()),
        int((sign == truth)[targets].sum()),
        plan.n_common,
        judged,
    )
    write_text(kept, json.dumps(asdict(world)), JSON, parents=True)
    return world


def run_worlds(
    size: Size, seeds: Sequence[int], null_seeds: Sequence[int], step: Callable[[str], None]
) -> tuple[list[World], list[World]]:
    """Run worlds and null runs in turn, so that those that are done stand for the rest."""
    worlds, nulls = [], []
    for i in range(max(len(seeds), len(null_seeds))):
        if i < len(seeds):
            worlds.append(run_world(size, seeds[i], silent=False, step=step))
        if i < len(null_seeds):
            nulls.append(run_world(size, null_seeds[i], silent=True, step=step))
    return worlds, nulls


def _judged(method: str, rate: NDArray[np.float64], wrong: NDArray[np.bool_]) -> Judged:
    return Judged(method, rate.tolist(), wrong.tolist(), (s_values(rate) <= SIGN_LEVEL).tolist())


def _model(anatomy: int, size: Size, step: Callable[[str], None]) -> GeST:
    """Return GeST trained on other sections of the anatomy, in which nothing signals."""
    folder = RUNS / "perturbation" / f"worlds-{anatomy}-{size.n_genes}-{size.n_steps}"
    if folder.exists():
        return GeST.load(folder)
    step(f"training on anatomy {anatomy}")
    n = size.n_cells // size.n_sections * 2
    tissue = plain_tissue(anatomy_of(anatomy, size.n_genes), n, 2, anatomy)
    model = fit(
        [Section.from_anndata(tissue, name) for name in section_names(tissue)],
        ModelConfig(n_layers=2, dropout=0.1, n_meta_cells=256),
        TrainConfig(n_steps=size.n_steps),
        seed=anatomy,
        name=f"worlds {anatomy}",
    )
    model.save(folder)
    return model


def _oracles(
    tissue: Residuals, plan: Plan, kinds: NDArray[np.int64], direction: NDArray[np.float64]
) -> list[tuple[str, LocalSlopes]]:
    """Return what is found by regressions that know the reach, its shape, and true cell types."""
    near = sparse.block_diag(
        [plan.weights(tissue.coords_um[tissue.section == s]) for s in np.unique(tissue.section)],
        format="csr",
    )
    n_kinds = int(kinds.max()) + 1
    known = replace(tissue, near=near, identity=kinds, n_identities=n_kinds)
    return [(PLAIN, _plain(known, direction)), (SAME, local_slopes(known, direction))]


def _plain(tissue: Residuals, direction: NDArray[np.float64]) -> LocalSlopes:
    """Regress each gene on the dose as measured, GeST's prediction and depth, type by type."""
    level = tissue.values.astype(np.float64) @ direction
    dose = tissue.near @ (level - level.min())
    sections = (tissue.section[:, None] == np.unique(tissue.section)).astype(float)
    shape = (tissue.n_identities, len(direction))
    slope, error = np.zeros(shape), np.full(shape, np.inf)
    for c in np.unique(tissue.identity):
        i = tissue.identity == c
        if i.sum() < 100:
            continue
        known = np.column_stack([sections[i], tissue.explained[i], tissue.depth[i]])
        both = np.column_stack([dose[i], tissue.values[i]])
        both = both - known @ np.linalg.lstsq(known, both, rcond=None)[0]
        x, y = both[:, 0], both[:, 1:]
        slope[c] = x @ y / (x @ x)
        left = np.square(y - np.outer(x, slope[c])).sum(0)
        error[c] = np.sqrt(left / (i.sum() - known.shape[1] - 1) / (x @ x))
    return LocalSlopes(slope, error, np.zeros(tissue.n_identities, np.int64))


def tables(worlds: Sequence[World], nulls: Sequence[World]) -> list[Table]:
    """Return what was reported as a table."""
    rows = []
    right = sum(w.directions_right for w in worlds)
    n_targets = sum(w.n_targets for w in worlds)
    for method, what in (
        (OURS, "lfsr, s-value 5 % (`reported`)"),
        (SAME, "oracle: our regression with the true reach and types"),
        (PLAIN, "oracle: plain regression on the true reach and types"),
    ):
        n, bad, some = _count(worlds, method)
        found, _, quiet = _count(nulls, method)
        low, high = wilson(bad, n) if n else (0.0, 1.0)
        share = f"{bad / n:.1%} [{low:.1%}, {high:.1%}]" if n else "none"
        none, in_them = "not run", ""
        if any(j.method == method for w in nulls for j in w.judged):
            low, high = wilson(len(nulls) - quiet, len(nulls))
            none = f"{len(nulls) - quiet} of {len(nulls)} [{low:.1%}, {high:.1%}]"
            in_them = str(found)
        rows.append(
            [
                what,
                str(n),
                str(bad),
                share,
                f"{(n - bad) / max(n_targets, 1):.1%}",
                f"{some} of {len(worlds)}",
                str(at_rate(worlds, method)),
                none,
                in_them,
            ]
        )
    common = sum(w.n_common > 0 for w in worlds)
    return [
        Table(
            "Signs reported on planted worlds",
            [
                "rule",
                "signs",
                "wrong",
                "share wrong",
                "recall",
                "worlds with a sign",
                "signs at 5 % truly wrong",
                "null runs with none",
                "signs in them",
            ],
            rows,
            [
                f"{len(worlds)} worlds (seeds {_range(worlds)}) of {n_targets} targets, {common} of"
                f" them with common causes; {len(nulls)} null runs (seeds {_range(nulls)}), common"
                " causes included. Reach, dose, depth and targets are drawn anew for each. Wrong:"
                " a gene that is no target, or a target that moves the other way. 95 % Wilson"
                " intervals.",
                f"The effect has the direction of {right} of {n_targets} targets"
                f" ({right / max(n_targets, 1):.1%}).",
                "Signs at 5 % truly wrong: as many as a rule could report, genes of all worlds"
                " ranked together, before more than 5 % were wrong; no user can know that cut.",
            ],
        )
    ]


def _count(worlds: Sequence[World], method: str) -> tuple[int, int, int]:
    """Return signs, wrong signs, and worlds with a sign."""
    mine = [j for w in worlds for j in w.judged if j.method == method]
    signs = [np.asarray(j.reported) for j in mine]
    wrong = [np.asarray(j.wrong) & s for j, s in zip(mine, signs, strict=True)]
    return (
        int(sum(s.sum() for s in signs)),
        int(sum(w.sum() for w in wrong)),
        sum(bool(s.any()) for s in signs),
    )


def at_rate(worlds: Sequence[World], method: str, share: float = SIGN_LEVEL) -> int:
    """Return how many signs of the lowest rates there are before more than a share is wrong."""
    mine = [j for w in worlds for j in w.judged if j.method == method]
    rate = np.concatenate([j.rate for j in mine]) if mine else np.empty(0)
    if not len(rate):
        return 0
    wrong = np.concatenate([j.wrong for j in mine])[np.argsort(rate, kind="stable")]
    shares = np.cumsum(wrong) / np.arange(1, len(wrong) + 1)
    return int(np.flatnonzero(shares <= share).max(initial=-1)) + 1


def _range(worlds: Sequence[World]) -> str:
    seeds = sorted(w.seed for w in worlds)
    return f"{seeds[0]} to {seeds[-1]}" if seeds else "none"
