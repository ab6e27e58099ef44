"""``python -m napari_gest.cli``."""

from napari_gest.cli import main

main()
