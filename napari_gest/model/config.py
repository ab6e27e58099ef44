"""The settings that define a GeST model, with the paper's names."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

N_AXES = 64  # principal axes by which a base reads a vocabulary

_LevelSize = Annotated[int, Field(ge=1, le=2**15 - 1)]


class GrownSettings(BaseModel):
    """Settings of which some came later than the first files.

    A field of ``later`` is written only where it differs from its default, which is what all
    models were before. So what was written earlier keeps its meaning, and models their digest.
    """

    later: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_usual(self, told: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields, later = type(self).model_fields, self.later
        usual = {name for name in later if getattr(self, name) == fields[name].default}
        return {name: value for name, value in told(self).items() if name not in usual}


class ModelConfig(GrownSettings):
    """Shape of a GeST model. Frozen, and stored as ``config.json`` in a checkpoint.

    Attributes
    ----------
    n_layers, n_heads, d_model
        Decoder layers, attention heads H and width D (Sec. 4.1). The paper's default is 8 and 8.
    n_meta_cells
        Size K of the meta-cell vocabulary (Sec. 4.3).
    n_pcs
        Principal components p in which cells are assigned to meta cells.
    level_sizes
        Clusters K1, K2, K3 of the vocabulary in the hierarchical loss (Sec. 4.4).
    window_cells
        Cells L in a window.
    window_um
        Side of the square that holds L cells at the training tissue's median density; half of it
        is the unit of positions. 0 until ``fit`` measures it.
    profiles
        ``"standard"`` centres and scales each gene over the vocabulary before it enters or leaves
        the decoder; ``"paper"`` uses the profiles unchanged (Eq. 8).
    distance_bias
        Let each head learn a Gaussian of distance that multiplies its attention weights.
    n_geometry
        Numbers of the geometry (arrangement of surrounding cells) that enter with each position;
        0 leaves them out, as the paper does.
    local_prior
        Add the log of the kernel-smoothed meta cells around a query to its logits.
    dropout
        Dropout rate in training.
    position_code
        ``"waves"`` is the code of sines and cosines (Sec. 4.3); ``"ones"`` puts a vector of ones
        in its place, for comparison (Table 4). Distance bias, geometry and local prior know
        positions by themselves.
    pooled_context
        Beyond the nearest cells, a window's items are means of groups of cells (decision 4). If
        false, a window is its nearest cells alone, as in the paper.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    later = frozenset({"position_code", "pooled_context"})

    n_layers: int = Field(3, ge=1, le=1000)
    n_heads: int = Field(4, ge=1)
    d_model: int = Field(64, ge=4, le=2**16)
    n_meta_cells: int = Field(512, ge=2, le=2**15 - 1)  # a token is an int16
    n_pcs: int = Field(50, ge=1, le=2**16)
    level_sizes: tuple[_LevelSize, _LevelSize, _LevelSize] = (15, 10, 5)
    window_cells: int = Field(256, ge=8, le=2**20)
    window_um: float = Field(0.0, ge=0)
    profiles: Literal["standard", "paper"] = "standard"
    distance_bias: bool = True
    n_geometry: int = Field(11, ge=0, le=1000)
    local_prior: bool = True
    dropout: float = Field(0.15, ge=0, lt=1)
    position_code: Literal["waves", "ones"] = "waves"
    pooled_context: bool = True

    @model_validator(mode="after")
    def _widths_divide(self) -> ModelConfig:
        if self.d_model % 4 or self.d_model % self.n_heads:
            raise ValueError("d_model must be a multiple of 4 and of n_heads")
        return self


class EmissionConfig(BaseModel):
    """How whole cells are drawn from measured donors in mode ``sample`` (decision 28).

    Attributes
    ----------
    temperature
        Divides the logits of p(meta cell), so that it is calibrated; above 1 it flattens.
    sharpness
        Power of the calibrated p(meta cell) in drawing cells and in their expected mean; 1 leaves
        it unchanged. Reported values use p itself.
    prior_shift
        How far p(meta cell) follows the meta cells' frequency in this section rather than in
        training, 0 to 1.
    locality
        Power of the preference for nearby donors; 0 is no preference.
    locality_reach
        Distance at which that preference begins, in distances between neighbouring cells.
    tilt
        How far the tilt moves the mean over donors to the expected expression; 1 is completely.
    tilt_ridge
        Ridge of the tilt, as a share of the mean variance of a component.
    n_pcs
        Principal components of the donors in which the tilt acts.
    shared_ridge, shared_pcs
        Ridge and components of a second tilt, shared by the positions that are filled together.
    common_reach, common_pcs
        Correlation length of the common variation of neighbours, in distances between
        neighbouring cells, and the number of its principal components. With a reach of 0 each
        cell is drawn independently.
    common_gain
        Common variance that is drawn, relative to the one that measured neighbours share; a part
        is lost with the distance between neighbours and in the drawing of donors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    temperature: float = Field(1.0, gt=0)
    sharpness: float = Field(1.5, gt=0, le=100)
    prior_shift: float = Field(0.3, ge=0, le=1)
    locality: float = Field(0.8, ge=0)
    locality_reach: float = Field(20.0, gt=0)
    tilt: float = Field(1.0, ge=0)
    tilt_ridge: float = Field(0.7, ge=0)
    n_pcs: int = Field(30, ge=1, le=10_000)
    shared_ridge: float = Field(0.7, ge=0)
    shared_pcs: int = Field(100, ge=1, le=10_000)
    common_reach: float = Field(4.0, ge=0)
    common_pcs: int = Field(60, ge=1, le=10_000)
    common_gain: float = Field(2.0, ge=0, le=100)
