"""Advanced part of step 4: train a model on the open tissue, or train one on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtWidgets import QLabel, QLineEdit

from napari_gest.app.runs.training import TrainingOutcome, TrainingRun, free_name
from napari_gest.canvas.jobs import Tick
from napari_gest.errors import GestError
from napari_gest.tasks.training.train_config import TrainConfig
from napari_gest.widgets.common.controls import Fold, Panel, allow, button, combo, note, row
from napari_gest.widgets.common.forms import Length, form, rows
from napari_gest.widgets.context import Context
from napari_gest.widgets.plots.training_curve import TrainingCurve

_HELP = (
    "Learns from all open sections with these genes, on this computer. Cells in the drawn region"
    " are left out, so that they stay unseen."
)
_GOES_ON = "Stopped. With the same name, tissue and length it goes on from there."


@dataclass(frozen=True)
class Duration:
    """How long to train: a share of the steps that suit the tissue, or seconds."""

    share: float = 1.0
    budget_s: float | None = None


_DURATIONS = {
    "1 minute": Duration(budget_s=60.0),
    "3 minutes": Duration(budget_s=180.0),
    "Until done": Duration(),
    "Long": Duration(share=3.0),
}
_NOTHING = "Nothing"

_SETTINGS = {
    "learning_rate": {
        "label": "Learning rate",
        "widget_type": Length,
        "tooltip": "Of AdamW; it warms up, then falls to zero",
    },
    "order": {
        "label": "Order of cells",
        "tooltip": "hole: windows as generation sees them; the others are those of the paper",
    },
    "hole_radius": {
        "label": "Largest hole",
        "widget_type": Length,
        "tooltip": "Radius of what is hidden, in mean distances between neighbouring cells",
    },
    "validation_share": {
        "label": "Cells to validate on",
        "widget_type": Length,
        "tooltip": "Share of all cells; they lie in holes and are not learned from",
    },
    "patience": {
        "label": "Patience",
        "tooltip": "Validations without a gain after which training ends",
    },
}


class TrainPanel(Panel):
    """Trains in the background, shows the validation curve, and puts the model on the list."""

    def __init__(
        self,
        context: Context,
        choose: Callable[[Path], None],
    ) -> None:
        super().__init__()
        self.context = context
        self._choose = choose
        self.name = QLineEdit()
        self.length = combo("Length of training")
        for text, duration in _DURATIONS.items():
            self.length.addItem(text, duration)
        self.length.setToolTip(
            "1 minute gives a useful model of 10,000 cells and 3 minutes a good one. Until done is"
            " what predicts unseen sections best; it ends early where nothing more is gained."
        )
        self.begin = combo("Start from")
        self.begin.setToolTip(
            "A base knows how tissue is laid out and learns yours in less time; nothing starts"
            " with random numbers"
        )
        self.settings = form(TrainConfig, _SETTINGS, names=tuple(_SETTINGS))
        fields = Panel()
        fields.column.addLayout(rows(self.settings))
        self.fold = Fold("Settings of training", fields)
        self.fit = button("Fit new", self.start)
        self.tune = button("Fine-tune", lambda: self.start(tune=True))
        self.curve = TrainingCurve("step", "validation error")
        self.curve.hide()
        self.message = note(_HELP)
        for widget in (self.message, self.name):
            self.column.addWidget(widget)
        self.column.addLayout(row(self.length, QLabel("from"), self.begin))
        self.column.addWidget(self.fold)
        self.column.addLayout(row(self.fit, self.tune))
        self.column.addWidget(self.curve)

    @property
    def config(self) -> dict[str, object]:
        """The settings that differ from the usual."""
        usual = TrainConfig()
        said = {field.name: field.value for field in self.settings}
        return {name: value for name, value in said.items() if value != getattr(usual, name)}

    @property
    def _suggested(self) -> str:
        opened = self.context.opened
        return "" if opened is None else free_name(opened.label)

    def start(self, tune: bool = False) -> None:
        """Train on the open sections; ``tune`` continues from the chosen model."""
        context = self.context
        start = context.model if tune else context.registry.bases.get(self.begin.currentText())
        try:
            length = self.length.currentData()
            run = TrainingRun.of(
                context.state,
                self.name.text().strip() or self._suggested,
                length.share,
                start,
                self.config,
                length.budget_s,
            )
            run.check()
        except GestError as error:
            context.report(self, error)
            return
        self.curve.clear()
        follower = context.follower(run)

        def done(outcome: TrainingOutcome) -> None:
            follower.on_done(outcome)  # no line where its tissue was closed: the model is there
            self._on_done(outcome)

        if context.job_bar.start(
            lambda: run.work(context.registry.load),
            done,
            owner=self,
            on_tick=self._on_tick,
            on_cancelled=lambda: _GOES_ON,
        ):
            self.curve.show()

    def refresh(self) -> None:
        """List what to start from, and enable what is possible now."""
        bases = [*self.context.registry.bases, _NOTHING]
        if [self.begin.itemText(i) for i in range(self.begin.count())] != bases:
            self.begin.clear()
            self.begin.addItems(bases)
        busy = "A job is running." if self.context.jobs.busy else None
        allow(self.fit, busy, "Train a new model of this tissue")
        suggested = self._suggested
        self.name.setPlaceholderText(f"Name of the new model: {suggested}" if suggested else "")
        none = None if self.context.model is not None else "Choose a model to start from."
        allow(
            self.tune, busy or none, "Train the chosen model on, with a vocabulary of this tissue"
        )

    def _on_tick(self, tick: Tick) -> None:
        for payload in tick.payloads:
            self.curve.add(payload["step"], payload["error"])

    def _on_done(self, outcome: TrainingOutcome) -> None:
        folder = outcome.folder
        self.context.job_bar.say(f"'{folder.name}' is trained and chosen. It lies in {folder}.")
        self.name.clear()
        self._choose(folder)
