"""The regions that kept cells were generated for, in ``uns`` of their tissue, as GeoJSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_gest import keys
from napari_gest.app.regions import Shape

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData

    from napari_gest.tasks.generation.generated import Generated

_MOST_CORNERS = 100_000


@dataclass(frozen=True, eq=False)
class KeptCells:
    """Generated cells and the shapes that they were generated in, to be written together."""

    result: Generated
    shapes: tuple[Shape, ...]

    @property
    def rows(self) -> NDArray[np.int64]:
        """(n,) row of each cell in the AnnData, -1 for a new one."""
        return self.result.rows

    def write(self, adata: AnnData) -> frozenset[str]:
        """Write the cells and the region; return the names of the keys that changed."""
        changed = self.result.write(adata)
        name = self.result.section.name
        others = [f for f in _features(adata) if f["properties"]["section"] != name]
        own = [_feature(name, shape) for shape in self.shapes]
        adata.uns[keys.REGIONS] = json.dumps(
            {"type": "FeatureCollection", "features": [*others, *own]}
        )
        return changed | {keys.REGIONS}

    def to_anndata(self, adata: AnnData) -> AnnData:
        """Return a copy of the tissue with rows for new cells."""
        return self.result.to_anndata(adata)


def regions_in(adata: AnnData, section: str, label: str) -> tuple[Shape, ...]:
    """Return the region that the cells of a section were generated for.

    Parameters
    ----------
    adata
        The tissue.
    section
        Name of the section in it.
    label
        Name of the section in the session.

    Returns
    -------
    The shapes; none where the tissue has none, or they cannot be read.
    """
    found = [f for f in _features(adata) if f["properties"]["section"] == section]
    try:
        return tuple(_shape(feature, label) for feature in found)
    except (KeyError, TypeError, ValueError):  # another program has written it
        return ()


def _feature(section: str, shape: Shape) -> dict[str, Any]:
    ring = [[float(x), float(y)] for x, y in shape.outline]
    return {
        "type": "Feature",
        "properties": {"section": section},
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
    }


def _shape(feature: dict[str, Any], label: str) -> Shape:
    (ring,) = feature["geometry"]["coordinates"]
    corners = tuple((float(x), float(y)) for x, y in ring[:-1])
    if not 3 <= len(corners) <= _MOST_CORNERS or not all(map(isfinite, chain(*corners))):
        raise ValueError("no outline")
    return Shape(role="unseen", section=label, kind="polygon", corners=corners)


def _features(adata: AnnData) -> Sequence[dict[str, Any]]:
    """Return what the tissue holds; nothing where it is not what this program writes."""
    try:
        held = json.loads(str(adata.uns.get(keys.REGIONS, "{}")))
        features: list[dict[str, Any]] = held.get("features", [])
        return [one for one in features if isinstance(one["properties"]["section"], str)]
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return []
