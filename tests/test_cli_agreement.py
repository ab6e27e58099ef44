"""What the command line says of columns, and of agreement with cells that a model knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from cli_runs import told

from napari_gest.model.gest import GeST
from napari_gest.model.training_cells import TrainingCells
from napari_gest.tasks.labels.annotate import labels_from_obs, train_head
from napari_gest.tissue.fingerprint import fingerprints
from napari_gest.tissue.io import write_tissue
from napari_gest.tissue.section import Section

pytestmark = pytest.mark.usefixtures("short_field")


@pytest.fixture
def file(tissue: AnnData, section: Section, tmp_path: Path) -> Path:
    far = np.hypot(*(tissue.obsm["spatial"] - section.coords_um.mean(0)).T) > 70
    tissue.obs["hole"] = ~far
    write_tissue(tissue, tmp_path / "in.h5ad")
    return tmp_path / "in.h5ad"


def knowing(model: GeST, section: Section, cells: np.ndarray) -> GeST:
    """Return a model that was trained on some cells of a section."""
    seen = fingerprints(section.subset(cells).expression, section.genes)
    return replace(model, training_cells=TrainingCells(seen, np.empty(0, np.uint32)))


def test_generate_says_how_many_cells_the_model_knew(
    file: Path, tissue: AnnData, section: Section, tiny_model: GeST, tmp_path: Path
) -> None:
    hole = np.flatnonzero(tissue.obs["hole"].to_numpy()[section.rows])
    asked = ("generate", file, "--section", "section_1", "--mask-key", "hole", "--overwrite")
    for known, words in (
        (hole, "was trained on these cells"),
        (hole[:4], f"was trained on 4 of these {len(hole)} cells"),
        (np.setdiff1d(np.arange(section.n_obs), hole), None),
    ):
        model = knowing(tiny_model, section, known).save(tmp_path / "m", overwrite=True)
        code, text = told(*asked, "--model", model, "--out", tmp_path / "out.h5ad")
        assert code == 0, text
        assert "agreement with" in text
        assert (words in text) if words else ("was trained on" not in text)


@pytest.fixture
def labelled(tiny_model: GeST, section: Section, tissue: AnnData, tmp_path: Path) -> Path:
    """A model whose label layer was trained on section 1, and its network on nothing."""
    names = labels_from_obs(tissue, "cell_type", section.rows)
    nothing = knowing(tiny_model, section, np.empty(0, np.int64))
    return train_head(nothing, [section], [names]).save(tmp_path / "labelled")


def test_annotate_says_whether_the_labels_were_known(
    file: Path, labelled: Path, tissue: AnnData, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "out.h5ad")
    code, text = told("annotate", file, "--model", labelled, "--compare-with", "cell_type", *out)
    assert code == 0, text
    first, second = text.split("section 'section_2'")
    assert "was trained on these cells" in first
    assert "macro-F1" in second
    assert "was trained on" not in second


def test_names_that_no_label_has_are_refused(
    file: Path, labelled: Path, tissue: AnnData, tmp_path: Path
) -> None:
    out = tmp_path / "out.h5ad"
    asked = ("annotate", file, "--model", labelled, "--out", out)
    code, text = told(*asked, "--compare-with", "region")
    assert code == 1
    assert "no name in common" in text
    assert "--compare-with" in text
    assert not out.exists()
    tissue.obs["some"] = tissue.obs["cell_type"].where(tissue.obs["section"] == "section_1")
    write_tissue(tissue, file, overwrite=True)
    code, text = told(*asked, "--compare-with", "some")
    assert code == 0, text
    assert "no cell has a name to compare with" in text.split("section 'section_2'")[1]


@pytest.mark.parametrize(
    ("command", "option"),
    [("generate", "--type-key"), ("niches", "--describe-by"), ("annotate", "--compare-with")],
)
def test_the_option_of_a_missing_column_is_named(
    file: Path, labelled: Path, tmp_path: Path, command: str, option: str
) -> None:
    further = {"generate": ("--mask-key", "hole", "--section", "section_1"),
               "niches": ("--n-niches", 3), "annotate": ()}[command]  # fmt: skip
    asked = (command, file, "--model", labelled, "--out", tmp_path / "out.h5ad")
    code, text = told(*asked, *further, option, "nope")
    assert code == 1
    assert "no obs column 'nope'" in text
    assert f"({option})." in text
    assert "--label-key" not in text
