"""Step 4: choose model, read-out and seed."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QFileDialog, QLabel, QSpinBox

from napari_gest.app.actions import Choose
from napari_gest.app.model_registry import USABLE_SHARE, ModelInfo
from napari_gest.app.runs.generation import READOUTS
from napari_gest.app.state import Mode
from napari_gest.errors import CheckpointError, InputError
from napari_gest.model.devices import Device, device_name, devices_told
from napari_gest.widgets.common.controls import (
    Fold,
    Panel,
    allow,
    button,
    combo,
    fill,
    note,
    row,
)
from napari_gest.widgets.context import Context
from napari_gest.widgets.train.train_panel import TrainPanel

_TIPS: dict[Mode, str] = {
    "sample": "Measured cells are drawn, as varied as tissue, and the mean of each place is given",
    "weighted": "The expected expression of each cell alone: it agrees best, and is smooth",
    "pick": "The profile of the most likely meta cell",
}
_GOOD = 0.9


class ModelPanel(Panel):
    """Lists models and says which fits the section's genes."""

    inputs = frozenset({"sections", "active", "choices", "jobs"})

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.models = combo("Model")
        self.models.textActivated.connect(self.choose)
        self.add = button("Folder…", self._choose_folder, "Use a model from a folder")
        self.fit = note(name="gestFacts")
        self.modes = combo("Read-out")
        for mode, tip in _TIPS.items():
            self.modes.addItem(READOUTS[mode].capitalize(), mode)
            self.modes.setItemData(self.modes.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.modes.activated.connect(
            lambda index: context.do(Choose.of(mode=self.modes.itemData(index)), self)
        )
        self.seed = QSpinBox()
        self.seed.setAccessibleName("Seed")
        self.seed.setRange(0, 999_999)
        self.seed.setFixedWidth(92)
        self.seed.setToolTip("The same seed gives the same cells again")
        self.seed.valueChanged.connect(lambda seed: context.do(Choose.of(seed=seed), self))
        self.column.addLayout(row(self.models, self.add, stretch=0))
        self.column.addWidget(self.fit)
        self.devices = combo("Device")
        self.devices.setToolTip("Where the network computes. Results differ by rounding.")
        self.devices.activated.connect(
            lambda index: context.do(Choose.of(device=self.devices.itemData(index)), self)
        )
        self.column.addWidget(self.modes)
        self.column.addLayout(row(self.devices, QLabel("Seed"), self.seed, stretch=0))
        self.train = TrainPanel(context, self.add_folder)
        self.train_now = button("Train one on this section now", self._train_now)
        self.more = Fold("Train a model on this tissue", self.train)
        self.column.addWidget(self.train_now)
        self.column.addWidget(self.more)
        self.refresh()

    def choose(self, name: str) -> None:
        """Use a model for the next run, and show expression in its space."""
        self.context.do(Choose.of(model=name), self)

    def add_folder(self, folder: Path) -> None:
        """Put a model folder on the list and choose it."""
        try:
            info = self.context.registry.add(folder)
        except CheckpointError as error:
            self.context.report(self, error)
            return
        if info.is_base:
            self.context.report(
                self,
                InputError(
                    f"'{info.name}' is a base: it has no vocabulary, so it generates nothing.",
                    "Train a model that starts from it, below.",
                ),
            )
            self.refresh()
            return
        if info.name == self.context.state.choices.model:
            # The choice is the same, but what it stands for is not: all panels and colours follow.
            self.context.session.changed.emit(frozenset({"choices"}))
        self.choose(info.name)

    def refresh(self) -> None:
        """List the models, and what is chosen."""
        context, opened = self.context, self.context.opened
        self.setEnabled(opened is not None)
        choices, registry = context.state.choices, context.registry
        fill(self.models, list(registry.models), choices.model, registry.broken)
        self.modes.setCurrentIndex(self.modes.findData(choices.mode))
        self.modes.setToolTip(_TIPS[choices.mode])
        self._list_devices(choices.device)
        with QSignalBlocker(self.seed):
            self.seed.setValue(choices.seed)
        self.train.refresh()
        info = context.model
        self.fit.setText(self._fit_text(info))
        genes = () if opened is None else opened.section.genes
        unfit = registry.why_unusable(choices.model, genes) is not None
        self.train_now.setVisible(opened is not None and unfit and registry.best_for(genes) is None)
        busy = "A job is running." if context.jobs.busy else None
        allow(self.train_now, busy, f"{self.train.length.currentText()}, from the base")
        if info is not None and registry.why_unusable(info.name, genes) is None:
            registry.warm(info.name)

    def _list_devices(self, chosen: Device) -> None:
        """List the devices of this computer; one alone is no choice, and is not shown."""
        here = devices_told() or ("cpu",)
        listed = dict.fromkeys(("auto", *here, chosen))  # a session may come from elsewhere
        if [self.devices.itemData(i) for i in range(self.devices.count())] != list(listed):
            self.devices.clear()
            for device in listed:
                self.devices.addItem(device_name(device), device)
        self.devices.setCurrentIndex(self.devices.findData(chosen))
        self.devices.setVisible(len(listed) > 2)

    def _fit_text(self, info: ModelInfo | None) -> str:
        opened, registry = self.context.opened, self.context.registry
        if opened is None:
            return ""
        if info is None:
            if not registry.models:
                return "No model is installed. Choose a folder, or train one below."
            return (
                "No model here knows most of this section's genes. Train one on the section, or"
                " choose a folder."
            )
        share = info.share_measured(opened.section.genes)
        shared = round(share * len(info.genes))
        text = f"{shared:,} of the model's {len(info.genes):,} genes are in this section."
        if share < USABLE_SHARE:
            best = registry.best_for(opened.section.genes)
            fitting = f"'{best}' fits" if best is not None else "train one on this section"
            return f"{text} Too few: {fitting}."
        if share < _GOOD:
            text += " It works; a model of this panel would know more."
        return text

    def _train_now(self) -> None:
        self.more.set_open(True)
        self.train.start()

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Model folder")
        if path:
            self.add_folder(Path(path))
