"""Training: generative pre-training, and continued training on new tissue (Sec. 4.4, 5.2)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from napari_gest.errors import InputError
from napari_gest.files import check_output
from napari_gest.limits import check_number
from napari_gest.model.about import ModelName, shortened
from napari_gest.model.config import ModelConfig
from napari_gest.model.devices import Device, check_device
from napari_gest.model.gest import Base, GeST
from napari_gest.seeds import check_seed
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tasks.training.budget import LEAST, MOST, Budget, of_length
from napari_gest.tasks.training.ranks import Scale, Strategy, join
from napari_gest.tasks.training.start import FROM_SCRATCH, check_shape, start_of
from napari_gest.tasks.training.train_config import TrainConfig
from napari_gest.tasks.training.train_state import STATE, TrainState
from napari_gest.tissue.geometry import N_GEOMETRY
from napari_gest.tissue.section import Section

# From so many cells on a larger decoder, trained for longer, predicts held-out sections better;
# with fewer it learns them by heart (decision 18).
MANY_CELLS = 15_000
# What suits a base and many cells (decision 38). With fewer cells a few passes over them do; with
# more it learns a small section by heart.
FROM_BASE = TrainConfig(n_steps=800, validate_every=100, cell_dropout=0.6, keep="last")
_PASSES, _FEWEST_STEPS, _FEW_WINDOWS = 24, 16, 4


def configs_for(
    sections: Sequence[Section], start: GeST | None = None
) -> tuple[ModelConfig, TrainConfig]:
    """Return the shape and the training that suit the number of cells in ``sections``.

    A model to ``start`` from keeps its shape, and what it was trained for is done.
    """
    n_cells = sum(section.n_obs for section in sections)
    if isinstance(start, Base):
        if n_cells >= MANY_CELLS:
            return start.config, FROM_BASE
        few = FROM_BASE.model_copy(update={"batch_windows": _FEW_WINDOWS})
        n_steps = round(_PASSES * n_cells / (few.batch_windows * few.targets))
        return start.config, of_length(few, max(_FEWEST_STEPS, n_steps))
    if start is not None:
        return start.config, TrainConfig()
    if n_cells < MANY_CELLS:
        return ModelConfig(), TrainConfig()
    return (
        ModelConfig(n_layers=5, n_heads=5, d_model=160, dropout=0.2),
        TrainConfig(n_steps=1000, validate_every=100, cell_dropout=0.6),
    )


@dataclass(frozen=True)
class Fitted:
    """A trained model and its validation curve.

    Attributes
    ----------
    model
        The model at its best validation, or at the end, as ``keep`` of its training says.
    curve
        One entry per validation: ``step``, ``train_loss`` (not before training),
        ``nll`` (nats per cell),
        ``error`` (squared error of the weighted read-out over genes scaled to unit variance),
        ``rmse_z`` (the paper's metric over all validation cells, by which the best is chosen)
        and ``seconds`` since the start.
    """

    model: GeST
    curve: list[dict[str, float]]


@dataclass(frozen=True, eq=False)
class FitRequest:
    """One training run and all it needs.

    Attributes
    ----------
    sections
        Sections to train on. Their panel must be the same.
    model_config
        Shape of the model; where ``start`` is given, its own but for the vocabulary.
    train_config
        How to train.
    seed
        Of vocabulary, weights, windows and dropout. The same seed gives the same model whatever
        the order of rows and sections (decision 25).
    validation
        Section to validate on; by default holes are set aside in the training sections.
    checkpoint_dir
        Folder for the state of the run. A run with the same settings goes on from it. It must be
        absent, empty, or hold a training state and nothing else.
    start
        Model to train on. If its panel differs, its transformer is kept and the vocabulary and
        the two gene-facing layers are made anew. A base has no panel; of its network a vocabulary
        of any genes is read.
    name
        Name of the trained model.
    budget
        Wall time in which training is to end. It settles the number of steps, ``n_steps`` at most.
    device
        Where the network computes: ``cpu``, ``cuda``, ``mps``, or ``auto``, an NVIDIA GPU where
        there is one. The trained model is on the processor's side.
    devices, nodes, strategy
        Processes on each machine, machines, and how the processes share the work, as in ``Scale``.
        More than one process needs Lightning Fabric (the extra ``scale``), which runs the program
        once for each; all return the same model.
    """

    sections: Sequence[Section]
    model_config: ModelConfig
    train_config: TrainConfig
    seed: int
    validation: Section | None = None
    checkpoint_dir: Path | None = None
    start: GeST | None = None
    name: str = "unnamed"
    budget: Budget | None = None
    device: Device = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: Strategy = "ddp"

    @property
    def scale(self) -> Scale:
        """How many processes train together."""
        return Scale(self.devices, self.nodes, self.strategy)

    def check(self) -> None:
        """Raise InputError if the sections cannot be trained on together.

        Also if ``checkpoint_dir`` is neither absent nor empty nor a training state alone.
        """
        if not self.sections:
            raise InputError("There is no section to train on.", "Give one at least.")
        check_seed(self.seed)
        check_device(self.device)
        self.scale.check(self.device, self.train_config.batch_windows)
        genes = self.sections[0].genes
        for section in [*self.sections, *([self.validation] if self.validation else [])]:
            if section.genes != genes:
                shared = len(set(section.genes) & set(genes))
                raise InputError(
                    f"Sections '{self.sections[0].name}' and '{section.name}' have different"
                    f" panels ({shared} shared genes).",
                    "A vocabulary belongs to one panel: train on sections measured with the same"
                    " genes, in the same order.",
                )
        if not all(genes):
            raise InputError(
                f"There are genes without a name in section '{self.sections[0].name}'.",
                "Name every gene: the model knows them by their names.",
            )
        if not any(section.expression.nnz for section in self.sections):
            raise InputError(
                "No cell of the sections to train on has any expression.",
                "Give sections in which something was measured.",
            )
        try:
            TypeAdapter(ModelName).validate_python(self.name)
        except ValidationError as error:
            raise InputError(
                f"A model cannot be named '{shortened(self.name)}'.",
                "Give a name of 1 to 255 characters on one line.",
            ) from error
        if self.model_config.n_geometry not in (0, N_GEOMETRY):
            raise InputError(
                f"n_geometry is {self.model_config.n_geometry}.",
                f"It is {N_GEOMETRY}, or 0 to leave the arrangement of cells out.",
            )
        if self.start is not None:
            check_shape(self.model_config, self.start)
        if self.budget is not None:
            check_number("budget", self.budget.seconds, LEAST, MOST)
        if self.checkpoint_dir is not None and self.scale.is_first:
            TrainState.find(Path(self.checkpoint_dir))  # says what is wrong with a damaged one
            check_output(self.checkpoint_dir, STATE, overwrite=True, parents=True)
        smallest = min(self.sections, key=lambda s: s.n_obs)
        if smallest.n_obs < 32:
            raise InputError(
                f"Section '{smallest.name}' has {smallest.n_obs} cells.",
                "A section needs 32 cells at least to train on.",
            )

    def run(self) -> Generator[Progress, None, Fitted]:
        """Train; yields after every step, returns the model."""
        self.check()
        yield Progress("Building the vocabulary", 0, 1)
        from napari_gest.tasks.training.train_loop import TrainLoop

        ranks = join(self.scale, self.device)
        return Fitted(*(yield from TrainLoop(self, ranks).steps()))


def fit(
    sections: Sequence[Section],
    model_config: ModelConfig | None = None,
    train_config: TrainConfig | None = None,
    *,
    start: GeST | str | Path | None = None,
    budget: float | None = None,
    seed: int = 0,
    validation: Section | None = None,
    checkpoint_dir: Path | None = None,
    name: str = "unnamed",
    device: Device = "auto",
    devices: int = 1,
    nodes: int = 1,
    strategy: Strategy = "ddp",
    on_progress: Callable[[Progress], None] | None = None,
) -> GeST:
    """Train a model of new tissue and return it.

    Parameters
    ----------
    sections
        Sections measured with one panel.
    model_config, train_config
        Shape and training; by default what suits the number of cells (`configs_for`).
    start
        What training begins with: a base or a model, its name or its folder, or ``"none"`` for
        random weights. By default the bundled base, and random weights where there is a
        ``model_config``.
    budget
        Seconds of wall time that it may take, 10 at least; the number of steps follows from how
        long one takes here, and is in ``card["training"]``. ``of_length`` with that number gives
        the same training without a clock.
    seed, validation, checkpoint_dir, name, device, devices, nodes, strategy
        As in ``FitRequest``.
    on_progress
        Called after every step.

    Raises
    ------
    InputError
        If the sections cannot be trained on together, ``start`` has another shape than
        ``model_config``, ``checkpoint_dir`` is neither absent nor empty nor a training state
        alone, or there are not so many devices.
    CheckpointError
        If there is no model to start from, or it is damaged.
    ProcessError
        If one of several processes failed or ended.
    """
    clock = None if budget is None else Budget(budget)
    # A shape of one's own is that of no base.
    begin = start_of(FROM_SCRATCH if start is None and model_config is not None else start)
    shape, training = configs_for(sections, begin)
    request = FitRequest(
        sections,
        model_config or shape,
        train_config or training,
        seed,
        validation=validation,
        checkpoint_dir=checkpoint_dir,
        start=begin,
        name=name,
        budget=clock,
        device=device,
        devices=devices,
        nodes=nodes,
        strategy=strategy,
    )
    return finish(request.run(), on_progress).model


def fine_tune(
    model: GeST,
    sections: Sequence[Section],
    train_config: TrainConfig | None = None,
    *,
    seed: int = 0,
    validation: Section | None = None,
    checkpoint_dir: Path | None = None,
    name: str = "unnamed",
    device: Device = "auto",
    devices: int = 1,
    nodes: int = 1,
    strategy: Strategy = "ddp",
    on_progress: Callable[[Progress], None] | None = None,
) -> GeST:
    """Train a model on with new tissue ("Ours-FT", Sec. 5.2) and return a new model.

    For another panel the transformer is kept and the vocabulary rebuilt.

    Parameters
    ----------
    model
        The model to start from; it stays as it is.
    sections, train_config, seed, validation, checkpoint_dir, name, on_progress
        As in ``fit``.
    device, devices, nodes, strategy
        As in ``fit``.

    Raises
    ------
    InputError
        As ``fit``.
    """
    return fit(
        sections,
        train_config=train_config,
        start=model,
        seed=seed,
        validation=validation,
        checkpoint_dir=checkpoint_dir,
        name=name,
        on_progress=on_progress,
        device=device,
        devices=devices,
        nodes=nodes,
        strategy=strategy,
    )
