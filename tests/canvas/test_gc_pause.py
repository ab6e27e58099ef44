"""Holding Python's garbage collector."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import psutil
import pytest

from napari_gest.canvas import gc_pause


def test_it_is_held_until_the_last_lets_go():
    before = gc.get_freeze_count()
    gc_pause.hold()
    gc_pause.hold()
    held = gc.get_freeze_count()
    gc_pause.release()
    still = gc.get_freeze_count()
    gc_pause.release()
    assert held > before + 1000
    assert still > before + 1000
    assert gc.get_freeze_count() <= before


def test_free_memory_is_given_back():
    process = psutil.Process()
    pieces = [np.ones(60_000, np.uint8) for _ in range(3_000)]
    kept = pieces[::50]  # so that what is free lies between what is not
    del pieces
    before = process.memory_info().rss
    if not gc_pause.give_back():
        pytest.skip("this C library keeps what is free")
    assert process.memory_info().rss < before - 100_000_000
    assert len(kept) == 60


def test_what_became_garbage_before_is_collected_even_while_held():
    class Ring:
        pass

    one = Ring()
    one.itself = one
    gone = weakref.ref(one)
    gc_pause.hold()
    try:
        del one
        gc.collect()
        assert gone() is not None  # it was left out
        gc_pause.collect()
        assert gone() is None
        assert gc.get_freeze_count() > 0
    finally:
        gc_pause.release()
    assert gc.get_freeze_count() == 0
