"""Advanced part of step 1: how sections are read from a file."""

from __future__ import annotations

from collections.abc import Sequence

from anndata import AnnData
from pandas.api.types import is_float_dtype
from qtpy.QtCore import Signal

from napari_gest.tissue.reading import FIELDS, Reading, layer_names
from napari_gest.widgets.common.controls import Panel
from napari_gest.widgets.common.forms import Choice, Length, box, form, rows

_X = "X"  # how the field spells that no layer is used
_TYPES = {"spatial_key": Choice, "section_key": Choice, "layer": Choice, "um_per_unit": Length}
_TIPS = {
    "spatial_key": "Key of obsm: x and y are its first two columns",
    "section_key": "Column of obs that names sections",
    "layer": "X, or a layer, with counts or normalised values",
    "um_per_unit": (
        "Micrometres in one unit of the coordinates: the size of a pixel, or 1000 for mm"
    ),
    "scale": (
        "auto: linear, and what looks logged is refused; linear, whatever they look like;"
        " log1p, which expm1 undoes"
    ),
    "include_generated": (
        "Generated cells are no observations and are left out; with this they are taken as if"
        " they had been measured, from the layer under Expression"
    ),
}


class ReadingPanel(Panel):
    """A form of the parameters of a ``Reading``. ``changed`` is emitted when one changes."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        options = {name: {"label": FIELDS[name], "tooltip": _TIPS[name]} for name in FIELDS}
        for name, kind in _TYPES.items():
            options[name]["widget_type"] = kind
        self.form = form(Reading, options)
        self.form.changed.connect(self._tell)
        self.spatial, self.section, self.layer, self.um, self.scale, self.generated = (
            box(self.form[name]) for name in FIELDS
        )
        self.column.addLayout(rows(self.form))
        self.choose(Reading())

    @property
    def reading(self) -> Reading:
        """What the fields say; an empty one is as usual."""
        said = {field.name: field.value for field in self.form}
        said["layer"] = None if said["layer"] == _X else said["layer"]
        return Reading(**{name: value for name, value in said.items() if value not in ("", None)})

    def choose(self, reading: Reading) -> None:
        """Show a way of reading."""
        for name, value in vars(reading).items():
            self.form[name].value = value
        if reading.layer is None:
            self.form["layer"].value = _X

    def offer(self, read: Sequence[AnnData]) -> None:
        """Offer the keys, columns and layers of files that were read; what is typed stays."""
        self.form["spatial_key"].offer([key for adata in read for key in adata.obsm])
        named = [c for adata in read for c in adata.obs if not is_float_dtype(adata.obs[c])]
        self.form["section_key"].offer(named)
        self.form["layer"].offer([_X, *(key for adata in read for key in layer_names(adata))])

    def focus(self, option: str) -> None:
        """Go to the field of a parameter of ``Section.from_anndata``."""
        box(self.form[option]).setFocus()

    def _tell(self) -> None:
        self.changed.emit()
