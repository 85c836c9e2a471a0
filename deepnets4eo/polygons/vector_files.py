"""Writing vector layers: the format follows from the suffix, and nothing half-written takes the final name.

Takes a GeoDataFrame and a path; refuses suffixes it has no format for.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from deepnets4eo.errors import InputError
from deepnets4eo.files import replacing

if TYPE_CHECKING:
    import geopandas as gpd

DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".fgb": "FlatGeobuf", ".parquet": "", ".geoparquet": ""}


def check_vector_suffix(path: str | Path) -> Path:
    """The path, if its suffix names a format that can be written; else InputError lists those that do."""
    if Path(path).suffix.lower() not in DRIVERS:
        raise InputError(
            f"{path} ends in {Path(path).suffix or 'nothing'!r}, which names no vector format. "
            f"Expected one of {', '.join(DRIVERS)}."
        )
    return Path(path)


def write_vector(frame: gpd.GeoDataFrame, path: str | Path, layer: str | None = None) -> Path:
    """Write one layer as GeoPackage, GeoJSON (in WGS 84, as its standard wants), FlatGeobuf or GeoParquet.

    layer : name inside the file, by default the file's own without suffix

    Raises InputError for another suffix, OutputError when the disk refuses.
    """
    import pyogrio

    path = check_vector_suffix(path)
    driver = DRIVERS[path.suffix.lower()]
    with replacing(path) as partial:
        if not driver:
            frame.to_parquet(partial, schema_version="1.1.0", write_covering_bbox=True)
            return path
        if driver == "GeoJSON" and frame.crs is not None:
            frame = frame.to_crs("EPSG:4326")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")  # plain pixels have none
            pyogrio.write_dataframe(frame, partial, layer=layer or path.stem, driver=driver, geometry_type=_kind(frame))
    return path


def _kind(frame: gpd.GeoDataFrame) -> str | None:
    """The geometry type, also of an empty layer of polygons, so that other programs know it."""
    kinds = set(frame.geometry.geom_type.dropna())
    return "Polygon" if kinds <= {"Polygon"} else None
