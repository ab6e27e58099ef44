"""What ``config.json`` of a model folder says. Reading it needs no torch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

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
from napari_gest.model.config import EmissionConfig, ModelConfig

CONFIG = "config.json"
VOCABULARY = "vocabulary.safetensors"
WEIGHTS = "weights.safetensors"
HEAD = "head.safetensors"
RESPONSE = "response.safetensors"
TRAINING_CELLS = "training_cells.safetensors"
FORMAT = 1

_REMEDY = "Copy the folder again, or train the model again."
_LARGEST_JSON = 64 * 2**20  # bytes; the names of 60,000 genes take one or two million

# A model is shown by its name, so it is short and on one line.
ModelName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,255}$")]
_Text = Annotated[str, StringConstraints(min_length=1)]


class Damaged(Exception):
    """A file of a model or of a training state that is not what it should be.

    The text names the file and what is wrong in it, without a full stop.
    """


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise ValueError(f"'{shortened(twice)}' is there twice")
    return names


Names = Annotated[tuple[_Text, ...], AfterValidator(_unique)]


class AboutHead(BaseModel):
    """What is known of a label head besides its arrays."""

    classes: Annotated[Names, Field(min_length=2)]
    settings: dict[str, Any]


class About(BaseModel):
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
        Classes and settings of the label head, where one was trained.
    emission
        As in ``GeST``; models of before have the defaults.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    format: int = Field(ge=1)
    name: ModelName
    config: ModelConfig
    target_sum: float = Field(gt=0, lt=1e30)
    genes: Annotated[Names, Field(min_length=1)]
    card: dict[str, Any]
    head: AboutHead | None = None
    emission: EmissionConfig = Field(default_factory=EmissionConfig)

    @model_validator(mode="after")
    def _complete(self) -> About:
        missing = sorted(set(ModelConfig.model_fields) - self.config.model_fields_set)
        if missing:
            raise ValueError(f"'config' has no '{missing[0]}'")
        if not self.config.window_um > 0:
            raise ValueError("'config.window_um' is 0, as before training")
        return self


class _Version(BaseModel):
    format: int


def read_about(folder: Path) -> About:
    """Read and check ``config.json`` of a model folder.

    Raises
    ------
    CheckpointError
        If the folder holds no model, or the file is damaged or written by a newer version.
    """
    files = (CONFIG, VOCABULARY, WEIGHTS)
    try:
        missing = [name for name in files if not (folder / name).is_file()]
        if missing == list(files):
            raise CheckpointError(
                f"There is no model in '{folder}': it has no {CONFIG}, {VOCABULARY} or {WEIGHTS}.",
                "Give a folder that has them, as 'napari-gest fit' or 'Fit a model' in napari"
                " writes it; a folder of tissue ends in .zarr.",
            )
        if missing:
            raise Damaged(f"{missing[0]} is missing")
        text = read_json(folder / CONFIG)
        try:
            newer = _Version.model_validate_json(text, strict=True).format > FORMAT
        except ValidationError:
            newer = False  # what is wrong is told below
        if newer:
            raise CheckpointError(
                f"The model in {folder} was written by a newer version.",
                "Update napari-gest to read it.",
            )
        return checked_json(TypeAdapter(About), text, CONFIG)
    except CheckpointError:
        raise
    except (Damaged, OSError) as error:
        raise damaged_model(folder, error) from error


def damaged_model(folder: Path, error: Exception, remedy: str = _REMEDY) -> CheckpointError:
    """Return the error of a model folder in which ``error`` was found."""
    return CheckpointError(f"The model in {folder} is damaged: {error}.", remedy)


def read_json(path: Path) -> bytes:
    """Return the bytes of a JSON file, if it is of a sensible size.

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
    """Return what a JSON file says, with exactly the types that are wanted.

    Raises
    ------
    Damaged
        Naming the first field that is wrong.
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
    # Of long lists and texts only the beginning is written out.
    if isinstance(value, list | tuple):
        value = f"a list of {len(value)}"
    elif isinstance(value, dict):
        value = f"a dictionary of {len(value)}"
    text = value[: 2 * length] if isinstance(value, str) else repr(value)
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= length else f"{text[: length - 1]}…"
