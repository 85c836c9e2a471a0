"""Footprint files as one table: the vector formats of `formats.vectors`, and xBD label JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyogrio
import shapely

from deepnets4eo.errors import InputError, Reading
from deepnets4eo.footprints.ids import ROW_KEY, usable_column
from deepnets4eo.formats import (
    OSM_AREAS,
    choose_layers,
    is_parquet,
    is_remote,
    join_layers,
    keep_whole_numbers,
    read_ogr,
    read_xbd,
    split_layer,
    vector_errors,
    vector_file,
)
from deepnets4eo.osm.elements import with_incomplete
from deepnets4eo.osm.incomplete import incomplete_elements

PIXEL_COLUMN = "xbd_pixels"  # geometries in image pixels beside the geographic ones of an xBD label file
FORMATS = "GeoPackage, GeoJSON, Shapefile, FlatGeobuf, GeoParquet or xBD label JSON"
TILED = ("MBTiles", "PMTiles", "MVT")  # drivers of vector tiles
KEYED = ("GPKG", "SQLite", "OpenFileGDB")  # drivers of files that keep a key of each row


@Reading.of_source("Is it whole? Copy it again.")
def read_table(
    source: str | Path, layer: str | None = None, *, knows: Callable[[list[str]], bool] | None = None
) -> gpd.GeoDataFrame:
    """Return every row and column of a vector file, indexed by `ids.ROW_KEY` if the file has keys; xBD has `xbd_pixels`. Errors: InputError.

    source : a file, or `FILE#LAYER`; layer : the same, for files with several; knows : whether columns are of the layer that is meant
    """
    name, own = split_layer(source)
    if None not in (layer, own) and layer != own:
        raise InputError(f"{source} names the layer {own!r}, and the options {layer!r}. Name one.")
    layer = layer or own
    if not is_remote(name) and not Path(name).exists():
        raise InputError(f"footprints {name} do not exist. Check the path; expected {FORMATS}.")
    with vector_file(name) as path:
        if is_parquet(path):
            return _read_parquet(path, name)
        if _is_xbd(path):
            table, pixels = read_xbd(path)
            return table.assign(**{PIXEL_COLUMN: pixels})
        if path.suffix.lower() == ".shp":
            _check_shapefile_length(path)
        return _read_ogr(path, name, layer, knows)


def _check_shapefile_length(path: Path) -> None:
    """Refuse a cut Shapefile, whose last rows GDAL reads as empty."""
    if not path.is_file():  # a folder of that name: GDAL says what it is
        return
    with path.open("rb") as file:
        header = file.read(28)
    stated, size = 2 * int.from_bytes(header[24:28], "big"), path.stat().st_size
    if len(header) < 28 or size < stated:
        raise InputError(
            f"footprints {path} are cut short: {size} bytes of {stated or 'at least 100'}. Copy the file again."
        )


def _read_parquet(path: Path, name: str) -> gpd.GeoDataFrame:
    import pyarrow
    import pyarrow.parquet

    with vector_errors(f"footprints {name}", "GeoParquet with a geometry column"):
        native = _native_geometry(path)
        table = gpd.read_parquet(path) if native is None else _with_native_geometry(path, *native)
        fields = [field.name for field in pyarrow.parquet.read_schema(path) if pyarrow.types.is_integer(field.type)]
        return keep_whole_numbers(
            table,
            [name for name in fields if name in table],
            lambda columns: pyarrow.parquet.read_table(path, columns=columns, partitioning=None),
        )


def _native_geometry(path: Path) -> tuple[str, str] | None:
    """Column and CRS of a geometry in Parquet's own type, without `geo` metadata, or None."""
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    if b"geo" in (file.metadata.metadata or {}):
        return None
    for number in range(len(file.schema)):
        column = file.schema.column(number)
        kind = json.loads(column.logical_type.to_json())
        if kind["Type"] in ("Geometry", "Geography"):
            return column.name, re.sub("^srid:", "EPSG:", kind.get("crs") or "OGC:CRS84")
    return None


def _with_native_geometry(path: Path, column: str, crs: str) -> gpd.GeoDataFrame:
    import pyarrow.parquet

    content = pyarrow.parquet.read_table(path)
    shapes = content[column].combine_chunks()
    wkb = getattr(shapes, "storage", shapes).to_numpy(zero_copy_only=False)
    return gpd.GeoDataFrame(content.drop_columns([column]).to_pandas(), geometry=shapely.from_wkb(wkb), crs=crs)


def _read_ogr(
    path: Path, name: str, layer: str | None, knows: Callable[[list[str]], bool] | None = None
) -> gpd.GeoDataFrame:
    with vector_errors(name, FORMATS):
        layer = layer or _known_layer(path, knows)
        layers = choose_layers(path, name, layer)
        tables = [_read_layer(path, name, chosen) for chosen in layers]
        return tables[0] if len(tables) == 1 else join_layers(tables, layers)


def _known_layer(path: Path, knows: Callable[[list[str]], bool] | None) -> str | None:
    """Return the only layer whose columns are known, None if there are none or several."""
    if knows is None:
        return None
    layers = [str(layer) for layer, kind in pyogrio.list_layers(path) if kind is not None]
    known = [layer for layer in layers if knows([str(name) for name in pyogrio.read_info(path, layer=layer)["fields"]])]
    return known[0] if len(known) == 1 else None


def _read_layer(path: Path, name: str, layer: str) -> gpd.GeoDataFrame:
    with vector_errors(f"footprints {name}", FORMATS):
        table = read_ogr(path, name, layer=layer, on_invalid="fix", fid_as_index=True)
        if layer == OSM_AREAS:
            table = with_incomplete(table, *incomplete_elements(path, f"footprints {name}"))
        about = pyogrio.read_info(path, layer=layer)
        table = keep_whole_numbers(
            table,
            [field for field, kind in zip(about["fields"], about["dtypes"], strict=True) if kind == "int64"],
            lambda columns: pyogrio.read_arrow(path, layer=layer, columns=columns, read_geometry=False)[1],
        )
    if about["features"] > len(table):
        raise InputError(
            f"footprints {name} announce {about['features']} features but hold {len(table)}: the file is cut short. Fetch it again."
        )
    if "geometry" not in table.columns:
        raise InputError(f"footprints {name} have no geometry, only the columns {list(table.columns)}.")
    if (
        about["driver"] in TILED and "id" in table and not table["id"].is_unique
    ):  # a row per tile that an outline touches
        table = gpd.GeoDataFrame(table).dissolve(by="id", as_index=False)
    return _with_row_keys(gpd.GeoDataFrame(table), path, about)


def _with_row_keys(table: gpd.GeoDataFrame, path: Path, about: dict[str, Any]) -> gpd.GeoDataFrame:
    """Return the table indexed by the file's keys of its rows, else by row numbers."""
    if about["driver"] in KEYED and about["fid_column"]:
        return table.rename_axis(index=ROW_KEY)
    ids = None
    if about["driver"] in ("GeoJSON", "GeoJSONSeq") and usable_column(table)[0] is None:
        ids = _feature_ids(path)
    if ids is None or len(ids) != len(table) or all(value is None for value in ids):
        return table.reset_index(drop=True)
    return table.set_index(pd.Index(ids, dtype=object, name=ROW_KEY))


def _feature_ids(path: Path) -> list[str | int | float | None] | None:
    """Return the `id` that each GeoJSON feature has outside its properties; GDAL keeps only whole numbers."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    if '"id"' not in text:
        return None
    try:
        content = _without_geometry(text)
    except (ValueError, RecursionError):
        content = None
    features = content.get("features") if isinstance(content, dict) else content
    if not isinstance(features, list) or not all(isinstance(feature, tuple) for feature in features):
        return None
    return [value if isinstance(value, (str, int, float)) else None for (value,) in features]


def _without_geometry(text: str) -> Any:
    """JSON, or a sequence of JSON texts as a list, with (id,) in place of each feature, which saves memory."""
    decoder = json.JSONDecoder(object_hook=lambda item: (item.get("id"),) if item.get("type") == "Feature" else item)
    texts, start = [], 0
    while start < len(text):
        if text[start] in " \t\r\n\x1e":
            start += 1
            continue
        item, start = decoder.raw_decode(text, start)
        texts.append(item)
    return texts[0] if len(texts) == 1 and isinstance(texts[0], dict) else texts


def _is_xbd(path: Path) -> bool:
    if path.suffix.lower() != ".json" or path.is_dir():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return re.search(r'"features"\s*:\s*\{', file.read(1 << 16)) is not None
