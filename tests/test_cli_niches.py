"""Real runs of ``niches``, ``annotate`` and the labels of ``fine-tune``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from typer.testing import CliRunner, Result

from napari_gest import cli, keys
from napari_gest.cli import niches as niche_commands
from napari_gest.model.gest import GeST
from napari_gest.tasks.niches.cluster import cluster_niches
from napari_gest.tasks.niches.embed import EmbedRequest, embed_niches
from napari_gest.tissue import on_disk
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.rows import StoredMatrix, StoredRows
from napari_gest.tissue.section import Section


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


def run(*arguments: object) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 1, result.output
    cause, remedy = result.stderr.strip().splitlines()[-2:]
    assert cause.startswith("Error: ")
    assert remedy.startswith("Remedy: ")
    return cause + remedy


def test_niches_of_all_sections_together(file: Path, model: Path, tissue: AnnData) -> None:
    out = file.parent / "out.h5ad"
    arguments = ("niches", file, "--model", model, "--n-niches", 4, "--out", out)
    told = run(*arguments, "--describe-by", "cell_type", "--repeats", 1, "--seed", 2)
    assert f"4 niches of {tissue.n_obs} cells" in told
    assert "shares of cell_type" in told
    made = read_tissue(out)
    assert list(made.obs[keys.NICHE].cat.categories) == [f"niche {i}" for i in (1, 2, 3, 4)]
    assert made.obs[keys.NICHE].notna().all()
    assert made.obs.groupby(keys.NICHE, observed=True)["section"].nunique().max() == 2
    assert np.isfinite(made.obsm[keys.NICHE_EMBEDDING]).all()
    assert len(made.uns[keys.NICHE_COLORS]) == 4
    assert (made.X != tissue.X).nnz == 0
    assert "exists" in refused(*arguments)


def test_niches_of_one_section(file: Path, model: Path) -> None:
    out = file.parent / "out.h5ad"
    run("niches", file, "--model", model, "--n-niches", 3, "--section", "section_2", "--out", out)
    made = read_tissue(out)
    inside = made.obs["section"] == "section_2"
    assert made.obs[keys.NICHE].notna().to_numpy().tolist() == inside.tolist()


def test_a_resolution_finds_its_own_number_of_niches(file: Path, model: Path) -> None:
    found = []
    for resolution in (0.2, 2.0):
        out = file.parent / f"{resolution}.h5ad"
        arguments = ("niches", file, "--model", model, "--resolution", resolution, "--out", out)
        told = run(*arguments, "--repeats", 1)
        niches = read_tissue(out).obs[keys.NICHE]
        assert niches.notna().all()
        found.append(len(niches.cat.categories))
        assert f"{found[-1]} niches of" in told
    assert 1 <= found[0] < found[1]


def test_another_number_of_niches_embeds_nothing(
    file: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, again, direct = (file.parent / f"{name}.h5ad" for name in ("first", "again", "direct"))
    common = ("--model", model, "--seed", 1, "--n-niches")
    run("niches", file, *common, 3, "--out", first)
    run("niches", file, *common, 4, "--out", direct)
    embed, embedded = EmbedRequest.run, []
    monkeypatch.setattr(EmbedRequest, "run", lambda own: embedded.append(own) or embed(own))
    told = invoke("niches", first, *common, 4, "--out", again)
    assert told.exit_code == 0
    assert not embedded
    assert "'section_1' was embedded before" in told.stderr
    assert "'section_2' was embedded before" in told.stderr
    assert "before" not in told.stdout
    made, expected = read_tissue(again), read_tissue(direct)
    assert made.obs[keys.NICHE].tolist() == expected.obs[keys.NICHE].tolist()
    # Another read is another embedding.
    other = file.parent / "other.h5ad"
    run("niches", first, *common, 4, "--read", "expression", "--out", other)
    assert len(embedded) == 2
    assert read_tissue(other).uns[keys.NICHE_EMBEDDED]["settings"]["read"] == "expression"


def test_niches_of_the_papers_hidden_states(file: Path, model: Path) -> None:
    out = file.parent / "out.h5ad"
    asked = ("--read", "hidden", "--method", "kmeans", "--n-niches", 3, "--section", "section_1")
    run("niches", file, "--model", model, *asked, "--out", out)
    made = read_tissue(out)
    loaded = GeST.load(model)
    assert made.obsm[keys.NICHE_EMBEDDING].shape[1] == loaded.config.d_model
    embedded = embed_niches(Section.from_anndata(made, "section_1"), loaded, read="hidden")
    niches = cluster_niches(embedded, 3, method="kmeans")
    expected = np.array(niches.names)[niches.labels]
    assert made.obs[keys.NICHE].iloc[niches.rows].tolist() == expected.tolist()
    refused_ = ("--method", "kmeans", "--resolution", 1.0, "--out", file.parent / "o.h5ad")
    assert invoke("niches", file, "--model", model, *refused_).exit_code == 2


def test_align_is_told_and_can_be_left_out(file: Path, model: Path) -> None:
    asked = ("niches", file, "--model", model, "--n-niches", 3, "--align")
    told = invoke(*asked, "always", "--out", file.parent / "aligned.h5ad")
    assert told.exit_code == 0
    assert "--align never" in told.stderr
    told = invoke(*asked, "never", "--out", file.parent / "asis.h5ad")
    assert told.exit_code == 0
    assert "--align" not in told.stderr
    assert invoke(*asked, "often", "--out", file.parent / "o.h5ad").exit_code == 2


def test_a_table_of_niches_is_written_and_not_over_another(file: Path, model: Path) -> None:
    out, table = file.parent / "out.h5ad", file.parent / "niches.csv"
    common = ("niches", file, "--model", model, "--n-niches", 3, "--describe-by", "cell_type")
    told = run(*common, "--repeats", 1, "--out", out, "--table", table)
    made = pd.read_csv(table, index_col="niche")
    assert made["cells"].sum() == read_tissue(out).n_obs
    assert made["stability"].between(0, 1).all()
    assert (made["area_mm2"] > 0).all()
    shares = made.filter(like="share of ")
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert made["markers"].iloc[0] in told
    assert "stability" not in run(*common, "--out", file.parent / "two.h5ad")
    again = (*common, "--out", file.parent / "three.h5ad", "--table", table)
    assert "niches.csv' exists" in refused(*again)
    assert not (file.parent / "three.h5ad").exists()
    run(*again, "--overwrite")
    assert pd.read_csv(table)["stability"].isna().all()


@pytest.mark.usefixtures("unread")
def test_niches_and_their_table_are_written_though_nobody_reads_what_is_said(
    file: Path, model: Path
) -> None:
    out, table = file.parent / "out.h5ad", file.parent / "niches.csv"
    asked = ("niches", file, "--model", model, "--n-niches", 3, "--out", out, "--table", table)
    with pytest.raises(SystemExit) as ended:
        cli.main([*map(str, asked)])
    assert ended.value.code == 0
    assert keys.NICHE in read_tissue(out).obs
    assert len(pd.read_csv(table)) == 3


def test_a_table_of_niches_is_written_before_anything_is_printed(
    file: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, table = file.parent / "out.h5ad", file.parent / "niches.csv"
    asked = ("niches", file, "--model", model, "--n-niches", 3, "--out", out, "--table", table)

    def tell(text: str) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr(niche_commands, "tell", tell)
    assert isinstance(invoke(*asked).exception, RuntimeError)
    assert table.exists()


def test_niches_want_a_number_or_a_resolution(file: Path, model: Path) -> None:
    common = ("niches", file, "--model", model, "--out", file.parent / "o.h5ad")
    for options in ((), ("--n-niches", 3, "--resolution", 1.0)):
        result = invoke(*common, *options)
        assert result.exit_code == 2
    assert "nothing" in refused(*common, "--n-niches", 3, "--describe-by", "nothing")


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (("--n-niches", 5000), "n_niches is 5000.\nRemedy: Give a whole number from 2 to 600."),
        (("--resolution", 0), "resolution is 0"),
        (("--resolution", 1), "needs igraph"),
    ],
)
def test_impossible_niches_are_refused_before_any_work(
    file: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[object, ...],
    cause: str,
) -> None:
    monkeypatch.setitem(sys.modules, "igraph", None)
    common = ("niches", file, "--model", model, "--out", file.parent / "o.h5ad")
    result = invoke(*common, *options)
    assert result.exit_code == 1
    assert cause in result.stderr
    assert len(result.stderr.splitlines()) == 2  # no progress: nothing was embedded


def test_labels_are_learnt_and_carried_over(file: Path, model: Path, tissue: AnnData) -> None:
    labelled, out = file.parent / "labelled", file.parent / "out.h5ad"
    theirs = {"data": "MERFISH of a mouse", "licence": "CC-BY-9", "command": "python -m theirs"}
    start = replace(GeST.load(model), name="bundled", card={**theirs, "version": "0.0"})
    start.save(model, overwrite=True)
    common = ("fine-tune", file, "--model", model, "--section", "section_1", "--steps", 0)
    told = run(*common, "--label-key", "region", "--ignore-label", "nucleus", "--out", labelled)
    assert "labels" in told
    kept = GeST.load(labelled)
    assert kept.name == "labelled"
    assert kept.head is not None
    assert set(kept.head.classes) == set(tissue.obs["region"]) - {"nucleus"}
    assert kept.card["start"] == "bundled"
    assert {"sections", "version", "parameters"} <= set(kept.card)
    assert not set(theirs) & set(kept.card) - {"version"}
    assert not any(text in told for text in theirs.values())
    arguments = ("annotate", file, "--model", labelled, "--section", "section_2", "--out", out)
    told = run(*arguments, "--compare-with", "region")
    assert "macro-F1" in told
    made = read_tissue(out)
    inside = (made.obs["section"] == "section_2").to_numpy()
    assert made.obs[keys.LABEL].notna().to_numpy().tolist() == inside.tolist()
    assert made.obs[keys.LABEL_CONFIDENCE][inside].between(0, 1).all()


def test_labels_are_learnt_after_fine_tuning(file: Path, model: Path) -> None:
    out = file.parent / "tuned"
    common = ("fine-tune", file, "--model", model, "--steps", 1, "--out", out)
    start = GeST.load(model)
    start.card = {"data": "theirs", "licence": "theirs", "command": "theirs"}
    start.save(model, overwrite=True)
    assert "theirs" not in run(*common, "--label-key", "region")
    tuned = GeST.load(out)
    assert tuned.head is not None
    assert tuned.card["start"] == "tiny"
    assert not set(start.card) & set(tuned.card)
    assert (
        json.loads((out / "config.json").read_text())["head"]["settings"]["label_key"] == "region"
    )


def test_mistakes_with_labels_are_told_before_training(file: Path, model: Path) -> None:
    common = ("fine-tune", file, "--model", model, "--out", file.parent / "new")
    assert invoke(*common, "--steps", 0).exit_code == 2
    assert "no obs column 'nothing'" in refused(*common, "--label-key", "nothing")
    assert "fewer than two labels" in refused(
        *common, "--label-key", "section", "--section", "section_1"
    )
    assert not (file.parent / "new").exists()
    told = refused("annotate", file, "--model", model, "--out", file.parent / "out.h5ad")
    assert "not trained on labels" in told


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_matrices_are_copied_from_file_to_file(
    model: Path, tissue: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """No command needs X in memory; what it writes is what it would write of tissue in memory."""
    tissue.layers["counts"] = tissue.X.copy()
    write_tissue(tissue, tmp_path / f"in{suffix}")
    out = tmp_path / f"out{suffix}"
    with monkeypatch.context() as patch:
        patch.setattr(on_disk, "_copy", None)  # which reads what it copies
        patch.setattr(StoredRows, "in_memory", property(lambda self: pytest.fail("was read")))
        run("niches", tmp_path / f"in{suffix}", "--model", model, "--n-niches", 3, "--out", out)
    made = read_tissue(out)
    embedded = [
        embed_niches(Section.from_anndata(tissue, name), GeST.load(model))
        for name in ("section_1", "section_2")
    ]
    cluster_niches(embedded, 3).write(tissue)
    assert made.obs[keys.NICHE].tolist() == tissue.obs[keys.NICHE].tolist()
    for a, b in ((made.X, tissue.X), (made.layers["counts"], tissue.layers["counts"])):
        assert (a != b).nnz == 0


def test_info_reads_no_matrix(file: Path, tissue: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: StoredMatrix, *_: object) -> None:
        pytest.fail("a matrix was read")

    monkeypatch.setattr(StoredMatrix, "read", read)
    monkeypatch.setattr(anndata, "read_h5ad", read)
    told = run("info", file)
    assert "1200" in told
    assert all(name in told for name in ("section_1", "section_2", "cell_type", "spatial"))
