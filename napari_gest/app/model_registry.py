"""The models a user can choose from. Listing them reads only JSON, so it needs no torch."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING

import platformdirs

import napari_gest
from napari_gest.app.opened import Normalization
from napari_gest.errors import CheckpointError
from napari_gest.files import restore_in
from napari_gest.model.about import (
    CONFIG,
    VOCABULARY,
    WEIGHTS,
    is_base,
    read_about,
    read_about_base,
)

if TYPE_CHECKING:
    from napari_gest.model.gest import GeST

USABLE_SHARE = 0.5  # of its panel that must be measured
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
        Its panel; none of a base.
    target_sum
        Total a cell is scaled to in its model space; 0 of a base.
    labels
        Labels it can give, if it was trained to.
    """

    name: str
    path: Path
    genes: tuple[str, ...]
    target_sum: float
    labels: tuple[str, ...] = ()

    @property
    def is_base(self) -> bool:
        """Whether models start from it, and nothing else can be done with it."""
        return not self.genes

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
        """Read the description of a model folder, or of a base.

        Raises
        ------
        CheckpointError
            If the folder holds no model, or its config.json is damaged.
        """
        if is_base(folder):
            told = read_about_base(folder)
            return cls(folder.name if folder.parent == BUNDLED else told.name, folder, (), 0.0)
        about = read_about(folder)
        name = folder.name if folder.parent == BUNDLED else about.name
        labels = about.head.classes if about.head else ()
        return cls(name, folder, about.genes, about.target_sum, labels)


class ModelRegistry:
    """Bundled models, models trained on this computer, and folders added by the user.

    Attributes
    ----------
    models
        What each says about itself, by its name.
    bases
        The same of what models start from.
    broken
        Why a folder that was found cannot be used, by the name of the folder.
    """

    def __init__(self) -> None:
        self.models: dict[str, ModelInfo] = {}
        self.bases: dict[str, ModelInfo] = {}
        self.broken: dict[str, str] = {}
        self._loaded: dict[Path, GeST] = {}
        self._warmed: set[Path] = set()
        self._loading = Lock()
        for parent in (BUNDLED, TRAINED_HERE):
            try:
                folders = _folders(parent)
            except OSError as error:
                self.broken[parent.name] = f"{parent} cannot be read ({error})."
                continue
            for folder in folders:
                try:
                    self.add(folder)
                except CheckpointError as error:  # the others can be used all the same
                    self.broken[folder.name] = str(error)

    def add(self, folder: Path) -> ModelInfo:
        """Add a model folder and return what it says; the same folder again is read again."""
        info = ModelInfo.read(folder)
        same = self.models.get(info.name) or self.bases.get(info.name)
        if same is not None and same.path != folder:
            info = replace(info, name=f"{info.name} ({folder.parent.name})")
        (self.bases if info.is_base else self.models)[info.name] = info
        self.broken.pop(folder.name, None)
        self._loaded.pop(folder, None)
        self._warmed.discard(folder)
        return info

    def load(self, name: str) -> GeST:
        """Return a model, read from disk once. Call it in a worker: it imports torch."""
        from napari_gest.model.gest import GeST

        info = self.models[name] if name in self.models else self.bases[name]
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

            import napari_gest.tasks.generation.generate  # noqa: F401

    def normalization(self, name: str | None, genes: Sequence[str]) -> Normalization:
        """Return the space that values are shown in: that of a model which fits the genes."""
        info = self.models.get(name or "")
        if info is None or info.share_measured(genes) < USABLE_SHARE:
            return Normalization()
        return Normalization(info.target_sum, info.genes)

    def why_unusable(self, name: str | None, genes: Sequence[str]) -> str | None:
        """Return why a model cannot be used on genes, or None."""
        info = self.models.get(name or "")
        if info is None:
            return "Choose a model first (step 4)."
        if info.share_measured(genes) < USABLE_SHARE:
            return "The model knows too few of this section's genes; choose another (step 4)."
        return None

    def best_for(self, genes: Sequence[str]) -> str | None:
        """Return the model most of whose panel is among ``genes``, or None if none is usable."""
        ranked = sorted(self.models.values(), key=lambda m: m.share_measured(genes))
        return (
            ranked[-1].name if ranked and ranked[-1].share_measured(genes) >= USABLE_SHARE else None
        )


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    restore_in(parent)
    # Folders being written begin with a dot.
    return [p for p in sorted(parent.iterdir()) if p.name[0] != "." and p.is_dir() and _is_model(p)]


def _is_model(folder: Path) -> bool:
    try:
        return any((folder / name).exists() for name in (CONFIG, VOCABULARY, WEIGHTS))
    except OSError:  # it may well be one; why it cannot be read is told when it is added
        return True
