"""The response head: how a cell's state depends on its neighbours, given its identity."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from napari_gest.files import SAFETENSORS, write_bytes
from napari_gest.model.about import RESPONSE, Damaged, damaged_model
from napari_gest.model.tensors import TensorFile

IDENTITY = 2  # index of the vocabulary's label level that is a cell's identity
REMOVE_RESPONSE = f"Remove {RESPONSE}: a response is then fitted on the section at hand."
_TINY = 1e-9
_LOWEST = {"square": 0.0, "freedom": 0.0, "spread": 1e-30, "width_um": 1e-30}


@dataclass(frozen=True, eq=False)
class ResponseHead:
    """Sums over training cells that give the response to any edit in closed form.

    For a cell of identity ``c`` (the coarse label of its meta cell) let ``y`` be its expression
    and ``x`` the expression of its neighbours, summed with a Gaussian of distance. Both are in
    genes of unit standard deviation, and GeST's own prediction at the cell's position is
    regressed out of both. The slope of ``y_g`` on the dose ``x . v`` of an edit in direction
    ``v`` is ``(v' X'Y)_g / (v' X'X v)``; over the genes of an identity it is shrunk by empirical
    Bayes.

    Attributes
    ----------
    gram
        (C, G, G) float32, X'X of each identity.
    cross
        (C, G, G) float32, X'Y.
    square
        (C, G) float32, the diagonal of Y'Y.
    freedom
        (C,) float32, degrees of freedom: cells minus regressors.
    spread
        (G,) float32, standard deviation of each gene, model space.
    width_um
        (1,) float32, standard deviation of the Gaussian.
    """

    gram: NDArray[np.float32]
    cross: NDArray[np.float32]
    square: NDArray[np.float32]
    freedom: NDArray[np.float32]
    spread: NDArray[np.float32]
    width_um: NDArray[np.float32]

    def slopes(
        self, direction: NDArray[np.float64], silent: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return slopes and their errors, both (C, G), in standard deviations per unit of dose.

        Parameters
        ----------
        direction
            (G,) of unit length, in genes of unit standard deviation.
        silent
            (G,) genes excluded from the estimate of the shrinkage: the edited ones, whose spatial
            autocorrelation is not a response.

        Returns
        -------
        slope
            Shrunk by empirical Bayes over the genes of an identity.
        error
            Standard error of the slope, shrunk by the same factor.
        """
        xy = np.einsum("g,cgh->ch", direction, self.cross, dtype=np.float64)
        xx = np.einsum("g,cgh,h->c", direction, self.gram, direction, dtype=np.float64)[:, None]
        usable = (xx > _TINY) & (self.freedom[:, None] > 1)
        xx = np.where(usable, xx, 1.0)
        slope = xy / xx
        noise = np.maximum(self.square - slope * xy, 0) / np.maximum(self.freedom[:, None], 1) / xx
        counted = ~silent & (self.square > _TINY).any(0)
        if not counted.any():
            counted = np.ones_like(silent)
        signal = np.maximum((slope**2 - noise)[:, counted].mean(1, keepdims=True), 0)
        share = np.where(usable, signal / np.maximum(signal + noise, _TINY), 0.0)
        return share * slope, share * np.sqrt(noise)

    def write(self, folder: Path, *, overwrite: bool = False) -> None:
        """Write the head beside a model's other files, completely or not at all."""
        arrays = {f.name: np.ascontiguousarray(getattr(self, f.name)) for f in fields(self)}
        write_bytes(folder / RESPONSE, save(arrays), SAFETENSORS, overwrite=overwrite)

    @classmethod
    def read(cls, folder: Path) -> ResponseHead | None:
        """Read the head of a model folder; None if it has none.

        Raises
        ------
        CheckpointError
            If the file is damaged.
        """
        try:
            if not (folder / RESPONSE).exists():
                return None
            with TensorFile(folder / RESPONSE) as file:
                names = [f.name for f in fields(cls)]
                file.require_names(names)
                c, g = (*file.shapes["square"], 0, 0)[:2]
                shapes = ((c, g, g), (c, g, g), (c, g), (c,), (g,), (1,))
                file.require(dict(zip(names, shapes, strict=True)))
                return cls(**{n: file.floats(n, _LOWEST.get(n)).numpy() for n in names})
        except (Damaged, OSError) as error:
            raise damaged_model(folder, error, REMOVE_RESPONSE) from error
