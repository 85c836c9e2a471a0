"""The rasters that a prediction writes: labels, and if asked probabilities and entropy, side by side.

Takes bytes by product and window; streams each to its own COG. What is whole already from an interrupted job is left
alone. Refuses outputs that exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cog import CogWriter
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window
from deepnets4eo.legend import VOID, Legend
from deepnets4eo.scores import PACKED_NODATA, PACKED_ONE

LABELS = "labels"
PROBABILITIES = "probabilities"
ENTROPY = "entropy"


class Outputs:
    """Context manager over one COG writer per product.

    paths : product → file; `labels` is always among them.
    """

    def __init__(self, paths: Mapping[str, Path], grid: Grid, legend: Legend, tags: Mapping[str, str]) -> None:
        if len({path.resolve() for path in paths.values()}) < len(paths):
            raise InputError(
                f"two outputs would go to one file: {[str(path) for path in paths.values()]}. Name them apart."
            )
        self.paths, self._stack = dict(paths), ExitStack()
        self._writers = {name: _writer(name, path, grid, legend, tags) for name, path in paths.items()}

    @property
    def streams(self) -> dict[str, Path]:
        """Product → unfinished file."""
        return {name: writer.stream for name, writer in self._writers.items()}

    def forget(self) -> None:
        """Remove what an earlier job left unfinished."""
        for stream in self.streams.values():
            stream.unlink(missing_ok=True)

    def leave_finished(self) -> None:
        """Drop products that an interrupted job brought to their final name already."""
        self._writers = {name: writer for name, writer in self._writers.items() if writer.stream.exists()}

    def __enter__(self) -> Outputs:
        for writer in self._writers.values():
            self._stack.enter_context(writer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, value, trace)

    def write(self, window: Window, rows: Mapping[str, NDArray[np.uint8]]) -> None:
        """Write (bands, h, w) bytes of each product at a window."""
        for name, writer in self._writers.items():
            writer.write(window, rows[name])

    def checkpoint(self) -> None:
        """Bring everything to the disk."""
        for writer in self._writers.values():
            writer.checkpoint()


def bands_of(product: str, num_classes: int) -> int:
    """Bands of a product: one per class for probabilities, else one."""
    return num_classes if product == PROBABILITIES else 1


def _writer(name: str, path: Path, grid: Grid, legend: Legend, tags: Mapping[str, str]) -> CogWriter:
    if name == LABELS:
        return CogWriter(path, grid, nodata=VOID, legend=legend, tags=tags, resume=True)
    names = legend.names if name == PROBABILITIES else ("entropy",)
    meaning = "probability of each class" if name == PROBABILITIES else "entropy over classes, 1: all equally probable"
    described = dict(tags) | {"MEANING": f"{meaning}; value / {PACKED_ONE}", "PACKED_ONE": str(PACKED_ONE)}
    count = bands_of(name, legend.num_classes)
    return CogWriter(path, grid, count=count, nodata=PACKED_NODATA, band_names=names, tags=described, resume=True)
