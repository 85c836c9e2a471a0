"""The one call that writes a table of outlines by pyogrio."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def write_frame(frame: pd.DataFrame, path: Path, **options: Any) -> None:
    """Write a table into a file, without a warning if outlines in pixels have no CRS. options : as for `pyogrio.write_dataframe`."""
    import pyogrio

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        pyogrio.write_dataframe(frame, path, **options)
