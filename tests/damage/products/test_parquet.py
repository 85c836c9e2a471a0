"""damage.parquet against the letter of GeoParquet 1.1."""

import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pyproj
import pytest
import shapely
from made_up_map import make_grid, make_map

from deepnets4eo.damage.products.tables import write_parquet


def geo(path):
    return json.loads(pq.read_schema(path).metadata[b"geo"])


def test_metadata_is_geoparquet_1_1_with_covering(tmp_path):
    path = write_parquet(make_map(), tmp_path / "damage.parquet")
    meta = geo(path)
    assert meta["version"] == "1.1.0"
    assert meta["primary_column"] == "geometry"
    column = meta["columns"]["geometry"]
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["Polygon"]
    assert pyproj.CRS.from_json_dict(column["crs"]).to_epsg() == 32615
    assert column["covering"]["bbox"] == {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}


@pytest.mark.parametrize("index", ["numbers", "names"])
def test_a_selection_of_buildings_brings_no_index_column(tmp_path, index):
    damage_map = make_map(9)
    chosen = damage_map.buildings.iloc[::2]
    if index == "names":
        chosen = chosen.set_index(chosen["id"].rename("number"))
    damage_map.buildings = chosen
    path = write_parquet(damage_map, tmp_path / "damage.parquet")
    assert pq.read_schema(path).names == [*chosen.columns, "bbox"]
    back = gpd.read_parquet(path)
    assert list(back.columns) == list(chosen.columns)
    assert back.index.equals(pd.RangeIndex(len(chosen)))


def test_bbox_column_holds_each_buildings_bounds(tmp_path):
    damage_map = make_map()
    path = write_parquet(damage_map, tmp_path / "damage.parquet")
    boxes = pq.read_table(path)["bbox"].to_pylist()
    table = np.array([[box[side] for side in ("xmin", "ymin", "xmax", "ymax")] for box in boxes])
    np.testing.assert_array_equal(table, shapely.bounds(damage_map.buildings.geometry.to_numpy()))


def test_a_window_reads_only_what_touches_it(tmp_path):
    damage_map = make_map()
    path = write_parquet(damage_map, tmp_path / "damage.parquet")
    window = damage_map.buildings.geometry.iloc[7].bounds
    found = gpd.read_parquet(path, bbox=window)
    assert "way/1007" in set(found["id"])
    assert len(found) < len(damage_map.buildings)


def test_rows_equal_the_buildings_and_missing_crs_is_null(tmp_path):
    damage_map = make_map(8, grid=make_grid(epsg=None))
    path = write_parquet(damage_map, tmp_path / "damage.parquet")
    back = gpd.read_parquet(path)
    assert geo(path)["columns"]["geometry"]["crs"] is None
    assert back["id"].tolist() == damage_map.buildings["id"].tolist()
    assert list(back.columns) == list(damage_map.buildings.columns)
