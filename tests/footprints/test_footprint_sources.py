"""Outlines of a box from extracts and from servers: each building once and whole, with its day; no network unless asked for."""

import json
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import geopandas as gpd
import pytest
import shapely
from refusals import raises_naming

from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError, MissingExtraError
from deepnets4eo.footprints import find_buildings, read_footprints
from deepnets4eo.footprints.sources import COLUMNS

BOX = (10.0, 48.0, 10.15, 48.05)  # two squares
OSM_XML = """<?xml version="1.0"?><osm version="0.6">
{nodes}
<way id="1" version="3" timestamp="2019-05-04T10:00:00Z"><nd ref="1"/><nd ref="2"/><nd ref="3"/><nd ref="4"/><nd ref="1"/>
 <tag k="building" v="house"/></way>
<way id="2" version="1"><nd ref="5"/><nd ref="6"/><nd ref="7"/><nd ref="8"/><nd ref="5"/><tag k="building" v="yes"/></way>
<way id="3" version="1"><nd ref="1"/><nd ref="2"/><nd ref="3"/><nd ref="4"/><nd ref="1"/><tag k="landuse" v="grass"/></way>
<way id="4" version="1"><nd ref="9"/><nd ref="10"/><nd ref="11"/><nd ref="12"/><nd ref="9"/><tag k="building" v="no"/></way>
</osm>"""


def square(lon: float, lat: float, side: float = 0.001) -> list[dict[str, float]]:
    corners = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]
    return [{"lon": lon + x * side, "lat": lat + y * side} for x, y in corners]


@contextmanager
def overpass(answer: Callable[[str], Any]) -> Iterator[tuple[str, list[str]]]:
    """The address of a server that answers as told, and the queries that it got."""
    queries: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            queries.append(parse_qs(body)["data"][0])
            content = answer(queries[-1])
            text = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/interpreter", queries
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ring(role: str, points: list[dict[str, float]]) -> dict[str, Any]:
    return {"type": "way", "role": role, "geometry": points}


ELEMENTS = [
    {"type": "way", "id": 7, "timestamp": "2023-02-01T00:00:00Z", "tags": {"building": "school"}, "geometry": square(10.0749, 48.01)},
    {"type": "way", "id": 8, "tags": {"building": "yes"}, "geometry": square(10.01, 48.01)[:4]},  # not closed
    {
        "type": "relation", "id": 9, "timestamp": "2020-01-01T00:00:00Z", "tags": {"building": "yes"},
        "members": [
            ring("outer", square(10.02, 48.02, 0.004)[:3]), ring("outer", square(10.02, 48.02, 0.004)[2:]),
            ring("inner", square(10.021, 48.021)),
        ],
    },
]  # fmt: skip


def test_a_server_is_asked_square_by_square_and_each_building_is_there_once() -> None:
    with overpass(lambda query: {"elements": ELEMENTS}) as (address, queries):
        found = find_buildings(address, BOX, online=True)
    assert len(queries) == 2
    assert all('way["building"]' in query and "out meta geom" in query for query in queries)
    assert "(48.0000000,10.0000000,48.0500000,10.0750000)" in queries[0]
    frame = found.frame.set_index("id")
    assert list(found.frame.columns) == [*COLUMNS, "geometry"]
    assert frame["source_date"].to_dict() == {"way/7": "2023-02-01", "relation/9": "2020-01-01"}
    assert frame.loc["relation/9"].geometry.area == pytest.approx(0.004**2 - 0.001**2)
    assert frame.loc["way/7"].geometry.bounds == pytest.approx(
        (10.0749, 48.01, 10.0759, 48.011)
    )  # whole, over the border
    assert "OpenStreetMap contributors" in found.credit


def test_outlines_of_which_a_server_sends_not_every_node_are_left_out() -> None:
    def lacking(element: dict[str, Any]) -> dict[str, Any]:
        points = element["geometry"]
        return element | {"geometry": [points[0], None, *points[2:]]}

    whole, relation = ELEMENTS[0], ELEMENTS[2]
    members = [lacking(member) for member in relation["members"]]
    sent = [whole, lacking(whole) | {"id": 70}, relation | {"members": members}]
    with overpass(lambda query: {"elements": sent}) as (address, _):
        assert find_buildings(address, BOX, online=True).frame["id"].tolist() == ["way/7"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"elements": ELEMENTS, "remark": "runtime error: Query timed out"}, "did not finish .*timed out"),
        (b"<html>busy</html>", "did not answer for 10 48 10.075 48.05"),
        ({"version": 0.6}, "answered without a list of elements"),
        ({"elements": [{"type": "way", "id": 1, "geometry": [{"lon": "x"}]}]}, "buildings of http.* could not be read"),
        ({"elements": [{"type": "relation", "id": 1, "members": [{"geometry": 5}]}]}, "could not be read"),
        ({"elements": [ELEMENTS[0] | {"tags": [1]}]}, "could not be read"),
        ({"elements": []}, "has no building within 10 48 10.15 48.05"),
    ],
)
def test_an_answer_that_is_none_or_not_whole_is_refused(answer: Any, message: str) -> None:
    with overpass(lambda query: answer) as (address, _), pytest.raises(InputError, match=message):
        find_buildings(address, BOX, online=True)


def test_nothing_is_asked_for_without_online_and_no_box_is_too_large(tmp_path: Path) -> None:
    with overpass(lambda query: {"elements": ELEMENTS}) as (address, queries):
        with raises_naming(InputError, "--online"):
            find_buildings(address, BOX)
        with pytest.raises(InputError, match="too large for the server"):
            find_buildings(address, (0, 0, 20, 20), online=True)
    assert queries == []
    for box in ((10, 48, 9, 49), (10, 48, 11, 91), (0, 0, 1)):
        with pytest.raises(InputError, match="give west, south, east and north"):
            find_buildings("osm", box, online=True)  # type: ignore[arg-type]


def test_an_extract_of_openstreetmap_has_days_where_it_states_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corners = [*square(10.01, 48.01)[:4], *square(10.3, 48.01)[:4], *square(10.02, 48.02)[:4]]
    nodes = "\n".join(
        f'<node id="{n}" lat="{p["lat"]}" lon="{p["lon"]}" version="1"/>' for n, p in enumerate(corners, 1)
    )
    extract, out = tmp_path / "region.osm", tmp_path / "houses.gpkg"
    extract.write_text(OSM_XML.format(nodes=nodes))
    words = ["layers", "footprints", str(extract), "--out", str(out), "--bbox"]
    assert main([*words, "10", "48", "11", "49"]) == 0
    assert "2 buildings, last changed 2019-05-04 to 2019-05-04" in capsys.readouterr().err
    frame = gpd.read_file(out)
    assert frame[["id", "building"]].to_numpy().tolist() == [["way/1", "house"], ["way/2", "yes"]]
    assert frame["source_date"].isna().tolist() == [False, True]
    assert read_footprints(out).frame["id"].tolist() == ["way/1", "way/2"]
    assert main([*words, "10", "48", "10.2", "49"]) == 1  # exists
    assert main([*words, "10", "48", "10.2", "49", "--overwrite"]) == 0
    assert len(gpd.read_file(out)) == 1


def test_buildings_of_an_extract_that_are_none_or_below_the_ground_are_left_out(tmp_path: Path) -> None:
    def found(**tags: str) -> list[str]:
        """Ids in an extract of a house beside an area with these tags."""
        corners = [*square(10.01, 48.01)[:4], *square(10.02, 48.02)[:4]]
        nodes = "".join(
            f'<node id="{n}" lat="{p["lat"]}" lon="{p["lon"]}" version="1"/>' for n, p in enumerate(corners, 1)
        )
        ways = ""
        for number, own in enumerate(({"building": "house"}, tags)):
            ring = "".join(f'<nd ref="{4 * number + corner}"/>' for corner in (1, 2, 3, 4, 1))
            own_tags = "".join(f'<tag k="{key}" v="{value}"/>' for key, value in own.items())
            ways += f'<way id="{number + 1}" version="1">{ring}{own_tags}</way>'
        path = tmp_path / "region.osm"
        path.write_text(f'<?xml version="1.0"?><osm version="0.6">{nodes}{ways}</osm>', encoding="utf-8")
        return find_buildings(str(path), (10.0, 48.0, 10.1, 48.1)).frame["id"].tolist()

    assert found(building="garage") == ["way/1", "way/2"]
    assert found(building="no") == ["way/1"]
    assert found(building="yes", location="underground") == ["way/1"]


def overture_table() -> gpd.GeoDataFrame:
    sources = [
        [
            {"property": "/height", "dataset": "lidar"},
            {"property": "", "dataset": "OpenStreetMap", "update_time": "2022-03-04T05:06:07.000Z"},
        ],
        [{"property": "", "dataset": "Microsoft ML Buildings", "update_time": None}],
    ]
    shapes = [shapely.box(10.01, 48.01, 10.02, 48.02), shapely.box(10.5, 48.5, 10.6, 48.6)]
    return gpd.GeoDataFrame(
        {"id": ["a", "b"], "class": ["house", None], "sources": sources}, geometry=shapes, crs="EPSG:4326"
    )


GONE = [
    {"building": "no"}, {"building": "demolished"}, {"building": "razed", "amenity": "school"},
    {"building": "yes", "location": "underground"},
]  # fmt: skip


def test_buildings_that_are_gone_or_below_ground_are_left_out(tmp_path: Path) -> None:
    tags = [{"building": "house"}, *GONE, {"building": "collapsed"}]
    elements = [
        {"type": "way", "id": k, "tags": tag, "geometry": square(10.01 + 0.01 * k, 48.01)} for k, tag in enumerate(tags)
    ]
    with overpass(lambda _: {"elements": elements}) as (server, _):
        found = find_buildings(server, (10, 48, 10.09, 48.09), online=True)
    assert found.frame["id"].tolist() == ["way/0", "way/5"]
    table = overture_table().assign(is_underground=[None, True])
    table.to_parquet(tmp_path / "buildings.parquet")
    assert find_buildings(tmp_path / "buildings.parquet", (10, 48, 11, 49)).frame["id"].tolist() == ["a"]
    assert read_footprints(tmp_path / "buildings.parquet").frame["id"].tolist() == ["a"]
    export = gpd.GeoDataFrame(
        tags, geometry=[shapely.box(10 + k, 48, 10.1 + k, 48.1) for k in range(len(tags))], crs=4326
    )
    assert len(read_footprints(export)) == 2


def test_overture_files_and_releases_state_what_each_outline_is_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = overture_table()
    table.to_parquet(tmp_path / "buildings.parquet")
    frame = find_buildings(tmp_path / "buildings.parquet", (10, 48, 11, 49)).frame
    assert frame["source"].tolist() == ["OpenStreetMap", "Microsoft ML Buildings"]
    assert frame["source_date"].fillna("").tolist() == ["2022-03-04", ""]
    assert find_buildings(tmp_path / "buildings.parquet", (10.4, 48.4, 11, 49)).frame["id"].tolist() == ["b"]
    with raises_naming(InputError, "--online"):
        find_buildings("overture", (10, 48, 11, 49))
    monkeypatch.setitem(sys.modules, "overturemaps", None)
    with raises_naming(MissingExtraError, "deepnets4eo"):
        find_buildings("overture", (10, 48, 11, 49), online=True)
    asked = []

    def geodataframe(kind: str, bbox: object) -> gpd.GeoDataFrame:
        asked.append((kind, bbox))
        return table.set_crs(None, allow_override=True)

    core = types.SimpleNamespace(geodataframe=geodataframe)
    monkeypatch.setitem(sys.modules, "overturemaps", types.SimpleNamespace(core=core))
    assert len(find_buildings("overture", (10, 48, 11, 49), online=True).frame) == 2
    assert asked == [("building", (10, 48, 11, 49))]


def test_other_files_keep_their_ids_and_days(tmp_path: Path) -> None:
    shapes = [shapely.box(10.01, 48.01, 10.0101, 48.0101), shapely.box(12, 48.01, 12.0001, 48.0101)]
    table = gpd.GeoDataFrame(
        {"id": ["x", "y"], "capture_date": ["2018-07-01", "2018-07-02"]}, geometry=shapes, crs="EPSG:4326"
    )
    table.to_crs(32632).to_file(tmp_path / "cadastre.gpkg")
    frame = find_buildings(tmp_path / "cadastre.gpkg", BOX).frame
    assert frame[["id", "source", "source_date"]].to_numpy().tolist() == [["x", "cadastre.gpkg", "2018-07-01"]]


def test_outlines_changed_after_the_event_and_old_ones_are_findings() -> None:
    shapes = shapely.box(range(4), 0, [n + 0.5 for n in range(4)], 0.5)
    days = ["2023-02-05", "2023-02-06T23:00:00Z", "2023-02-09", None]
    table = gpd.GeoDataFrame({"id": list("abcd"), "source_date": days}, geometry=shapes, crs="EPSG:32637")
    footprints = read_footprints(table)
    (late,) = footprints.date_findings("2022-06-01", "2023-02-06")
    assert late.code == "outlines_too_new"
    assert late.message.startswith("1 outline of 4 was last changed after")
    assert [one.code for one in footprints.date_findings("2030-01-01", "2031-01-01T10:00Z")] == ["outlines_old"]
    assert footprints.date_findings("", "") == ()
    assert read_footprints(table[["id", "geometry"]]).date_findings("2030-01-01", "2020-01-01") == ()
