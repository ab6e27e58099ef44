"""Types of generated cells come from the section's own cells that resemble them."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.cell_types import CellTypes, name_in_proportion
from napari_gest.tasks.generation.generate import generate
from napari_gest.tissue.section import Section

pytestmark = pytest.mark.usefixtures("short_field")


@pytest.fixture
def types(section: Section, tiny_model: GeST) -> CellTypes:
    """Names that say what a cell expresses: its coarse label in the vocabulary; some missing."""
    tokens = tiny_model.tokenizer.tokens(section.model_space(tiny_model.target_sum))
    names = np.array([f"type {k}" for k in tiny_model.tokenizer.levels[tokens, 2]], object)
    names[::17] = None
    return CellTypes("kind", names)


@pytest.mark.parametrize("mode", ["weighted", "pick", "sample"])
def test_every_cell_gets_a_name_with_its_probability(
    tissue: AnnData,
    section: Section,
    tiny_model: GeST,
    unseen: np.ndarray,
    types: CellTypes,
    mode: str,
) -> None:
    made = generate(section, tiny_model, unseen, mode=mode, types=types)
    assert made.types is not None
    np.testing.assert_allclose(made.types.probability.sum(1), 1, rtol=1e-5)
    assert (made.types.probability > 0).all()
    whole = made.to_anndata(tissue)
    column, confidence = whole.obs["gest_kind"], whole.obs["gest_kind_confidence"]
    rows = section.rows[unseen]
    assert column.iloc[rows].tolist() == made.types.labels.tolist()
    np.testing.assert_allclose(confidence.iloc[rows], made.types.confidence)
    assert column.notna().sum() == confidence.notna().sum() == unseen.sum()
    assert set(column.dropna()) <= set(types.names)


def test_the_names_of_hidden_cells_are_not_used(
    section: Section, tiny_model: GeST, unseen: np.ndarray, types: CellTypes
) -> None:
    other = types.labels.copy()
    other[unseen] = types.names[0]
    for mode in ("weighted", "sample"):
        one, two = (
            generate(section, tiny_model, unseen, mode=mode, types=CellTypes("kind", names))
            for names in (types.labels, other)
        )
        assert one.types is not None
        assert two.types is not None
        np.testing.assert_array_equal(one.types.probability, two.types.probability)


def test_a_sampled_cell_is_called_what_its_donor_is(
    section: Section, tiny_model: GeST, unseen: np.ndarray, types: CellTypes
) -> None:
    made = generate(section, tiny_model, unseen, mode="sample", types=types, draws=2)
    assert made.types is not None
    own = types.labels[made.donor]
    has = np.array([name is not None for name in own])
    assert (made.types.labels[has] == own[has]).all()


def test_probabilities_are_those_of_weighted_donors_that_have_a_name() -> None:
    types = CellTypes("kind", np.array(["a", "a", "b", None, "b", "b"], object))
    weights = np.array([[0.5, 0.0, 0.25, 0.25, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0]])
    found = types.probability(weights, np.arange(5), np.arange(6))
    np.testing.assert_allclose(found[0], [0.98 * 2 / 3 + 0.02 * 0.4, 0.98 / 3 + 0.02 * 0.6])
    np.testing.assert_allclose(found[1], [0.4, 0.6], err_msg="no named donor: the section's own")


def test_a_region_is_named_in_the_proportions_expected() -> None:
    rng = np.random.default_rng(0)
    probability = rng.dirichlet([8, 4, 2, 1], 3000).astype(np.float32)
    coords = rng.uniform(0, 1000, (3000, 2))
    code = name_in_proportion(probability, coords)
    share, expected = np.bincount(code, minlength=4) / 3000, probability.mean(0)
    np.testing.assert_allclose(share, expected, atol=2e-3)
    # Names go where they are likely: more so than names drawn from the same probabilities.
    drawn = np.array([rng.choice(4, p=p / p.sum()) for p in probability.astype(float)])
    rows = np.arange(3000)
    assert np.log(probability[rows, code]).mean() > np.log(probability[rows, drawn]).mean()
    # The likeliest name alone would leave the rarer types out.
    assert np.bincount(probability.argmax(1), minlength=4)[3] / 3000 < expected[3] / 2


@pytest.mark.parametrize("key", ["label", "niche", "donor", "generated", "niche_confidence"])
def test_columns_whose_result_would_be_another_key_are_refused(
    tissue: AnnData, section: Section, key: str
) -> None:
    tissue.obs[key] = "a"
    with pytest.raises(InputError, match=f"gest_{key}"):
        CellTypes.from_obs(tissue, key, section)


def test_columns_without_names_are_refused(tissue: AnnData, section: Section) -> None:
    tissue.obs["empty"] = [None] * tissue.n_obs
    with pytest.raises(InputError, match="No known cell"):
        CellTypes.from_obs(tissue, "empty", section)
    with pytest.raises(InputError, match="no obs column"):
        CellTypes.from_obs(tissue, "absent", section)
    tissue.obs["each"] = [f"cell {i}" for i in range(tissue.n_obs)]
    if section.n_obs > 500:
        with pytest.raises(InputError, match="different names"):
            CellTypes.from_obs(tissue, "each", section)


@pytest.mark.parametrize(
    ("column", "values"),
    [("gest_kind", 3.5), ("gest_kind_confidence", "a"), ("gest_kind_confidence", 7.0)],
)
def test_columns_that_hold_something_else_are_found_before_the_run(
    tissue: AnnData, section: Section, column: str, values: object
) -> None:
    tissue.obs["kind"] = "a"
    tissue.obs[column] = values
    with pytest.raises(InputError, match=column):
        CellTypes.from_obs(tissue, "kind", section)


def test_a_later_run_keeps_the_types_of_an_earlier_one(
    tissue: AnnData, section: Section, tiny_model: GeST, unseen: np.ndarray, types: CellTypes
) -> None:
    first = generate(section, tiny_model, unseen, types=types).to_anndata(tissue)
    elsewhere = ~unseen & (section.coords_um[:, 0] < np.quantile(section.coords_um[:, 0], 0.1))
    second = generate(section, tiny_model, elsewhere, types=types).to_anndata(first)
    assert second.obs["gest_kind"].notna().sum() == unseen.sum() + elsewhere.sum()
    assert keys.DONOR not in second.obs
