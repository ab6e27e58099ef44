from __future__ import annotations

import numpy as np
import pytest

from napari_gest.errors import InputError
from napari_gest.tasks.perturbation.dose import dose_response
from napari_gest.tasks.perturbation.perturb import Perturbed


def test_dose_response_starts_at_exactly_nothing(effect: Perturbed) -> None:
    table = dose_response(effect, (0.0, 0.5, 1.0))
    zero = table[table["strength"] == 0]
    assert (zero["effect"] == 0).all()
    full = table[table["strength"] == 1].set_index("gene")["effect"]
    assert np.allclose(full[list(effect.genes)], effect.effect.mean(0), atol=1e-6)
    with pytest.raises(InputError, match="strengths"):
        dose_response(effect, (-1.0,))
