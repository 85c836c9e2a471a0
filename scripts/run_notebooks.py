"""Runs the tutorials as notebooks, one after the other, within a limit of time; stops at the first cell that fails.

Usage: python scripts/run_notebooks.py [NOTEBOOK.py ...]; without names all of docs/tutorials.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import jupytext
from nbclient import NotebookClient

TUTORIALS = Path(__file__).resolve().parents[1] / "docs" / "tutorials"
LIMIT_S = 180.0


def run(paths: list[Path], limit_s: float = LIMIT_S) -> None:
    """Execute notebooks in their folder; raises the error of a cell, and TimeoutError where all take too long."""
    start = time.monotonic()
    for path in paths:
        before = time.monotonic()
        # one cell alone cannot wait beyond what is left of the limit
        left = max(1, int(limit_s - (before - start)))
        NotebookClient(jupytext.read(path), timeout=left, resources={"metadata": {"path": str(path.parent)}}).execute()
        print(f"{path.name}: {time.monotonic() - before:.0f} s", flush=True)
    if time.monotonic() - start > limit_s:
        raise TimeoutError(f"The notebooks took {time.monotonic() - start:.0f} s, more than {limit_s:.0f} s.")


if __name__ == "__main__":
    run([Path(name) for name in sys.argv[1:]] or sorted(TUTORIALS.glob("*.py")))
