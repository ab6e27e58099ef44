"""Work on parts of a tissue: the same numbers whoever does it, and a worker that is killed."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks import workers as module
from napari_gest.tasks.niches.embed import EmbedRequest, embed_niches
from napari_gest.tasks.progress import finish
from napari_gest.tasks.workers import HERE, DaskWorkers, Here, workers
from napari_gest.tissue import rows
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.section import Section


def test_by_default_all_is_done_here_when_it_is_asked_for() -> None:
    with workers() as doing:
        assert isinstance(doing, Here)
        asked: list[int] = []
        made = doing.map(lambda x: asked.append(x) or 2 * x, range(3))
        assert next(made) == 0
        assert asked == [0]
        assert list(made) == [2, 4]
    assert "distributed" not in vars(module)


def test_a_scheduler_has_its_own_workers() -> None:
    with pytest.raises(InputError, match="Both"), workers("tcp://nowhere:1", 2):
        pass


def test_without_dask_the_remedy_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"napari-gest\[scale\]"), workers(n_workers=2):
        pass


def test_a_scheduler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    monkeypatch.setattr(module, "_SECONDS", 0.5)
    with pytest.raises(InputError, match=r"tcp://127\.0\.0\.1:1"), workers("tcp://127.0.0.1:1"):
        pass


@pytest.fixture(scope="module")
def two() -> Iterator[DaskWorkers]:
    """Two processes of their own."""
    pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    with workers(n_workers=2) as doing:
        assert isinstance(doing, DaskWorkers)
        yield doing


def stored(tissue: AnnData, file: Path) -> Section:
    write_tissue(tissue, file)
    return Section.from_anndata(read_tissue(file, lazy=True), "section_1", lazy=True)


def test_processes_open_the_file_themselves_and_one_may_be_killed(
    two: DaskWorkers,
    tissue: AnnData,
    tiny_model: GeST,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rows, "STEP", 25)
    monkeypatch.setattr(rows, "BLOCK", 25)
    section = stored(tissue, tmp_path / "in.h5ad")
    known = embed_niches(section, tiny_model)
    pids = two._client.run(os.getpid)
    assert len({os.getpid(), *pids.values()}) == 3
    killed: list[int] = []

    def kill(_tick: object) -> None:
        if not killed:
            killed.append(next(iter(pids.values())))
            os.kill(killed[0], signal.SIGTERM if os.name == "nt" else signal.SIGKILL)

    made = finish(EmbedRequest(section, tiny_model, workers=two).run(), kill)
    assert killed
    np.testing.assert_array_equal(made.embedding, known.embedding)
    np.testing.assert_array_equal(made.covariance, known.covariance)
    two._client.wait_for_workers(2, timeout=120)
    assert killed[0] not in two._client.run(os.getpid).values()


def test_cells_in_memory_travel_too(two: DaskWorkers, tissue: AnnData, tiny_model: GeST) -> None:
    section = Section.from_anndata(tissue, "section_1")
    made = finish(EmbedRequest(section, tiny_model, "expression", workers=two).run())
    known = finish(EmbedRequest(section, tiny_model, "expression", workers=HERE).run())
    np.testing.assert_array_equal(made.embedding, known.embedding)


@pytest.mark.parametrize("name", ["in.h5ad", "in.zarr"])
def test_a_part_travels_as_the_place_of_its_file(
    tissue: AnnData, tmp_path: Path, name: str
) -> None:
    section = stored(tissue, tmp_path / name)
    part = next(section.parts(section.genes)[1])
    packed = pickle.dumps(part)
    assert len(packed) < section.expression.nnz
    again = pickle.loads(packed)
    assert (again[:] != part[:]).nnz == 0
    os.utime(tmp_path / name, ns=(0, 0))
    with pytest.raises(InputError, match="has changed meanwhile"):
        pickle.loads(packed)
    (tmp_path / name).rename(tmp_path / f"moved{name}")
    with pytest.raises(InputError, match="does not find"):
        pickle.loads(packed)


def test_an_error_of_a_worker_is_the_users(two: DaskWorkers) -> None:
    with pytest.raises(InputError, match="too bad") as told:
        list(two.map(_fail, [1]))
    assert told.value.remedy == "Do better."


def _fail(_item: int) -> None:
    raise InputError("It is too bad.", "Do better.")
