"""How far to trust generation in a region: measured patches are hidden, generated and compared.

Some patches that resemble the region choose the share of the section's field. The others are
held out and report. The model was trained on neither.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_gest.errors import InputError
from napari_gest.limits import check_number
from napari_gest.model.devices import Device
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.check_report import Check, Scored
from napari_gest.tasks.generation.generate import FIELD_SHARE, GenerateRequest
from napari_gest.tasks.progress import Progress, finish, relay
from napari_gest.tissue.expression import log_normalize
from napari_gest.tissue.fingerprint import fingerprints
from napari_gest.tissue.patches import Patch, look_alike_patches
from napari_gest.tissue.section import Section

SHARES = (0.0, 0.35, 0.7, 1.0)
NEIGHBOURS = (15, 30, 60, 120, 250)
# The default share is kept unless another lowers the error by this fraction.
_MARGIN = 2e-3
MOST_HIDDEN = 0.2  # of the known cells, at a time
_FEW = 4  # patches; with fewer, smaller patches are tried
ROUNDS = 2  # runs, each of which hides half of the patches
_UNTRAINED = 0.5  # share of the known cells below which a model was trained on the section
_LEAST_DEPTH = 3.0  # distances between neighbouring cells


@dataclass(frozen=True, eq=False)
class CheckRequest:
    """A check of generation in one region.

    Attributes
    ----------
    section, model, unseen, new_coords_um, seed, device
        As in ``GenerateRequest``.
    n_patches
        Look-alike patches wanted, half of which choose and half of which report.
    """

    section: Section
    model: GeST
    unseen: NDArray[np.bool_]
    new_coords_um: NDArray[np.float64] | None = None
    seed: int = 0
    n_patches: int = 16
    device: Device = "auto"

    def check(self) -> None:
        """Raise InputError if the region cannot be generated, or there are too few patches."""
        check_number("n_patches", self.n_patches, 2, 1000, whole=True)
        GenerateRequest(
            self.section,
            self.model,
            self.unseen,
            seed=self.seed,
            new_coords_um=self.new_coords_um,
            device=self.device,
        ).check()

    def untrained(self) -> NDArray[np.bool_]:
        """Return (n_obs,) bool: cells that the model has not seen in training."""
        return self._untrained

    @cached_property
    def _untrained(self) -> NDArray[np.bool_]:
        return untrained_cells(self.section, self.model)

    def run(self) -> Generator[Progress, None, Check]:
        """Generate the patches; yields as generation does, returns the check.

        Raises
        ------
        InputError
            If no patch of untrained, measured cells resembles the region.
        """
        self.check()
        yield Progress("Looking for look-alike patches", 0, 1)
        visible = np.flatnonzero(~self.unseen)
        patches = self.patches()
        scored: list[Scored] = []
        region: Scored | None = None
        # Few patches are hidden at a time, so that each is surrounded by known cells.
        for number in range(ROUNDS):
            part = patches[number::ROUNDS]
            if not part:
                break
            hidden = self.unseen.copy()
            for patch in part:
                hidden[visible[patch.cells]] = True
            stage = f"Checking on measured patches ({number + 1} of {ROUNDS})"
            made = yield from hide_and_generate(
                self.section,
                self.model,
                hidden,
                self.untrained(),
                self.seed,
                stage,
                self.new_coords_um,
                self.device,
            )
            scored += [made.scored(visible[patch.cells]) for patch in part]
            if region is None:
                region = made.region(self.unseen)
        assert region is not None
        # Again in the order of similarity, so that choosing and reporting patches are comparable.
        order = [i for number in range(ROUNDS) for i in range(number, len(patches), ROUNDS)]
        scored = [scored[order.index(i)] for i in range(len(patches))]
        reporting, choosing = scored[0::2], scored[1::2]
        share = choose_share(choosing) if made.field is not None else 0.0
        return Check.of(
            reporting,
            region,
            share=share,
            neighbours=choose_neighbours(choosing),
            genes=self.model.genes,
            measured=made.measured,
            known=made.values[visible],
            known_um=self.section.coords_um[visible],
            n_choosing=len(choosing),
            trained_here=bool(self.untrained()[visible].mean() < _UNTRAINED),
        )

    def patches(self) -> list[Patch]:
        """Return look-alike patches of untrained cells, indices among the known cells."""
        known, untrained = self.section.subset(~self.unseen), self.untrained()[~self.unseen]
        check_untrained(untrained, self.model)
        depth = self._depth()
        spacing = known.geometry.spacing_um
        radius = max(float(depth.max()) + spacing / 2, _LEAST_DEPTH * spacing)
        region = self.section.coords_um[self.unseen]
        if self.new_coords_um is not None:
            region = np.concatenate([region, self.new_coords_um])
        aligned, _ = known.align(self.model.genes)
        features = self.model.tokenizer.project(log_normalize(aligned, self.model.target_sum))
        most = int(ROUNDS * MOST_HIDDEN * known.n_obs)
        found: list[Patch] = []
        # If too few patches of the region's size fit, smaller ones are used.
        while len(found) < min(_FEW, self.n_patches) and radius >= _LEAST_DEPTH * spacing:
            smaller = look_alike_patches(
                known.coords_um,
                features,
                region,
                radius,
                self.n_patches,
                allowed=untrained,
                most_cells=most,
            )
            found = max(found, smaller, key=len)
            radius *= 0.8
        if len(found) < 2:
            raise InputError(
                "No two patches of untrained, measured tissue resemble the region.",
                "Check a smaller region, or one that is surrounded by more tissue.",
            )
        return found

    def _depth(self) -> NDArray[np.float64]:
        """Return um from each cell of the region to the nearest known cell."""
        region = self.section.coords_um[self.unseen]
        if self.new_coords_um is not None:
            region = np.concatenate([region, self.new_coords_um])
        return np.asarray(cKDTree(self.section.coords_um[~self.unseen]).query(region)[0])


def untrained_cells(section: Section, model: GeST) -> NDArray[np.bool_]:
    """Return (n_obs,) bool: cells of a section that a model has not seen in training.

    A model may lack fingerprints of its training cells. Then no cell counts as untrained if the
    model's card names this section, and all cells do otherwise.
    """
    kept = model.training_cells
    if kept is not None:
        return ~kept.seen(fingerprints(section.expression, section.genes))
    trained = {str(s.get("name")) for s in model.card.get("sections", []) if isinstance(s, dict)}
    return np.full(section.n_obs, section.name not in trained)


def check_untrained(untrained: NDArray[np.bool_], model: GeST) -> None:
    """Raise InputError if a model was trained on all cells on which it could be checked."""
    if not untrained.any():
        raise InputError(
            f"'{model.name}' was trained on every known cell of this section.",
            "A check on these cells would be too optimistic. Check with a model of other sections,"
            " or fit one here from nothing, not from a base or model: that leaves patches for it.",
        )


def hide_and_generate(
    section: Section,
    model: GeST,
    hidden: NDArray[np.bool_],
    untrained: NDArray[np.bool_],
    seed: int,
    stage: str,
    new_coords_um: NDArray[np.float64] | None = None,
    device: Device = "auto",
) -> Generator[Progress, None, Made]:
    """Generate hidden cells, and new ones, from all others.

    Parameters
    ----------
    section, model, seed, new_coords_um, device
        As in ``GenerateRequest``.
    hidden
        (n_obs,) bool.
    untrained
        (n_obs,) bool, cells that the model has not seen.
    stage
        Name of the stage in the progress.
    """
    request = GenerateRequest(
        section, model, hidden, seed=seed, new_coords_um=new_coords_um, device=device
    )
    run = request.begin()
    yield from relay(run.fill(), lambda tick: replace(tick, stage=stage, payload=None))
    field = yield from relay(run.fit_field(), lambda tick: replace(tick, stage=stage, payload=None))
    place = np.full(section.n_obs, -1)
    place[run.index] = np.arange(len(run.index))
    return Made(
        section,
        log_normalize(
            section.expression_of(np.arange(section.n_obs), model.genes), model.target_sum
        ),
        run.measured,
        run.coords,
        hidden,
        untrained,
        place,
        run.mean_of,
        field,
    )


@dataclass(frozen=True, eq=False)
class Made:
    """The generated values of a section's hidden cells, and the values of the others."""

    section: Section
    values: NDArray[np.float32]  # (n_obs, G) model space
    measured: NDArray[np.bool_]
    coords: NDArray[np.float64]  # (m, 2) of the generated cells
    hidden: NDArray[np.bool_]
    untrained: NDArray[np.bool_]
    place: NDArray[np.int64]  # (n_obs,) index of each hidden cell among the generated ones
    decoder: NDArray[np.float32]  # (m, G)
    field: NDArray[np.float32] | None

    def scored(self, cells: NDArray[np.int64]) -> Scored:
        """Return the scores of a patch, for its untrained cells alone."""
        cells = cells[self.untrained[cells]]
        return self._filled(self.place[cells], self.values[cells])

    def region(self, unseen: NDArray[np.bool_]) -> Scored:
        """Return the region, whose truth is not known."""
        new = np.arange(self.hidden.sum(), len(self.coords))
        places = np.concatenate([self.place[unseen], new])
        return self._filled(places, np.full((len(places), self.values.shape[1]), np.nan))

    def _filled(self, places: NDArray[np.int64], truth: NDArray[np.floating]) -> Scored:
        visible = np.flatnonzero(~self.hidden)
        tree = cKDTree(self.section.coords_um[visible])
        most = min(max(NEIGHBOURS), tree.n)
        distance, near = tree.query(self.coords[places], k=[*range(1, most + 1)])
        near = visible[near]
        return Scored(
            coords_um=self.coords[places],
            truth=truth.astype(np.float32),
            decoder=self.decoder[places],
            field=None if self.field is None else self.field[places],
            neighbours={
                k: np.stack([self.values[row[:k]].mean(0) for row in near]) for k in NEIGHBOURS
            },
            depth_um=distance[:, 0],
        )


def choose_share(patches: list[Scored]) -> float:
    """Return the share of the field with the lowest error on the patches that choose.

    The error of each gene is divided by its variance in the patches. The default share is kept
    unless another is better by more than chance would give.
    """
    truth = np.concatenate([p.truth for p in patches])
    spread = truth.var(0)
    varies = spread > 1e-9
    error = {
        share: float(
            np.mean(
                np.concatenate([np.square(p.expected(share) - p.truth) for p in patches]).mean(0)[
                    varies
                ]
                / spread[varies]
            )
        )
        for share in SHARES
    }
    best = min(error, key=error.__getitem__)
    return best if error[best] < error[FIELD_SHARE] - _MARGIN else FIELD_SHARE


def choose_neighbours(patches: list[Scored]) -> int:
    """Return the number of neighbours whose mean has the lowest error on the patches."""
    error = {
        k: float(np.mean([np.square(p.neighbours[k] - p.truth).mean() for p in patches]))
        for k in NEIGHBOURS
    }
    return min(error, key=error.__getitem__)


def check_generation(
    section: Section,
    model: GeST,
    unseen: NDArray[np.bool_],
    *,
    new_coords_um: NDArray[np.float64] | None = None,
    seed: int = 0,
    n_patches: int = 16,
    device: Device = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> Check:
    """Estimate how far generated cells of a region can be trusted, from look-alike patches.

    Parameters
    ----------
    section, model, unseen, new_coords_um, seed, device
        As for ``generate``.
    n_patches
        Look-alike patches wanted: half choose, half report.
    on_progress
        Called at each step.

    Returns
    -------
    The check. Its ``field`` is the chosen share of the field, its ``table`` has one row per gene,
    and its ``verdict`` says the result in words.

    Raises
    ------
    InputError
        If the region cannot be generated, or no untrained tissue resembles it.
    """
    request = CheckRequest(section, model, unseen, new_coords_um, seed, n_patches, device)
    return finish(request.run(), on_progress)
