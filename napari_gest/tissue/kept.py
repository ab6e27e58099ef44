"""Earlier results in an AnnData, checked before a run that adds to them."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.limits import shown
from napari_gest.tissue.reading import layer_names
from napari_gest.tissue.structure import check_sparse

if TYPE_CHECKING:
    from anndata import AnnData

# Type of each obs column, and its value in cells without a result.
_COLUMNS: dict[str, tuple[Any, Any]] = {
    keys.GENERATED: (np.bool_, False),
    keys.NEW_CELL: (np.bool_, False),
    keys.META_CELL: (np.int32, -1),
    keys.ENTROPY: (np.float32, np.nan),
    keys.DISTANCE: (np.float32, np.nan),
}
_CONFIDENCE = (np.float32, np.nan)  # of niches, labels and other names
_OURS, _CONFIDENT = "gest_", "_confidence"  # prefix of our keys, suffix of confidences


def kept_column(adata: AnnData, key: str) -> NDArray[Any]:
    """Return (n_obs,) values of an obs column of earlier results; all empty if it is absent.

    Cells without a value, as in joined files, count as cells without a result.

    Raises
    ------
    InputError
        If the column holds other values.
    """
    dtype, empty = _COLUMNS.get(key, _CONFIDENCE)
    out = np.full(adata.n_obs, empty, dtype)
    if key not in adata.obs:
        return out
    column = adata.obs[key]
    if not isinstance(column, pd.Series):
        raise _foreign(f"obs['{key}']", "is there more than once")
    if column.dtype == dtype:
        return column.to_numpy(dtype, copy=True)
    there = column.notna().to_numpy()
    held = column[there]
    # Numbers and truth values must have these types: text that looks like them is not ours.
    if pd.api.types.infer_dtype(held, skipna=True) not in _NUMBERS and len(held):
        raise _foreign(f"obs['{key}']", f"holds {held.dtype} such as '{shown(held.iloc[0])}'")
    with np.errstate(all="ignore"):
        values = held.to_numpy(np.float64)
        made = values.astype(dtype)
        if dtype != np.float32 and not np.array_equal(made.astype(np.float64), values):
            raise _foreign(f"obs['{key}']", f"holds numbers that are no {np.dtype(dtype).name}")
    out[there] = made
    return out


def check_kept(adata: AnnData) -> None:
    """Raise InputError if a key of this program holds values that the program never writes."""
    own = [str(key) for key in adata.obs.columns if str(key).startswith(_OURS)]
    for key in own:
        if key in _COLUMNS or key.endswith(_CONFIDENT):
            kept_column(adata, key)
    for key in layer_names(adata):
        if not key.startswith(_OURS):
            continue
        layer = adata.layers[key]
        if np.dtype(getattr(layer, "dtype", object)).kind not in "biuf":
            raise _foreign(f"layers['{key}']", "is not numeric")
        if sparse.issparse(layer):
            check_sparse(layer, f"layers/{key}")
    for key in (keys.UNS, keys.PERTURBATION, keys.NICHE_EMBEDDED, keys.GENERATED_NICHED):
        if key in adata.uns and not isinstance(adata.uns[key], Mapping):
            raise _foreign(f"uns['{key}']", f"is a {type(adata.uns[key]).__name__}")
    _check_embedding(adata)
    about = adata.uns.get(keys.GENERATED_NICHED)
    if about is not None:
        lists = [np.atleast_1d(about.get(key, [])) for key in ("sections", "draw", "draws")]
        if len({len(values) for values in lists}) > 1 or any(
            v.dtype.kind != "i" for v in lists[1:]
        ):
            raise _foreign(f"uns['{keys.GENERATED_NICHED}']", "lacks sections, draw or draws")


def is_draw(key: str) -> bool:
    """Whether a layer of this name holds a further draw of mode ``sample``."""
    head, tail = keys.DRAW.split("{}")
    return key.startswith(head) and key.removeprefix(head).removesuffix(tail).isdigit()


def holds_generated(layer: str | None) -> bool:
    """Whether the matrix of this name is one of generation: expression, counts, mean or draw."""
    return layer is not None and (
        layer in (keys.EXPRESSION, keys.EXPECTED, keys.COUNTS, keys.SD) or is_draw(layer)
    )


def generated_cells(adata: AnnData, layer: str | None) -> NDArray[np.bool_]:
    """Return (n_obs,) bool: cells for which a matrix holds no measurement (decision 31).

    In ``X`` and in layers of users these are new cells, which were never measured. In layers that
    generation wrote they are all generated cells.
    """
    made = kept_column(adata, keys.NEW_CELL)
    return made | kept_column(adata, keys.GENERATED) if holds_generated(layer) else made


def draw_of(adata: AnnData, layer: str | None) -> str:
    """Return the source of the generated cells of a matrix, "layer gest_draw_2, draw 2 of 3".

    Only mode ``sample`` has draws; for other modes the source is the layer alone.
    """
    name = "X" if layer is None else f"layer {layer}"
    about = adata.uns.get(keys.UNS, {})
    draws = about.get("draws") if about.get("mode") == "sample" else None
    if (
        not holds_generated(layer)
        or layer in (keys.SD, keys.EXPECTED)
        or not isinstance(draws, Integral)
    ):
        return name
    number = int("".join(filter(str.isdigit, str(layer)))) if is_draw(str(layer)) else 1
    return f"{name}, {draw_name(number, int(draws))}"


def draw_name(number: int, draws: int) -> str:
    """Return the name of a draw: "draw 2 of 3"."""
    return f"draw {number} of {draws}"


def check_named(adata: AnnData, label_key: str, confidence_key: str) -> None:
    """Raise InputError unless obs columns are absent, or hold names and their probabilities."""
    if label_key in adata.obs and pd.api.types.is_numeric_dtype(adata.obs[label_key]):
        raise _foreign(f"obs['{label_key}']", "holds numbers")
    if confidence_key in adata.obs:
        column = adata.obs[confidence_key]
        if not pd.api.types.is_float_dtype(column) or not column.dropna().between(0, 1).all():
            raise _foreign(f"obs['{confidence_key}']", "holds no probabilities")


def _check_embedding(adata: AnnData) -> None:
    about = adata.uns.get(keys.NICHE_EMBEDDED)
    if about is not None:
        name = f"uns['{keys.NICHE_EMBEDDED}']"
        lists = [np.atleast_1d(about.get(key, [])) for key in ("sections", "digests")]
        if len(np.atleast_1d(about.get("generated_from", lists[0]))) != len(lists[0]):
            raise _foreign(name, "does not say of each section where generated cells are from")
        if not isinstance(about.get("settings"), Mapping) or not len(lists[0]) == len(lists[1]) > 0:
            raise _foreign(name, "lacks settings, sections or digests")
        shared = about.get("covariance")
        if shared is not None:
            n_sections, ndim = len(lists[0]), np.ndim(shared)
            if ndim != 4 or len(shared) != n_sections or np.asarray(shared).dtype.kind != "f":
                raise _foreign(name, "has a covariance that is not one number per section")
    held = adata.obsm.get(keys.NICHE_EMBEDDING)
    if held is not None and not (
        isinstance(held, np.ndarray) and held.ndim == 2 and held.dtype.kind in "biuf"
    ):
        raise _foreign(f"obsm['{keys.NICHE_EMBEDDING}']", "is not a numeric array")


_NUMBERS = ("boolean", "integer", "floating", "mixed-integer-float", "decimal", "empty")


def _foreign(name: str, what: str) -> InputError:
    return InputError(
        f"{name} {what}, which napari-gest never writes there.",
        f"Rename it, or remove it with 'del adata.{name}'.",
    )
