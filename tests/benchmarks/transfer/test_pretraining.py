"""The comparison of short bases: a row for each variant, once, and a table of them."""

from __future__ import annotations

from rich.console import Console

from benchmarks.transfer import pretraining
from benchmarks.transfer.cases import TISSUES
from benchmarks.transfer.pretraining import UNSEEN, VARIANTS, Row, run_pretraining, table


def test_each_variant_is_computed_once_and_kept(monkeypatch):
    asked, kept = [], []

    def score(variant, sections, unseen, n_steps):
        asked.append(variant.name)
        return Row(variant.name, n_steps, 1.0, {"a": 1.25, "b": 1.35}, {"a": 4.0, "b": 5.0})

    monkeypatch.setattr(pretraining, "score", score)
    quiet = Console(quiet=True)
    found = run_pretraining([], lambda rows: kept.append(len(rows)), quiet, quick=True)
    assert asked == [variant.name for variant in VARIANTS]
    assert kept == list(range(1, len(VARIANTS) + 1))
    asked.clear()
    run_pretraining(found[:-1], lambda rows: None, quiet, quick=True)
    assert asked == [VARIANTS[-1].name]
    assert table(found).rows[0][3:] == ["1.2500", "1.3500", "1.3000", "4.5000"]


def test_variants_differ_from_the_first_in_one_thing():
    first = VARIANTS[0]
    for variant in VARIANTS[1:]:
        same = [getattr(variant, n) == getattr(first, n) for n in ("sources", "shape", "sampling")]
        assert sum(same) == 2, variant.name


def test_an_untrained_base_is_what_training_begins_with():
    trained, untrained = (
        pretraining.score(
            pretraining.Variant("x", sources, (1, 2, 8)),
            [*pretraining._simulated(0).values()],
            pretraining._simulated(1),
            6,
        )
        for sources in ((0,), ())
    )
    assert (trained.n_steps, untrained.n_steps) == (6, 0)
    assert trained.nll != untrained.nll


def test_tissue_to_predict_is_of_the_development_sets():
    assert set(UNSEEN) <= set(TISSUES)
