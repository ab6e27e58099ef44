"""A model that a saved session names: known without its folder, and read when it is needed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from napari_gest.app.model_registry import ModelInfo
from napari_gest.errors import InputError

if TYPE_CHECKING:
    from napari_gest.model.gest import GeST


class StoredModel:
    """Stands for the model of a saved effect, which is shown and written without it.

    Anything but name, panel and digest reads the model from its folder.

    Parameters
    ----------
    info
        What the run says of the model.
    name
        Its name in what was written.
    digest
        Fingerprint of its weights when the effect was made.
    """

    def __init__(self, info: ModelInfo, name: str, digest: str) -> None:
        self.name, self.digest = str(name), str(digest)
        self.genes, self.target_sum = info.genes, info.target_sum
        self._info = info

    @cached_property
    def _model(self) -> GeST:
        from napari_gest.model.gest import GeST

        model = GeST.load(self._info.load_name)
        require_same(self.name, model.digest, self.digest)
        return model

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # of copying and pickling, which must not read it
            raise AttributeError(name)
        return getattr(self._model, name)


def require_same(name: str, digest: str, then: str) -> None:
    """Raise unless a model is the one that a result was made with.

    Parameters
    ----------
    name
        Of the model.
    digest, then
        Fingerprints of its weights now, and when the result was made; "" where it is not known.

    Raises
    ------
    InputError
        If they differ.
    """
    if then and digest != then:
        raise InputError(
            f"The model '{name}' is not the one that the result was made with: its weights differ.",
            "Put the model's folder back as it was, or run again.",
        )
