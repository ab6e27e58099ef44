"""Seeds of random draws: one range that all generators accept."""

from __future__ import annotations

from numbers import Integral

from napari_gest.errors import InputError

# NumPy's older generator, which scikit-learn uses, takes 32 bits.
MAX_SEED = 2**32 - 1


def check_seed(seed: int) -> None:
    """Raise InputError unless ``seed`` is a whole number from 0 to 2**32 - 1."""
    whole = isinstance(seed, Integral) and not isinstance(seed, bool)
    if not whole or not 0 <= seed <= MAX_SEED:
        raise InputError(f"The seed is {seed}.", f"Give a whole number from 0 to {MAX_SEED}.")
