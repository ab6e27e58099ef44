"""What napari's status bar says of the cell under the mouse."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from napari.layers import Layer, Points
from scipy.spatial import cKDTree

from napari_gest.app.colors import Categories
from napari_gest.app.generated_view import generated_names, generated_values
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.app.view_state import panel_of, section_legend
from napari_gest.canvas import layers
from napari_gest.canvas.region_layers import ROLES
from napari_gest.canvas.shapes import role_of, to_um

if TYPE_CHECKING:
    from napari_gest.app.opened import Opened
    from napari_gest.canvas.painter import Painter

# napari asks the chosen layer for its status, which is rarely that of the generated cells.
_OURS = (layers.CELLS, layers.GENERATED, layers.OUTLINES, *ROLES)
_ABOUT = {"uncertainty": " (sd)", "difference": " (expected minus measured)"}
_NEAR = 0.6  # cell sizes from the middle of a cell that still mean it


class Hover:
    """Adds name or value of the cell under the mouse to the status of our layers.

    napari asks for it in a thread of its own; a tree finds the cell among 100,000 in an instant.
    """

    def __init__(self, painter: Painter) -> None:
        self.painter = painter
        self._viewer = painter.scene.viewer
        self._tree: tuple[GeneratedCells, cKDTree] | None = None
        self._told: tuple[Any, Callable[[int], str]] | None = None
        self._told_measured: tuple[Any, Callable[[int], str]] | None = None
        self._viewer.layers.events.inserted.connect(self._on_inserted)
        for layer in self._viewer.layers:
            self._join(layer)

    def detach(self) -> None:
        """Leave the status to napari."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        for layer in self._viewer.layers:
            if role_of(layer) in _OURS:
                layer.__dict__.pop("get_status", None)
        self.forget()

    def forget(self) -> None:
        """Let go of cells that are not shown any more."""
        self._tree = self._told = self._told_measured = None

    def text_at(self, position: Any) -> str:
        """Return what there is to say of a position on the canvas; empty where no cell is."""
        for _, layer in reversed(list(self.painter.scene.generated())):
            if not layer.visible:
                continue
            made = self.painter.cells_of(layer)
            if self._tree is None or self._tree[0] is not made:
                self._tree = made, cKDTree(made.coords_um)
            place = to_um(np.asarray([position], np.float64), layer)[0]
            far, cell = self._tree[1].query(place)
            if far <= _NEAR * _size(layer) and made.filled[cell]:
                return self._text(made)(int(cell))
        return self._text_of_measured(position)

    def _text_of_measured(self, position: Any) -> str:
        sections = self.painter.scene.session.state.sections
        for label, layer in self.painter.scene.cells().items():
            opened = sections.get(label)
            if opened is None or not layer.visible:
                continue
            place = to_um(np.asarray([position], np.float64), layer)[0]
            far, cell = opened.tree.query(place)
            if far <= _NEAR * _size(layer):
                key = (opened, self.painter.view_state, self.painter.preview)
                if self._told_measured is None or self._told_measured[0] != key:
                    self._told_measured = key, self._measured_teller(opened)
                return self._told_measured[1](int(cell))
        return ""

    def _measured_teller(self, opened: Opened) -> Callable[[int], str]:
        """Return what tells of a measured cell in the present view."""
        view, preview = self.painter.view_state, self.painter.preview
        space = self.painter.normalization
        shown = section_legend(view, opened, space, preview)
        title = view.gene or view.column or (preview.title if preview is not None else "")
        if isinstance(shown.colors, Categories):
            return _name_of(title, shown.colors)
        values: Any = None
        if view.of_run is not None:
            values = None if preview is None else preview.sections.get(opened.section)
        elif view.gene is not None:
            values = opened.gene_values(view.gene, space.target_sum, panel_of(space, opened))
        elif view.column in opened.adata.obs:
            values = opened.obs_values(view.column).to_numpy(np.float64, na_value=np.nan)
        if values is None:
            return lambda cell: ""
        return lambda cell: f"{title}: {values[cell]:.2f}"

    def _text(self, made: GeneratedCells) -> Callable[[int], str]:
        view = self.painter.view_state
        key = (made, view, made.result)
        if self._told is None or self._told[0] != key:
            self._told = key, self._teller(made)
        return self._told[1]

    def _teller(self, made: GeneratedCells) -> Callable[[int], str]:
        """Return what tells of a cell of a run in the present view."""
        painter, view = self.painter, self.painter.view_state
        opened = painter.scene.session.state.sections.get(made.snapshot.label)
        preview, space = painter.preview, painter.normalization
        names = generated_names(view, made, opened, space, preview)
        if names is not None:
            title = view.column or (preview.title if preview is not None else "")
            named, share = names

            plain = _name_of(title, named)

            def name(cell: int) -> str:
                text = plain(cell)
                return text if np.isnan(share[cell]) else f"{text} ({share[cell]:.2f})"

            return name
        if view.gene is None and not view.entropy:
            return lambda cell: "generated"
        title = f"{view.gene}{_ABOUT.get(view.view, '')}"
        if view.entropy and view.view == "uncertainty":
            title = "entropy"
        return lambda cell: f"{title}: {generated_values(view, made, opened, space)[cell]:.2f}"

    def _on_inserted(self, event: Any) -> None:
        self._join(event.value)

    def _join(self, layer: Layer) -> None:
        if role_of(layer) not in _OURS:
            return
        plain, own = type(layer).get_status, ref(layer)  # which must not hold itself, nor tissue

        def get_status(*args: Any, **given: Any) -> Any:
            status = plain(own(), *args, **given)
            with contextlib.suppress(Exception):  # the canvas may change while it is looked at
                text = self.text_at(args[0] if args else given["position"])
                if text:
                    status["coordinates"] = f"{status['coordinates']}; {text}"
                    status["value"] = f"{status['value']}; {text}"
            return status

        layer.get_status = get_status


def _name_of(title: str, named: Categories) -> Callable[[int], str]:
    """Return what tells the name of a cell."""

    def tell(cell: int) -> str:
        code = named.codes[cell]
        return f"{title}: {named.names[code]}" if code >= 0 else f"{title}: no name"

    return tell


def _size(layer: Points) -> float:
    return float(layer.size[0]) if len(layer.size) else 0.0
