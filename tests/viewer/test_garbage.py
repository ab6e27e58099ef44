"""Holding Python's garbage collector."""

from __future__ import annotations

import gc

from napari_gest.viewer import garbage


def test_it_is_held_until_the_last_lets_go():
    before = gc.get_freeze_count()
    garbage.hold()
    garbage.hold()
    held = gc.get_freeze_count()
    garbage.release()
    still = gc.get_freeze_count()
    garbage.release()
    assert held > before + 1000
    assert still > before + 1000
    assert gc.get_freeze_count() <= before
