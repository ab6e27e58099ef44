"""Where in a section generation is better than the neighbours' mean: it is hidden tile by tile.

Each tile is a hexagon as large as the region. It is hidden together with tiles that are not near
it, generated, and compared with the measured values.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_gest.errors import InputError
from napari_gest.limits import check_number
from napari_gest.model.devices import Device
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.check import (
    MOST_HIDDEN,
    NEIGHBOURS,
    check_untrained,
    hide_and_generate,
    untrained_cells,
)
from napari_gest.tasks.generation.check_map_report import CheckMap, Tiles, TileScore
from napari_gest.tasks.generation.check_report import Scored
from napari_gest.tasks.generation.generate import FIELD_SHARE, GenerateRequest
from napari_gest.tasks.progress import Clock, Progress, finish, relay
from napari_gest.tissue.area import cell_areas_um2
from napari_gest.tissue.section import Section

MOST_CELLS = 20_000  # generated in all; larger sections are represented by a sample of tiles
_FEWEST = 20  # untrained cells in a tile, for a result
_USUAL_CELLS = 80  # in a tile, if no region sets its size
_LEAST_TILES = 28  # of a section: four for each of the rounds of a complete map
_APART = 2.6  # distance between tiles that are hidden together, in widths of a tile


@dataclass(frozen=True, eq=False)
class CheckMapRequest:
    """A map of the check over a section.

    Attributes
    ----------
    section, model, seed, device
        As in ``GenerateRequest``. The seed also draws the sample of tiles.
    unseen
        (n_obs,) bool, cells that count as unknown and get no result. None by default.
    size_um
        Width of a tile. By default a tile is as large as the unseen region, or holds some 80 cells.
    most_cells
        Cells that are generated in all. If there are more, tiles are sampled at random.
    """

    section: Section
    model: GeST
    unseen: NDArray[np.bool_] | None = None
    size_um: float | None = None
    seed: int = 0
    most_cells: int = MOST_CELLS
    device: Device = "auto"

    def check(self) -> None:
        """Raise InputError if nothing can be mapped."""
        if self.size_um is not None:
            check_number("size_um", self.size_um, 1e-6, 1e9)
        check_number("most_cells", self.most_cells, _FEWEST, whole=True)
        one = np.zeros(self.section.n_obs, bool)
        one[:1] = True
        unseen = self.unseen if self.unseen is not None and self.unseen.any() else one
        GenerateRequest(
            self.section, self.model, unseen, seed=self.seed, device=self.device
        ).check()

    def run(self) -> Generator[Progress, None, CheckMap]:
        """Hide, generate and compare round by round.

        Yields
        ------
        Progress whose payload, after each round, is the ``CheckMap`` so far.
        """
        self.check()
        yield Progress("Cutting the section into tiles", 0, 1)
        known = np.ones(self.section.n_obs, bool) if self.unseen is None else ~self.unseen
        untrained = untrained_cells(self.section, self.model)
        check_untrained(untrained[known], self.model)
        tiles = Tiles.of(self.section.coords_um, known, self._size_um(known))
        counts = np.bincount(tiles.tile[known & untrained], minlength=len(tiles.centre_um))
        rounds = self._rounds(tiles, counts, int(known.sum()))
        if not rounds:
            raise InputError(
                f"No tile of {tiles.size_um:.0f} um has {_FEWEST} cells that the model has not"
                " been trained on.",
                "Give a larger size, or draw a larger region.",
            )
        clock = Clock("Checking tiles", int(np.isin(tiles.tile, np.concatenate(rounds)).sum()))
        scores: dict[int, TileScore] = {}
        spread: NDArray[np.float64] | None = None
        done = 0
        for number, hidden_tiles in enumerate(rounds, 1):
            hidden = ~known | np.isin(tiles.tile, hidden_tiles)
            n = int((hidden & known).sum())
            made = yield from relay(
                hide_and_generate(
                    self.section,
                    self.model,
                    hidden,
                    untrained,
                    self.seed,
                    clock.stage,
                    device=self.device,
                ),
                _Share(clock, done, n).tick,
            )
            if spread is None:
                spread = np.maximum(made.values[known].std(0, dtype=np.float64), 1e-6)
            for tile in hidden_tiles:
                cells = np.flatnonzero(tiles.tile == tile)
                scored = made.scored(cells)
                scores[int(tile)] = _score(scored, spread, made.measured)
            done += n
            report = CheckMap.of(tiles, scores, counts, _FEWEST)
            yield clock.tick(done, report if number < len(rounds) else None)
        return report

    def _size_um(self, known: NDArray[np.bool_]) -> float:
        """Return the width of a tile, um: of a hexagon as large as the region, or the default."""
        areas = cell_areas_um2(self.section.coords_um)
        width = float(np.sqrt(areas[known].sum() / _LEAST_TILES / _HEXAGON))
        if self.size_um is not None:
            return self.size_um
        region = float(areas[~known].sum())
        usual = areas[known].mean() * _USUAL_CELLS
        least = areas[known].mean() * 1.5 * _FEWEST
        return min(float(np.sqrt(max(region or usual, least) / _HEXAGON)), width)

    def _rounds(
        self, tiles: Tiles, counts: NDArray[np.int64], n_known: int
    ) -> list[NDArray[np.int64]]:
        """Return the tiles that are hidden in each round.

        Tiles of one round are not near each other, and hold at most a fifth of the known cells.
        """
        sizes = np.bincount(tiles.tile[tiles.tile >= 0], minlength=len(counts))
        fit = np.flatnonzero((counts >= _FEWEST) & (sizes <= MOST_HIDDEN * n_known))
        if sizes[fit].sum() > self.most_cells:
            drawn = np.random.default_rng(self.seed).permutation(fit)
            fit = drawn[np.cumsum(sizes[drawn]) <= self.most_cells]
        # A lattice of seven colours: no tile has a neighbour of its own colour.
        fit = fit[np.lexsort((fit, tiles.color[fit]))]
        rounds: list[list[int]] = []
        for tile in fit:
            for taken in rounds:
                away = np.linalg.norm(tiles.centre_um[taken] - tiles.centre_um[tile], axis=1).min()
                room = sizes[taken].sum() + sizes[tile] <= MOST_HIDDEN * n_known
                if room and away > _APART * tiles.size_um:
                    taken.append(int(tile))
                    break
            else:
                rounds.append([int(tile)])
        return [np.array(taken, np.int64) for taken in rounds]


@dataclass
class _Share:
    """Turns the progress of a round, which has two parts, into that of all: it only grows.

    Attributes
    ----------
    clock
        Of all rounds.
    before, n
        Cells of the rounds before, and of this one.
    """

    clock: Clock
    before: int
    n: int
    part: int = 0
    last: float = 0.0

    def tick(self, tick: Progress) -> Progress:
        """Return how far all rounds are: cells are decoded first, then a field is fitted."""
        share = tick.done / max(tick.total, 1)
        if share < self.last:
            self.part = 1
        self.last = share
        of_round = _DECODED * share if self.part == 0 else _DECODED + (1 - _DECODED) * share
        return self.clock.tick(self.before + round(self.n * min(of_round, 1.0)))


_DECODED = 0.3  # of a round: the rest takes the field
_HEXAGON = np.sqrt(3) / 2  # area of a hexagon over the square of its width


def _score(scored: Scored, spread: NDArray[np.float64], measured: NDArray[np.bool_]) -> TileScore:
    """Return the errors of a tile's cells, in units of each gene's variance over cells."""

    def error(made: NDArray[np.float32]) -> NDArray[np.float64]:
        z = ((made - scored.truth) / spread)[:, measured]
        return np.asarray(np.square(z).mean(1), np.float64)

    local = {k: error(scored.neighbours[k]) for k in NEIGHBOURS}
    return TileScore(error(scored.expected(FIELD_SHARE)), local)


def check_map(
    section: Section,
    model: GeST,
    *,
    unseen: NDArray[np.bool_] | None = None,
    size_um: float | None = None,
    seed: int = 0,
    most_cells: int = MOST_CELLS,
    device: Device = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> CheckMap:
    """Map where in a section generated cells are better than the mean of the nearest known cells.

    The section is cut into hexagonal tiles. Each is hidden once, together with tiles that are not
    near it, and generated from the rest. The error of a tile is its squared error in units of each
    gene's variance, a mean over genes. The gain of a tile is ``1 - error / error of the mean of the
    nearest known cells``. The number of nearest cells is the best over all tiles, which favours
    that mean. Cells that the model was trained on do not count.

    A single tile is noisy. Its expected gain is its own gain, shrunk towards the mean over tiles as
    far as noise within tiles explains the differences between tiles. Neighbouring cells resemble
    each other, so the real noise is somewhat larger.

    Parameters
    ----------
    section, model, unseen, size_um, seed, most_cells, device
        As in ``CheckMapRequest``.
    on_progress
        Called at each step.

    Raises
    ------
    InputError
        If the model was trained on all cells, or tiles are too small for a result.
    """
    request = CheckMapRequest(section, model, unseen, size_um, seed, most_cells, device)
    return finish(request.run(), on_progress)
