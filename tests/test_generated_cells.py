"""Generated cells are no observations (decision 31): every reader leaves them out, unless asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from typer.testing import CliRunner, Result

from napari_gest import cli, keys
from napari_gest.errors import InputError, ReadingError
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.check import check_generation
from napari_gest.tasks.generation.generate import generate
from napari_gest.tasks.labels.annotate import annotate, labels_from_obs, train_head
from napari_gest.tasks.niches.cluster import cluster_niches
from napari_gest.tasks.niches.embed import embed_niches
from napari_gest.tasks.niches.niche_tree import niche_tree
from napari_gest.tasks.perturbation.influence import influence
from napari_gest.tasks.perturbation.perturb import perturb
from napari_gest.tasks.perturbation.respond import fit_response
from napari_gest.tasks.perturbation.significance import significance
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.reading import Reading
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section

pytestmark = pytest.mark.usefixtures("short_field")

GENERATED_TOO = Reading(layer=keys.EXPRESSION, scale="log1p", include_generated=True)
N_NEW = 12


def middle(section: Section, radius_um: float) -> np.ndarray:
    return np.linalg.norm(section.coords_um - section.coords_um.mean(0), axis=1) < radius_um


@pytest.fixture(scope="module")
def measured(_simulated: AnnData) -> AnnData:
    """One section."""
    return _simulated[_simulated.obs["section"] == "section_1"].copy()


@pytest.fixture(scope="module")
def filled(measured: AnnData, tiny_model: GeST) -> AnnData:
    """The same, with cells that were generated again and new ones, three draws."""
    section = Section.from_anndata(measured)
    rng = np.random.default_rng(0)
    new = section.coords_um.mean(0) + rng.normal(0, 40, (N_NEW, 2))
    made = generate(
        section, tiny_model, middle(section, 50), new_coords_um=new, mode="sample", draws=3, field=0
    )
    return made.to_anndata(measured)


def embedding(section: Section, model: GeST) -> Any:
    return embed_niches(section, model).embedding


def niches(section: Section, model: GeST) -> Any:
    found = cluster_niches(embed_niches(section, model), 3)
    return np.r_[found.labels, found.report().to_numpy(object).ravel()].astype(str)


def tree(section: Section, model: GeST) -> Any:
    return niche_tree(embed_niches(section, model), n_leaves=6).merges


def labels(section: Section, model: GeST) -> Any:
    learned = train_head(model, [section], [(section.coords_um[:, 0] > 0).astype(object)])
    return annotate(section, learned).probability


def effect(section: Section, model: GeST) -> Any:
    edit = Edit("gene_3", "set", 60.0)
    found = perturb(section, model, middle(section, 60), [edit], reach_um=60.0, bands_um=(0, 60))
    table = significance(found, n_permutations=19).table
    return table[["n_cells", "effect", "pvalue"]].to_numpy()


def response(section: Section, model: GeST) -> Any:
    fitted = fit_response(model, [section]).response
    assert fitted is not None
    return fitted.gram


def neighbours(section: Section, model: GeST) -> Any:
    return influence(section, model, 7, n_random=3).influence


def expected(section: Section, model: GeST) -> Any:
    return generate(section, model, middle(section, 80)).expression


READERS: list[Callable[[Section, GeST], Any]] = [
    *(embedding, niches, tree, labels, effect, response, neighbours, expected)
]


@pytest.mark.parametrize("read", READERS)
def test_a_reader_gives_what_it_gives_of_the_file_without_them(
    measured: AnnData, filled: AnnData, tiny_model: GeST, read: Callable[[Section, GeST], Any]
) -> None:
    assert filled.obs[keys.NEW_CELL].sum() == N_NEW
    without, default = (
        read(Section.from_anndata(adata), tiny_model) for adata in (measured, filled)
    )
    np.testing.assert_array_equal(without, default)
    too = np.asarray(read(Section.read(GENERATED_TOO, filled), tiny_model))
    assert too.shape != without.shape or (too != without).any()


def test_the_check_hides_measured_cells_alone(tiny_model: GeST) -> None:
    from napari_gest.tissue.simulate import simulate

    adata = simulate(1500, 30, 1, seed=0)
    section = Section.from_anndata(adata)
    new = section.coords_um[:40] + 3.0
    nothing = np.zeros(section.n_obs, bool)
    filled = generate(section, tiny_model, nothing, new_coords_um=new).to_anndata(adata)
    hole = middle(
        section, np.sort(np.linalg.norm(section.coords_um - section.coords_um.mean(0), axis=1))[40]
    )
    made = [
        check_generation(Section.from_anndata(a), tiny_model, hole, n_patches=4)
        for a in (adata, filled)
    ]
    pd.testing.assert_frame_equal(made[0].table, made[1].table)
    assert made[0].verdict == made[1].verdict
    every = Section.read(GENERATED_TOO, filled)
    with_them = check_generation(
        every, tiny_model, np.append(hole, np.zeros(40, bool)), n_patches=4
    )
    assert not with_them.table.equals(made[0].table)


def test_what_counts_as_an_observation_depends_on_the_matrix(
    measured: AnnData, filled: AnnData
) -> None:
    again = filled.obs[keys.GENERATED].to_numpy() & ~filled.obs[keys.NEW_CELL].to_numpy()
    assert again.any()
    # Cells that were generated again keep what was measured of them in X.
    section = Section.from_anndata(filled)
    assert section.digest == Section.from_anndata(measured).digest
    assert section.rows.tolist() == list(range(measured.n_obs))
    assert len(section.generated_um) == N_NEW
    assert section.generated_from == ""
    # In what generation wrote they are generated.
    counts = Section.from_anndata(filled, layer=keys.COUNTS)
    assert counts.rows.tolist() == np.flatnonzero(~filled.obs[keys.GENERATED]).tolist()
    assert len(counts.generated_um) == N_NEW + again.sum()
    every = Section.from_anndata(filled, layer=keys.COUNTS, include_generated=True)
    assert every.n_obs == filled.n_obs
    assert every.generated_from == "layer gest_counts, draw 1 of 3"
    assert not len(every.generated_um)
    assert Section.read(every.reading, filled).digest == every.digest


def test_a_section_names_the_draw_it_was_read_from(filled: AnnData, tiny_model: GeST) -> None:
    read = {
        layer: Section.from_anndata(filled, layer=layer, scale="log1p", include_generated=True)
        for layer in (keys.EXPRESSION, "gest_draw_2", "gest_draw_3")
    }
    told = [section.generated_from for section in read.values()]
    assert told == [f"layer {layer}, draw {i} of 3" for i, layer in enumerate(read, 1)]
    assert len({section.digest for section in read.values()}) == 3
    written = filled.copy()
    embed_niches(read["gest_draw_2"], tiny_model).write(written)
    assert list(written.uns[keys.NICHE_EMBEDDED]["generated_from"]) == [told[1]]
    weighted = filled.copy()
    weighted.uns[keys.UNS] = {"mode": "weighted"}
    assert Section.read(GENERATED_TOO, weighted).generated_from == f"layer {keys.EXPRESSION}"


def test_x_holds_nothing_of_new_cells(filled: AnnData) -> None:
    with pytest.raises(ReadingError, match="X holds no values of 12 generated cells") as caught:
        Section.from_anndata(filled, include_generated=True)
    assert caught.value.option == "layer"
    assert keys.COUNTS in caught.value.remedy
    alone = filled[filled.obs[keys.NEW_CELL]].copy()
    with pytest.raises(ReadingError, match="none was measured"):
        Section.from_anndata(alone)


def test_cells_that_are_to_be_generated_again_are_not_left_out(filled: AnnData) -> None:
    place = filled.obsm["spatial"][-N_NEW:]
    around = Roi.from_vertices(
        [place.mean(0) + 300 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])]
    )
    assert Section.from_anndata(filled, unseen=around).n_obs == filled.n_obs
    marked = filled.copy()
    column = np.zeros(filled.n_obs, object)
    column[:3], column[-2], column[-1] = True, True, np.nan  # as joining files leaves it
    marked.obs["hole"] = pd.Series(column, index=marked.obs_names, dtype=object)
    section = Section.from_anndata(marked, unseen="hole")
    assert filled.n_obs - 2 in section.rows
    assert len(section.generated_um) == N_NEW - 1


def test_labels_of_new_cells_are_none(filled: AnnData) -> None:
    labelled = filled.copy()
    labelled.obs["kind"] = "a"
    own = labels_from_obs(labelled, "kind")
    assert [x is None for x in own] == labelled.obs[keys.NEW_CELL].tolist()
    assert list(labels_from_obs(labelled, "kind", np.array([0, labelled.n_obs - 1]))) == ["a", None]
    every = labels_from_obs(labelled, "kind", include_generated=True)
    assert set(every) == {"a"}


# The command line


@pytest.fixture
def folder(measured: AnnData, filled: AnnData, tiny_model: GeST, tmp_path: Path) -> Path:
    write_tissue(measured, tmp_path / "measured.h5ad")
    write_tissue(filled, tmp_path / "filled.h5ad")
    tiny_model.save(tmp_path / "tiny")
    section = Section.from_anndata(measured)
    learned = train_head(
        tiny_model, [section], [measured.obs["cell_type"].astype(str).to_numpy(object)]
    )
    learned.save(tmp_path / "labelled")
    ring = section.coords_um.mean(0) + 60 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    Roi.from_vertices([ring]).write_geojson(tmp_path / "roi.geojson")
    (tmp_path / "edits.csv").write_text("gene,op,value\ngene_3,set,60\n")
    return tmp_path


def command(folder: Path, which: str, file: str, *more: object) -> Result:
    """Run a command on a file; what it writes is called as the file is, with ``out-`` before it."""
    tissue, table = folder / f"out-{file}.h5ad", folder / f"out-{file}.csv"
    roi, edits = folder / "roi.geojson", folder / "edits.csv"
    wanted = {
        "niches": ("--model", folder / "tiny", "--n-niches", 3, "--out", tissue),
        "annotate": ("--model", folder / "labelled", "--out", tissue),
        "perturb": (
            *("--model", folder / "tiny", "--roi", roi, "--edits", edits, "--table", table),
            *("--reach-um", 60, "--bands-um", "0,60", "--permutations", 19),
        ),
    }
    words = [which, folder / f"{file}.h5ad", *wanted[which], *more]
    return CliRunner().invoke(cli.app, [str(word) for word in words])


@pytest.mark.parametrize("which", ["niches", "annotate", "perturb"])
def test_commands_leave_generated_cells_out_and_say_so(folder: Path, which: str) -> None:
    plain, default = (command(folder, which, name) for name in ("measured", "filled"))
    assert plain.exit_code == default.exit_code == 0, default.output
    assert "generated cells" not in plain.stderr
    assert "'section_1': 12 generated cells are left out (--include-generated" in default.stderr
    if which == "perturb":
        tables = [pd.read_csv(folder / f"out-{name}.csv") for name in ("measured", "filled")]
        pd.testing.assert_frame_equal(*tables)
        return
    key = {"niches": keys.NICHE, "annotate": keys.LABEL}[which]
    one, two = (
        read_tissue(folder / f"out-{name}.h5ad").obs[key] for name in ("measured", "filled")
    )
    assert two.iloc[: len(one)].tolist() == one.tolist()
    assert two.iloc[len(one) :].isna().all()


def test_commands_take_generated_cells_where_they_are_asked_to(folder: Path) -> None:
    refused = command(folder, "niches", "filled", "--include-generated")
    assert refused.exit_code == 1
    assert "Name a layer" in refused.stderr
    found = []
    for layer, draw in ((keys.EXPRESSION, 1), ("gest_draw_3", 3)):
        asked = ("--include-generated", "--scale", "log1p", "--layer", layer, "--overwrite")
        done = command(folder, "niches", "filled", *asked)
        assert done.exit_code == 0, done.output
        assert f"generated cells are from layer {layer}, draw {draw} of 3." in done.stderr
        made = read_tissue(folder / "out-filled.h5ad")
        assert made.obs[keys.NICHE].notna().all()
        about = made.uns[keys.NICHE_EMBEDDED]["generated_from"]
        assert list(np.atleast_1d(about)) == [f"layer {layer}, draw {draw} of 3"]
        found.append(made.obsm[keys.NICHE_EMBEDDING])
    assert not np.array_equal(*found)


def test_a_draw_that_is_not_there_is_refused(measured: AnnData, tiny_model: GeST) -> None:
    section = Section.from_anndata(measured)
    made = generate(section, tiny_model, middle(section, 50), mode="sample", draws=2, field=0)
    with pytest.raises(InputError, match="draw is 3"):
        made.of_draw(3)
