"""Snapshots that are rendered once and read in every epoch, in a temporary file.

Takes layers of equal names, shapes and types; returns them again by number. Memory does not grow with the views.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.files import writing


class ViewStore:
    """Records of arrays in a file below an existing folder; the file disappears with the process.

    >>> store = ViewStore(Path(tempfile.gettempdir()))
    >>> store.append({"labels": np.full((2, 2), 7, np.uint8)})
    0
    >>> store.read(0)["labels"].tolist()
    [[7, 7], [7, 7]]
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with writing(folder):
            self._file = tempfile.TemporaryFile(dir=folder, prefix=".views-")  # noqa: SIM115 - it lives as long as the store
        self._dtype: np.dtype[Any] | None = None
        self._records: NDArray[Any] | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, layers: Mapping[str, NDArray[Any]]) -> int:
        """Write one snapshot; returns its number. All have the layers of the first. Errors: OutputError."""
        if self._dtype is None:
            self._dtype = np.dtype([(name, layer.dtype, layer.shape) for name, layer in layers.items()])
        record = np.empty((), self._dtype)
        for name, layer in layers.items():
            record[name] = layer
        with writing(self._folder):
            self._file.write(record.tobytes())
        self._count += 1
        self._records = None
        return self._count - 1

    def read(self, number: int) -> dict[str, NDArray[Any]]:
        """The layers of one snapshot, copied; several threads may read."""
        assert self._dtype is not None
        if self._records is None:
            self._file.flush()
            self._records = np.memmap(self._file, self._dtype, "r", shape=(self._count,))
        record = self._records[number]
        return {name: np.array(record[name]) for name in self._dtype.names or ()}
