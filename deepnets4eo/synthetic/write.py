"""Writes a city to a folder: COGs through `CogWriter`, vectors as GeoPackages, all marked as synthetic.

Files: pre.tif post.tif dsm_pre.tif dsm_post.tif dtm.tif labels.tif labels_post.tif footprints.gpkg osm.gpkg truth.gpkg
city.json. Refuses to overwrite unless asked.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np

from deepnets4eo.cards.legend import Legend
from deepnets4eo.files import atomic_write, check_overwrite, write_json
from deepnets4eo.grid import Grid, Window
from deepnets4eo.outputs.lock import locked
from deepnets4eo.polygons.vector_files import set_fixed_times
from deepnets4eo.rasters.cog import CogWriter

if TYPE_CHECKING:
    from deepnets4eo.synthetic.city import City

BAND_ROWS = 512
BAND_NAMES = ("red", "green", "blue", "near infrared")


def synthetic_tag(city: City) -> dict[str, str]:
    """The tag that every file of a city carries."""
    return {"SYNTHETIC": f"deepnets4eo miniature city, seed={city.seed}"}


def write_city(city: City, folder: Path, *, overwrite: bool = False) -> Path:
    """Write everything; returns the folder. Errors: OutputError when the folder holds a city already."""
    marker = folder / "city.json"
    with locked(folder):
        check_overwrite(marker, overwrite=overwrite)
        if folder.exists():
            _write(city, folder)
        else:  # it appears only when everything in it is written
            with atomic_write(folder) as partial:
                partial.mkdir()
                _write(city, partial)
    return folder


def _write(city: City, folder: Path) -> None:
    tags = synthetic_tag(city)
    _write_rasters(city, folder, tags)
    truth = {"buildings": city.buildings, "roads": city.roads}
    _write_vectors(folder / "truth.gpkg", truth, tags)
    _write_vectors(folder / "footprints.gpkg", {"footprints": city.footprints()}, tags)
    _write_vectors(folder / "osm.gpkg", city.osm(), tags)
    write_json(folder / "city.json", _card(city))


def _card(city: City) -> dict[str, Any]:
    return {
        "synthetic": synthetic_tag(city)["SYNTHETIC"],
        "seed": city.seed,
        "shape": list(city.shape),
        "gsd_m": city.gsd_m,
        "post_to_pre": list(city.post.to_pre)[:6],
        "style": dataclasses.asdict(city.style),
        "event": dataclasses.asdict(city.event),
    }


def _write_rasters(city: City, folder: Path, tags: dict[str, str]) -> None:
    """All rasters; labels with the miniature city's legend."""
    legend = Legend.load("minicity")
    for name, scene in (("pre", city.pre), ("post", city.post)):
        suffix = "" if name == "pre" else "_post"
        write_raster(folder / f"{name}.tif", scene.grid, scene.image, tags)
        write_raster(folder / f"dsm_{name}.tif", scene.grid, scene.dsm, tags)
        write_raster(folder / f"labels{suffix}.tif", scene.grid, scene.labels(legend), tags, legend)
    write_raster(folder / "dtm.tif", city.grid, city.dtm, tags)


def write_raster(path: Path, grid: Grid, data: np.ndarray, tags: dict[str, str], legend: Legend | None = None) -> None:
    """One raster in bands of rows; three dimensions are an image, whose bands are named."""
    layers = data if data.ndim == 3 else data[None]
    names = BAND_NAMES[: len(layers)] if data.ndim == 3 else ()
    dtype = str(data.dtype)
    with CogWriter(path, grid, count=len(layers), dtype=dtype, legend=legend, band_names=names, tags=tags) as cog:
        for row in range(0, layers.shape[1], BAND_ROWS):
            window = Window(row, 0, min(BAND_ROWS, layers.shape[1] - row), layers.shape[2])
            cog.write(window, layers[:, window.slices[0], window.slices[1]])


def _write_vectors(path: Path, layers: dict[str, gpd.GeoDataFrame], tags: dict[str, str]) -> None:
    """One GeoPackage, a layer each, tagged; empty layers are left out."""
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
