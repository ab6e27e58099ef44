"""Tissue that no base was trained on, with holes for development and others for the one test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.common.datasets import VALIDATION_SEED, Loaded, Source, Split, load
from napari_gest.tissue.section import Section

RADII_UM = (100.0, 200.0, 300.0)


@dataclass(frozen=True)
class Tissue:
    """A data set that the base has not seen.

    Attributes
    ----------
    file
        Its file.
    development, test
        Sections whose holes are looked at while a method is made, and those that are scored once.
        One that stands in both has other holes in the test.
    """

    file: str
    development: tuple[str, ...]
    test: tuple[str, ...]

    def loaded(self, part: str, seed: int, cells: int) -> Loaded:
        """Return the sections with holes in them; training sees what is outside the holes.

        Parameters
        ----------
        part
            ``"development"`` or ``"test"``.
        seed
            Of the holes.
        cells
            As many around the middle of each section; 0 for all.
        """
        names = self.test if part == "test" else self.development
        split = Split(self.file, (), Source(self.file, names))
        first = seed if part == "test" else VALIDATION_SEED + seed
        whole = load(split, seed=first, radii_um=RADII_UM)
        if not cells:
            return whole
        test = _cropped(whole.test, cells)
        known = [s.subset(_outside(s, replace(whole, test=test))) for s in test]
        return replace(whole, test=test, train=known)


def _cropped(sections: Sequence[Section], cells: int) -> list[Section]:
    """Return the ``cells`` cells nearest to the middle of each section."""
    cropped = []
    for section in sections:
        off = np.linalg.norm(section.coords_um - np.median(section.coords_um, axis=0), axis=1)
        near = np.zeros(section.n_obs, bool)
        near[np.argsort(off, kind="stable")[:cells]] = True
        cropped.append(section.subset(near))
    return cropped


def _outside(section: Section, loaded: Loaded) -> np.ndarray:
    return np.logical_and.reduce([case.hole.known for case in loaded.test_cases(section)])


TISSUES = {
    "molcart": Tissue("molcart_cortex_100g.h5ad", ("A2",), ("B1",)),
    "pancreas": Tissue(
        "xenium_pancreas_south_377g.h5ad", ("south_west_tumour",), ("south_east_acinar",)
    ),
    "mop": Tissue("merfish_mop_254g.h5ad", ("slice1",), ("slice10", "slice200")),
    "starmap": Tissue("starmap_mpfc_166g.h5ad", ("BZ5",), ("BZ9", "BZ14")),
    "osmfish": Tissue("osmfish_sscortex_33g.h5ad", ("osmfish_SScortex",), ("osmfish_SScortex",)),
    "iss": Tissue("iss_ca1_92g.h5ad", ("ca1_iss",), ("ca1_iss",)),
    "her2st": Tissue("her2st_patients_AtoF.h5ad", ("E1", "E2"), ("F1", "F2", "F3")),
    "dlpfc": Tissue("visium_dlpfc_3s_2000g.h5ad", ("151673",), ("151674",)),
}
