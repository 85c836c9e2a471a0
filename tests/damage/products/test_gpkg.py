"""damage.gpkg: layers, types, styles, and what QGIS needs to open it coloured."""

import sqlite3
from xml.etree import ElementTree as ET

import numpy as np
import pyogrio
import pytest
import shapely
from made_up_map import MEANING, make_grid, make_map
from refusals import raises_naming

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.products.tables import write_gpkg
from deepnets4eo.damage.table.vocabulary import UNGRADED, colors
from deepnets4eo.errors import OutputError
from deepnets4eo.outputs import EventInfo, Finding


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    damage_map = make_map()
    return damage_map, write_gpkg(damage_map, tmp_path_factory.mktemp("gpkg") / "damage.gpkg")


def query(path, text):
    with sqlite3.connect(path) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(text)]


def test_rows_come_back_as_they_were(written):
    damage_map, path = written
    back = pyogrio.read_dataframe(path, layer="buildings")
    assert list(back.columns) == list(damage_map.buildings.columns)
    assert back["id"].tolist() == damage_map.buildings["id"].tolist()
    assert back["damage"].isna().tolist() == (damage_map.buildings["status"] == "not_assessed").tolist()
    np.testing.assert_array_equal(back["damage_prob"], damage_map.buildings["damage_prob"])
    assert shapely.equals(back.geometry.to_numpy(), damage_map.buildings.geometry.to_numpy()).all()
    assert back.crs.to_epsg() == 32615


def test_numeric_looking_ids_stay_text(tmp_path):
    damage_map = make_map(4)
    damage_map.buildings["id"] = ["007", "12", "13", "14"]
    path = write_gpkg(damage_map, tmp_path / "damage.gpkg")
    assert pyogrio.read_dataframe(path, layer="buildings")["id"].tolist() == ["007", "12", "13", "14"]
    assert query(path, "SELECT typeof(id) AS t FROM buildings")[0]["t"] == "text"


def test_styles_are_registered_and_used_by_default(written):
    _, path = written
    styles = query(path, "SELECT * FROM layer_styles")
    assert [style["f_table_name"] for style in styles] == ["buildings", "assessed_extent"]
    contents = query(path, "SELECT data_type FROM gpkg_contents WHERE table_name = 'layer_styles'")
    assert contents == [{"data_type": "attributes"}]
    for style in styles:
        table = style["f_table_name"]
        geometry = query(path, f"SELECT column_name FROM gpkg_geometry_columns WHERE table_name = '{table}'")
        assert geometry == [{"column_name": style["f_geometry_column"]}]
        assert (style["f_table_catalog"], style["f_table_schema"], style["useAsDefault"]) == ("", "", 1)
        assert style["update_time"].endswith("Z")


def test_findings_and_ground_without_outlines_have_a_table_and_a_layer(tmp_path):
    damage_map = make_map()
    damage_map.extent_without_outlines = damage_map.assessed_extent.copy()
    damage_map.findings = (
        Finding("nothing_fits", "worthless", {"message": "Nothing fits.", "remedy": "Check the CRS."}),
        Finding("coarse", "note", {"message": "Pixels are large."}),
    )
    path = write_gpkg(damage_map, tmp_path / "damage.gpkg")
    assert query(path, "SELECT code, severity, message, remedy, affected FROM findings") == [
        {"code": "nothing_fits", "severity": "worthless", "message": "Nothing fits.", "remedy": "Check the CRS.", "affected": 0},
        {"code": "coarse", "severity": "note", "message": "Pixels are large.", "remedy": "", "affected": 0},
    ]  # fmt: skip
    layers = dict(pyogrio.list_layers(path))
    assert layers["imaged_without_outlines"] == "MultiPolygon"
    assert layers["findings"] is None
    described = query(path, "SELECT description FROM gpkg_contents WHERE table_name = 'buildings'")
    assert described[0]["description"].startswith("WORTHLESS: Nothing fits.")
    assert damage_map.headline() in described[0]["description"]
    styles = query(path, "SELECT f_table_name, styleQML FROM layer_styles")
    assert styles[-1]["f_table_name"] == "imaged_without_outlines"
    assert "LinePatternFill" in styles[-1]["styleQML"]


def test_a_map_without_findings_has_an_empty_table_of_them(written):
    _, path = written
    assert query(path, "SELECT count(*) AS number FROM findings") == [{"number": 0}]
    assert "imaged_without_outlines" not in {name for name, _ in pyogrio.list_layers(path)}


def test_estimates_have_a_table_that_programs_can_read_and_that_agrees_with_itself(written, tmp_path):
    assert query(written[1], "SELECT count(*) AS number FROM estimates") == [{"number": 0}]
    damage_map = make_map()
    row = {"expected": 12.5, "interval_95": [8.0, 20.0]}
    damage_map.damaged_share = {"value": 0.2, "interval_95": None}
    damage_map.estimates = {"buildings": {"damaged": row}, "built_area_m2": None}
    path = write_gpkg(damage_map, tmp_path / "damage.gpkg")
    assert [tuple(found.values())[1:] for found in query(path, "SELECT * FROM estimates")] == [
        ("share", "damaged", 0.2, None, None),
        ("buildings", "damaged", 12.5, 8.0, 20.0),
    ]
    assert pyogrio.read_dataframe(path, layer="estimates")["quantity"].tolist() == ["share", "buildings"]
    damage_map.estimates = {}
    path = write_gpkg(damage_map, tmp_path / "other.gpkg")
    assert [row["value"] for row in query(path, "SELECT value FROM estimates")] == [0.2]


def test_every_grade_has_its_colour_in_the_style(written):
    _, path = written
    qml = ET.fromstring(query(path, "SELECT styleQML FROM layer_styles")[0]["styleQML"].split("\n", 1)[1])
    renderer = qml.find("renderer-v2")
    assert renderer.get("type") == "categorizedSymbol"
    assert "damage" in renderer.get("attr")
    categories = {item.get("value"): item.get("symbol") for item in renderer.iter("category")}
    assert set(categories) == {*GRADES, UNGRADED}
    symbols = {symbol.get("name"): symbol for symbol in renderer.find("symbols")}
    looks, covered = {}, {}
    for grade, color in ((name, colors()[name]) for name in (*GRADES, UNGRADED)):
        layers = [layer_options(layer) for layer in symbols[categories[grade]].findall("layer")]
        hatches = [layer for layer in layers if "distance" in layer]
        outline = layers[-1]
        assert outline["style"] == "no", "a fill would hide the roof"
        assert outline["outline_color"] == ",".join(map(str, color)) + ",255"
        assert all(hatch["color"] == outline["outline_color"] for hatch in hatches)
        covered[grade] = sum(float(hatch["line_width"]) / float(hatch["distance"]) for hatch in hatches)
        looks[grade] = (outline["outline_style"], *((hatch["angle"], hatch["distance"]) for hatch in hatches))
    assert len(set(looks.values())) == 5, "grades must differ without colour too"
    assert max(covered.values()) < 0.2, "the roof stays visible"
    assert sorted(GRADES, key=covered.get) == list(GRADES), "denser with severity"


def layer_options(layer):
    """Properties of a symbol layer, which both ways of writing them hold alike."""
    options = {option.get("name"): option.get("value") for option in layer.find("Option")}
    assert options == {prop.get("k"): prop.get("v") for prop in layer.findall("prop")}
    return options


def test_lines_of_a_hatch_have_a_line_symbol_of_their_own(written):
    _, path = written
    qml = ET.fromstring(query(path, "SELECT styleQML FROM layer_styles")[0]["styleQML"].split("\n", 1)[1])
    for layer in qml.iter("layer"):
        lines = layer.findall("symbol")
        assert len(lines) == (layer.get("class") == "LinePatternFill")
        for line in lines:
            assert (line.get("type"), line.find("layer").get("class")) == ("line", "SimpleLine")
            assert layer_options(line.find("layer"))["line_width"] == layer_options(layer)["line_width"]


def test_the_description_that_qgis_shows_has_event_and_worst_finding(tmp_path):
    damage_map = make_map(3)
    damage_map.event = EventInfo("Tornado", "Joplin", date_post="2011-05-22")
    damage_map.findings = (Finding("coarse", "caution", {"message": "Pixels are large."}),)
    path = write_gpkg(damage_map, tmp_path / "damage.gpkg")
    text = query(path, "SELECT description FROM gpkg_contents WHERE table_name = 'buildings'")[0]["description"]
    assert text.startswith("CAUTION: Pixels are large.")
    assert "Building damage: Tornado, Joplin" in text
    assert "Date after: 2011-05-22" in text


def test_evidence_is_explained_in_the_file(written):
    _, path = written
    rows = query(path, "SELECT column_name, description FROM gpkg_data_columns")
    comments = {row["column_name"]: row["description"] for row in rows}
    assert MEANING.items() <= comments.items()


def test_extensions_in_the_file_are_declared(written):
    """GeoPackage, requirement 61 and following: column comments are the Schema extension, which the file must name."""
    _, path = written
    tables = {row["name"] for row in query(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"gpkg_data_columns", "gpkg_extensions"} <= tables
    declared = query(path, "SELECT * FROM gpkg_extensions WHERE table_name = 'gpkg_data_columns'")
    assert declared == [
        {
            "table_name": "gpkg_data_columns",
            "column_name": None,
            "extension_name": "gpkg_schema",
            "definition": "http://www.geopackage.org/spec121/#extension_schema",
            "scope": "read-write",
        }
    ]
    named = {row["table_name"] for row in query(path, "SELECT table_name FROM gpkg_data_columns")}
    assert named == {"buildings"}


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    resource = pytest.importorskip("resource", reason="this system cannot limit the size of files")
    damage_map = make_map(3000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # a file that cannot grow stands in for a full disk
    try:
        with raises_naming(OutputError, "damage.gpkg"):
            write_gpkg(damage_map, tmp_path / "damage.gpkg")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_map_without_crs_is_written(tmp_path):
    path = write_gpkg(make_map(5, grid=make_grid(epsg=None)), tmp_path / "damage.gpkg")
    assert len(pyogrio.read_dataframe(path, layer="buildings")) == 5


def test_multipolygons_and_empty_maps_are_written(tmp_path):
    damage_map = make_map(3)
    parts = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(2, 0, 3, 1)])
    damage_map.buildings.loc[0, "geometry"] = parts
    path = write_gpkg(damage_map, tmp_path / "multi.gpkg")
    assert pyogrio.read_dataframe(path, layer="buildings").geometry[0].equals(parts)
    damage_map.buildings = damage_map.buildings.iloc[:0]
    path = write_gpkg(damage_map, tmp_path / "empty.gpkg")
    assert len(pyogrio.read_dataframe(path, layer="buildings")) == 0
