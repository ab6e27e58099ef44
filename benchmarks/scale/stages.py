"""One stage of work on a tissue on disk; prints what it took as JSON."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gest.memory import one_heap
from napari_gest.model.gest import GeST
from napari_gest.tissue.io import read_tissue
from napari_gest.tissue.packed_names import packed_names
from napari_gest.tissue.section import Section

if TYPE_CHECKING:
    from napari_gest.tasks.generation.generate import GenerateRequest

_HOLE = 1000
_FIT_STEPS = 20
_NICHES = 10
_GENES = 5


def main(stage: str, path: Path, model: Path) -> None:
    """Run a stage, as the command line would, and print its cost."""
    if stage != "view":
        one_heap()
    print(json.dumps(WORK[stage](path, model)))


class Taken:
    """Seconds of the clock and of the processor since it was made."""

    def __init__(self) -> None:
        self._clock, self._processor = time.perf_counter(), time.process_time()

    def told(self) -> dict[str, float]:
        return {
            "seconds": time.perf_counter() - self._clock,
            "cpu_s": time.process_time() - self._processor,
        }


def opened(path: Path) -> Section:
    return Section.from_anndata(read_tissue(path, lazy=True), lazy=True)


def fit(path: Path, model: Path) -> dict[str, float]:
    """Fit a model in a few steps; the first is kept for the other stages."""
    from napari_gest.model.config import ModelConfig
    from napari_gest.tasks.progress import finish
    from napari_gest.tasks.training.train import FitRequest
    from napari_gest.tasks.training.train_config import TrainConfig

    section = opened(path)
    taken = Taken()
    config = TrainConfig(n_steps=_FIT_STEPS, validate_every=_FIT_STEPS)
    made = finish(FitRequest([section], ModelConfig(), config, 0).run())
    told = taken.told()
    if not model.exists():
        made.model.save(model)
    return told


def open_(path: Path, _model: Path) -> dict[str, float]:
    """Open the tissue and index its cells, as generation needs them."""
    taken = Taken()
    section = opened(path)
    section.order, section.geometry  # noqa: B018
    return taken.told()


def tokenise(path: Path, model: Path) -> dict[str, float]:
    """Look up the meta cell of every cell: ten bytes a cell with its position."""
    from napari_gest.tissue.expression import log_normalize_sparse

    section, loaded = opened(path), GeST.load(str(model))
    taken = Taken()
    tokens = np.empty(section.n_obs, np.int16)
    coords = section.coords_um.astype(np.float32)
    for part, values in section.blocks():
        own = loaded.tokenizer.project(log_normalize_sparse(values, loaded.target_sum))
        tokens[part] = loaded.tokenizer.nearest(own)
    told = taken.told()
    return told | {"bytes_a_cell": (tokens.nbytes + coords.nbytes) / section.n_obs}


def embed(path: Path, model: Path) -> dict[str, float]:
    """Embed the niche of every cell."""
    from napari_gest.tasks.niches.embed import embed_niches

    section, loaded = opened(path), GeST.load(str(model))
    taken = Taken()
    embed_niches(section, loaded)
    return taken.told()


def cluster(path: Path, model: Path) -> dict[str, float]:
    """Cluster embeddings, which are made before."""
    from napari_gest.tasks.niches.cluster import cluster_niches
    from napari_gest.tasks.niches.embed import embed_niches

    embedded = embed_niches(opened(path), GeST.load(str(model)))
    taken = Taken()
    cluster_niches(embedded, _NICHES)
    return taken.told()


def asked(section: Section, model: Path) -> GenerateRequest:
    """Return the request to fill a hole in the middle of the first tile."""
    from napari_gest.tasks.generation.generate import GenerateRequest

    section.order, section.geometry  # noqa: B018
    middle = np.median(section.coords_um[:10_000], axis=0)
    far = np.hypot(*(section.coords_um - middle).T)
    unseen = np.zeros(section.n_obs, bool)
    unseen[np.argpartition(far, _HOLE)[:_HOLE]] = True
    return GenerateRequest(section, GeST.load(str(model)), unseen)


def generate(path: Path, model: Path) -> dict[str, float]:
    """Fill a hole."""
    request = asked(opened(path), model)
    taken, first = Taken(), None
    for tick in request.run():
        if first is None and tick.payload is not None:
            first = taken.told()
    told: dict[str, Any] = taken.told()
    first = first or {}
    return told | {"first_s": first.get("seconds"), "first_cpu_s": first.get("cpu_s")}


def write(path: Path, model: Path) -> dict[str, float]:
    """Write a copy of the tissue with a hole filled."""
    from napari_gest.tasks.progress import finish

    adata = read_tissue(path, lazy=True)
    section = Section.from_anndata(adata, lazy=True)
    request = asked(section, model)
    with packed_names(adata):
        made = finish(request.run())
    del request
    out = path.with_name(f"{path.stem}-filled.zarr")
    taken = Taken()
    made.write_copy(adata, out, overwrite=True)
    told = taken.told()
    shutil.rmtree(out)
    return told


def view(path: Path, _model: Path) -> dict[str, float]:
    """Open the tissue in a window, and colour it by other genes."""
    from napari_gest.widgets.display import has_display

    if not has_display():
        raise SystemExit("there is no screen")
    from benchmarks.window.canvas import Window

    taken = Taken()
    window = Window(path)
    told = taken.told() | {"seconds": window.open_s}
    genes = window.context.scene.active.section.genes[:_GENES]
    recolour_ms = [window.ms(lambda g=gene: window.show(gene=g)) for gene in genes]
    window.close()
    return told | {"recolour_s": float(np.median(recolour_ms)) / 1e3}


def neighbour_means(path: Path, _model: Path) -> dict[str, float]:
    """The rival: all of X in memory, principal components, means over neighbours, k-means."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.decomposition import TruncatedSVD

    from napari_gest.tissue.expression import log_normalize_sparse
    from napari_gest.tissue.neighbours import Neighbours

    section = Section.from_anndata(read_tissue(path))
    taken = Taken()
    values = log_normalize_sparse(section.expression, 1e4)
    parts = TruncatedSVD(30, random_state=0).fit_transform(values).astype(np.float32)
    means = Neighbours.of(section.coords_um).mean(parts, own=True)
    MiniBatchKMeans(_NICHES, n_init=3, random_state=0).fit(means)
    return taken.told()


WORK: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "fit": fit,
    "open": open_,
    "tokenise": tokenise,
    "embed": embed,
    "cluster": cluster,
    "generate": generate,
    "write": write,
    "view": view,
    "neighbour-mean PCA": neighbour_means,
}

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
