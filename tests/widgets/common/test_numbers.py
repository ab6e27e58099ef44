from __future__ import annotations

import pytest

from napari_gest.widgets.common.numbers import p_text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (1.0, "1"),
        (0.05, "0.05"),
        (0.0012345, "0.00123"),
        (0.000625, "6.25e-04"),
        (3.2e-17, "3.20e-17"),
        (0.0, "< 1e-300"),
        (float("nan"), "–"),
    ],
)
def test_p_values_are_readable_and_never_zero(p, text):
    assert p_text(p) == text
