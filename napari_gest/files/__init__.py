"""All files and folders of this project are written here, completely or not at all.

``replacing`` yields a temporary path that replaces the output once it is complete and on the
disk. Until then the former output stays. It is replaced only if the user asked for it, and only
by an output of the same kind (``FileKind``, ``FolderKind``). Decision 22 has the details.
"""

from napari_gest.files.cells import unescaped
from napari_gest.files.draft import Draft
from napari_gest.files.kinds import (
    GEOJSON,
    JSON,
    PNG,
    SAFETENSORS,
    SVG,
    TEXT,
    FileKind,
    FolderKind,
    described_folder,
    table_kind,
)
from napari_gest.files.leftovers import restore, restore_in
from napari_gest.files.outputs import (
    Output,
    check_name,
    check_output,
    check_outputs,
)
from napari_gest.files.scratch import Scratch
from napari_gest.files.signals import Terminated, as_usual, held, terminating
from napari_gest.files.tables import write_table
from napari_gest.files.writing import (
    make_folder,
    recorded,
    remove_folder,
    replacing,
    write_bytes,
    write_text,
)

__all__ = [
    "GEOJSON",
    "JSON",
    "PNG",
    "SAFETENSORS",
    "SVG",
    "TEXT",
    "Draft",
    "FileKind",
    "FolderKind",
    "Output",
    "Scratch",
    "Terminated",
    "as_usual",
    "check_name",
    "check_output",
    "check_outputs",
    "described_folder",
    "held",
    "make_folder",
    "recorded",
    "remove_folder",
    "replacing",
    "restore",
    "restore_in",
    "table_kind",
    "terminating",
    "unescaped",
    "write_bytes",
    "write_table",
    "write_text",
]
