"""Measured tissue as the decoder reads it around a point."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from napari_gest.model.decoder import Context
from napari_gest.model.devices import Device
from napari_gest.model.gest import GeST
from napari_gest.tasks.perturbation.counterfactual import model_space
from napari_gest.tissue.pool import Pool
from napari_gest.tissue.section import Section
from napari_gest.tissue.window import reach


class Around:
    """The measured cells around points of a section, pooled and encoded as generation does.

    Cells are read once, when they are first met, so that asking around one point is quick.

    Parameters
    ----------
    section, model
        The tissue and the model.
    device
        Where the network computes, as in ``GenerateRequest``.
    """

    def __init__(self, section: Section, model: GeST, device: Device = "auto") -> None:
        self.section, self.source, self.device = section, model, device
        self.model = model.on(device)
        self.tree = cKDTree(section.coords_um[section.order])
        self.geometry = section.geometry
        self._token = np.full(section.n_obs, -1, np.int64)

    @cached_property
    def _table(self) -> Tensor:
        return self.model.network.table()

    def tokens(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return (m,) the meta cells of cells (m,)."""
        new = cells[self._token[cells] < 0]
        if len(new):
            values, measured = model_space(self.section, self.model, new)
            self._token[new] = self.model.tokenizer.tokens(values, measured)
        return self._token[cells]

    @torch.inference_mode()
    def context(
        self, centre: NDArray[np.float64], hidden: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], Pool, Context]:
        """Return the cells around a point, the nearest first, their pool, and it encoded.

        Parameters
        ----------
        centre
            (2,) um.
        hidden
            (m,) cells that are not to be seen.
        """
        n, coords = self.model.config.window_cells, self.section.coords_um
        n_near = reach(n, self.model.config.pooled_context)
        k = min(n_near + len(hidden), self.tree.n)
        near = self.section.order[np.atleast_1d(self.tree.query(centre, k=k)[1])]
        near = near[~np.isin(near, hidden)][:n_near]
        pool = Pool.around(coords[near] - centre, n)
        shares = pool.shares(self.tokens(near), self.model.tokenizer.n_meta_cells)
        at = centre + pool.mean(coords[near] - centre)
        device = self.model.device
        context = self.model.network.encode(
            self._table,
            torch.from_numpy(shares)[None].to(device),
            self.model.positions(at, centre)[None].to(device),
            mass=torch.from_numpy(pool.mass)[None].to(device),
            geometry=torch.from_numpy(pool.mean(self.geometry(near))).to(device),
        )
        return near, pool, context

    def query(self, cells: NDArray[np.int64], centre: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """Return positions (1, m, 2) in half windows and geometry (m, n_geometry) of cells."""
        xy = self.model.positions(self.section.coords_um[cells], centre)[None]
        geometry = torch.from_numpy(self.geometry(cells))
        return xy.to(self.model.device), geometry.to(self.model.device)
