"""Vectors to raster layers: against rasterio and scipy, unknown apart from absent, and what is refused."""

from functools import cache

import geopandas as gpd
import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from pyproj import Transformer
from refusals import raises_naming
from scipy.ndimage import distance_transform_edt

from deepnets4eo.errors import GridError, InputError, OutputError
from deepnets4eo.grid import Grid
from deepnets4eo.osm import OsmRules, rasterize_osm
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City
from deepnets4eo.synthetic.write import write_raster

NAMES = ["roads", "buildings", "vegetation", "water"]
ROADS, BUILDINGS, VEGETATION, WATER = range(4)
PLAIN = Grid((60, 80), Affine(1, 0, 0, 0, -1, 60), "EPSG:32633")


@cache
def city():
    return City(3, 200, 0.5)


@cache
def osm():
    return city().osm()


def values(path):
    data, valid = Layer.open(path).read()
    assert valid.all(), "unknown pixels must not take other layers' pixels with them"
    return data


def frame(shapes, grid=PLAIN, **tags):
    return gpd.GeoDataFrame(tags, geometry=shapes, crs=grid.crs)


def burnt(shapes, grid):
    return rasterio.features.rasterize(shapes, tuple(grid.shape), transform=grid.affine).astype(bool)


def test_classes_are_those_rasterio_draws_with_the_topmost_on_top(tmp_path):
    found = values(rasterize_osm(osm(), city().grid, tmp_path / "osm.tif", coverage="everywhere"))
    half_m = OsmRules.load().match(osm()["roads"], "roads")["roads"].line_m / 2
    buildings = burnt(osm()["buildings"].geometry, city().grid)
    roads = burnt(shapely.buffer(osm()["roads"].geometry.to_numpy(), half_m, quad_segs=4), city().grid) & ~buildings
    assert buildings.any()
    assert roads.any()
    assert np.array_equal(found[BUILDINGS] == 1, buildings)
    assert np.array_equal(found[ROADS] == 1, roads)
    assert set(np.unique(found[[ROADS, BUILDINGS]])) == {-1, 1}


def test_distances_are_scipys_and_blocks_leave_no_seams(tmp_path):
    layers = {"buildings": osm()["buildings"]}
    options = {"coverage": "everywhere", "clip_m": 12, "block_px": 48}
    found = values(rasterize_osm(layers, city().grid, tmp_path / "d.tif", encoding="distance", **options))
    margin = 40
    around = city().grid.pad(margin)
    mask = burnt(osm()["buildings"].geometry, around)
    expected = 0.5 * (distance_transform_edt(mask) - distance_transform_edt(~mask)).clip(-24, 24)
    assert np.allclose(found[BUILDINGS], expected[margin:-margin, margin:-margin], atol=1e-5)
    assert (found[ROADS] == 0).all()
    binary = values(rasterize_osm(layers, city().grid, tmp_path / "b.tif", **options))
    assert np.array_equal(np.sign(found), binary)


def test_beyond_what_the_source_covers_nothing_is_known(tmp_path):
    houses = frame([shapely.box(10, 10, 20, 20), shapely.box(30, 25, 40, 40)], building=["yes", "yes"])
    found = values(rasterize_osm(houses, PLAIN, tmp_path / "a.tif"))
    known = burnt([shapely.box(10, 10, 40, 40)], PLAIN)
    assert np.array_equal(found[BUILDINGS] != 0, known)
    area = gpd.GeoSeries([shapely.box(5, 0, 80, 60)], crs=PLAIN.crs)
    for coverage in (area, area.to_frame("geometry")):
        wider = values(rasterize_osm(houses, PLAIN, tmp_path / "b.tif", coverage=coverage, overwrite=True))
        assert np.array_equal(wider[BUILDINGS] == 0, np.arange(80)[None].repeat(60, 0) < 5)
    area.to_file(tmp_path / "area.gpkg")
    assert np.array_equal(
        values(rasterize_osm(houses, PLAIN, tmp_path / "c.tif", coverage=tmp_path / "area.gpkg")), wider
    )


def test_classes_of_which_nothing_is_there_are_unknown_unless_said_to_be_complete(tmp_path, caplog):
    houses = frame([shapely.box(10, 10, 20, 20)], building=["yes"])
    found = values(rasterize_osm(houses, PLAIN, tmp_path / "a.tif", coverage="everywhere", complete=["water"]))
    assert (found[ROADS] == 0).all()
    assert (found[WATER] == -1).all()
    assert "roads, vegetation" in caplog.text
    dropped = values(rasterize_osm(osm(), city().grid, tmp_path / "b.tif", unknown=["roads"]))
    assert (dropped[ROADS] == 0).all()
    assert (dropped[BUILDINGS] == 1).any()


def test_lines_and_points_are_as_wide_as_drawn_and_ends_are_round(tmp_path):
    line, tree = shapely.LineString([(20, 30), (60, 30)]), shapely.Point(50.5, 50.5)
    features = frame([line, tree, line], highway=["residential", None, None], natural=[None, "tree", "coastline"])
    features["width"] = ["10", None, None]
    found = values(rasterize_osm(features, PLAIN, tmp_path / "a.tif", coverage="everywhere"))
    assert (found[ROADS, :, 40] == 1).sum() == 10
    assert 48 <= (found[ROADS, 30] == 1).sum() <= 50
    assert (found[VEGETATION] == 1).sum() in range(10, 14)
    assert (found[WATER] == 0).all()


def test_widths_are_metres_on_the_ground_on_any_grid(tmp_path):
    line = gpd.GeoSeries([shapely.LineString([(13.0, 59.9), (13.0, 60.1)])], crs="EPSG:4326")
    roads = {"roads": line.to_frame("geometry").assign(width=20)}
    web = Grid((100, 100), Affine(2, 0, 1_447_053.38, 0, -2, 8_399_837.9), "EPSG:3857")
    degrees = Grid((100, 100), Affine(2e-5, 0, 13 - 1e-3, 0, -1e-5, 60.0005), "EPSG:4326")
    for name, grid, step_m in (("web", web, 1.0), ("degrees", degrees, 2e-5 * 111_319.49 / 2)):
        found = values(rasterize_osm(roads, grid, tmp_path / f"{name}.tif", coverage="everywhere"))
        assert (found[ROADS] == 1).sum(axis=1) == pytest.approx(np.full(100, 20 / step_m), abs=1.01)


def test_a_file_of_layers_named_like_classes_and_a_raster_as_target(tmp_path):
    for name, table in osm().items():
        table.to_file(tmp_path / "osm.gpkg", layer=name)
    write_raster(tmp_path / "pre.tif", city().grid, city().image, city().tags)
    out = rasterize_osm(tmp_path / "osm.gpkg", tmp_path / "pre.tif", tmp_path / "osm.tif")
    assert np.array_equal(values(out), values(rasterize_osm(osm(), city().grid, tmp_path / "b.tif")))
    layer = Layer.open(out)
    assert layer.band_names == NAMES
    assert layer.synthetic
    assert "OpenStreetMap contributors" in layer.tags["ATTRIBUTION"]
    assert "ODbL" in layer.tags["LICENSE"]


def test_sources_in_other_crs_and_formats_and_broken_shapes_come_to_the_same(tmp_path):
    bow_tie = shapely.Polygon([(5.2, 5), (15.2, 15), (15.2, 5), (5.2, 15)])
    shapes = [shapely.box(20, 20, 40, 40), bow_tie, None, shapely.Polygon(), shapely.Point(3, 3)]
    houses = frame(shapes, building=["yes"] * 5)
    expected = values(rasterize_osm(houses, PLAIN, tmp_path / "a.tif", coverage="everywhere"))
    assert (expected[BUILDINGS] == 1).sum() == 400 + burnt([bow_tie], PLAIN).sum()
    shifted = houses.to_crs("EPSG:32632")
    shifted.iloc[:4].to_file(tmp_path / "houses.gpkg", layer="any")
    houses.to_crs("EPSG:4326").to_file(tmp_path / "houses.geojson")
    for source in (shifted, [shifted[:1], houses[1:]], tmp_path / "houses.gpkg", tmp_path / "houses.geojson"):
        found = values(rasterize_osm(source, PLAIN, tmp_path / "b.tif", coverage="everywhere", overwrite=True))
        assert (found != expected).sum() <= 3


def test_without_any_crs_vectors_lie_in_the_rasters_coordinates(tmp_path):
    grid = Grid((60, 80), PLAIN.affine, None)
    houses = gpd.GeoDataFrame({"building": ["yes"]}, geometry=[shapely.box(10, 10, 20, 20)])
    assert (values(rasterize_osm(houses, grid, tmp_path / "a.tif"))[BUILDINGS] == 1).sum() == 100


def test_sources_off_the_image_are_refused_saying_where_both_are(tmp_path):
    far = frame([shapely.box(1000, 1000, 1020, 1020)], building=["yes"])
    with raises_naming(GridError, "1000", "--coverage"):
        rasterize_osm(far, PLAIN, tmp_path / "a.tif")
    assert not (tmp_path / "a.tif").exists()


def test_an_extract_of_the_place_that_holds_nothing_is_unknown_with_a_warning(tmp_path, caplog):
    far = frame([shapely.box(1000, 1000, 1020, 1020)], building=["yes"])
    assert (values(rasterize_osm(far, PLAIN, tmp_path / "a.tif", coverage="everywhere")) == 0).all()
    assert "Nothing at all is known" in caplog.text


HOUSE_NODES = """<node id="1" lat="48.1360" lon="10.0680"/><node id="2" lat="48.1360" lon="10.0690"/>
<node id="3" lat="48.1366" lon="10.0690"/><node id="4" lat="48.1366" lon="10.0680"/>
<node id="5" lat="48.1350" lon="10.0670"><tag k="natural" v="tree"/></node>"""
HOUSE = '<way id="1"><nd ref="1"/><nd ref="2"/><nd ref="3"/><nd ref="4"/><nd ref="1"/><tag k="building" v="yes"/></way>'


def test_an_osm_file_without_bounds_covers_the_box_around_its_features(tmp_path):
    grid = metre_grid(10.0685, 48.1360, 32632)
    known = {}
    for name, bounds in (
        ("without", ""), ("with", '<bounds minlat="48.1350" minlon="10.0670" maxlat="48.1366" maxlon="10.0690"/>'),
    ):  # fmt: skip
        (tmp_path / f"{name}.osm").write_text(f'<osm version="0.6">{bounds}{HOUSE_NODES}{HOUSE}</osm>')
        known[name] = values(rasterize_osm(tmp_path / f"{name}.osm", grid, tmp_path / f"{name}.tif"))
    assert np.array_equal(known["without"], known["with"])
    assert set(np.unique(known["with"][BUILDINGS])) == {-1, 0, 1}


def test_a_source_without_any_feature_or_bounds_says_so(tmp_path):
    (tmp_path / "empty.osm").write_text('<osm version="0.6"></osm>')
    for source, name in ((tmp_path / "empty.osm", r"empty\.osm"), (frame([], building=[]), "the table of features")):
        with pytest.raises(InputError, match=f"{name} holds no feature and states no bounds.*--coverage FILE"):
            rasterize_osm(source, PLAIN, tmp_path / "a.tif")
    covered = rasterize_osm(tmp_path / "empty.osm", PLAIN, tmp_path / "a.tif", coverage="everywhere")
    assert (values(covered) == 0).all()


def metre_grid(lon, lat, epsg, shape=(400, 600)):
    """A grid of 1 m around a point."""
    x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    return Grid(shape, Affine(1, 0, x - shape[1] / 2, 0, -1, y + shape[0] / 2), f"EPSG:{epsg}")


def in_degrees(grid, *boxes):
    """Boxes in metres from a grid's middle, with longitudes of -180 to 180."""
    middle_x, middle_y = grid.affine * (grid.shape[1] / 2, grid.shape[0] / 2)
    back = Transformer.from_crs(grid.crs.proj, 4326, always_xy=True)
    shapes = shapely.transform(shapely.box(*np.array(boxes).T), lambda xy: xy + (middle_x, middle_y))
    return shapely.transform(shapes, lambda xy: np.column_stack(back.transform(*xy.T))).tolist()


@pytest.mark.parametrize("kind", ["file", "table", "osm"])
def test_features_on_both_sides_of_180_degrees_cover_what_lies_between_them(tmp_path, kind):
    grid = metre_grid(180, -17, 32760)
    shapes = in_degrees(grid, (-100, -50, -20, 50), (20, -50, 100, 50))
    houses = gpd.GeoDataFrame({"building": ["yes", "yes"]}, geometry=shapes, crs=4326)
    assert np.ptp(houses.total_bounds[[0, 2]]) > 359
    source = {"file": tmp_path / "a.geojson", "table": houses, "osm": tmp_path / "a.osm"}[kind]
    if kind == "file":
        houses.to_file(source)
    elif kind == "osm":
        left, right = shapes[0].bounds[0], shapes[1].bounds[2]
        _, bottom, _, top = houses.total_bounds
        bounds = f'<bounds minlat="{bottom}" minlon="{left}" maxlat="{top}" maxlon="{right}"/>'
        source.write_text(f'<osm version="0.6">{bounds}{osm_ways(shapes)}</osm>')
    found = values(rasterize_osm(source, grid, tmp_path / "a.tif"))[BUILDINGS]
    assert (found == 1).sum() == 16_000
    (left, *_), (_, _, right, _) = (shape.bounds for shape in shapes)
    box = shapely.segmentize(shapely.box(left, houses.total_bounds[1], right + 360, houses.total_bounds[3]), 1e-4)
    known = burnt(gpd.GeoSeries([box], crs=4326).to_crs(grid.crs.proj), grid)
    assert 20_000 < known.sum() < 21_000
    assert ((found != 0) != known).sum() <= 3
    with raises_naming(GridError, "-180.0", "-17.0", "-179.999", "179.9"):
        rasterize_osm(source, metre_grid(178, -17, 32760), tmp_path / "b.tif")


def osm_ways(shapes):
    """Buildings as OpenStreetMap XML."""
    nodes, ways = [], []
    for shape in shapes:
        numbers = range(len(nodes) + 1, len(nodes) + 5)
        corners = zip(numbers, shapely.get_coordinates(shape)[:4], strict=True)
        nodes += [f'<node id="{number}" lat="{lat}" lon="{lon}"/>' for number, (lon, lat) in corners]
        refs = "".join(f'<nd ref="{number}"/>' for number in (*numbers, numbers[0]))
        ways.append(f'<way id="{numbers[0]}">{refs}<tag k="building" v="yes"/></way>')
    return "".join(nodes + ways)


def test_a_source_as_wide_as_the_world_covers_all_of_an_image_in_it(tmp_path):
    grid = metre_grid(10, 48, 32632, (60, 80))
    middle, *_ = in_degrees(grid, (-20, -10, 20, 10))
    far = [shapely.Point(lon, lat).buffer(0.01) for lon, lat in ((-179, -60), (179, 75), (-30, 10))]
    gpd.GeoDataFrame({"building": ["yes"] * 4}, geometry=[middle, *far], crs=4326).to_file(tmp_path / "a.geojson")
    found = values(rasterize_osm(tmp_path / "a.geojson", grid, tmp_path / "a.tif"))[BUILDINGS]
    assert set(np.unique(found)) == {-1, 1}
    assert (found == 1).sum() == 800


def test_a_crs_that_one_side_lacks_is_named(tmp_path):
    bare = frame([shapely.box(0, 0, 9, 9)], building=["yes"]).set_crs(None, allow_override=True)
    with raises_naming(GridError, "CRS"):
        rasterize_osm(bare, PLAIN, tmp_path / "a.tif")
    with raises_naming(GridError, "CRS"):
        rasterize_osm(bare.set_crs(32633), Grid((9, 9), PLAIN.affine, None), tmp_path / "a.tif")


def test_wrong_files_are_refused_by_name(tmp_path):
    (tmp_path / "notes.osm").write_text("no map at all")
    (tmp_path / "cut.osm").write_text('<osm version="0.6"><node id="1" lat="1" lon="1">')
    (tmp_path / "odd.gpkg").write_bytes(b"0" * 100)
    (tmp_path / "map.osm.bz2").write_bytes(b"0" * 100)
    for name in ("notes.osm", "cut.osm", "odd.gpkg", "map.osm.bz2", "missing.pbf"):
        with pytest.raises(InputError, match=name):
            rasterize_osm(tmp_path / name, PLAIN, tmp_path / "a.tif")


def test_vectors_without_any_known_tag_are_refused_saying_what_to_do(tmp_path):
    frame([shapely.box(10, 10, 20, 20)], colour=["red"]).to_file(tmp_path / "things.gpkg")
    with raises_naming(InputError, "things.gpkg", "FILE"):
        rasterize_osm(tmp_path / "things.gpkg", PLAIN, tmp_path / "a.tif")


def test_options_without_sense_and_files_in_the_way_are_refused(tmp_path):
    for options, message in (
        ({"encoding": "colours"}, "expected one of binary, distance"),
        ({"clip_m": 0}, "clip_m is 0"),
        ({"unknown": ["sea"]}, r"not \['sea'\]"),
    ):
        with pytest.raises(InputError, match=message):
            rasterize_osm(osm(), city().grid, tmp_path / "a.tif", **options)
    with raises_naming(InputError, "FILE"):
        rasterize_osm({"sea": osm()["water"]}, city().grid, tmp_path / "a.tif")
    (tmp_path / "a.tif").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        rasterize_osm(osm(), city().grid, tmp_path / "a.tif")


def test_under_a_house_that_lies_on_a_road_the_road_is_unknown(tmp_path):
    shapes = [shapely.box(20, 20, 40, 40), shapely.LineString([(0, 30), (80, 30)])]
    tags = {"building": ["yes", None], "highway": [None, "residential"]}
    found = values(rasterize_osm(frame(shapes, **tags), PLAIN, tmp_path / "a.tif", coverage="everywhere"))
    assert (found[BUILDINGS, 30, 20:40] == 1).all()
    assert (found[ROADS, 30, 20:40] == -1).all()
    assert (found[ROADS, 30, :20] == 1).all()


def test_a_coverage_without_crs_beside_an_image_with_one_is_refused(tmp_path):
    houses = frame([shapely.box(10, 10, 20, 20)], building=["yes"])
    everything = gpd.GeoSeries([shapely.box(0, 0, 80, 60)])
    with raises_naming(GridError, "CRS"):
        rasterize_osm(houses, PLAIN, tmp_path / "a.tif", coverage=everything)


def test_areas_among_roads_are_as_large_as_they_are(tmp_path):
    square = shapely.box(20, 20, 40, 40)
    found = values(rasterize_osm({"roads": frame([square])}, PLAIN, tmp_path / "a.tif", coverage="everywhere"))
    assert np.array_equal(found[ROADS] == 1, burnt([square], PLAIN))


def test_shapes_with_impossible_coordinates_are_left_out(tmp_path):
    shapes = [shapely.box(10, 10, 20, 20), shapely.box(0, 0, 1e200, 1e200), shapely.box(30, 10, 40, 20)]
    houses = frame(shapes, building=["yes"] * 3)
    found = values(rasterize_osm(houses, PLAIN, tmp_path / "a.tif", coverage="everywhere"))
    assert np.array_equal(found[BUILDINGS] == 1, burnt([shapes[0], shapes[2]], PLAIN))


def test_the_distance_that_values_end_at_is_a_tag_of_distances_alone(tmp_path):
    houses = frame([shapely.box(10, 10, 20, 20)], building=["yes"])
    for encoding, clip in (("distance", "12.5"), ("binary", None)):
        out = rasterize_osm(houses, PLAIN, tmp_path / f"{encoding}.tif", encoding=encoding, clip_m=12.5)
        assert Layer.open(out).tags.get("OSM_CLIP_M") == clip


def loops(tmp_path, *tags_of):
    """What closed ways of 75 × 67 m, each with such tags and 148.5 m east of the one before, cover of each class, m²."""
    text = ""
    for at, tags in enumerate(tags_of):
        corners = [(east + 0.002 * at, north) for east, north in CORNERS]
        text += "".join(f'<node id="{4 * at + k}" lon="{x:.4f}" lat="{y}"/>' for k, (x, y) in enumerate(corners, 1))
        nodes = "".join(f'<nd ref="{4 * at + k}"/>' for k in (1, 2, 3, 4, 1))
        tag_text = "".join(f'<tag k="{key}" v="{value}"/>' for key, value in tags.items())
        text += f'<way id="{at + 7}">{nodes}{tag_text}</way>'
    (tmp_path / "loops.osm").write_text(f'<osm version="0.6">{text}</osm>')
    grid = metre_grid(10.0675 + 0.001 * len(tags_of), 48.1363, 32632, (200, round(148.5 * len(tags_of))))
    covered = values(rasterize_osm(tmp_path / "loops.osm", grid, tmp_path / "loops.tif", coverage="everywhere"))
    parts = np.array_split(covered, len(tags_of), axis=2)
    return [{name: (band == 1).sum() for name, band in zip(NAMES, part, strict=True)} for part in parts]


CORNERS = [(10.0680, 48.1360), (10.0690, 48.1360), (10.0690, 48.1366), (10.0680, 48.1366)]


def test_closed_ways_of_line_features_are_lines_unless_they_say_that_they_are_areas(tmp_path):
    x, y = Transformer.from_crs(4326, 32632, always_xy=True).transform(*np.transpose(CORNERS))
    area = shapely.Polygon(np.column_stack([x, y]))
    lines = {
        "vegetation": ({"natural": "tree_row"}, 4),
        "roads": ({"highway": "residential", "place": "square"}, 5.5),
        "water": ({"waterway": "stream", "tourism": "attraction"}, 2),
    }
    areas = [(name, {**tags, "area": "yes"}) for name, (tags, _) in lines.items()]
    areas += [("vegetation", {"natural": "wood"}), ("vegetation", {"natural": "tree_row", "landuse": "forest"})]
    areas += [("water", {"barrier": "fence", "landuse": "farmyard", "natural": "water"})]
    covered = loops(tmp_path, *(tags for tags, _ in lines.values()), *(tags for _, tags in areas))
    for (name, (_, width)), found in zip(lines.items(), covered[:3], strict=True):
        assert found[name] == pytest.approx(area.exterior.buffer(width / 2).area, rel=0.04)
    for (name, _), found in zip(areas, covered[3:], strict=True):
        assert found[name] == pytest.approx(area.area, rel=0.01)


def test_closed_ways_that_gdal_has_made_areas_of_are_lines_in_any_format(tmp_path):
    square = shapely.box(20, 10, 60, 50)
    rows = frame([square] * 2, natural=["tree_row"] * 2, osm_way_id=["5", None], osm_id=[None, "6"])
    found = values(rasterize_osm(rows[:1], PLAIN, tmp_path / "a.tif", coverage="everywhere"))
    assert np.array_equal(found[VEGETATION] == 1, burnt([square.exterior.buffer(2, quad_segs=4)], PLAIN))
    relation = values(rasterize_osm(rows[1:], PLAIN, tmp_path / "b.tif", coverage="everywhere"))
    assert (relation[VEGETATION] == 1).sum() == 1600
