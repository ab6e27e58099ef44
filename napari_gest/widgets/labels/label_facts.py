"""How sure labels are and how they agree with known ones, in words."""

from __future__ import annotations

from napari_gest.app.runs.labels import Labelled
from napari_gest.app.wording import counted

_UNSURE = 0.5


def label_facts(labelled: Labelled, stale: str | None = None) -> str:
    """Return it in words; ``stale`` is why the labels no longer belong to what is open."""
    confidence, section = labelled.annotated.confidence, labelled.run.target.section
    unsure = int((confidence < _UNSURE).sum())
    text = "" if stale is None else f"{stale}\n"
    text += f"{counted(len(confidence), section)} labelled, mean confidence {confidence.mean():.2f}"
    text += f", {unsure:,} below {_UNSURE}." if unsure else "."
    agreement = labelled.agreement
    if agreement is not None:
        text += (
            f" Macro-F1 {agreement.macro_f1:.3f} on the {counted(agreement.n_cells, section)} whose"
            f" '{labelled.run.column}' is known; they were not learned from."
        )
    elif labelled.run.target in labelled.run.sources:
        text += f" Learned from {section.unit}s of this section: its confidence there is no test."
    return text
