"""Step 4: choose model, read-out and seed."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QLabel, QSpinBox

from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.view_state import Normalization
from napari_gest.errors import CheckpointError
from napari_gest.widgets.common.controls import Fold, Panel, button, combo, fill, note, row
from napari_gest.widgets.context import Context
from napari_gest.widgets.regions.region_panel import RegionPanel
from napari_gest.widgets.train.train_panel import TrainPanel

_MODES = {
    "weighted": ("Weighted mean", "The expected expression of each cell; the most accurate"),
    "pick": ("Most likely", "The profile of the most likely meta cell"),
    "sample": ("Sampled", "A measured cell is drawn for each place: as varied as tissue"),
}
_USABLE = 0.5
_GOOD = 0.9


class ModelPanel(Panel):
    """Lists models and says which fits the section's genes."""

    def __init__(self, context: Context, region: RegionPanel) -> None:
        super().__init__()
        self.context = context
        self.models = combo("Model", self.choose)
        self.add = button("Folder…", self._choose_folder, "Use a model from a folder")
        self.fit = note(name="gestFacts")
        self.modes = combo("Read-out")
        for mode, (name, tip) in _MODES.items():
            self.modes.addItem(name, mode)
            self.modes.setItemData(self.modes.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.modes.activated.connect(self._pick_mode)
        self.seed = QSpinBox()
        self.seed.setAccessibleName("Seed")
        self.seed.setRange(0, 999_999)
        self.seed.setFixedWidth(92)
        self.seed.setToolTip("The same seed gives the same cells again")
        self.seed.valueChanged.connect(self._pick_seed)
        self.column.addLayout(row(self.models, self.add, stretch=0))
        self.column.addWidget(self.fit)
        self.column.addLayout(row(self.modes, QLabel("Seed"), self.seed, stretch=0))
        self.train = TrainPanel(context, lambda: region.selection()[0], self.add_folder)
        self.more = Fold("Train a model on this tissue", self.train)
        self.column.addWidget(self.more)
        self.refresh()

    def choose(self, name: str) -> None:
        """Use a model for the next run, and show expression in its space."""
        self.context.choices.model = name
        self.refresh()
        self.context.chosen.emit()

    def add_folder(self, folder: Path) -> None:
        """Put a model folder on the list and choose it."""
        try:
            info = self.context.registry.add(folder)
        except CheckpointError as error:
            self.context.report(self, error)
            return
        self.choose(info.name)

    def refresh(self) -> None:
        """List the models; where none is chosen, choose the one that fits best."""
        context, opened = self.context, self.context.scene.active
        self.setEnabled(opened is not None)
        choices = context.choices
        if choices.model not in context.registry.models:
            genes = () if opened is None else opened.section.genes
            choices.model = context.registry.best_for(genes)
        fill(self.models, list(context.registry.models), choices.model, context.registry.broken)
        self.modes.setCurrentIndex(self.modes.findData(choices.mode))
        self.modes.setToolTip(_MODES[choices.mode][1])
        self.seed.setValue(choices.seed)
        self.train.refresh()
        info = context.model
        self.fit.setText(self._fit_text(info))
        if info is not None and opened is not None and not problem(info, opened.section.genes):
            context.painter.set_space(Normalization(info.target_sum, info.genes))
            context.registry.warm(info.name)

    def _fit_text(self, info: ModelInfo | None) -> str:
        opened = self.context.scene.active
        if opened is None:
            return ""
        if info is None:
            best = self.context.registry.models
            if not best:
                return "No model is installed. Choose a folder, or train one below."
            return (
                "No model here knows most of this section's genes. Train one on the section"
                " below, or choose a folder."
            )
        genes = opened.section.genes
        shared = round(info.share_measured(genes) * len(info.genes))
        text = f"{shared:,} of the model's {len(info.genes):,} genes are in this section."
        share = info.share_measured(genes)
        best_name = self.context.registry.best_for(genes)
        if share < _USABLE:
            text += " Too few: train one on this section."
            if best_name is not None:
                text = text.split(" Too few")[0] + f" Too few: '{best_name}' fits."
        elif share < _GOOD:
            text += " It works; a model of this panel would know more."
        return text

    def _pick_mode(self, index: int) -> None:
        self.context.choices.mode = self.modes.itemData(index)
        self.context.chosen.emit()

    def _pick_seed(self, seed: int) -> None:
        self.context.choices.seed = seed
        self.context.chosen.emit()

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Model folder")
        if path:
            self.add_folder(Path(path))


def problem(info: ModelInfo | None, genes: tuple[str, ...]) -> str | None:
    """Return why a model cannot be used on ``genes``, or None."""
    if info is None:
        return "Choose a model first (step 4)."
    if info.share_measured(genes) < _USABLE:
        return "The model knows too few of this section's genes; choose another (step 4)."
    return None
