"""What a check says of its patches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_gest.tasks.generation.check_report import (
    Check,
    Scored,
    between_places,
    foreseen_gain,
    shrunk,
)

GENES = tuple(f"g{i}" for i in range(30))


def patches(gain: float, depth: float = 80.0, n: int = 300) -> list[Scored]:
    """Return patches in which half of the genes are predicted, and the local mean is noise."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(4):
        signal = rng.normal(size=(n, 30)).astype(np.float32) * (np.arange(30) < 15)
        truth = (2 + gain * signal + rng.normal(size=(n, 30))).astype(np.float32)
        depth_um = rng.uniform(0, depth, n)
        fading = np.where(depth_um < 50, 1, 0)[:, None]
        found.append(
            Scored(
                coords_um=rng.uniform(0, 200, (n, 2)),
                truth=truth,
                decoder=(2 + gain * signal * fading).astype(np.float32),
                field=None,
                neighbours={60: (2 + 0.1 * rng.normal(size=(n, 30))).astype(np.float32)},
                depth_um=depth_um,
            )
        )
    return found


def check(gain: float, depth: float = 80.0, region: Scored | None = None) -> Check:
    every = patches(gain, depth)
    rng = np.random.default_rng(1)
    return Check.of(
        every[:3],
        every[3] if region is None else region,
        share=0.0,
        neighbours=60,
        genes=GENES,
        measured=np.ones(30, bool),
        known=(2 + rng.normal(size=(600, 30))).astype(np.float32),
        known_um=rng.uniform(0, 500, (600, 2)),
        n_choosing=3,
    )


def test_genes_that_are_predicted_are_told_from_those_that_are_not() -> None:
    found = check(1.0, depth=49.0)
    good = {f"g{i}" for i in range(15)}
    assert set(found.table.index[:15]) == good
    assert set(found.believable) == good
    # One gene in twenty may be taken for better by chance.
    assert 15 <= found.n_better <= 16
    assert found.table.loc["g0", "expected_correlation"] == pytest.approx(0.7, abs=0.1)
    assert f"genes ({found.n_better} of them almost surely)" in found.verdict
    # Half are better for certain, and of the others half by chance.
    assert found.n_likely == pytest.approx(22, abs=3)
    assert "read the genes" in found.verdict


def test_a_region_that_varies_more_than_its_patches_is_promised_no_more_than_they_show() -> None:
    every = patches(0.5, depth=49.0)
    wide = replace(every[3], decoder=2 + 8 * (every[3].decoder - 2))
    usual, much = (check(0.5, depth=49.0, region=r) for r in (every[3], wide))
    best = usual.table["expected_correlation"].max()
    assert much.table["expected_correlation"].max() == pytest.approx(best, abs=0.1)
    assert much.table["expected_correlation"].between(-1, 1).all()


def test_nothing_is_promised_where_nothing_is_predicted() -> None:
    found = check(0.0)
    assert found.n_better <= 2
    assert found.n_likely == pytest.approx(15, abs=4)
    assert not found.believable
    assert "No gene is expected" in found.verdict


def test_the_depth_at_which_the_gain_ends_is_said() -> None:
    found = check(1.0, depth=120.0)
    # It ends at 50 um; the band beyond may be ahead by chance, by more than its standard error.
    assert found.depth_um in (50.0, 75.0)
    assert f"Beyond {found.depth_um:.0f} um" in found.verdict
    assert "shrink the region" in found.advice
    assert check(1.0, depth=49.0).depth_um is None


def test_the_grade_follows_genes_and_depths() -> None:
    good, shallow, nothing = check(1.0, depth=49.0), check(1.0, depth=120.0), check(0.0)
    assert (good.grade, good.next_step) == ("well", "genes")
    assert (shallow.grade, shallow.next_step) == ("partly", "shrink")
    # A region that is deeper than the patches is not vouched for.
    deep = replace(good, region_depth_um=2 * good.deepest_um)
    assert deep.grade == "partly"
    assert "the deepest patch reaches only" in deep.verdict
    assert f"within {good.deepest_um:.0f} um of known cells" in deep.advice
    assert "within" not in good.advice
    none = replace(nothing, table=nothing.table.assign(p_gain=0.3))
    assert (none.grade, none.next_step) == ("hardly", "train")
    assert none.headline.startswith("Hardly better than the mean of 60 neighbours")
    assert good.verdict == " ".join([good.headline, *good.reasons])


def test_a_calibrated_mean_foresees_its_gain() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(4000, 3)).astype(np.float32) for _ in range(2)]
    made = [p * np.array([0.8, 0.4, 0.0], np.float32) + i for i, p in enumerate(parts)]
    noise = [rng.normal(size=m.shape) for m in made]
    # The local mean is the generated one and noise: it knows less.
    local = [(m + 0.5 * n).astype(np.float32) for m, n in zip(made, noise, strict=True)]
    truth = [m + rng.normal(size=m.shape) for m in made]
    spread = np.concatenate([t - t.mean(0) for t in truth]).std(0)
    found = foreseen_gain(made, local, spread)

    def correlation(guess: list[np.ndarray], gene: int) -> float:
        x, y = (np.concatenate([v[:, gene] - v[:, gene].mean() for v in p]) for p in (guess, truth))
        return float(np.corrcoef(x, y)[0, 1])

    for gene in (0, 1):
        real = correlation(made, gene) - correlation(local, gene)
        assert found[gene] == pytest.approx(real, abs=0.03)
    assert found[2] == pytest.approx(0, abs=1e-6)


def test_variance_between_places_is_what_sampling_leaves() -> None:
    rng = np.random.default_rng(0)
    use = np.ones(400, bool)
    for place in (0.0, 0.3):
        sampled = [
            (rng.normal(0, place, 400) + rng.normal(0, 0.1, 400), np.full(400, 0.01))
            for _ in range(6)
        ]
        assert between_places(sampled, use) == pytest.approx(place**2, abs=0.01)
    assert between_places(sampled[:1], use) == 0


def test_places_that_differ_make_an_estimate_less_reliable() -> None:
    rng = np.random.default_rng(0)
    feature = rng.normal(size=(200, 1))
    observed = 0.5 * feature[:, 0] + rng.normal(0, 0.1, 200)
    given = observed, np.full(200, 0.01), feature, feature, np.ones(200, bool)
    alike = shrunk(*given, n_places=4, through_origin=True)
    apart = shrunk(*given, n_places=4, place=0.2, through_origin=True)
    assert (apart[1] < alike[1]).all()
    assert (apart[2] > alike[2]).all()
    nowhere = shrunk(*given[:3], 0 * feature, given[4], through_origin=True)[0]
    assert np.abs(nowhere).mean() < 0.1, "nothing is foreseen where the feature is zero"


def test_a_model_of_this_tissue_is_not_told_to_train_on_it() -> None:
    nothing = check(0.0)
    hardly = replace(nothing, table=nothing.table.assign(p_gain=0.3, gain_reliability=0.9))
    here = replace(hardly, trained_here=True)
    assert here.next_step == hardly.next_step == "train"
    assert "train a model on this tissue" in hardly.verdict
    assert "train a model on this tissue" not in here.verdict
    assert "a longer training may help" in here.verdict


def test_patches_that_say_nothing_promise_nothing() -> None:
    """Half of the genes gain then, by chance, and no claim is made about any of them."""
    table = check(1.0).table.assign(claim=False, reliability=0.1, gain_reliability=0.1, p_gain=0.5)
    untold = replace(check(1.0), table=table)
    assert (untold.grade, untold.next_step) == ("untold", "smaller")
    assert untold.headline == "This cannot be told: the look-alike patches are too small."
    assert "check a smaller region" in untold.advice
    assert "model of other sections" in replace(untold, trained_here=True).advice
    said = replace(untold, table=table.assign(gain_reliability=0.9, p_gain=0.8))
    assert said.headline.startswith("Better than")
