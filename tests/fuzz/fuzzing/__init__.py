"""Damaged files for every reader of the package: seed files, ways to damage them, and the contract that readers keep."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[2]), str(Path(__file__).parents[3] / "experiments")]  # as pytest has them
