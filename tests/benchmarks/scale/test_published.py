"""Published methods on an atlas: what they are given, and what becomes of their limits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.rivals.registry import METHODS, NICHES, rivals
from benchmarks.scale import atlas, published
from benchmarks.scale.published import READ_OUT, Limits, run_published

_SCRIPT = """
import sys
sys.path.insert(0, {methods!r})
import door
import numpy as np

def run(adata, n_clusters, seed, visium):
    {body}
    names = [name for name in ("", "k-means") if door.wanted(name)]
    assert names == ["k-means"]
    return dict.fromkeys(names, np.arange(adata.n_obs) % n_clusters)

door.niches(run)
"""


@pytest.fixture
def tissue(tmp_path: Path) -> Path:
    atlas.simulate_to(tmp_path / "in.zarr", 130, n_genes=20, tile=130)
    return tmp_path / "in.zarr"


def _use(monkeypatch: pytest.MonkeyPatch, folder: Path, body: str) -> None:
    script = folder / "method.py"
    script.write_text(_SCRIPT.format(methods=str(METHODS), body=body))
    (rival,) = rivals(NICHES, ["GraphST"])

    class Here(type(rival)):  # type: ignore[misc]
        python = Path(sys.executable)

    here = Here(**{**vars(rival), "script": script})
    monkeypatch.setattr(published, "rivals", lambda *_: [here])


def test_a_method_gets_the_cells_and_is_asked_for_one_clustering(
    tissue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use(monkeypatch, tissue.parent, "assert adata.shape == (130, 20) and n_clusters == 10")
    taken = run_published("GraphST", tissue, Limits())
    assert taken.error == ""
    assert taken.seconds >= 0
    assert taken.peak_mb > 50
    assert not list(tissue.parent.glob("*.npz"))


def test_a_method_that_wants_too_much_memory_fails_with_its_error(
    tissue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use(monkeypatch, tissue.parent, "np.zeros((100_000, 100_000)).sum()")
    taken = run_published("GraphST", tissue, Limits(memory_gb=8.0))
    assert "Unable to allocate" in taken.error


def test_a_method_that_takes_too_long_is_ended(
    tissue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use(monkeypatch, tissue.parent, "while True: pass")
    taken = run_published("GraphST", tissue, Limits(minutes=0.1))
    assert taken.error == "not done after 6 s of the processor"


def test_every_method_that_is_run_is_a_rival() -> None:
    for name in READ_OUT:
        assert [rival.name for rival in rivals(NICHES, [name])] == [name]
