"""How the canvas draws the plugin's layers: one way for all docks of a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari_gest.viewer.parts import Parts
from napari_gest.viewer.standin import StandIns

if TYPE_CHECKING:
    from napari import Viewer


class Drawing:
    """Pictures in place of large layers, and only the parts of layers that show something."""

    def __init__(self, viewer: Viewer) -> None:
        self.stand_ins = StandIns(viewer)
        self.parts = Parts(viewer)
        self._users = 0

    @classmethod
    def of(cls, viewer: Viewer) -> Drawing:
        """Return the one of a viewer, to be released by whoever asked for it."""
        if viewer not in _DRAWINGS:
            _DRAWINGS[viewer] = cls(viewer)
        _DRAWINGS[viewer]._users += 1
        return _DRAWINGS[viewer]

    def release(self) -> None:
        """Need it no more. When nobody does, napari draws everything itself again."""
        self._users -= 1
        if self._users == 0:
            _DRAWINGS.pop(self.stand_ins.viewer, None)
            self.stand_ins.detach()
            self.parts.detach()


_DRAWINGS: WeakKeyDictionary[Viewer, Drawing] = WeakKeyDictionary()
