"""Seconds until an effect can be painted: ``python -m benchmarks.perturbation.painted``.

Arguments: MODEL N READOUT.

Tissue is open and torch is not imported yet, as in a viewer before the first run. Prints the
seconds of a first run, including the loading of the model, and of a second one with another edit.
Processor seconds are printed too; they do not depend on other work on the machine.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from napari_gest.app.model_registry import BUNDLED
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate

N_CELLS, N_EDITED = 6000, 60


def main(name: str, n_around: int, readout: str) -> None:
    """Time two runs."""
    genes = json.loads((BUNDLED / name / "config.json").read_text(encoding="utf-8"))["genes"]
    section = Section.from_anndata(simulate(N_CELLS, len(genes), 1, 0, genes=genes))
    far = np.linalg.norm(section.coords_um - section.coords_um.mean(0), axis=1)
    order = np.argsort(far)
    roi = np.zeros(section.n_obs, bool)
    roi[order[:N_EDITED]] = True
    from scipy.spatial import cKDTree

    around = cKDTree(section.coords_um[roi]).query(section.coords_um)[0]
    reach = float(np.sort(around[~roi])[n_around - 1])
    started = time.perf_counter(), time.process_time()
    from napari_gest.model.gest import GeST
    from napari_gest.tasks.perturbation.perturb import perturb
    from napari_gest.tasks.threads import share_processors

    share_processors()
    model = GeST.load(name)
    for factor in (4.0, 0.25):
        edit = Edit(genes[0], "multiply", factor)
        made = perturb(section, model, roi, [edit], readout=readout, reach_um=reach)
        assert len(made.index) == n_around
        print(time.perf_counter() - started[0], time.process_time() - started[1])
        started = time.perf_counter(), time.process_time()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
