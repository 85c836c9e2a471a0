"""Half a house is never drawn: areas whose nodes are not all in the file are left out, of XML and of PBF alike."""

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import shapely
from odc.geo.geobox import GeoBox
from refusals import raises_naming

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fuzz"))
from fuzzing.openstreetmap import small_pbf

from deepnets4eo.errors import InputError
from deepnets4eo.footprints import find_buildings, read_footprints
from deepnets4eo.osm import rasterize_osm
from deepnets4eo.osm.incomplete import incomplete_elements
from deepnets4eo.rasters import Layer

HOUSES = [shapely.box(15 + 4e-4 * k, 36, 15 + 4e-4 * k + 2e-4, 36.0002) for k in range(3)]
LOST = 21  # a node of the second house
GRID = GeoBox.from_bbox((15 - 1e-4, 36 - 1e-4, 15 + 1.1e-3, 36 + 3e-4), "EPSG:4326", shape=(40, 120))


def xml(path: Path, relation: str = "") -> Path:
    nodes, ways = "", ""
    for number, house in enumerate(HOUSES, start=1):
        ids = [10 * number + k for k in range(4)]
        corners = zip(ids, list(house.exterior.coords)[:4], strict=True)
        nodes += "".join(
            f'<node id="{key}" version="1" lat="{lat}" lon="{lon}"/>' for key, (lon, lat) in corners if key != LOST
        )
        refs = "".join(f'<nd ref="{key}"/>' for key in [*ids, ids[0]])
        ways += f'<way id="{number}" version="1">{refs}<tag k="building" v="yes"/></way>'
    bounds = '<bounds minlat="35.99" minlon="14.99" maxlat="36.01" maxlon="15.01"/>'
    path.write_text(f'<osm version="0.6">{bounds}{nodes}{ways}{relation}</osm>', encoding="utf-8")
    return path


@pytest.fixture(params=["osm", "osm.pbf"])
def town(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"town.{request.param}"
    if request.param == "osm":
        return xml(path)
    path.write_bytes(small_pbf(HOUSES, [LOST]))
    return path


def test_ways_that_lack_nodes_are_known(town: Path) -> None:
    assert incomplete_elements(town, "town") == ({2}, set())


def test_footprints_leave_out_half_a_house_by_reason(town: Path) -> None:
    found = read_footprints(town)
    assert (sorted(found.frame["id"]), found.dropped) == (["1", "3"], {"nodes not in the file": 1})
    assert sorted(find_buildings(town, (14.99, 35.99, 15.01, 36.01)).frame["id"]) == ["way/1", "way/3"]


def test_layers_draw_whole_houses_and_leave_the_ground_of_half_a_house_unknown(
    town: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        out = rasterize_osm(str(town), GRID, tmp_path / "osm.tif")
    assert "1 area" in caplog.text
    buildings = Layer.open(out).read()[0][1]
    x, y = (GRID.coordinates[axis].values for axis in ("longitude", "latitude"))
    at = lambda house: shapely.contains_xy(house, *np.meshgrid(x, y))  # noqa: E731
    values = [set(np.unique(buildings[at(house)])) for house in HOUSES]
    assert values == [{1}, {0}, {1}]
    assert set(np.unique(buildings[~np.logical_or.reduce([at(house.buffer(1e-5)) for house in HOUSES])])) == {-1}


def test_relations_of_ways_that_are_not_in_the_file_are_incomplete(tmp_path: Path) -> None:
    member = '<relation id="{0}"><member type="way" ref="{1}" role="outer"/><tag k="type" v="multipolygon"/></relation>'
    path = xml(tmp_path / "town.osm", "".join(member.format(*pair) for pair in ((5, 1), (6, 2), (7, 99))))
    assert incomplete_elements(path, "town") == ({2}, {6, 7})


@pytest.mark.parametrize("cut", [3, 30, 200, -1])
def test_a_damaged_pbf_is_refused_by_name(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "a.osm.pbf"
    path.write_bytes(small_pbf(HOUSES)[:cut])
    with raises_naming(InputError, "town"):
        incomplete_elements(path, "town")
