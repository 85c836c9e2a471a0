"""New water as a raster that the page shows over the images, and as a separate product if the job found it."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepnets4eo.floods import open_new_water
from deepnets4eo.grid import Grid
from deepnets4eo.rasters import CogWriter, Layer

NEW, UNSEEN = 2, 255  # of the legend `water`: flood, and ground that is not seen


@dataclass(frozen=True)
class ShownWater:
    """A map of new water on the post image's grid: 1 in water, no data if unknown. product : file of water that the job found, or None."""

    layer: Layer
    product: Path | None = None
    name: str = "water"
    scale: None = None

    @classmethod
    def of_file(cls, source: str, grid: Grid) -> ShownWater:
        """Open a map of new water that the user gave. Errors: InputError, GridError."""
        return cls(open_new_water(source, grid))

    @classmethod
    def of_product(cls, path: Path, grid: Grid) -> ShownWater:
        """Open water.tif of a map, which stays a product when the map is written again. Errors: InputError, GridError."""
        return cls(Layer.open(path, labels=True).on(grid, "nearest"), path)

    @classmethod
    def of_labels(cls, labels: Layer, grid: Grid) -> ShownWater | None:
        """Write the new water in labels of the legend `water` as a raster, by blocks; None if there is none.

        The raster is in a folder that is removed with the value, since a map can be saved after its job has ended."""
        home = Path(tempfile.mkdtemp())
        with ExitStack() as unused:
            unused.callback(shutil.rmtree, home, ignore_errors=True)
            if not _write_new(labels, home / "new_water.tif"):
                return None
            water = cls.of_product(home / "new_water.tif", grid)
            weakref.finalize(water, unused.pop_all().close)
        return water


def _write_new(labels: Layer, path: Path) -> bool:
    """Write a raster of 1 in new water and no data if unknown; return whether there is any."""
    is_wet = False
    with CogWriter(path, labels.grid, nodata=UNSEEN) as writer:
        for window in writer.windows:
            classes, valid = labels.read(window)
            wet = valid & (classes[0] == NEW)
            is_wet = is_wet or bool(wet.any())
            writer.write(window, np.where(valid, wet, UNSEEN).astype(np.uint8))
    return is_wet
