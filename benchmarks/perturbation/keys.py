"""Keys from other experiments: which genes an edit should raise or lower, by the key's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Species = Literal["mouse", "human"]
LEAST_GENES = 10  # genes of a key that are judged
LEAST_SHARE = 0.02  # of cells that express a gene: fewer, and it is neither edited nor judged

# Genes that raise what a column of a key stands for; written before any edit was run.
CYTOKINES = {
    "Activin A": ("INHBA",),
    "CD40L": ("CD40LG",),
    "GCSF": ("CSF3",),
    "GMCSF": ("CSF2",),
    "IFN1": ("IFNA1", "IFNB1"),
    "IFNL": ("IFNL1",),
    "IL12": ("IL12A", "IL12B"),
    "IL36": ("IL36A", "IL36B", "IL36G"),
    "MCSF": ("CSF1",),
    "NO": (),
    "TNFA": ("TNF",),
    "TRAIL": ("TNFSF10",),
    "TWEAK": ("TNFSF12",),
}
DRIVERS = {
    "Androgen": ("AR",),
    "EGFR": ("EGF", "TGFA", "AREG", "HBEGF", "EGFR"),
    "Estrogen": ("ESR1",),
    "Hypoxia": ("HIF1A",),
    "JAK-STAT": ("IFNG", "IFNB1", "IFNA1", "STAT1"),
    "MAPK": (),
    "NFkB": ("TNF", "IL1B", "RELA", "NFKB1"),
    "p53": ("TP53",),
    "PI3K": ("IGF1", "INS"),
    "TGFb": ("TGFB1", "TGFB2", "TGFB3"),
    "TNFa": ("TNF",),
    "Trail": ("TNFSF10",),
    "VEGF": ("VEGFA",),
    "WNT": ("WNT3A", "WNT7B", "WNT5A", "WNT1"),
}

CYTOSIG, PROGENY, PROGENY_TOP = "CytoSig", "PROGENy", "PROGENy, top 100"
FOOTPRINT, TARGETS, PAIRS = "PROGENy footprint", "CollecTRI", "CellChatDB"
KEYS = (CYTOSIG, PROGENY, PROGENY_TOP, FOOTPRINT, TARGETS, PAIRS)


@dataclass(frozen=True, eq=False)
class KeyedEdit:
    """Genes that are edited together, and what a key says of the other genes.

    Attributes
    ----------
    key, name
        The key, and its column: a cytokine, pathway, transcription factor or ligand.
    edited
        (E,) index of the edited genes on the panel.
    sign
        (E,) 1 raises a gene, -1 lowers it.
    weight
        (G,) what the key says of each gene; 0 where it says nothing.
    """

    key: str
    name: str
    edited: NDArray[np.int64]
    sign: NDArray[np.float64]
    weight: NDArray[np.float64]

    @property
    def signed(self) -> bool:
        """Whether the key has directions; pairs of ligand and receptor have none."""
        return self.key != PAIRS

    @property
    def complete(self) -> bool:
        """Whether a gene that the key does not name is taken as one that does not respond."""
        return self.key in (TARGETS, PAIRS)


def edits_of(
    folder: Path,
    species: Species,
    genes: Sequence[str],
    share: NDArray[np.float64],
    n_halves: int = 2,
) -> list[KeyedEdit]:
    """Return every edit that the keys have on a panel, by rules that know no result.

    A gene counts where at least `LEAST_SHARE` of the cells express it. A column of a signed key
    counts where one of its genes is on the panel and it says something of `LEAST_GENES` others. A
    footprint is split at random: one half is edited, each gene in the key's direction, and the
    other half is judged. A ligand of CellChatDB counts where a receptor is on the panel.

    Parameters
    ----------
    folder
        The keys.
    species
        Human keys are matched to genes of mouse in capitals, and PROGENy's full table, which is
        of mouse, to human genes.
    genes
        (G,) the panel.
    share
        (G,) share of cells that express each gene.
    n_halves
        Random splits of a footprint.
    """
    panel = _Panel(tuple(g.upper() for g in genes), share >= LEAST_SHARE)
    found: list[KeyedEdit] = []
    table = pd.read_csv(folder / "cytosig_human_43.csv.gz", index_col=0)
    for column in table:
        weight = panel.weights(table.index, table[column])
        found += panel.driven(CYTOSIG, column, CYTOKINES.get(column, (column,)), weight)
    full = pd.read_csv(folder / "progeny_mouse_p05.csv.gz")
    for name, part in full.groupby("pathway"):
        weight = panel.weights(part["gene"], part["weight"])
        found += panel.driven(PROGENY, str(name), DRIVERS[str(name)], weight)
        found += panel.halves(str(name), weight, n_halves)
    if species == "human":
        top = pd.read_csv(folder / "progeny_human_top.csv.gz", index_col=0).set_index("V1")
        for column in top:
            weight = panel.weights(top.index, top[column])
            found += panel.driven(PROGENY_TOP, column, DRIVERS[column], weight)
    pairs = pd.read_csv(folder / "collectri_human_tf_target_signed.csv.gz")
    for name, part in pairs.groupby("source"):
        weight = panel.weights(part["target"], part["weight"])
        found += panel.driven(TARGETS, str(name), (str(name),), weight)
    chat = pd.read_csv(folder / f"cellchatdb_{species}_lr.csv.gz")
    chat = chat.dropna(subset=["ligand.symbol", "receptor.symbol"])
    for name, part in chat.groupby("ligand.symbol"):
        receptors = sorted({r.strip() for rs in part["receptor.symbol"] for r in rs.split(",")})
        weight = panel.weights(receptors, np.ones(len(receptors)))
        found += panel.driven(PAIRS, str(name), (str(name),), weight, least=1)
    return found


@dataclass(frozen=True, eq=False)
class _Panel:
    """Genes of a panel in capitals, and which are expressed."""

    genes: tuple[str, ...]
    expressed: NDArray[np.bool_]

    def weights(self, names: Sequence[str], values: Sequence[float]) -> NDArray[np.float64]:
        """Return (G,) weights of expressed genes; the first of a name counts."""
        given = pd.Series(np.asarray(values, float), index=[str(n).upper() for n in names])
        given = given[~given.index.duplicated()].reindex(self.genes).fillna(0)
        return np.asarray(np.where(self.expressed, given, 0.0))

    def driven(
        self,
        key: str,
        name: str,
        drivers: Sequence[str],
        weight: NDArray[np.float64],
        least: int = LEAST_GENES,
    ) -> list[KeyedEdit]:
        """Return one edit that raises the drivers on the panel, if there are any."""
        wanted = {d.upper() for d in drivers}
        on = np.flatnonzero([g in wanted for g in self.genes] & self.expressed)
        others = weight.copy()
        others[on] = 0
        if not len(on) or np.count_nonzero(others) < least:
            return []
        return [KeyedEdit(key, name, on, np.ones(len(on)), others)]

    def halves(self, name: str, weight: NDArray[np.float64], n_halves: int) -> list[KeyedEdit]:
        """Return edits of one half of a footprint each, with the other half as the key."""
        named = np.flatnonzero(weight)
        if len(named) < 2 * LEAST_GENES:
            return []
        made = []
        for seed in range(n_halves):
            drawn = np.random.default_rng(seed).permutation(named)
            for edited in (np.sort(part) for part in np.array_split(drawn, 2)):
                others = weight.copy()
                others[edited] = 0
                made.append(KeyedEdit(FOOTPRINT, name, edited, np.sign(weight[edited]), others))
        return made
