"""Named results on disk, so that an interrupted or divided job finds what is finished.

Takes a folder of one job. One .npz a result, written beside and renamed; read without pickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.files import ARCHIVE_ERRORS, atomic_write


class ArrayStore:
    """Arrays by name, a few to a result.

    Parameters
    ----------
    folder
        Where they are kept; it may not exist yet.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = ArrayStore(Path(folder))
    ...     store.put("tile-0-0", {"sums": np.ones(3)})
    ...     store.get("tile-0-0")["sums"].tolist(), store.get("tile-0-1")
    ([1.0, 1.0, 1.0], None)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of a result; None where it was not finished, was cut short by a full disk, or is damaged."""
        try:
            with np.load(self.folder / f"{name}.npz", allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
        except ARCHIVE_ERRORS:  # a file that is not there among them
            return None
        # a member without NumPy's header comes as bytes
        return arrays if all(isinstance(array, np.ndarray) for array in arrays.values()) else None

    def put(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep the arrays of a finished result. Raises OutputError where they cannot be written."""
        with atomic_write(self.folder / f"{name}.npz") as partial:
            np.savez(partial, **arrays)  # type: ignore[arg-type]
