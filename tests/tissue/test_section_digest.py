"""The hash by which a section is recognised, in parts and at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from napari_gest.tissue import section_digest
from napari_gest.tissue.section import Section
from napari_gest.tissue.section_digest import SectionDigest

GENES = ("Gad1", "Slc17a6", "Oxt")
VALUES = sparse.csr_matrix(np.float32([[1, 0, 2], [0, 0, 0], [0, 3, 0], [4, 5, 6]]))
COORDS = np.arange(8.0).reshape(4, 2)
# Of saved sessions and models: it must stay as it is.
DIGEST = "96602d6dba35857ce9547f1dad00cb01"


def digest_of(coords: np.ndarray, *parts: sparse.csr_matrix, genes=GENES) -> str:
    made = SectionDigest(genes, coords)
    for part in parts:
        made.add_values(part)
    for part in parts:
        made.add_genes(part.indices)
    return made.end()


def test_it_is_the_one_that_saved_sessions_hold():
    section = Section("one", COORDS, VALUES, GENES, np.arange(4).astype(bytes), np.arange(4))
    assert section.digest == digest_of(COORDS, VALUES) == DIGEST


@pytest.mark.parametrize("at_once", [1, 2, 10**6])
def test_it_does_not_depend_on_the_parts(monkeypatch, at_once):
    monkeypatch.setattr(section_digest, "_HASHED", at_once)
    assert digest_of(COORDS, VALUES[:1], VALUES[1:3], VALUES[3:]) == DIGEST


def test_it_depends_on_all_that_a_section_is():
    other = VALUES.copy()
    other.data[2] = 7
    moved = VALUES[:, [1, 0, 2]]
    moved.sort_indices()
    found = {
        digest_of(COORDS, VALUES),
        digest_of(COORDS + 1, VALUES),
        digest_of(COORDS, other),
        digest_of(COORDS, moved),
        digest_of(COORDS, VALUES[[1, 0, 2, 3]]),
        digest_of(COORDS, VALUES, genes=("Gad2", "Slc17a6", "Oxt")),
    }
    assert len(found) == 6
