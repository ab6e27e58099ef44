"""Letters that the canvas needs, made when the dock opens.

napari makes the picture of each letter when a text first needs it, 4 to 10 ms. By nine tall and
deep letters vispy measures the height of any text. With those of the scale bar and of captions
that would be the longest block when a file opens and when the first generated cells appear.
"""

from __future__ import annotations

from string import ascii_lowercase, digits
from typing import TYPE_CHECKING

from napari_gest.canvas._napari_private.attributes import letters_of

if TYPE_CHECKING:
    from napari import Viewer

_MEASURED = "ÅÉÑŐjgpqy"
_LETTERS = _MEASURED + digits + ascii_lowercase + " :µμ"


def make_letters(viewer: Viewer) -> None:
    """Make the letters of a viewer's texts, if they are not there yet and it needs no canvas."""
    letters = letters_of(viewer)
    if letters is not None:
        for one in dict.fromkeys(_LETTERS):
            _ = letters[one]
