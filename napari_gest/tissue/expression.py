"""Expression spaces: linear as measured, and the model's log1p of total-normalised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_gest.errors import ReadingError
from napari_gest.tissue.reading import ExpressionScale, where

# log1p of counts up to 10 million stays below this; linear data of a whole section does not.
_LOG_CEILING = 16.2
# Values beyond this are no counts, and their sums overflow.
MOST_VALUE = 1e12
# Cells that are enough to tell logged from linear.
_JUDGED = 20_000


def check_linear(
    expression: sparse.csr_matrix,
    name: str,
    *,
    scale: ExpressionScale = "auto",
    marked_logged: bool = False,
    unseen: NDArray[np.bool_] | None = None,
) -> sparse.csr_matrix:
    """Return ``expression`` (n_obs, n_genes) as valid linear values, or raise.

    Cells that are ``unseen`` (n_obs,) have no say, whatever they hold, unless all are.

    Values count as logged when they are not whole numbers, none exceeds what log1p could
    yield, and either their file says so (``marked_logged``) or ``expm1`` makes them look like
    expression: values become whole (logged counts) or multiples of their cell's smallest one
    (counts normalised, then logged), or the totals of the cells become more alike. Values with
    two decimals at most, and multiples of their cell's smallest one, count as linear unless the
    file says otherwise. Where ``scale`` says what they are, they are taken so whatever they look
    like.

    Raises
    ------
    ReadingError
        If values are missing, infinite, above 1e12, negative or all zero; if they look logged and
        ``scale`` does not say what they are; or if it says "log1p" and they cannot be.
    """
    judged = expression if unseen is None or unseen.all() else expression[~unseen]
    check_values(judged, name)
    data = judged.data
    if not data.size or data.max() == 0:
        raise ReadingError(
            f"Section '{name}' has no expression above zero.",
            f"Use X or the layer that holds the measured values ({where('layer')}).",
            "layer",
        )
    if scale == "auto" and _looks_logged(judged, marked_logged):
        raise ReadingError(
            f"Section '{name}' seems to hold logged expression"
            f" (fractional values, maximum {data.max():.3g}).",
            f"Use the layer that holds counts ({where('layer')}), or say what the values are"
            f" ({where('scale')}): log1p, which expm1 undoes, or linear.",
            "scale",
        )
    if scale != "log1p":
        return expression
    if not _may_be_logged(judged):
        raise _no_logarithms(judged, name)
    return undo_log(expression)


def check_values(expression: sparse.csr_matrix, name: str) -> None:
    """Raise ReadingError if values are missing, infinite, negative or above 1e12."""
    data = expression.data
    if not np.isfinite(data).all():
        raise ReadingError(
            f"Section '{name}' has missing or infinite expression values.",
            "Replace them by measured values, remove those cells or genes, or use another layer"
            f" ({where('layer')}).",
            "layer",
        )
    if data.size and data.min() < 0:
        raise ReadingError(
            f"Section '{name}' has negative expression (minimum {data.min():.3g}), so it was"
            " scaled or centred.",
            "Use the layer that holds counts or normalised, non-negative values"
            f" ({where('layer')}).",
            "layer",
        )
    if data.size and data.max() > MOST_VALUE:
        raise ReadingError(
            f"Section '{name}' has expression up to {data.max():.3g}; {MOST_VALUE:g} is the most.",
            f"Use X or the layer that holds the measured values ({where('layer')}).",
            "layer",
        )


def check_logarithms(expression: sparse.csr_matrix, name: str) -> None:
    """Raise ReadingError if a value is larger than any logarithm of counts."""
    if expression.nnz and expression.data.max() > _LOG_CEILING:
        raise _no_logarithms(expression, name)


def undo_log(expression: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return ``expm1`` of the values, which may be anything in cells that are unseen."""
    expression = expression.copy()
    with np.errstate(over="ignore"):
        np.expm1(expression.data, out=expression.data)
    return expression


def _no_logarithms(expression: sparse.csr_matrix, name: str) -> ReadingError:
    most = expression.data.max()
    return ReadingError(
        f"The values of section '{name}' are no logarithms: they are"
        f" {'above 16.2' if most > _LOG_CEILING else 'whole numbers'} (maximum {most:.3g}).",
        f"Say that they are linear, or leave it open ({where('scale')}).",
        "scale",
    )


def without_damage(expression: sparse.csr_matrix, unseen: NDArray[np.bool_]) -> sparse.csr_matrix:
    """Return ``expression`` (n_obs, n_genes) with no damaged value in ``unseen`` cells (n_obs,).

    Those that hold missing, infinite, too large or negative values are empty.
    """
    row = np.repeat(np.arange(len(unseen)), np.diff(expression.indptr))
    damaged = np.zeros_like(unseen)
    sound = (expression.data >= 0) & (expression.data <= MOST_VALUE)  # missing ones are neither
    damaged[row[~sound]] = True
    if not (damaged & unseen).any():
        return expression
    kept = expression.copy()
    kept.data[(damaged & unseen)[row]] = 0
    kept.eliminate_zeros()
    return kept


def _sample(expression: sparse.csr_matrix) -> sparse.csr_matrix:
    return expression[:: max(1, expression.shape[0] // _JUDGED)]


def _may_be_logged(expression: sparse.csr_matrix) -> bool:
    data = _sample(expression).data
    return bool(expression.data.max() <= _LOG_CEILING) and not np.array_equal(data, np.round(data))


def _looks_logged(expression: sparse.csr_matrix, marked: bool) -> bool:
    if not _may_be_logged(expression):
        return False
    if marked:
        return True
    sample = _sample(expression)
    # Normalised values are published rounded; a logarithm is hardly ever two decimals long.
    if _share_whole(100 * sample.data.astype(np.float64)) > 0.99:
        return False
    undone = sample.astype(np.float64)
    # Multiples of one count as they are. Where both fit, values are small and log1p changes little.
    if _share_whole(_multiples(undone)) > 0.9:
        return False
    undone.data = np.expm1(undone.data)
    return (
        _share_whole(undone.data) > 0.9
        or _share_whole(_multiples(undone)) > 0.9
        or _total_variation(undone) < _total_variation(sample)
    )


def _multiples(expression: sparse.csr_matrix) -> NDArray[np.float64]:
    """Return the values as multiples of their cell's smallest one, which is left out."""
    counted = expression.copy()
    counted.eliminate_zeros()
    length = np.diff(counted.indptr)
    length = length[length > 0]
    if not length.size:
        return np.empty(0)
    smallest = np.minimum.reduceat(counted.data, np.cumsum(length) - length)
    ratio = counted.data / np.repeat(smallest, length)
    return ratio[ratio > 1.001]


def _share_whole(values: NDArray[np.float64]) -> float:
    return float((np.abs(values - np.round(values)) < 1e-3).mean()) if values.size else 0.0


def _total_variation(expression: sparse.csr_matrix) -> float:
    totals = np.asarray(expression.sum(axis=1), dtype=np.float64).ravel()
    return float(totals.std() / max(totals.mean(), 1e-12))


def log_normalize_sparse(expression: sparse.csr_matrix, target_sum: float) -> sparse.csr_matrix:
    """Return the numbers of ``log_normalize`` without its zeros, as CSR float32.

    Each cell's are the same whatever cells come with it, and so is what a sparse product makes of
    them. So cells may be taken in blocks of any size.
    """
    totals = np.asarray(expression.sum(axis=1), dtype=np.float64).ravel()
    divided = np.where(totals > 0, totals, 1).astype(np.float32)
    data = expression.data / np.repeat(divided, np.diff(expression.indptr))
    data *= np.float32(target_sum)
    out = (np.log1p(data, out=data), expression.indices, expression.indptr)
    return sparse.csr_matrix(out, shape=expression.shape)


def log_normalize(
    expression: sparse.csr_matrix | NDArray[np.float32], target_sum: float
) -> NDArray[np.float32]:
    """Map linear expression to model space, ``log1p(x / sum(x) * target_sum)``.

    Parameters
    ----------
    expression
        (n_obs, n_genes), linear, non-negative. A cell with total 0 maps to zeros.
    target_sum
        Total every cell is scaled to before the logarithm.

    Returns
    -------
    (n_obs, n_genes) float32, dense.
    """
    totals = np.asarray(expression.sum(axis=1), dtype=np.float64).ravel()
    dense = expression.copy() if isinstance(expression, np.ndarray) else expression.toarray()
    dense = dense.astype(np.float32, copy=False)
    dense /= np.where(totals > 0, totals, 1)[:, None].astype(np.float32)
    dense *= np.float32(target_sum)
    return np.log1p(dense, out=dense)
