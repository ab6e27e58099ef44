from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.common.datasets import data_dir
from benchmarks.labels.labelled import REAL, Labelled, real
from benchmarks.rivals import environments, registry
from benchmarks.rivals.call import call
from benchmarks.rivals.cases import Case, cases
from benchmarks.rivals.registry import ANNOTATION, METHODS, NICHES, RIVALS, Rival
from benchmarks.rivals.run import Options, run_all, run_one, scores
from benchmarks.rivals.table import tables
from napari_gest.tissue.section import Section, section_names
from napari_gest.tissue.simulate import simulate

DOOR = f"import sys; sys.path.insert(0, {str(METHODS)!r}); import door\n"

# A stripe per cluster, so that it needs the places, and counts that it counts its calls in.
STRIPES = """
    import numpy as np
    from pathlib import Path

    def run(adata, n_clusters, seed, visium):
        assert list(adata.obs) == ["section"], "labels were given away"
        calls = Path(__file__).with_suffix(".calls")
        calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
        x = adata.obsm["spatial"][:, 0]
        rank = np.argsort(np.argsort(x))
        return {"": rank * n_clusters // len(x), "one": np.zeros(len(x), int)}

    door.niches(run)
"""

NEAREST = """
    import numpy as np

    def run(train, test, label_key, seed):
        classes = np.unique(train.obs[label_key])
        means = np.stack([
            np.asarray(train[train.obs[label_key] == c].X.mean(0)).ravel() for c in classes
        ])
        gap = ((np.asarray(test.X.todense())[:, None] - means[None]) ** 2).sum(-1)
        p = np.exp(-gap)
        return {"": classes[gap.argmin(1)]}, p, classes

    door.annotation(run)
"""


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A rivals' folder with one environment, this one."""
    python = tmp_path / "rivals" / "here" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("GEST_RIVALS", str(tmp_path / "rivals"))
    return tmp_path / "rivals"


def rival(tmp_path: Path, body: str, task: str = NICHES) -> Rival:
    script = tmp_path / "script.py"
    script.write_text(DOOR + textwrap.dedent(body))
    return Rival("Toy", task, script, "here", "", "none", "none")


def simulated(n_cells: int = 800, n_sections: int = 2, train: int = 1) -> Labelled:
    adata = simulate(n_cells=n_cells, n_genes=40, n_sections=n_sections, seed=0)
    niche = adata.obs["niche"].astype(str).to_numpy(dtype=object)
    sections = [Section.from_anndata(adata, name) for name in section_names(adata)]
    return Labelled("toy", sections, [niche[s.rows] for s in sections], train)


@pytest.fixture(scope="module")
def niche_case() -> Case:
    return cases(simulated(), NICHES)[0]


def test_labels_cross_and_costs_are_measured(tmp_path, environment, niche_case):
    toy = rival(tmp_path, STRIPES)
    rows = run_one(toy, niche_case, 0, Options(tmp_path / "cache", 60))
    assert [r.method for r in rows] == ["Toy", "Toy, one"]
    assert not any(r.error for r in rows)
    assert rows[0].n_found == niche_case.n_regions
    assert rows[0].ami > rows[1].ami == 0
    assert 0 < rows[0].work_s < rows[0].wall_s
    assert rows[0].cpu_s > 0
    assert rows[0].peak_mb > 20


def test_what_was_run_is_not_run_again_until_the_script_changes(tmp_path, environment, niche_case):
    toy, options = rival(tmp_path, STRIPES), Options(tmp_path / "cache", 60)
    calls = tmp_path / "script.calls"
    first = run_one(toy, niche_case, 0, options)
    again = run_one(toy, niche_case, 0, options)
    assert str(again) == str(first)
    assert calls.read_text() == "x"
    run_one(toy, niche_case, 0, replace(options, fresh=True))
    assert calls.read_text() == "xx"
    rival(tmp_path, STRIPES.replace("    import", "    # only a comment\n    import", 1))
    run_one(toy, niche_case, 0, options)
    assert calls.read_text() == "xx"
    rival(tmp_path, STRIPES.replace('"one"', '"two"'))
    assert run_one(toy, niche_case, 0, options)[1].method == "Toy, two"


def test_what_is_not_kept_is_not_run_when_only_what_is_kept_is_wanted(
    tmp_path, environment, niche_case
):
    toy, options = rival(tmp_path, STRIPES), Options(tmp_path / "cache", 60, kept_only=True)
    (row,) = run_one(toy, niche_case, 0, options)
    assert row.error == "not run yet"
    assert not (tmp_path / "script.calls").exists()


def test_an_error_is_a_row_with_its_exact_line(tmp_path, environment, niche_case):
    toy = rival(tmp_path, "raise ValueError('no such matrix')")
    (row,) = run_one(toy, niche_case, 0, Options(tmp_path / "cache", 60))
    assert row.error == "ValueError: no such matrix"
    assert np.isnan(row.ami)
    shown = tables([row])[-1]
    assert shown.title == "Not run"
    assert "ValueError: no such matrix" in shown.markdown()


def test_a_failed_call_counts_against_each_of_its_readouts(tmp_path, environment, niche_case):
    options = Options(tmp_path / "cache", 60)
    done = run_one(rival(tmp_path, STRIPES), niche_case, 0, options)
    (failed,) = run_one(rival(tmp_path, "raise ValueError"), niche_case, 1, options)
    shown = tables([*done, failed])[0]
    assert [row[:3] for row in shown.rows] == [
        ["Toy", "-", "1 of 2"],
        ["Toy, one", "-", "1 of 2"],
    ]


def test_what_failed_is_tried_again_but_not_what_had_its_time(tmp_path, environment, niche_case):
    calls = tmp_path / "script.calls"
    toy = rival(tmp_path, f"open({str(calls)!r}, 'a').write('x')\nraise ValueError")
    options = Options(tmp_path / "cache", 60)
    run_one(toy, niche_case, 0, options)
    run_one(toy, niche_case, 0, options)
    assert calls.read_text() == "xx"
    (kept,) = (tmp_path / "cache").glob("niches/Toy/*.json")
    found = json.loads(kept.read_text())
    found["rows"][0]["wall_s"] = 61
    kept.write_text(json.dumps(found))
    run_one(toy, niche_case, 0, options)
    assert calls.read_text() == "xx"
    run_one(toy, niche_case, 0, replace(options, timeout_s=120))
    assert calls.read_text() == "xxx"


def test_a_call_that_takes_too_long_is_ended(tmp_path):
    script = tmp_path / "slow.py"
    script.write_text("import time; time.sleep(60)")
    outcome = call(Path(sys.executable), script, [], tmp_path / "out.npz", 0.5, 1)
    assert outcome.error == "not done after 0.5 s"
    assert outcome.wall_s < 30


def test_a_script_that_writes_nothing_is_an_error(tmp_path):
    script = tmp_path / "silent.py"
    script.write_text("")
    outcome = call(Path(sys.executable), script, [], tmp_path / "out.npz", 60, 1)
    assert "FileNotFoundError" in outcome.error


def test_too_few_labels_are_an_error(tmp_path, environment, niche_case):
    toy = rival(
        tmp_path, "import numpy as np\ndoor.niches(lambda a, n, s, v: {'': np.zeros(a.n_obs - 1)})"
    )
    (row,) = run_one(toy, niche_case, 0, Options(tmp_path / "cache", 60))
    assert row.error == f"{niche_case.adata.n_obs - 1} labels for {niche_case.adata.n_obs} cells"


def test_without_an_environment_the_row_says_so_and_is_not_kept(tmp_path, monkeypatch, niche_case):
    monkeypatch.setenv("GEST_RIVALS", str(tmp_path / "none"))
    toy = rival(tmp_path, STRIPES)
    (row,) = run_one(toy, niche_case, 0, Options(tmp_path / "cache", 60))
    assert "make rivals" in row.error
    assert not (tmp_path / "cache").exists()


def test_a_failed_build_is_the_error(tmp_path, environment, niche_case):
    (environment / "gone.log").write_text("Collecting x\nERROR: No matching distribution\n")
    toy = replace(rival(tmp_path, STRIPES), environment="gone")
    (row,) = run_one(toy, niche_case, 0, Options(tmp_path / "cache", 60))
    assert row.error == "ERROR: No matching distribution"


def test_annotation_crosses_too(tmp_path, environment):
    toy = rival(tmp_path, NEAREST, ANNOTATION)
    found = cases(simulated(), ANNOTATION)
    rows = run_all([toy], found, [0], Options(tmp_path / "cache", 60), lambda _: None)
    assert len(rows) == 2
    assert not any(r.error for r in rows)
    assert all(r.macro_f1 > 1 / found[0].n_regions for r in rows)
    with np.load(tmp_path / "cache" / ANNOTATION / "Toy" / f"{found[0].name}-seed0.npz") as out:
        assert out["probability"].shape == (found[0].adata.n_obs, len(out["classes"]))


def test_training_sections_are_the_others_and_hold_only_labelled_cells():
    labelled = simulated(300, 3, train=2)
    labelled.labels[0][:40] = None
    found = cases(labelled, ANNOTATION)
    assert [c.section for c in found] == [s.name for s in labelled.sections]
    for case in found:
        assert "label" not in case.adata.obs
        others = {s.name for s in labelled.sections} - {case.section}
        assert set(case.train.obs["section"]) == others
        assert "None" not in set(case.train.obs["label"])


def test_the_first_sections_train_where_more_than_one_is_left():
    found = cases(simulated(300, 3, train=1), ANNOTATION)
    assert len(found) == 2
    assert len({frozenset(c.train.obs["section"]) for c in found}) == 1


def test_unlabelled_cells_are_given_but_not_scored():
    labelled = simulated(200, 1)
    truth = labelled.labels[0].astype(str)
    labelled.labels[0][:50] = None
    (case,) = cases(labelled, NICHES)
    assert case.adata.n_obs == 200
    right = np.where(case.known, truth, "anything")
    assert scores(case, right)["ami"] == pytest.approx(1)
    assert scores(case, right)["n_found"] == case.n_regions


@pytest.mark.data
@pytest.mark.parametrize(("name", "regions"), [("dlpfc", 7), ("starmap", 4), ("osmfish", 11)])
def test_real_sections_ask_for_their_own_number_of_regions(name, regions):
    if not (data_dir() / REAL[name][0]).exists():
        pytest.skip(f"{REAL[name][0]} absent; point GEST_DATA at the data sets")
    assert {c.n_regions for c in cases(real(name), NICHES)} == {regions}


def test_every_rival_has_its_script_and_its_environment():
    for one in RIVALS:
        assert one.script.is_file(), one.name
        assert one.environment in environments.names(), one.name
        pinned = (registry.REQUIREMENTS / f"{one.environment}.txt").read_text().lower()
        assert f"\n{one.package.lower()}==" in f"\n{pinned}", one.name


def test_the_command_resumes_and_writes_json(tmp_path, environment, monkeypatch):
    monkeypatch.setattr(registry, "RIVALS", (rival(tmp_path, STRIPES),))
    asked = ["rivals", "--quick", "--cache", str(tmp_path / "cache")]
    for _ in range(2):
        out = tmp_path / "rows.json"
        result = CliRunner().invoke(app, [*asked, "--json", str(out)])
        assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text())
    assert {r["dataset"] for r in rows} == {"sim-cells-0"}
    assert (tmp_path / "script.calls").read_text() == "xxx"  # three sections, once each


def test_an_unknown_rival_is_named():
    result = CliRunner().invoke(app, ["rivals", "--only", "nobody"])
    assert result.exit_code != 0
    assert "nobody" in result.output


def test_an_environment_is_built_once_and_again_when_its_pins_change(tmp_path, monkeypatch):
    steps = []

    def pretend(step, **_):
        steps.append(step)
        (tmp_path / "rivals" / "toy").mkdir(exist_ok=True)
        return subprocess.CompletedProcess(step, 0)

    wanted = tmp_path / "wanted"
    wanted.mkdir()
    (wanted / "toy.in").write_text("thing\n")
    (wanted / "toy.txt").write_text("thing==1\n")
    monkeypatch.setenv("GEST_RIVALS", str(tmp_path / "rivals"))
    monkeypatch.setattr(environments, "REQUIREMENTS", wanted)
    monkeypatch.setattr(environments.subprocess, "run", pretend)
    assert environments.names() == ["toy"]
    assert environments.build("toy")
    assert len(steps) == 3
    assert str(wanted / "toy.txt") in steps[-1]
    assert environments.build("toy")
    assert len(steps) == 3
    (wanted / "toy.txt").write_text("thing==2\n")
    assert environments.build("toy")
    assert len(steps) == 6


def test_a_build_that_fails_leaves_its_error_and_no_environment(tmp_path, monkeypatch):
    def fail(step, stdout, **_):
        (tmp_path / "rivals" / "toy").mkdir(exist_ok=True)
        stdout.write("ERROR: thing has no wheel\n")
        return subprocess.CompletedProcess(step, 1)

    (tmp_path / "toy.in").write_text("thing\n")
    (tmp_path / "toy.txt").write_text("")
    monkeypatch.setenv("GEST_RIVALS", str(tmp_path / "rivals"))
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    monkeypatch.setattr(environments.subprocess, "run", fail)
    assert not environments.build("toy")
    assert environments.build_error("toy") == "ERROR: thing has no wheel"
    assert not (tmp_path / "rivals" / "toy").exists()


def test_a_folder_that_is_no_environment_stays(tmp_path, monkeypatch):
    (tmp_path / "toy.in").write_text("thing\n")
    (tmp_path / "rivals" / "toy").mkdir(parents=True)
    (tmp_path / "rivals" / "toy" / "cat.jpg").touch()
    monkeypatch.setenv("GEST_RIVALS", str(tmp_path / "rivals"))
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    assert not environments.build("toy")
    assert "is no environment" in environments.build_error("toy")
    assert (tmp_path / "rivals" / "toy" / "cat.jpg").exists()
