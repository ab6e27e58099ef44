"""A broken model folder is refused by name, before a network is built or much memory is taken."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from broken import CONFIGS, HEADS, TENSORS, Break

from napari_gest.errors import CheckpointError
from napari_gest.model import decoder
from napari_gest.model.about import CONFIG
from napari_gest.model.gest import GeST
from napari_gest.model.head import LabelHead
from napari_gest.model.response import ResponseHead


@pytest.fixture(scope="module")
def whole(tiny_model: GeST, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with nothing wrong, with a label layer and a response."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 4)).astype(np.float32)
    head = LabelHead(("a", "b", "c"), x[:3], x[0, :3], x[3:6], np.cov(x.T).astype(np.float32), {})
    c, g = int(tiny_model.tokenizer.levels[:, 2].max()) + 1, len(tiny_model.genes)
    gram, ones = np.ones((c, g, g), np.float32), np.ones((c, g), np.float32)
    response = ResponseHead(gram, gram, ones, ones[:, 0], ones[0], ones[0, :1])
    model = replace(tiny_model, head=head, response=response)
    return model.save(tmp_path_factory.mktemp("whole") / "model")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def test_the_whole_folder_loads(folder: Path) -> None:
    model = GeST.load(folder)
    assert model.head is not None
    assert model.response is not None


@pytest.mark.parametrize(
    ("spoil", "named"),
    [pytest.param(*case, id=name) for name, case in (CONFIGS | TENSORS | HEADS).items()],
)
def test_what_is_wrong_is_named(
    folder: Path, spoil: Break, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object, **__: object) -> None:
        raise AssertionError("a network was built")

    monkeypatch.setattr(decoder.Decoder, "__init__", build)
    spoil(folder)
    with pytest.raises(CheckpointError, match=named) as caught:
        GeST.load(folder)
    assert str(folder) in caught.value.cause
    assert caught.value.remedy
    assert len(str(caught.value)) < 600


def test_more_than_a_file_holds_takes_no_memory(whole: Path, tmp_path: Path) -> None:
    """A child that may take 200 MB more than it has refuses what asks for terabytes."""
    pytest.importorskip("resource", reason="memory can be limited on Unix alone")
    for name in ("layers", "wide", "window cells"):
        CONFIGS[name][0](Path(shutil.copytree(whole, tmp_path / name)))
    for name in ("promised", "promised without end", "promised vocabulary", "a long header"):
        TENSORS[name][0](Path(shutil.copytree(whole, tmp_path / name)))
    code = """
import resource, sys
from pathlib import Path
from napari_gest.errors import CheckpointError
from napari_gest.model.gest import GeST
GeST.load(sys.argv[2])
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 200 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for folder in sorted(Path(sys.argv[1]).iterdir()):
    try:
        GeST.load(folder)
    except CheckpointError:
        print(folder.name)
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("the size of a process is read from /proc")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(whole)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert len(done.stdout.splitlines()) == 7, done.stdout


@pytest.mark.parametrize("n_geometry", [0, 11])
@pytest.mark.parametrize("local_prior", [False, True])
@pytest.mark.parametrize("distance_bias", [False, True])
def test_shapes_are_told_without_a_network(
    tiny_model: GeST, n_geometry: int, local_prior: bool, distance_bias: bool
) -> None:
    changed = {
        "n_layers": 2,
        "n_geometry": n_geometry,
        "local_prior": local_prior,
        "distance_bias": distance_bias,
    }
    config = tiny_model.config.model_copy(update=changed)
    network = GeST.create(config, tiny_model.tokenizer, seed=0).network
    told = decoder.weight_shapes(config, len(tiny_model.genes))
    assert told == {name: tuple(w.shape) for name, w in network.state_dict().items()}


def test_loading_leaves_the_random_numbers_of_others_alone(folder: Path) -> None:
    import torch

    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    GeST.load(folder)
    assert torch.equal(torch.rand(3), wanted)


def test_weights_in_memory_do_not_follow_the_file(folder: Path) -> None:
    model = GeST.load(folder)
    before = model.digest
    file = folder / "weights.safetensors"
    with file.open("r+b") as open_file:
        open_file.seek(-400, 2)
        open_file.write(b"\xff" * 400)
    assert model.digest == before


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", ""])
def test_a_name_that_no_folder_can_have_is_no_model(name: str) -> None:
    with pytest.raises(CheckpointError, match="no model"):
        GeST.load(name)


def test_what_the_card_says_is_free(folder: Path) -> None:
    about = json.loads((folder / CONFIG).read_text())
    about["card"] = {"curve": [{"nll": float("nan")}], "note": None}
    (folder / CONFIG).write_text(json.dumps(about))
    assert GeST.load(folder).card["note"] is None


def test_the_response_alone_can_be_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[[str], tuple[Break, str]] = HEADS.__getitem__
    find("response noise")[0](folder)
    with pytest.raises(CheckpointError) as caught:
        GeST.load(folder)
    assert "Remove response.safetensors" in caught.value.remedy
    (folder / "response.safetensors").unlink()
    assert GeST.load(folder).response is None
