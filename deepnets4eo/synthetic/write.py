"""Writes the layers of a city to a folder: COGs through `CogWriter`, vectors as GeoPackages, all marked as synthetic.

Takes rasters, vector layers and a description (`City.write` collects them); writes over an older city only with `overwrite`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np

from deepnets4eo.cards.legend import Legend
from deepnets4eo.files import atomic_write, check_overwrite, write_json
from deepnets4eo.grid import Grid, Window
from deepnets4eo.jobs.lock import output_lock
from deepnets4eo.polygons.vector_files import set_fixed_times
from deepnets4eo.rasters.cog import CogWriter

BAND_ROWS = 512
BAND_NAMES = ("red", "green", "blue", "near infrared")
DESCRIPTION = "city.json"


@dataclass(frozen=True)
class RasterLayer:
    """One raster of a city: file name without suffix, grid, (H, W) or (C, H, W) values, legend of labels."""

    name: str
    grid: Grid
    data: np.ndarray
    legend: Legend | None = None


def write_layers(
    folder: Path,
    rasters: Iterable[RasterLayer],
    vectors: Mapping[str, Mapping[str, gpd.GeoDataFrame]],
    description: Mapping[str, Any],
    tags: dict[str, str],
    *,
    overwrite: bool = False,
) -> Path:
    """Write rasters one by one, GeoPackages (file name → layer name → geometries) and `city.json`, and return the
    folder, which appears when everything in it is written. Raises OutputError where the folder holds a city already."""
    with output_lock(folder):
        check_overwrite(folder / DESCRIPTION, overwrite=overwrite)
        if folder.exists():
            _write(folder, rasters, vectors, description, tags)
        else:
            with atomic_write(folder) as partial:
                partial.mkdir()
                _write(partial, rasters, vectors, description, tags)
    return folder


def _write(
    folder: Path,
    rasters: Iterable[RasterLayer],
    vectors: Mapping[str, Mapping[str, gpd.GeoDataFrame]],
    description: Mapping[str, Any],
    tags: dict[str, str],
) -> None:
    for raster in rasters:
        write_raster(folder / f"{raster.name}.tif", raster.grid, raster.data, tags, raster.legend)
    for name, layers in vectors.items():
        _write_vectors(folder / f"{name}.gpkg", layers, tags)
    write_json(folder / DESCRIPTION, description)


def write_raster(
    path: Path,
    grid: Grid,
    data: np.ndarray,
    tags: dict[str, str],
    legend: Legend | None = None,
    *,
    wavelengths_nm: Sequence[float] = (),
) -> None:
    """Write a raster in bands of rows; the bands of an image (C, H, W) are named, those of a cube by their wavelength."""
    layers = data if data.ndim == 3 else data[None]
    names = BAND_NAMES[: len(layers)] if data.ndim == 3 else ()
    names = tuple(f"{nm:.1f} nm" for nm in wavelengths_nm) or names
    dtype = str(data.dtype)
    with CogWriter(
        path, grid, count=len(layers), dtype=dtype, legend=legend, band_names=names, tags=tags,
        wavelengths_nm=wavelengths_nm,
    ) as cog:  # fmt: skip
        for row in range(0, layers.shape[1], BAND_ROWS):
            window = Window(row, 0, min(BAND_ROWS, layers.shape[1] - row), layers.shape[2])
            cog.write(window, layers[:, window.slices[0], window.slices[1]])


def _write_vectors(path: Path, layers: Mapping[str, gpd.GeoDataFrame], tags: dict[str, str]) -> None:
    """Write a GeoPackage with the layers that are not empty."""
    import pyogrio

    with atomic_write(path) as partial:
        first = True
        for name, frame in layers.items():
            if len(frame):
                pyogrio.write_dataframe(
                    frame,
                    partial,
                    layer=name,
                    driver="GPKG",
                    append=not first,
                    layer_metadata=tags,
                    dataset_metadata=tags,
                )
                first = False
        if not first:
            set_fixed_times(partial)
