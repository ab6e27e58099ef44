"""Plots of the dock, drawn by pyqtgraph on the same Qt binding as everything else."""

import os

from qtpy import API_NAME

os.environ["PYQTGRAPH_QT_LIB"] = API_NAME  # read when pyqtgraph is imported, after this package
