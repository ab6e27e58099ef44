"""The models a user can choose from. Listing them reads only JSON, so it needs no torch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

import platformdirs

import napari_gest
from napari_gest.errors import CheckpointError
from napari_gest.files import restore_in

if TYPE_CHECKING:
    from napari_gest.model.gest import GeST

_CONFIG = "config.json"
BUNDLED = Path(napari_gest.__file__).parent / "model" / "weights"
TRAINED_HERE = Path(platformdirs.user_data_dir("napari-gest", appauthor=False)) / "models"


@dataclass(frozen=True)
class ModelInfo:
    """What a model folder says about itself.

    Attributes
    ----------
    name
        Name shown to people.
    path
        Its folder.
    genes
        Its panel.
    target_sum
        Total a cell is scaled to in its model space.
    labels
        Labels it can give, if it was trained to.
    """

    name: str
    path: Path
    genes: tuple[str, ...]
    target_sum: float
    labels: tuple[str, ...] = ()

    @cached_property
    def _gene_set(self) -> frozenset[str]:
        return frozenset(self.genes)

    def share_measured(self, genes: Sequence[str]) -> float:
        """Return the share of the model's panel that is among ``genes``, 0 to 1."""
        return len(self._gene_set.intersection(genes)) / max(len(self.genes), 1)

    @property
    def load_name(self) -> str:
        """What ``GeST.load`` takes: the name of a bundled model, the folder of another."""
        return self.name if self.path.parent == BUNDLED else str(self.path)

    @classmethod
    def read(cls, folder: Path) -> ModelInfo:
        """Read a model folder's description.

        Raises
        ------
        CheckpointError
            If the folder holds no model.
        """
        try:
            about: dict[str, Any] = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
            name = folder.name if folder.parent == BUNDLED else str(about["name"])
            labels = tuple(about.get("head", {}).get("classes", ()))
            return cls(name, folder, tuple(about["genes"]), float(about["target_sum"]), labels)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"There is no GeST model in '{folder}'.",
                "Choose a folder with config.json and two safetensors files, made by"
                " 'napari-gest fit' or by 'Fit a model' here.",
            ) from error


class Shelf:
    """Bundled models, models trained on this computer, and folders added by the user."""

    def __init__(self) -> None:
        self.models: dict[str, ModelInfo] = {}
        self._loaded: dict[Path, GeST] = {}
        self._warmed: set[Path] = set()
        self._loading = Lock()
        for folder in (*_folders(BUNDLED), *_folders(TRAINED_HERE)):
            try:
                self.add(folder)
            except CheckpointError:
                continue  # a damaged folder must not keep the others from being used

    def add(self, folder: Path) -> ModelInfo:
        """Add a model folder and return what it says; the same folder again is read again."""
        info = ModelInfo.read(folder)
        same = self.models.get(info.name)
        if same is not None and same.path != folder:
            info = replace(info, name=f"{info.name} ({folder.parent.name})")
        self.models[info.name] = info
        self._loaded.pop(folder, None)
        self._warmed.discard(folder)
        return info

    def load(self, name: str) -> GeST:
        """Return a model, read from disk once. Call it in a worker: it imports torch."""
        from napari_gest.model.gest import GeST

        info = self.models[name]
        with self._loading:
            if info.path not in self._loaded:
                self._loaded[info.path] = GeST.load(info.load_name)
            return self._loaded[info.path]

    def warm(self, name: str) -> None:
        """Load a model in the background, so that a run need not wait for it."""
        if self.models[name].path not in self._warmed:
            self._warmed.add(self.models[name].path)
            Thread(target=self._try, args=(name,), daemon=True).start()

    def _try(self, name: str) -> None:
        # Whatever is wrong with the model is reported when it is used.
        with contextlib.suppress(Exception):
            self.load(name)
            # What a run imports when it gets there; libraries being loaded hold up the window.
            import sklearn.decomposition  # noqa: F401

            import napari_gest.tasks.generate  # noqa: F401

    def best_for(self, genes: Sequence[str]) -> str | None:
        """Return the model most of whose panel is among ``genes``, or None if none is usable."""
        ranked = sorted(self.models.values(), key=lambda m: m.share_measured(genes))
        return ranked[-1].name if ranked and ranked[-1].share_measured(genes) >= 0.5 else None


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    restore_in(parent)
    return [p for p in sorted(parent.iterdir()) if (p / _CONFIG).is_file()]
