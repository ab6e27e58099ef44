"""Advanced part of step 4: train a model on the open tissue, or train one on."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLineEdit

from napari_gest.app import model_registry
from napari_gest.canvas.jobs import Job, Tick
from napari_gest.errors import GestError, InputError
from napari_gest.files import check_name, remove_folder
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.section import Section
from napari_gest.widgets.common.controls import Panel, allow, button, combo, note, row
from napari_gest.widgets.context import Context
from napari_gest.widgets.plots.training_curve import TrainingCurve

if TYPE_CHECKING:
    from napari_gest.tasks.training.train import Fitted

_HELP = (
    "Learns from all open sections with these genes, on this computer. Cells in the drawn region"
    " are left out, so that they stay unseen."
)
_LENGTHS = {"Short": 0.25, "Usual": 1.0, "Long": 3.0}  # of the steps that suit the tissue


class TrainPanel(Panel):
    """Trains in the background, shows the validation curve, and puts the model on the list."""

    def __init__(
        self,
        context: Context,
        unseen_of_active: Callable[[], object],
        choose: Callable[[Path], None],
    ) -> None:
        super().__init__()
        self.context = context
        self._unseen = unseen_of_active
        self._choose = choose
        self.name = QLineEdit()
        self.name.setPlaceholderText("Name of the new model")
        self.length = combo("Length of the training")
        for text, share in _LENGTHS.items():
            self.length.addItem(text, share)
        self.length.setCurrentText("Usual")
        self.length.setToolTip(
            "Usual is what predicts unseen sections best: minutes for some thousand cells, half an"
            " hour from 15,000 on. Training ends early where nothing more is gained."
        )
        self.fit = button("Fit new", lambda: self.start(tune=False))
        self.tune = button("Fine-tune", lambda: self.start(tune=True))
        self.stop = button("Stop", context.jobs.cancel)
        self.curve = TrainingCurve("step", "validation error")
        self.curve.hide()
        self.message = note(_HELP)
        for widget in (self.message, self.name, self.length):
            self.column.addWidget(widget)
        self.column.addLayout(row(self.fit, self.tune, self.stop))
        self.column.addWidget(self.curve)

    def start(self, tune: bool) -> None:
        """Train on the open sections; ``tune`` starts from the chosen model."""
        try:
            folder = self._folder()
            sections = self._sections()
        except GestError as error:
            self.context.report(self, error)
            return
        chosen = self.context.choices.model if tune else None
        share = self.length.currentData()
        unfinished = model_registry.TRAINED_HERE.parent / "unfinished" / folder.name

        def work() -> Generator[Progress, None, Path]:
            yield Progress("Preparing", 0, 1)
            from napari_gest.tasks.threads import share_processors
            from napari_gest.tasks.training.train import STATE, FitRequest, configs_for

            share_processors()

            start = None if chosen is None else self.context.registry.load(chosen)
            model_config, train_config = configs_for(sections, start)
            length = {
                name: max(int(share * getattr(train_config, name)), 1)
                for name in ("n_steps", "validate_every")
            }
            request = FitRequest(
                sections=sections,
                model_config=model_config,
                train_config=train_config.model_copy(update=length),
                seed=0,
                checkpoint_dir=unfinished,
                start=start,
                name=folder.name,
            )
            fitted: Fitted = yield from request.run()
            fitted.model.save(folder)
            remove_folder(unfinished, STATE)
            return folder

        job = Job(
            work,
            on_tick=self._on_tick,
            on_done=self._on_done,
            on_error=lambda error: self.context.report(self, error),
            on_end=lambda: self._on_end(job),
        )
        self.curve.clear()
        if self.context.jobs.start(job):
            self.curve.show()

    def refresh(self) -> None:
        """Enable what is possible now."""
        busy = "A job is running." if self.context.jobs.busy else None
        allow(self.fit, busy, "Train a new model from nothing")
        none = None if self.context.model is not None else "Choose a model to start from."
        allow(
            self.tune, busy or none, "Train the chosen model on, with a vocabulary of this tissue"
        )
        allow(
            self.stop,
            None if busy else "Nothing is running.",
            "Stop; the same name and settings go on from here",
        )

    def _sections(self) -> list[Section]:
        """Return the open sections with the genes of the active one, without its region."""
        active = self.context.scene.active
        chosen = []
        for opened in self.context.session.sections.values():
            section = opened.section
            if opened is active:
                section = section.subset(~self._unseen())
            if section.genes == active.section.genes:
                chosen.append(section)
        return chosen

    def _folder(self) -> Path:
        name = self.name.text().strip()
        if not re.fullmatch(r"[\w][\w .+-]*", name):
            raise InputError(
                "The new model has no usable name." if name else "The new model has no name.",
                "Type one, of letters, digits, spaces, dots and dashes.",
            )
        folder = model_registry.TRAINED_HERE / name
        check_name(folder)
        if folder.exists():
            raise InputError(f"There is a model '{name}' already.", "Type another name.")
        return folder

    def _on_tick(self, tick: Tick) -> None:
        progress = tick.progress
        left = "" if progress.eta_s is None else f" · {max(progress.eta_s / 60, 0.1):.1f} min left"
        self.message.setText(f"{progress.stage}… {progress.done:,} of {progress.total:,}{left}")
        for payload in tick.payloads:
            self.curve.add(payload["step"], payload["error"])

    def _on_end(self, job: Job) -> None:
        if job.cancelled:
            self.message.setText(
                "Stopped. With the same name, tissue and length it goes on from there."
            )
        self.refresh()

    def _on_done(self, folder: Path) -> None:
        self.message.setText(f"'{folder.name}' is trained and chosen. It lies in {folder}.")
        self.name.clear()
        self._choose(folder)
