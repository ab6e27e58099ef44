"""The result of a map of the check: the expected gain of each tile of a section."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from napari_gest import keys
from napari_gest.files import table_kind

if TYPE_CHECKING:
    from anndata import AnnData

COLUMNS = (
    "x_um", "y_um", "n_cells", "n_checked", "trained", "error", "neighbours_error", "gain",
    "gain_sd", "expected_gain",
)  # fmt: skip
CHECK_MAP_TABLE = table_kind("a table of a map of the check", ("tile", *COLUMNS))
_STEPS = 7  # colours of the lattice


@dataclass(frozen=True, eq=False)
class TileScore:
    """Errors of the cells of a tile that was hidden, in units of each gene's variance.

    Attributes
    ----------
    error
        (m,) error of the generated cells, a mean over genes.
    local
        (m,) error of the mean of the k nearest known cells, by k.
    """

    error: NDArray[np.float64]
    local: dict[int, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Tiles:
    """Hexagons that a section is cut into.

    Attributes
    ----------
    centre_um
        (t, 2) um, (x, y).
    color
        (t,) 0 to 6: tiles of one colour are not neighbours and have no common neighbour.
    tile
        (n_obs,) tile of each known cell, -1 for other cells.
    size_um
        Distance between the centres of neighbouring tiles.
    """

    centre_um: NDArray[np.float64]
    color: NDArray[np.int64]
    tile: NDArray[np.int64]
    size_um: float

    @classmethod
    def of(cls, coords_um: NDArray[np.float64], known: NDArray[np.bool_], size_um: float) -> Tiles:
        """Cut the known cells of a section into hexagons."""
        place = coords_um[known] - coords_um[known].min(0)
        down = size_um * np.sqrt(3) / 2
        # The hexagon of a cell has the nearest centre, in the row above or below.
        row = np.floor(place[:, 1] / down).astype(np.int64)
        near = []
        for j in (row, row + 1):
            i = np.rint(place[:, 0] / size_um - j / 2).astype(np.int64)
            centre = np.stack([(i + j / 2) * size_um, j * down], 1)
            near.append((i, j, np.linalg.norm(place - centre, axis=1)))
        first = near[0][2] <= near[1][2]
        index = np.stack(
            [np.where(first, a, b) for a, b in zip(*[n[:2] for n in near], strict=True)], 1
        )
        found, of_cell = np.unique(index, axis=0, return_inverse=True)
        centre = np.stack([(found[:, 0] + found[:, 1] / 2) * size_um, found[:, 1] * down], 1)
        tile = np.full(len(known), -1, np.int64)
        tile[known] = of_cell.ravel()
        color = (found[:, 0] + 3 * found[:, 1]) % _STEPS
        return cls(centre + coords_um[known].min(0), color, tile, float(size_um))


@dataclass(frozen=True, eq=False)
class CheckMap:
    """Where in a section generated cells are better than the mean of the nearest known cells.

    Attributes
    ----------
    table
        One row per tile: its centre, um; ``n_cells`` in it, and ``n_checked``, those that the model
        has not seen; ``trained``, whether too few of those are left for a result; ``error`` of the
        generated cells and ``neighbours_error`` of the local mean, in units of each gene's
        variance, a mean over genes; ``gain``, ``1 - error / neighbours_error``, and its standard
        error ``gain_sd``; ``expected_gain``, shrunk towards the mean over tiles. Values are missing
        for tiles that were not checked.
    tile
        (n_obs,) tile of each cell, -1 where it is in none.
    size_um
        Width of a tile.
    neighbours
        Number of cells in the local mean.
    """

    table: pd.DataFrame
    tile: NDArray[np.int64]
    size_um: float
    neighbours: int

    @classmethod
    def of(
        cls,
        tiles: Tiles,
        scores: dict[int, TileScore],
        n_checked: NDArray[np.int64],
        fewest: int,
    ) -> CheckMap:
        """Report on the tiles that were hidden so far.

        Parameters
        ----------
        tiles, scores
            All tiles, and the errors of some.
        n_checked
            (t,) cells of each tile that can be checked.
        fewest
            Smallest number of such cells for which a tile has a result.
        """
        choices = next(iter(scores.values())).local
        total = {k: sum(float(s.local[k].sum()) for s in scores.values()) for k in choices}
        k = min(total, key=total.__getitem__)
        n = len(tiles.centre_um)
        size = np.bincount(tiles.tile[tiles.tile >= 0], minlength=n)
        columns = {name: np.full(n, np.nan) for name in COLUMNS[5:]}
        for tile, score in scores.items():
            own, local = score.error, score.local[k]
            columns["error"][tile] = own.mean()
            columns["neighbours_error"][tile] = local.mean()
            columns["gain"][tile] = 1 - own.mean() / local.mean()
            # Standard error of a ratio of means.
            rest = local * own.mean() / local.mean() - own
            columns["gain_sd"][tile] = rest.std() / np.sqrt(len(rest)) / local.mean()
        columns["expected_gain"] = _drawn_together(columns["gain"], columns["gain_sd"])
        table = pd.DataFrame(
            {
                "x_um": tiles.centre_um[:, 0],
                "y_um": tiles.centre_um[:, 1],
                "n_cells": size,
                "n_checked": n_checked,
                "trained": (size >= fewest) & (n_checked < fewest),
                **columns,
            },
            index=pd.RangeIndex(n, name="tile"),
        )
        return cls(table, tiles.tile, tiles.size_um, k)

    @cached_property
    def gain_of_cells(self) -> NDArray[np.float32]:
        """(n_obs,) expected gain of the tile of each cell, NaN where there is no result."""
        of_tile = np.append(self.table["expected_gain"].to_numpy(np.float32), np.nan)
        return np.asarray(of_tile[self.tile], np.float32)

    @property
    def polygons(self) -> list[shapely.Polygon]:
        """The hexagon of each tile, um, axis order (x, y)."""
        turn = np.pi / 6 + np.arange(6) * np.pi / 3
        corners = self.size_um / np.sqrt(3) * np.stack([np.cos(turn), np.sin(turn)], 1)
        centres = self.table[["x_um", "y_um"]].to_numpy()
        return [shapely.Polygon(centre + corners) for centre in centres]

    @property
    def verdict(self) -> str:
        """The map in plain sentences."""
        table = self.table
        said = table["expected_gain"].dropna()
        large = int((table["n_checked"] > 0).sum())
        lines = [
            f"A gain over the mean of {self.neighbours} neighbours is expected in"
            f" {int((said > 0).sum())} of {len(said)} tiles of {self.size_um:.0f} um."
        ]
        if len(said):
            lines.append(
                f"It is {said.median():.1%} of the error in the median tile and"
                f" {said.max():.1%} at best."
            )
        trained = int(table["trained"].sum())
        if trained:
            lines.append(f"The model was trained on {trained} tiles, which have no result.")
        left = large - len(said) - trained
        if left > 0:
            lines.append(f"{left} tiles were not checked: too few cells, or left out to save time.")
        return " ".join(lines)

    def write(self, adata: AnnData, rows: NDArray[np.int64]) -> frozenset[str]:
        """Write the expected gain of each cell into ``obs``; returns the key that changed.

        Parameters
        ----------
        adata
            The tissue.
        rows
            (n_obs,) rows of the section's cells.
        """
        column = np.full(adata.n_obs, np.nan, np.float32)
        if keys.CHECK_GAIN in adata.obs:
            column = adata.obs[keys.CHECK_GAIN].to_numpy(np.float32, copy=True)
        column[rows] = self.gain_of_cells
        adata.obs[keys.CHECK_GAIN] = column
        return frozenset({keys.CHECK_GAIN})


def _drawn_together(gain: NDArray[np.float64], sd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (t,) gains shrunk towards their mean as far as noise explains their differences."""
    there = np.isfinite(gain)
    out = np.full(len(gain), np.nan)
    if not there.any():
        return out
    noise = np.maximum(np.square(sd[there]), 1e-12)
    mean = float(np.average(gain[there], weights=1 / (noise + gain[there].var())))
    between = max(float(np.mean(np.square(gain[there] - mean) - noise)), 0.0)
    out[there] = mean + between / (between + noise) * (gain[there] - mean)
    return out
