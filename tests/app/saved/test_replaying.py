"""What was kept is computed anew, bit for bit: replayed, and by the script of the session."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from saved_sessions import same, square
from typer.testing import CliRunner

from napari_gest.app.actions import AddRun, SetShapes
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.saved.replaying import called, replay, write_replayed
from napari_gest.app.script import session_script
from napari_gest.cli import app
from napari_gest.errors import CheckpointError, InputError
from napari_gest.tasks.progress import finish
from napari_gest.tissue import io
from napari_gest.tissue.io import read_tissue, write_tissue


@pytest.fixture(scope="module")
def replayed(everything):
    return finish(replay(everything.folder))


def test_replay_gives_what_was_kept_bit_for_bit(everything, replayed):
    assert replayed.kept == everything.state.kept
    for label, opened in everything.state.sections.items():
        same(opened.adata, replayed.sections[label].adata)


def test_what_is_replayed_is_computed_anew(everything, replayed):
    for id_ in replayed.kept:
        assert replayed.entry(id_).outcome is not everything.state.entry(id_).outcome
    assert {e.id for e in replayed.runs} == set(replayed.kept)


def test_each_file_is_written(everything, replayed, tmp_path):
    paths = write_replayed(replayed, tmp_path / "out")
    assert [path.name for path in paths] == ["a.h5ad", "b.h5ad"]
    exported = list(everything.state.sections.values())[2].export()  # cells are new on [3]
    assert exported.obs["gest_new_cell"].any()
    write_tissue(exported, tmp_path / "b.h5ad")
    same(read_tissue(tmp_path / "b.h5ad"), read_tissue(paths[1]))
    with pytest.raises(InputError, match=r"a\.h5ad"):
        write_replayed(replayed, tmp_path / "out")
    write_replayed(replayed, tmp_path / "out", overwrite=True)


def test_the_script_gives_the_same_files(everything, tmp_path):
    (tmp_path / "s.py").write_text(session_script(everything.state))
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "s.py"], check=True, cwd=tmp_path, env=env)
    for path in everything.files:
        opened = next(o for o in everything.state.sections.values() if o.path == path)
        write_tissue(opened.export(), tmp_path / path.name)
        same(*(read_tissue(tmp_path / f"{path.stem}{end}.h5ad") for end in ("", "_session")))


def test_nothing_kept_is_nothing_to_replay(small):
    small.journal.do(SetShapes(role="unseen", shapes=(square(small.state.opened, 20),)))
    small.journal.log.flush()
    with pytest.raises(InputError, match="Nothing was kept"):
        finish(replay(small.journal.log.folder))


def test_tissue_that_changed_is_refused(small, tmp_path):
    small.keep(small.generate(small.state.opened, "pick", 30))
    small.journal.log.flush()
    adata = read_tissue(tmp_path / "t.h5ad")
    adata.X = adata.X * 2
    write_tissue(adata, tmp_path / "t.h5ad", overwrite=True)
    with pytest.raises(InputError, match=r"differs .*t\.h5ad"):
        finish(replay(small.journal.log.folder))


def test_a_run_that_was_cut_off_is_refused_by_name(small):
    from napari_gest.app.actions import Discard

    id_ = small.generate(small.state.opened, "pick", 30)
    whole = small.state.entry(id_)
    outcome = replace(whole.outcome, result=replace(whole.outcome.result))  # results are its own
    cut = RunEntry("run-9", "cut", whole.run, outcome, partial=True)
    small.journal.do(AddRun.of(cut))
    small.keep("run-9")
    small.journal.log.flush()
    for work in (lambda: finish(replay(small.journal.log.folder)),
                 lambda: session_script(small.state)):  # fmt: skip
        with pytest.raises(InputError, match="'cut' was cancelled"):
            work()
    small.journal.do(Discard(id="run-9"))


@pytest.mark.parametrize(
    "call",
    ["", "merged(", "written(['a'])", "merged(open('x'))", "__class__('a')", "merged()", "a.b(1)"],
)
def test_only_changes_of_niches_are_called(everything, call):
    (entry,) = everything.state.listed("niches")
    with pytest.raises(CheckpointError, match="no change of niches"):
        called(entry.outcome.niches, call)


def test_the_command_replays(everything, tmp_path):
    run = CliRunner().invoke
    made = run(app, ["replay", str(everything.folder), "--script", str(tmp_path / "s.py")])
    assert made.exit_code == 0, made.output
    assert "place_cells" in (tmp_path / "s.py").read_text()
    for wrong in ([], ["--out", "x", "--script", "y"], ["--out", "x", "--moved", "nothing"]):
        assert run(app, ["replay", str(everything.folder), *wrong]).exit_code == 2


def test_a_model_whose_weights_changed_is_refused(small, tiny_model, tmp_path):
    import copy

    import torch

    folder = tiny_model.save(tmp_path / "own")
    small.info = ModelInfo.read(folder)
    small.keep(small.generate(small.state.opened, "weighted", 30))
    small.journal.log.flush()
    other = copy.deepcopy(tiny_model)
    with torch.no_grad():
        next(other.network.parameters()).add_(1e-3)
    other.save(folder, overwrite=True)  # of the same name, in the same place
    with pytest.raises(InputError, match=r"'tiny' is not the one .* weights differ"):
        finish(replay(small.journal.log.folder))
    tiny_model.save(folder, overwrite=True)
    finish(replay(small.journal.log.folder))


def test_a_session_is_replayed_on_another_device(small, monkeypatch):
    from napari_gest.model import devices

    id_ = small.generate(small.state.opened, "pick", 30)
    entry = small.state.entry(id_)
    run = replace(entry.run, device="mps")
    outcome = replace(entry.outcome, run=run, result=replace(entry.outcome.result))
    small.journal.do(AddRun.of(RunEntry("run-9", "elsewhere", run, outcome)))
    small.keep("run-9")
    small.journal.log.flush()
    monkeypatch.setattr(devices, "devices_here", lambda: ("cpu",))
    with pytest.raises(InputError, match="no Apple GPU"):
        finish(replay(small.journal.log.folder))
    (again,) = finish(replay(small.journal.log.folder, device="cpu")).runs
    assert again.run.device == "cpu"
    np.testing.assert_array_equal(again.outcome.result.expression, outcome.result.expression)


def test_tissue_that_changes_while_it_is_replayed_is_refused(small, monkeypatch, tmp_path):
    """As it is read while runs are at work, where it is too large for memory."""
    small.keep(small.generate(small.state.opened, "pick", 30))
    small.journal.log.flush()
    monkeypatch.setattr(io, "_BACKED_BYTES", 1)
    stages = []

    def touch(progress):
        if progress.stage.startswith("Generating") and not stages:
            os.utime(tmp_path / "t.h5ad", (1, 1))
            stages.append(progress.stage)

    with pytest.raises(InputError, match="was changed or moved"):
        finish(replay(small.journal.log.folder), touch)
    assert stages
