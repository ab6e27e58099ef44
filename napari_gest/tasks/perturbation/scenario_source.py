"""What a scenario was made with: how the tissue was read, and which section and model they were."""

from __future__ import annotations

from dataclasses import fields
from hashlib import blake2b
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.tissue.reading import MOST_UM, ExpressionScale, Reading
from napari_gest.tissue.section import Section


class ScenarioSource(BaseModel):
    """Section and model that a scenario was made with.

    Attributes
    ----------
    spatial_key, section_key, layer, um_per_unit, scale, include_generated
        How the section was read; as in ``Reading``.
    section_digest, model_digest
        ``Section.digest``, and ``GeST.digest`` with the model's own response.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spatial_key: str
    section_key: str
    layer: str | None
    um_per_unit: float = Field(gt=0, le=MOST_UM)
    scale: ExpressionScale
    include_generated: bool
    section_digest: str
    model_digest: str

    @classmethod
    def of(cls, reading: Reading, section: Section, model: GeST) -> ScenarioSource:
        """Return what a scenario on this section and with this model is made with."""
        return cls(**vars(reading), section_digest=section.digest, model_digest=_digest(model))

    @property
    def reading(self) -> Reading:
        """How the section was read."""
        about: dict[str, Any] = self.model_dump(exclude={"section_digest", "model_digest"})
        return Reading(**about)

    def check(self, section: Section, model: GeST) -> None:
        """Raise InputError unless these are the section and the model of the scenario.

        Parameters
        ----------
        section
            Read as ``reading`` says.
        model
            The model that is to predict.
        """
        if section.digest != self.section_digest:
            raise InputError(
                f"Section '{section.name}' is not the one that the scenario was made with: its"
                " cells, genes, positions or expression differ.",
                "Give the tissue that the scenario was made with, or make another scenario of this"
                " one with --roi and --edits.",
            )
        if _digest(model) != self.model_digest:
            raise InputError(
                f"The model '{model.name}' is not the one that the scenario was made with.",
                "Give the folder of that model with --model, or make another scenario with --roi"
                " and --edits.",
            )


def _digest(model: GeST) -> str:
    """Return a hash of all that an effect depends on."""
    hashed = blake2b(model.digest.encode(), digest_size=16)
    for part in fields(model.response) if model.response is not None else ():
        hashed.update(np.ascontiguousarray(getattr(model.response, part.name)).data)
    return hashed.hexdigest()
