"""Devices: which there are, what is refused, and how work goes on where memory runs out."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch

from napari_gest.errors import InputError
from napari_gest.model import devices
from napari_gest.model.decoder import Decoder
from napari_gest.model.devices import (
    DEVICES,
    AtOnce,
    Device,
    check_device,
    chosen_device,
    device_name,
    devices_here,
    devices_told,
    full_precision,
    is_out_of_memory,
)
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.generate import generate
from napari_gest.tasks.niches.embed import embed_niches
from napari_gest.tasks.perturbation.influence import influence
from napari_gest.tissue.section import Section

FULL = RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)")


@pytest.fixture
def unseen(section: Section) -> np.ndarray:
    centre = section.coords_um.mean(0)
    return np.linalg.norm(section.coords_um - centre, axis=1) < 120


@pytest.fixture
def other_device() -> Device:
    others = devices_here()[1:]
    if not others:
        pytest.skip("this computer has no device but the processor")
    return others[0]


def test_the_processor_is_always_there_and_is_the_usual_one_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert devices_here()[0] == "cpu"
    assert devices_told() == devices_here()
    monkeypatch.setattr(devices, "devices_here", lambda: ("cpu", "mps"))
    assert chosen_device("auto") == torch.device("cpu")
    monkeypatch.setattr(devices, "devices_here", lambda: ("cpu", "cuda", "mps"))
    assert chosen_device("auto") == torch.device("cuda")
    assert chosen_device("mps") == torch.device("mps")
    assert len({device_name(device) for device in DEVICES}) == len(DEVICES)


def test_a_device_that_is_not_here_is_refused_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, section: Section, tiny_model: GeST
) -> None:
    monkeypatch.setattr(devices, "devices_here", lambda: ("cpu", "mps"))
    with pytest.raises(InputError, match="no NVIDIA GPU") as caught:
        check_device("cuda")
    assert "auto or cpu or mps" in caught.value.remedy
    with pytest.raises(InputError, match="no device 'tpu'"):
        check_device("tpu")  # type: ignore[arg-type]
    unseen = np.arange(section.n_obs) < 5
    with pytest.raises(InputError, match="no NVIDIA GPU"):
        generate(section, tiny_model, unseen, device="cuda")
    with pytest.raises(InputError, match="no NVIDIA GPU"):
        embed_niches(section, tiny_model, device="cuda")
    with pytest.raises(InputError, match="no NVIDIA GPU"):
        influence(section, tiny_model, 0, device="cuda")


def test_a_model_stays_where_it_is(tiny_model: GeST) -> None:
    assert tiny_model.on("cpu") is tiny_model
    assert tiny_model.device == torch.device("cpu")


def test_full_precision_holds_inside_reduced_precision() -> None:
    one = torch.ones(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert (one @ one).dtype == torch.bfloat16
        with full_precision(torch.device("cpu")):
            assert (one @ one).dtype == torch.float32


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (FULL, True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, full: bool) -> None:
    assert is_out_of_memory(error) is full


def test_parts_are_halved_until_they_fit_and_nothing_is_done_twice() -> None:
    at_once, tried = AtOnce(8), []

    def work(part: slice) -> list[int]:
        tried.append(part.stop - part.start)
        if part.stop - part.start > 2:
            raise FULL
        return list(range(part.start, part.stop))

    assert list(chain(*at_once.each(8, work))) == list(range(8))
    assert tried == [8, 4, 2, 2, 2, 2]
    assert at_once.news() == "Memory ran out: going on with 2 windows at once"
    assert at_once.news() is None
    assert list(chain(*at_once.each(3, work))) == [0, 1, 2]
    assert tried[6:] == [2, 1]


def test_one_window_that_does_not_fit_and_other_errors_are_raised() -> None:
    def full(part: slice) -> None:
        raise FULL

    def wrong(part: slice) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="out of memory"):
        AtOnce(4).each(4, full)
    with pytest.raises(RuntimeError, match="shapes"):
        AtOnce(4).each(4, wrong)


def small(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Let the network compute no more than ``most`` windows at once; return what was tried."""
    tried: list[int] = []
    encode, ask = Decoder.encode, Decoder.ask

    def encoding(self, table, mixture, *args, **kwargs):
        tried.append(len(mixture))
        if len(mixture) > most:
            raise FULL
        return encode(self, table, mixture, *args, **kwargs)

    def asking(self, context, xy, **kwargs):
        if len(xy) > most:
            raise FULL
        return ask(self, context, xy, **kwargs)

    monkeypatch.setattr(Decoder, "encode", encoding)
    monkeypatch.setattr(Decoder, "ask", asking)
    return tried


def test_generation_goes_on_with_fewer_windows_and_says_so(
    section: Section, tiny_model: GeST, unseen: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = generate(section, tiny_model, unseen, field=0.0, frontier=20)
    tried, said = small(monkeypatch, 1), []
    made = generate(
        section,
        tiny_model,
        unseen,
        field=0.0,
        frontier=20,
        on_progress=lambda tick: said.append(tick.stage),
    )
    np.testing.assert_allclose(made.expression, whole.expression, atol=1e-5)
    assert tried[:3] == [4, 2, 1]
    assert said.count("Memory ran out: going on with 1 window at once") == 1


def test_memory_may_run_out_in_the_middle_of_a_window(
    section: Section, tiny_model: GeST, unseen: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = generate(section, tiny_model, unseen, field=0.0, frontier=20)
    predict, calls = Decoder.predict, []

    def predicting(self, hidden, context, xy, **kwargs):
        calls.append(len(xy))
        if len(calls) >= 2 and len(xy) > 2:
            raise FULL
        return predict(self, hidden, context, xy, **kwargs)

    monkeypatch.setattr(Decoder, "predict", predicting)
    made = generate(section, tiny_model, unseen, field=0.0, frontier=20)
    np.testing.assert_allclose(made.expression, whole.expression, atol=1e-5)
    assert calls[:4] == [4, 4, 2, 2]


def test_embedding_goes_on_with_fewer_windows_and_says_so(
    section: Section, tiny_model: GeST, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = embed_niches(section, tiny_model, read="expression")
    tried, said = small(monkeypatch, 3), []
    made = embed_niches(
        section,
        tiny_model,
        read="expression",
        on_progress=lambda tick: said.append(tick.stage),
    )
    np.testing.assert_allclose(made.embedding, whole.embedding, atol=1e-5)
    assert tried[0] > 3
    assert sum("Memory ran out" in stage for stage in said) == 1


def test_another_device_gives_the_same_within_bounds(
    section: Section, tiny_model: GeST, unseen: np.ndarray, other_device: Device
) -> None:
    """Model space is log1p of some hundred counts; embeddings are of its principal components."""
    made = {d: generate(section, tiny_model, unseen, device=d) for d in ("cpu", other_device)}
    one, two = made["cpu"], made[other_device]
    assert np.abs(one.expression - two.expression).max() < 1e-3
    assert (one.meta_cell == two.meta_cell).mean() > 0.99
    for read in ("hidden", "expression"):
        both = [embed_niches(section, tiny_model, read=read, device=d).embedding for d in made]
        assert np.abs(both[0] - both[1]).max() < 1e-3
    assert tiny_model.device.type == "cpu"
