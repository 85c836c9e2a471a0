"""Layers of vector files: `FILE#LAYER` names one, in every verb that takes outlines, areas or points.

Without a name the only layer of the wanted kind is read, the folders of a KML file together. Several layers are refused with their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.formats.access import is_remote

if TYPE_CHECKING:
    import geopandas as gpd

MARK = "#"
POLYGONS = ("Polygon", "Surface")  # words in GDAL's names of types of geometry
POINTS = ("Point",)
ANY = ("Unknown", "GeometryCollection")  # may contain any geometry
OSM_AREAS = "multipolygons"  # GDAL's layer of the areas of an OpenStreetMap file
KML_SUFFIXES = (".kml", ".kmz")
FOLDER_COLUMN = "folder"  # of a table of several folders of a KML file


def split_layer(source: str | Path) -> tuple[str, str | None]:
    """Return file and layer of `FILE#LAYER`, or of an address with a fragment; a file whose own name has the mark is that file.

    >>> split_layer("https://example.org/gadm.gpkg#ADM_1"), split_layer("houses.gpkg")
    (('https://example.org/gadm.gpkg', 'ADM_1'), ('houses.gpkg', None))
    """
    text = str(source)
    file, _, layer = text.partition(MARK) if is_remote(text) else text.rpartition(MARK)
    if not file or not layer or (not is_remote(text) and (_exists(text) or not _exists(file))):
        return text, None
    return file, layer


def choose_layers(path: Path, name: str, layer: str | None, kinds: Sequence[str] = POLYGONS) -> list[str]:
    """Return the named layer, or the only one of a kind; all folders of a KML file. Raises InputError that lists the layers.

    kinds : words in the types of geometry that are preferred; layers of any other kind count if there is none of these
    """
    import pyogrio

    layers = {str(item): str(kind) if kind is not None else None for item, kind in pyogrio.list_layers(path)}
    if layer is not None:
        if layer not in layers:
            raise InputError(f"{name} has no layer {layer!r}. {name_hint(layer, [*layers])}")
        return [layer]
    spatial = {item: kind for item, kind in layers.items() if kind is not None}
    wanted = [item for item, kind in spatial.items() if any(word in kind for word in (*kinds, *ANY))]
    candidates = [OSM_AREAS] if OSM_AREAS in wanted and "other_relations" in wanted else wanted or [*spatial]
    if not candidates:
        raise InputError(f"{name} has no layer with geometry; it has {', '.join(layers) or 'none at all'}.")
    if len(candidates) > 1 and path.suffix.lower() not in KML_SUFFIXES:
        raise InputError(
            f"{name} has several layers: {', '.join(candidates)}. Name one after the file: {name}{MARK}{candidates[0]}"
        )
    return candidates


def join_layers(tables: Sequence[gpd.GeoDataFrame], layers: Sequence[str]) -> gpd.GeoDataFrame:
    """Return the rows of several layers as one table; the name of the layer of each row is in the column `folder`."""
    import pandas as pd

    named = [table.assign(**{FOLDER_COLUMN: layer}) for table, layer in zip(tables, layers, strict=True)]
    return pd.concat(named, ignore_index=True)


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long for a path, or with a NUL
        return False
