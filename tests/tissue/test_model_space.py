from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

from napari_gest.tissue.model_space import ModelSpace
from napari_gest.tissue.section import Section


@pytest.mark.parametrize(
    "part", [slice(0, 1200), slice(590, 610), slice(600, 700), slice(1190, 5000), slice(7, 7)]
)
def test_it_is_the_matrix_of_all_cells(tissue: AnnData, part: slice) -> None:
    sections = [Section.from_anndata(tissue, name) for name in ("section_2", "section_1")]
    whole = np.concatenate([section.model_space(50.0) for section in sections])
    made = ModelSpace(sections, 50.0)
    assert made.shape == whole.shape
    np.testing.assert_array_equal(made[part], whole[part])
    assert made[part].dtype == np.float32
