from __future__ import annotations

import os
import sys
from pathlib import Path

# The fuzz suite is run from the repository root and is not installed.
sys.path.insert(0, str(Path(__file__).parents[2]))

# Cases run in forked processes.
collect_ignore_glob = [] if hasattr(os, "fork") else ["test_*.py"]
