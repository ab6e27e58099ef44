from __future__ import annotations

import subprocess
import sys

import pytest

import napari_gest

HEAVY = {"torch", "napari", "qtpy", "anndata", "sklearn"}


@pytest.mark.parametrize("module", ["napari_gest", "napari_gest.cli"])
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert module in loaded
    assert not HEAVY.intersection(loaded)


def test_every_public_name_exists() -> None:
    for name in napari_gest.__all__:
        assert getattr(napari_gest, name) is not None
    assert set(napari_gest.__all__) <= set(dir(napari_gest))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = napari_gest.nothing
