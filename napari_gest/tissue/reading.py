"""How sections are read from a file: the choices that commands, dock and scripts share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.limits import check_choice, check_number, shown

if TYPE_CHECKING:
    from anndata import AnnData

# What the stored values are: "auto" takes them as linear and refuses what looks logged.
ExpressionScale = Literal["auto", "linear", "log1p"]

# What the dock calls the parameters of a reading.
FIELDS = {
    "spatial_key": "Coordinates",
    "section_key": "Section column",
    "layer": "Expression",
    "um_per_unit": "µm per unit",
    "scale": "Values are",
    "include_generated": "Generated cells too",
}

# Positions beyond this are no micrometres of tissue, and their products overflow.
MOST_UM = 1e9


def layer_names(adata: AnnData) -> list[str]:
    """Return the names of the layers; anndata 0.13 counts X among them, as None."""
    return [name for name in adata.layers if name is not None]


def where(option: str) -> str:
    """Tell users where a parameter of a reading is set."""
    flag = option.replace("_", "-")
    return f"--{flag} on the command line, '{FIELDS[option]}' in the dock"


@dataclass(frozen=True)
class Reading:
    """How sections are read from a file; see ``Section.from_anndata`` and ``Section.read``.

    Raises
    ------
    InputError
        If ``um_per_unit`` is no positive length, or there is no such ``scale``.
    """

    spatial_key: str = keys.SPATIAL
    section_key: str = keys.SECTION
    layer: str | None = None
    um_per_unit: float = 1.0
    scale: ExpressionScale = "auto"
    include_generated: bool = False

    def __post_init__(self) -> None:
        check_number("um_per_unit", self.um_per_unit, 0, MOST_UM, above=True)
        check_choice("scale", self.scale, get_args(ExpressionScale))
        for name in ("spatial_key", "section_key", "layer"):
            key = getattr(self, name)
            if not isinstance(key, str) and not (key is None and name == "layer"):
                raise InputError(f"{name} is {shown(key)}.", "Give a name.")
