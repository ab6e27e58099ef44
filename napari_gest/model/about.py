"""The content of a model folder's ``config.json``. Reading it needs no torch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from napari_gest.errors import CheckpointError
from napari_gest.files import described_folder
from napari_gest.model.config import N_AXES, EmissionConfig, ModelConfig

CONFIG = "config.json"
VOCABULARY = "vocabulary.safetensors"
WEIGHTS = "weights.safetensors"
HEAD = "head.safetensors"
RESPONSE = "response.safetensors"
TRAINING_CELLS = "training_cells.safetensors"
FORMAT = 1

# Tells a base from a model, whose folder has genes and the total of a cell as well.
BASE = described_folder(
    "the folder of a base",
    CONFIG,
    keys=("format", "config", "n_axes"),
    others=(WEIGHTS, TRAINING_CELLS),
)

_REMEDY = "Copy the folder again, or train the model again."
_LARGEST_JSON = 64 * 2**20  # bytes; the names of 60,000 genes take one or two million

# Names of models are displayed, so they are short and on one line.
ModelName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,255}$")]
_Text = Annotated[str, StringConstraints(min_length=1)]


class Damaged(Exception):
    """A file of a model or of a training state is damaged.

    The text names the file and the error in it, without a full stop.
    """


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise ValueError(f"'{shortened(twice)}' is there twice")
    return names


Names = Annotated[tuple[_Text, ...], AfterValidator(_unique)]


class AboutHead(BaseModel):
    """The part of a label head besides its arrays."""

    classes: Annotated[Names, Field(min_length=2)]
    settings: dict[str, Any]


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    format: int = Field(ge=1)
    name: ModelName
    config: ModelConfig
    card: dict[str, Any]

    @model_validator(mode="after")
    def _told(self) -> Self:
        told = set(ModelConfig.model_fields) - ModelConfig.later
        missing = sorted(told - self.config.model_fields_set)
        if missing:
            raise ValueError(f"'config' has no '{missing[0]}'")
        return self


class About(_Described):
    """The content of ``config.json``.

    Attributes
    ----------
    format
        Version of the folder's layout.
    name, config, card
        As in ``GeST``.
    target_sum, genes
        As in ``MetaCellTokenizer``.
    head
        Classes and settings of the label head, if one was trained.
    emission
        As in ``GeST``; models of earlier versions have the defaults.
    """

    target_sum: float = Field(gt=0, lt=1e30)
    genes: Annotated[Names, Field(min_length=1)]
    head: AboutHead | None = None
    emission: EmissionConfig = Field(default_factory=EmissionConfig)

    @model_validator(mode="after")
    def _trained(self) -> About:
        if not self.config.window_um > 0:
            raise ValueError("'config.window_um' is 0, as before training")
        return self


class AboutBase(_Described):
    """The content of ``config.json`` of a base.

    Attributes
    ----------
    format, name, config, card
        As in ``About``.
    n_axes
        Axes by which it reads a vocabulary.
    """

    n_axes: int

    @model_validator(mode="after")
    def _of_no_tissue(self) -> AboutBase:
        if self.n_axes != N_AXES:
            raise ValueError(f"'n_axes' is {self.n_axes}, and this version reads {N_AXES}")
        if self.config.window_um:
            raise ValueError("'config.window_um' is not 0, and a base is of no tissue")
        if self.config.profiles != "standard":
            raise ValueError("'config.profiles' is not 'standard', which axes are of")
        return self


class _Version(BaseModel):
    format: int


_About = TypeVar("_About", bound=_Described)


def is_base(folder: Path) -> bool:
    """Whether a folder says that it holds a base, and no model; it may be damaged."""
    return BASE.is_one(folder)


def read_about(folder: Path) -> About:
    """Read and check ``config.json`` of a model folder.

    Raises
    ------
    CheckpointError
        If the folder holds no model, or the file is damaged or written by a newer version.
    """
    return _read(folder, (CONFIG, VOCABULARY, WEIGHTS), About)


def read_about_base(folder: Path) -> AboutBase:
    """Read and check ``config.json`` of the folder of a base; it raises as ``read_about`` does."""
    return _read(folder, (CONFIG, WEIGHTS), AboutBase)


def _read(folder: Path, files: tuple[str, ...], wanted: type[_About]) -> _About:
    try:
        missing = [name for name in files if not (folder / name).is_file()]
        if missing == list(files):
            raise CheckpointError(
                f"There is no model in '{folder}': it has no {', '.join(files[:-1])} or"
                f" {files[-1]}.",
                "Give a folder that has them, as 'napari-gest fit' or 'Fit a model' in napari"
                " writes it; a folder of tissue ends in .zarr.",
            )
        if missing:
            raise Damaged(f"{missing[0]} is missing")
        text = read_json(folder / CONFIG)
        try:
            newer = _Version.model_validate_json(text, strict=True).format > FORMAT
        except ValidationError:
            newer = False  # the error is raised below
        if newer:
            raise CheckpointError(
                f"The model in {folder} was written by a newer version.",
                "Update napari-gest to read it.",
            )
        about: _About = checked_json(TypeAdapter(wanted), text, CONFIG)
        return about
    except CheckpointError:
        raise
    except (Damaged, OSError) as error:
        raise damaged_model(folder, error) from error


def damaged_model(folder: Path, error: Exception, remedy: str = _REMEDY) -> CheckpointError:
    """Return the error of a model folder in which ``error`` was found."""
    return CheckpointError(f"The model in {folder} is damaged: {error}.", remedy)


def read_json(path: Path) -> bytes:
    """Return the bytes of a JSON file, unless it is too large.

    Raises
    ------
    Damaged
        If it is too large.
    OSError
        If it cannot be read.
    """
    size = path.stat().st_size
    if size > _LARGEST_JSON:
        raise Damaged(f"{path.name} has {size:,} bytes")
    return path.read_bytes()


def checked_json(wanted: TypeAdapter[Any], text: bytes, name: str) -> Any:
    """Return the content of a JSON file, with exactly the expected types.

    Raises
    ------
    Damaged
        If a field is wrong; names the first one.
    """
    try:
        return wanted.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            raise Damaged(f"{name} has no '{shortened(field)}'") from error
        found = "" if first["type"] == "json_invalid" else f" (found {shortened(first['input'])})"
        where = f"'{shortened(field)}': " if field else ""
        raise Damaged(f"{name}: {where}{shortened(what, 120)}{found}") from error


def shortened(value: Any, length: int = 60) -> str:
    """Return a value as text of limited length, on one line."""
    # Only the beginning of long lists and texts is shown.
    if isinstance(value, list | tuple):
        value = f"a list of {len(value)}"
    elif isinstance(value, dict):
        value = f"a dictionary of {len(value)}"
    text = value[: 2 * length] if isinstance(value, str) else repr(value)
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= length else f"{text[: length - 1]}…"
