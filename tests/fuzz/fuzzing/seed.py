"""A seed: sound files that the mutators damage; and the made-up image, labels and buildings that seeds hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray

SIDE_PX = 48
CRS = "EPSG:32615"
TRANSFORM = Affine(0.5, 0, 360_000, 0, -0.5, 4_100_000)


@dataclass(frozen=True)
class Seed:
    """Sound files: their folder, the path within it that users name, and a function that makes damaged ones consistent again."""

    folder: Path
    main: str
    finish: Callable[[Path], None] | None = None

    @property
    def path(self) -> Path:
        """The path that users name."""
        return self.folder / self.main

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the folder."""
        return _files_of(self.folder)


@cache
def _files_of(folder: Path) -> tuple[Path, ...]:
    """Cached: seeds do not change, and every case needs the files of all."""
    return tuple(sorted(path for path in folder.rglob("*") if path.is_file()))


def image_array(seed: int = 0, bands: int = 3) -> NDArray[np.uint8]:
    """(bands, 48, 48) uint8: blocks of four classes under noise."""
    noise = np.random.default_rng(seed).integers(0, 40, (bands, SIDE_PX, SIDE_PX))
    return (noise + 50 * label_array()[None]).clip(1, 255).astype(np.uint8)


def label_array() -> NDArray[np.uint8]:
    """(48, 48) uint8: squares of the classes 0 to 5."""
    cells = np.random.default_rng(1).permutation(np.arange(36) % 6).reshape(6, 6)
    return np.kron(cells, np.ones((8, 8), int)).astype(np.uint8)


def write_raster(path: Path, array: NDArray[Any], *, tags: dict[str, str] | None = None, **profile: Any) -> Path:
    """A raster (C, H, W) by its suffix's driver; a GeoTIFF has the georeference of all seeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    driver = {".png": "PNG", ".jpg": "JPEG"}.get(path.suffix, "GTiff")
    located = {"crs": CRS, "transform": TRANSFORM} if driver == "GTiff" else {}
    count, height, width = array.shape
    size = {"count": count, "height": height, "width": width, "dtype": array.dtype.name}
    with rasterio.open(path, "w", driver=driver, **{**located, **size, **profile}) as file:
        file.write(array)
        if tags:
            file.update_tags(**tags)
    return path


def buildings() -> gpd.GeoDataFrame:
    """Nine houses on the image, with ids, grades and tags."""
    boxes = [shapely.box(x, y, x + 5, y + 4) for x in (1, 9, 17) for y in (1, 9, 17)]
    houses = [shapely.transform(box, lambda xy: xy + [360_000, 4_099_976]) for box in boxes]
    columns = {"id": [f"w{k}" for k in range(9)], "damage": ["no-damage", "destroyed", "major-damage"] * 3,
               "building": "yes", "name": "Café"}  # fmt: skip
    return gpd.GeoDataFrame(columns, geometry=houses, crs=CRS)


def make_folder(path: Path) -> Path:
    """Make a folder and return it."""
    path.mkdir(parents=True, exist_ok=True)
    return path
