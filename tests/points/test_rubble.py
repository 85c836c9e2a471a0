"""Height loss and debris of made-up houses on sloping ground, whose volumes are known, and of a miniature city."""

import csv

import geopandas as gpd
import laspy
import numpy as np
import pytest
import shapely
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.cli.main import main
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.points import PointCloud, RubbleOptions, check_heights, debris_volumes
from deepnets4eo.points.height_grid import NoHeightsError, grid_around, height_grid
from deepnets4eo.points.rubble import blocks as block_work
from deepnets4eo.points.rubble.measure import states_of
from deepnets4eo.points.rubble.surfaces import roughness
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City, Event, aerial_scan, building_volumes

CRS = "EPSG:32633"
ORIGIN = np.array([400_000.0, 5_800_000.0])
# lower left corner, upper right corner, height before and after: whole, half, a heap of one metre, a bare site
HOUSES = {
    "a": (10, 10, 22, 20, 6, 6),
    "b": (40, 10, 54, 20, 5, 5),
    "c": (10, 40, 22, 52, 8, 1),
    "d": (40, 40, 50, 50, 4, 0),
}
PLAIN = RubbleOptions(align=False, assume_registered=True)


def scan(after, rng, density=12.0, raised=0.0):
    """Points of a field of 70 m with a slope of 5 %, houses, and noise of 2 cm; half of b is a heap of two metres after."""
    number = int(density * 70 * 70)
    xy = rng.uniform(0, 70, (number, 2))
    z = 100 + 0.05 * xy[:, 0] + raised
    for name, (left, bottom, right, top, before, later) in HOUSES.items():
        inside = (xy[:, 0] > left) & (xy[:, 0] < right) & (xy[:, 1] > bottom) & (xy[:, 1] < top)
        height = np.full(number, float(later if after else before))
        if name == "b" and after:
            height[xy[:, 0] < 47] = 2.0
        z[inside] += height[inside]
        if after and name in "bc":  # heaps are rough, their mean is as stated
            heap = inside & (height <= 2)
            z[heap] += rng.uniform(-0.4, 0.4, int(heap.sum()))
    return PointCloud(np.column_stack([xy + ORIGIN, z + rng.normal(0, 0.02, number)]), crs=shapely_crs())


def shapely_crs():
    import pyproj

    return pyproj.CRS.from_user_input(CRS)


@pytest.fixture(scope="module")
def houses():
    boxes = [shapely.box(*(np.array(one[:2]) + ORIGIN), *(np.array(one[2:4]) + ORIGIN)) for one in HOUSES.values()]
    return gpd.GeoDataFrame({"id": list(HOUSES), "storeys_m": [6.0, 5.0, 8.0, 4.0]}, geometry=boxes, crs=CRS)


@pytest.fixture(scope="module")
def after():
    return scan(after=True, rng=np.random.default_rng(4))


@pytest.fixture(scope="module")
def both(houses):
    rng = np.random.default_rng(3)
    return debris_volumes(scan(after=True, rng=rng), houses, scan(after=False, rng=rng, raised=-0.35), PLAIN)


def test_volumes_of_boxes_are_those_of_geometry(both):
    table = both.buildings.set_index("id")
    for name, (left, bottom, right, top, before, _) in HOUSES.items():
        area = (right - left) * (top - bottom)
        assert table.loc[name, "area_m2"] == pytest.approx(area)
        assert table.loc[name, "volume_pre_m3"] == pytest.approx(area * before, rel=0.04)
    assert table.loc["a", "lost_m3"] == pytest.approx(0, abs=5)
    assert table.loc["b", "lost_m3"] == pytest.approx(70 * 3, rel=0.06)
    assert table.loc["b", "debris_m3"] == pytest.approx(70 * 2, rel=0.08)
    assert table.loc["c", "lost_m3"] == pytest.approx(144 * 7, rel=0.04)
    assert table.loc["c", "debris_m3"] == pytest.approx(144 * 1, rel=0.08)
    assert table.loc["d", "debris_m3"] == pytest.approx(0, abs=8)
    assert (table["debris_low_m3"] <= table["debris_m3"]).all()
    assert (table["debris_m3"] <= table["debris_high_m3"]).all()


def test_the_offset_of_a_flight_is_measured_on_stable_ground(both):
    (fit,) = both.fits
    assert fit["shift_m"] == pytest.approx(0.35, abs=0.01)
    assert 0.02 <= fit["nmad_m"] < 0.05
    assert both.buildings.set_index("id").loc["a", "roof_height_loss_m"] == pytest.approx(0, abs=0.05)


def test_states_follow_from_what_has_come_down(both):
    assert both.buildings.set_index("id")["state"].to_dict() == {
        "a": "standing", "b": "collapsed", "c": "collapsed", "d": "cleared",
    }  # fmt: skip
    assert both.buildings.set_index("id")["damage"].to_dict() == {
        "a": "no-damage", "b": "destroyed", "c": "destroyed", "d": "destroyed",
    }  # fmt: skip
    words = states_of(*(np.array(one) for one in ([0.05, 0.3, 0.6, 0.6], [0, 0.2, 0.5, 0.1], [0, 1, 4, 4.0], [6, 6, 6, 6.0])), np.array([True] * 4))  # fmt: skip
    assert words.tolist() == ["standing", "partly-collapsed", "collapsed", "cleared"]
    unknown = states_of(np.array([np.nan]), np.array([0.0]), np.array([0.0]), np.array([3.0]), np.array([False]))
    assert unknown.tolist() == ["not-assessed"]


def test_polygons_of_rubble_hold_the_debris_of_their_building(both):
    volumes = both.rubble.groupby("id")["volume_m3"].sum()
    table = both.buildings.set_index("id")
    for name in "bc":
        assert volumes[name] == pytest.approx(table.loc[name, "debris_m3"], rel=0.12)
    assert set(both.rubble["id"]) <= {"b", "c", "d"}
    assert both.rubble.crs == both.buildings.crs


def test_rough_heaps_are_found_without_heights_from_before(houses):
    post = scan(after=True, rng=np.random.default_rng(4))
    table = debris_volumes(
        post, houses, options=RubbleOptions(align=False, height_column="storeys_m")
    ).buildings.set_index("id")
    assert table.loc["a", "state"] == "standing"
    assert table.loc["a", "rubble_share"] == pytest.approx(0, abs=0.02)
    assert table.loc["c", "state"] == "collapsed"
    assert table.loc["c", "debris_m3"] == pytest.approx(144, rel=0.1)
    assert table.loc["d", "state"] == "cleared"
    assert table.loc["c", "rule_m3"] == pytest.approx(0.33 * 144 * 8, rel=0.1)
    assert table["lost_m3"].isna().all()
    with raises_naming(InputError, "'tall'"):
        debris_volumes(post, houses, options=RubbleOptions(height_column="tall"))


def test_a_collapsed_building_under_a_smooth_heap_has_a_rule_of_thumb_that_fits_its_state():
    xy = np.mgrid[0:60:0.25, 0:60:0.25].reshape(2, -1).T
    inside = ((xy > 20) & (xy < 40)).all(axis=1)
    cloud = PointCloud(np.column_stack([xy + ORIGIN, np.where(inside, 1.5, 0.0)]), crs=shapely_crs())
    outline = gpd.GeoDataFrame({"tall": [8.0]}, geometry=[shapely.box(*(ORIGIN + 20), *(ORIGIN + 40))], crs=CRS)
    options = RubbleOptions(align=False, height_column="tall")
    (row,) = debris_volumes(cloud, outline, options=options).buildings.to_dict("records")
    assert (row["state"], row["collapsed_share"]) == ("collapsed", pytest.approx(0, abs=0.1))
    assert row["rule_m3"] == pytest.approx(0.33 * 400 * 6.5, rel=0.05)
    assert 0.25 * 400 * 6 < row["rule_low_m3"] < row["rule_m3"] < row["rule_high_m3"] < 0.4 * 400 * 8


def test_surface_models_measure_the_same_as_the_points_they_were_made_of(houses, both):
    from deepnets4eo.points.height_grid import grid_around, height_grid

    rng = np.random.default_rng(3)
    grid = grid_around((*ORIGIN, *(ORIGIN + 70)), 0.5, CRS)
    post, pre = (
        height_grid(lambda points=points: [points], grid).mean
        for points in (scan(after=True, rng=rng), scan(after=False, rng=rng))
    )
    rasters = debris_volumes(Layer.open(post, grid=grid), houses, Layer.open(pre, grid=grid), PLAIN).buildings
    for name in ("lost_m3", "debris_m3"):
        assert rasters[name].to_numpy() == pytest.approx(both.buildings[name].to_numpy(), rel=0.06, abs=8)


def test_blocks_do_not_change_what_is_measured(houses, both, monkeypatch):
    monkeypatch.setattr(block_work, "BLOCK_CELLS", 64)
    rng = np.random.default_rng(3)
    split = debris_volumes(scan(after=True, rng=rng), houses, scan(after=False, rng=rng, raised=-0.35), PLAIN)
    assert len(split.fits) > 1
    assert split.buildings["id"].tolist() == both.buildings["id"].tolist()
    for name in ("lost_m3", "debris_m3"):
        assert split.buildings[name].to_numpy() == pytest.approx(both.buildings[name].to_numpy(), rel=0.03, abs=3)


def test_a_plane_is_smooth_and_a_heap_is_rough():
    rows, cols = np.mgrid[:30, :30].astype(np.float32)
    plane = 0.4 * rows - 0.2 * cols
    assert roughness(plane)[3:-3, 3:-3].max() < 0.01
    noise = np.random.default_rng(0).normal(0, 0.3, plane.shape).astype(np.float32)
    window = noise[10:15, 10:15] + plane[10:15, 10:15]
    design = np.column_stack([rows[10:15, 10:15].ravel(), cols[10:15, 10:15].ravel(), np.ones(25)])
    _, (residual,), *_ = np.linalg.lstsq(design, window.ravel().astype(float))
    assert roughness(plane + noise)[12, 12] == pytest.approx(np.sqrt(residual / 25), rel=1e-3)


@pytest.mark.parametrize(
    ("crs", "shift", "error", "message"),
    [
        ("EPSG:4326", 0.0, InputError, "in degrees"),
        ("EPSG:32634", 0.0, GridError, "Bring both to one CRS"),
        (CRS, 5000.0, GridError, "none of the 4 footprints lies on the heights"),
    ],
)
def test_heights_of_another_site_or_crs_are_refused(houses, crs, shift, error, message):
    import pyproj

    from deepnets4eo.footprints import read_footprints

    points = scan(after=False, rng=np.random.default_rng(0), density=0.2)
    other = PointCloud(points.xyz + [shift, 0, 0], crs=pyproj.CRS.from_user_input(crs))
    with pytest.raises(error, match=message):
        check_heights(other, read_footprints(houses), points if crs == "EPSG:32634" else None)


@pytest.mark.parametrize(
    ("crs", "corner", "words"),
    [
        ("EPSG:2992", (800_000, 900_000), ["may have its heights in the unit of its coordinates, foot", "EPSG:32610", "A*0.3048"]),
        ("EPSG:3857", (1_670_000, 6_890_000), ["a unit is 0.6", "gdalwarp -novshift -t_srs EPSG:32633"]),
    ],
)  # fmt: skip
def test_surface_models_that_are_not_in_metres_are_refused_with_the_command_that_helps(crs, corner, words):
    import pyproj
    from affine import Affine

    from deepnets4eo.footprints import read_footprints
    from deepnets4eo.grid import Grid

    crs = pyproj.CRS(crs).to_wkt()
    layer = Layer.open(
        np.ones((20, 20), np.float32), grid=Grid((20, 20), Affine(1, 0, corner[0], 0, -1, corner[1]), crs)
    )
    inside = shapely.box(corner[0] + 5, corner[1] - 15, corner[0] + 15, corner[1] - 5)
    outlines = gpd.GeoDataFrame({"id": ["a"]}, geometry=[inside], crs=crs)
    with pytest.raises(InputError) as caught:
        debris_volumes(layer, outlines)
    assert all(word in str(caught.value) for word in words), caught.value
    with pytest.raises(InputError):
        check_heights(layer, read_footprints(outlines))


def test_clouds_in_the_units_of_web_maps_are_refused_and_those_in_feet_are_read_in_metres(tmp_path):
    import pyproj

    from deepnets4eo.footprints import read_footprints

    web = PointCloud(np.array([[1_670_000.0, 6_890_000, 1], [1_670_009, 6_890_009, 2]]), crs=pyproj.CRS("EPSG:3857"))
    inside = gpd.GeoDataFrame(geometry=[shapely.box(1_670_002, 6_890_002, 1_670_005, 6_890_005)], crs="EPSG:3857")
    with raises_naming(InputError, "0.6"):
        check_heights(web, read_footprints(inside))
    check_heights(_cloud_in_feet(tmp_path / "feet.las"), read_footprints(_FEET))


_FEET = gpd.GeoDataFrame(geometry=[shapely.box(800_002, 900_002, 800_008, 900_008)], crs="EPSG:2992")


def _cloud_in_feet(path):
    import laspy
    import pyproj

    header = laspy.LasHeader(point_format=6, version="1.4")
    header.offsets, header.scales = [800_000, 900_000, 0], [0.01] * 3
    header.add_crs(pyproj.CRS("EPSG:2992"))
    las = laspy.LasData(header)
    las.x, las.y, las.z = np.array([[800_000, 800_010], [900_000, 900_010], [5, 6.0]])
    las.write(path)
    return path


def test_outlines_that_were_left_out_or_changed_are_findings(after):
    shapes = [None, None, shapely.box(40, 10, 54, 20), shapely.box(10, 40, 22, 52), shapely.box(40, 40, 50, 50)]
    shapes[0] = shapely.Polygon([(10, 10), (22, 20), (22, 10), (10, 20)])
    moved = [None if shape is None else shapely.transform(shape, lambda xy: xy + ORIGIN) for shape in shapes]
    result = debris_volumes(
        after, gpd.GeoDataFrame({"id": ["a", "b", "c", "c", "d"]}, geometry=moved, crs=CRS), options=PLAIN
    )
    said = {finding.code: finding for finding in result.findings}
    assert said["footprints_dropped"].message.startswith("1 of 5 rows of the footprints could not be used (1 row: ")
    assert said["footprints_dropped"].severity == "caution"
    changes = "Footprints: 1 outline was repaired; 1 id was missing or repeated and renamed."
    assert said["footprints_changed"].message == changes


def test_values_that_are_no_heights_are_unknown_and_counted(houses, after):
    mixed = houses.assign(tall=["-3", "5", "6,5", None])
    options = RubbleOptions(align=False, height_column="tall")
    result = debris_volumes(after, mixed, options=options)
    (said,) = (finding for finding in result.findings if finding.code == "heights_unusable")
    assert "2 of 3 values in the column 'tall'" in said.message
    assert "(e.g. -3)" in said.message
    (said,) = (finding for finding in result.findings if finding.code == "rule_unknown")
    assert "unknown for 2 of 3 buildings that collapsed" in said.message
    table = result.buildings.set_index("id")
    assert table.loc["b", "height_pre_m"] == 5
    assert (table["rule_m3"].dropna() >= 0).all()
    assert (table["volume_pre_m3"].dropna() >= 0).all()
    with raises_naming(InputError, "4 values", "3 cannot"):
        debris_volumes(after, houses.assign(tall=["abc", "-1", "0", ""]), options=options)


@pytest.mark.parametrize("raster", [False, True])
def test_buildings_in_a_gap_of_the_heights_are_not_assessed_and_the_others_are(houses, after, raster, monkeypatch):
    from deepnets4eo.points.height_grid import grid_around, height_grid

    monkeypatch.setattr(block_work, "BLOCK_CELLS", 200)
    far = shapely.box(*(ORIGIN + 500), *(ORIGIN + 510))
    outlines = gpd.GeoDataFrame({"id": [*houses["id"], "far"]}, geometry=[*houses.geometry, far], crs=CRS)
    beyond = PointCloud(np.vstack([after.xyz, [[*(ORIGIN + 600), 100.0]]]), crs=after.crs)
    post = beyond
    if raster:
        grid = grid_around((*ORIGIN, *(ORIGIN + 600)), 0.5, CRS)
        post = Layer.open(height_grid(lambda: [beyond], grid).mean, grid=grid)
    result = debris_volumes(post, outlines, options=PLAIN)
    states = result.buildings.set_index("id")["state"].to_dict()
    assert states.pop("far") == "not-assessed"
    assert "not-assessed" not in states.values()
    (said,) = (finding for finding in result.findings if finding.code == "blocks_without_heights")
    assert said.message.startswith("1 building could not be assessed, in 1 block without heights.")
    with pytest.raises(InputError, match="no height is known" if raster else "no point of"):
        debris_volumes(post, outlines[outlines["id"] == "far"], options=PLAIN)


def test_ascii_grids_are_surface_models(houses, after, tmp_path):
    from deepnets4eo.footprints import read_footprints
    from deepnets4eo.points.height_grid import grid_around, height_grid

    grid = grid_around((*ORIGIN, *(ORIGIN + 69.9)), 0.5, CRS)
    values = np.nan_to_num(height_grid(lambda: [after], grid).mean, nan=-9999)
    head = f"ncols {grid.shape[1]}\nnrows {grid.shape[0]}\nxllcorner {ORIGIN[0]}\nyllcorner {ORIGIN[1]}\ncellsize 0.5\n"
    path = tmp_path / "post.asc"
    path.write_text(head + "NODATA_value -9999\n" + "\n".join(" ".join(f"{z:.2f}" for z in row) for row in values))
    path.with_suffix(".prj").write_text(shapely_crs().to_wkt("WKT1_ESRI"))
    check_heights(path, read_footprints(houses))


def test_clouds_without_points_are_refused_as_such(houses, tmp_path):
    import laspy

    from deepnets4eo.footprints import read_footprints

    path = tmp_path / "empty.las"
    laspy.LasData(laspy.LasHeader(point_format=6, version="1.4")).write(path)
    with raises_naming(InputError, "empty.las"):
        check_heights(path, read_footprints(houses))


@pytest.mark.filterwarnings("error:'crs' was not provided")
def test_outlines_are_moved_onto_heights_without_a_crs_too(tmp_path):
    from deepnets4eo.points import save_rubble

    city = City(6, 180, 0.5)
    cloud, outlines = aerial_scan(city.post, 6.0), city.footprints()
    placed = debris_volumes(cloud, outlines)
    plain = PointCloud(cloud.xyz, classification=cloud.classification)
    result = debris_volumes(
        plain, outlines.set_crs(None, allow_override=True), options=RubbleOptions(footprints_crs="pixels")
    )
    assert not {"footprints_unaligned"} & {finding.code for finding in (*result.findings, *placed.findings)}
    assert shapely.equals_exact(result.buildings.geometry.to_numpy(), placed.buildings.geometry.to_numpy(), 0.01).all()
    assert not shapely.equals_exact(result.buildings.geometry.to_numpy(), outlines.geometry.to_numpy(), 0.2).any()
    assert save_rubble(result, tmp_path / "out", plain, also=())["rubble.gpkg"].exists()


def test_outlines_that_could_not_be_moved_are_a_finding(houses, after):
    result = debris_volumes(after, houses.iloc[:2])
    (said,) = (finding for finding in result.findings if finding.code == "footprints_unaligned")
    assert "In 1 of 1 block the footprints could not be moved onto the buildings" in said.message
    assert "2 footprints on the image" in said.message
    assert not {"footprints_unaligned"} & {one.code for one in debris_volumes(after, houses, options=PLAIN).findings}


def test_volumes_lost_in_a_city_are_within_a_tenth_of_the_truth_despite_footprints_that_lie_off():
    """SYNTHETIC: scans from the air, with occlusion; buildings of more than 100 m³ lost, clear of the edge."""
    city = City(21, 240, 0.4, event=Event(kind="quake", damage_shares=(0.4, 0.1, 0.1, 0.4)))
    pre, post = aerial_scan(city.pre), aerial_scan(city.post)
    for cloud in (pre, post):
        cloud.classification[cloud.classification == 70] = 1
    result = debris_volumes(post, city.footprints(), pre).buildings
    truth = building_volumes(city)
    whole = city.buildings.loc[city.buildings.within(city.extent.buffer(-3)), ["id", "damage"]]
    joined = result.merge(truth, on="id", suffixes=("", "_true")).merge(whole, on="id", suffixes=("", "_true"))
    large = joined[joined["lost_m3_true"] > 100]
    assert len(large) >= 5
    error = (large["lost_m3"] / large["lost_m3_true"] - 1).abs()
    assert error.median() < 0.1
    assert (large["state"].isin(["collapsed", "cleared", "partly-collapsed"])).all()
    intact = joined[joined["damage_true"] == "no-damage"]
    assert (intact["rubble_share"].dropna() < 0.15).all()


@pytest.mark.real_data
def test_the_intact_houses_of_delft_stand_and_hold_no_rubble(real_data):
    """AHN3 heights of one date and map outlines: no house has come down there."""
    folder = real_data / "ahn3_delft"
    outlines = gpd.read_file(folder / "bgt_pand.sqlite")
    outlines = outlines[outlines.geom_type.isin(["Polygon", "MultiPolygon"])]
    post = folder / "ahn3_cropped_2.laz"
    table = debris_volumes(post, outlines).buildings
    known = table[table["state"] != "not-assessed"]
    assert len(known) >= 5
    assert (known["state"] == "standing").mean() >= 0.9
    assert known["rubble_share"].mean() < 0.02


@pytest.mark.real_data
def test_falls_of_a_real_track_agree_with_published_m3c2_distances(real_data):
    """Autzen 2010 and 2023: mean heights of cells of 2 m against distances that PDAL computed, both in feet."""
    from deepnets4eo.points import open_cloud
    from deepnets4eo.points.height_grid import grid_around, height_grid

    files = [open_cloud(real_data / "autzen" / f"autzen-bmx-{year}.las") for year in (2010, 2023)]
    reference = np.genfromtxt(real_data / "autzen" / "autzen-bmx-m3c2.txt", delimiter=",", names=True)
    grid = grid_around(files[0].bounds[:, :2].ravel(), 2.0)
    before, after = (height_grid(file.chunks, grid).mean for file in files)
    col = ((reference["X"] - grid.affine.c) / 2).astype(int)
    row = ((grid.affine.f - reference["Y"]) / 2).astype(int)
    inside = (row >= 0) & (col >= 0) & (row < grid.shape[0]) & (col < grid.shape[1])
    fall = (after - before)[row[inside], col[inside]] / 0.3048006
    distance = reference["m3c2_distance"][inside]
    known = np.isfinite(fall) & np.isfinite(distance)
    assert known.sum() > 80
    assert np.corrcoef(fall[known], distance[known])[0, 1] > 0.75
    assert abs(np.median(fall[known] - distance[known])) < 0.2


@pytest.mark.real_data
def test_falls_of_a_real_track_agree_with_m3c2_of_py4dgeo(real_data):
    """The same pair against distances along the normal by another library, cylinders of 2 m and 10 ft along."""
    py4dgeo = pytest.importorskip("py4dgeo", reason="py4dgeo is not installed: pip install py4dgeo")
    from deepnets4eo.points import open_cloud

    paths = [real_data / "autzen" / f"autzen-bmx-{year}.las" for year in (2010, 2023)]
    core = np.asarray(laspy.read(paths[1]).xyz)
    epochs = [py4dgeo.Epoch(np.asarray(laspy.read(path).xyz)) for path in paths]
    method = py4dgeo.M3C2(epochs=epochs, corepoints=core, cyl_radius=2.0, max_distance=10.0, normal_radii=[3.0])
    distance = method.run()[0] * np.sign(method.directions()[:, 2])
    files = [open_cloud(path) for path in paths]
    grid = grid_around(files[0].bounds[:, :2].ravel(), 2.0)
    before, after = (height_grid(file.chunks, grid).mean for file in files)
    col, row = ((core[:, :2] - (grid.affine.c, grid.affine.f)) / (grid.affine.a, grid.affine.e)).astype(int).T
    inside = (row >= 0) & (col >= 0) & (row < grid.shape[0]) & (col < grid.shape[1])
    fall = (after - before)[row[inside], col[inside]] / 0.3048006
    known = np.isfinite(fall) & np.isfinite(distance[inside])
    assert known.sum() > 400
    assert np.corrcoef(fall[known], distance[inside][known])[0, 1] > 0.8
    assert abs(np.median(fall[known] - distance[inside][known])) < 0.2


def test_impossible_heights_are_left_out_before_cells_are_averaged(caplog):
    from affine import Affine

    from deepnets4eo.grid import Grid
    from deepnets4eo.points.rubble.surfaces import Heights

    fine = np.full((40, 40), 20.0, np.float32)
    fine[12, 13], fine[20:24, 20:24] = -9999, -9999
    layer = Layer.open(fine, grid=Grid((40, 40), Affine(0.25, 0, 500_000, 0, -0.25, 5_000_000), CRS))
    heights = Heights.open(layer).on(Grid((10, 10), Affine(1, 0, 500_000, 0, -1, 5_000_000), CRS)).top
    assert np.isnan(heights[5, 5])
    heights[5, 5] = 20
    assert heights == pytest.approx(20)
    assert "17 heights outside -500 to 9000 m are read as no data" in caplog.text


@pytest.mark.parametrize(("unit", "metres"), [("ft", 0.3048), ("US_ft", 1200 / 3937), ("cm", 0.01), ("yards", 0.9144)])
def test_surface_models_in_another_unit_are_read_in_metres(unit, metres, tmp_path):
    import rasterio
    from geotiff import write_geotiff

    from deepnets4eo.points.rubble.surfaces import Heights
    from deepnets4eo.terrain import composite_raster

    path = write_geotiff(tmp_path / "dsm.tif", np.full((8, 8), 900, np.int16))
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets, file.units = (0.01,), (3.0,), (unit,)
    heights = Heights.open(path)
    assert heights.on(heights.layer.grid).top == pytest.approx(12 * metres)
    out = composite_raster(path, tmp_path / "out.tif", channels=("dsm",))
    assert Layer.open(out).read()[0] == pytest.approx(12 * metres)
    with rasterio.open(path, "r+") as file:
        file.units = ("dB",)
    with raises_naming(InputError, "'dB'"):
        Heights.open(path)


def town(top, roofs, *, side=150, seed=0):
    """Heights of flat roofs on level ground, four points a square metre, and the outlines with what a table states of them."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, side, (4 * side * side, 2))
    z = rng.normal(0, 0.02, len(xy))
    boxes = []
    for number, height in enumerate(roofs):
        corner = np.array([12 + number % 4 * 35, 12 + number // 4 * 35])
        inside = ((xy > corner) & (xy < corner + 14)).all(axis=1)
        z[inside] += height
        boxes.append(shapely.box(*(corner + ORIGIN), *(corner + 14 + ORIGIN)))
    frame = gpd.GeoDataFrame({"tall": np.asarray(roofs, float) + top}, geometry=boxes, crs=CRS)
    return PointCloud(np.column_stack([xy + ORIGIN, z]), crs=shapely_crs()), frame


STATED = RubbleOptions(align=False, height_column="tall")


@pytest.mark.parametrize("off", [2.5, -2.0, 0.0])
def test_a_systematic_offset_of_stated_heights_is_taken_out_and_said(off):
    roofs = [6, 7, 5, 9, 4, 12, 6, 8]
    cloud, frame = town(off, roofs)
    result = debris_volumes(cloud, frame, options=STATED)
    assert set(result.buildings["state"]) == {"standing"}
    np.testing.assert_allclose(result.buildings["height_pre_m"], roofs, atol=0.1)
    messages = [one.message for one in result.findings if one.code == "stated_heights_off"]
    assert len(messages) == (off != 0)
    assert all(f"{abs(off):.1f} m {'above' if off > 0 else 'below'} the roofs" in message for message in messages)


def test_a_house_that_fell_is_found_among_stated_heights_that_are_all_too_high():
    cloud, frame = town(2.5, [6, 7, 5, 9, 4, 12, 6, 8])
    x, y = (cloud.xyz[:, :2] - ORIGIN).T
    fallen = (x > 12) & (x < 26) & (y > 12) & (y < 26)
    cloud.xyz[fallen, 2] += 1.5 - 6 + np.random.default_rng(1).uniform(-0.4, 0.4, fallen.sum())
    table = debris_volumes(cloud, frame, options=STATED).buildings
    assert table["state"].tolist() == ["collapsed"] + ["standing"] * 7
    assert table["roof_height_loss_m"][0] == pytest.approx(4.5, abs=0.15)


def test_no_building_collapses_by_its_mean_height_alone():
    """Of three houses no offset can be estimated; their roofs are flat, whole and higher than a heap."""
    cloud, frame = town(3.0, [5, 6, 4])
    assert set(debris_volumes(cloud, frame, options=STATED).buildings["state"]) == {"standing"}


@pytest.mark.parametrize(
    ("share", "loss", "height", "low", "state"),
    [
        (0.3, 2.6, 5.0, 0.0, "collapsed"),  # a storey
        (0.3, 2.4, 5.0, 0.0, "partly-collapsed"),
        (0.3, 6.1, 20.0, 0.0, "collapsed"),  # 0.3 of the height
        (0.3, 5.9, 20.0, 0.0, "partly-collapsed"),
        (0.05, 9.0, 10.0, 0.0, "standing"),  # a mean alone
        (0.05, 9.0, 10.0, 0.6, "collapsed"),  # smooth debris: low all over
        (0.6, 0.5, 10.0, 0.0, "collapsed"),
        (0.09, 0.5, 10.0, 0.9, "standing"),
    ],
)
def test_states_follow_from_shares_and_mean_falls(share, loss, height, low, state):
    values = (np.array([one]) for one in (share, 0.5, loss, height))
    assert states_of(*values, np.array([True]), np.array([low])).tolist() == [state]


@pytest.mark.parametrize("paired", [True, False])
def test_a_house_of_which_heights_show_the_edge_alone_is_not_assessed(paired, after):
    edge = gpd.GeoDataFrame(geometry=[shapely.box(*(ORIGIN + [68, 20]), *(ORIGIN + [120, 60]))], crs=CRS)
    result = debris_volumes(after, edge, after if paired else None, PLAIN)
    assert result.buildings["state"].tolist() == ["not-assessed"]
    assert "few_heights" in {one.code for one in result.findings}


@pytest.mark.parametrize("paired", [True, False])
def test_a_house_whose_middle_lies_off_the_heights_is_assessed_by_the_share_that_is_known(paired):
    cloud, _ = town(0.0, [6])
    kept = PointCloud(cloud.xyz[cloud.xyz[:, 0] < ORIGIN[0] + 18], crs=cloud.crs)
    frame = gpd.GeoDataFrame(geometry=[shapely.box(*(ORIGIN + [12, 12]), *(ORIGIN + [26, 26]))], crs=CRS)
    row = debris_volumes(kept, frame, kept if paired else None, PLAIN).buildings.iloc[0]
    assert row["state"] == "standing"
    assert row["known_share"] == pytest.approx(6 / 14, abs=0.06)


@pytest.mark.parametrize(("cell_m", "most"), [(0.05, 960), (0.05, 2208), (0.1, 2208), (0.5, 2208)])
def test_blocks_hold_as_many_cells_whatever_their_size(cell_m, most, monkeypatch):
    """About 1 GB; small areas of fine cells take what their heights need."""
    sides = []

    def remember(after, before, block, *_):
        sides.extend(block.shape)
        raise NoHeightsError("enough")

    monkeypatch.setattr(block_work, "_measure", remember)
    side = 48 if most == 960 else 400
    corners = PointCloud(np.array([[0, 0, 0], [side, side, 0.0]]) + [*ORIGIN, 0], crs=shapely_crs())
    outline = shapely.box(*(ORIGIN + 2), *(ORIGIN + side - 2))
    frame = gpd.GeoDataFrame(geometry=[outline], crs=CRS)
    with pytest.raises(NoHeightsError, match="enough"):
        debris_volumes(corners, frame, options=RubbleOptions(cell_m=cell_m))
    assert max(sides) <= most + 2


def test_heights_in_feet_by_geotiff_keys_lose_as_much_as_in_metres(tmp_path, houses, both):
    rng = np.random.default_rng(3)
    files = []
    for name, cloud in (("post", scan(after=True, rng=rng)), ("pre", scan(after=False, rng=rng, raised=-0.35))):
        las = laspy.LasData(laspy.LasHeader(version="1.2", point_format=0))
        las.header.scales, las.header.offsets = np.full(3, 0.001), [*ORIGIN, 0]
        las.x, las.y, las.z = cloud.xyz[:, 0], cloud.xyz[:, 1], cloud.xyz[:, 2] / 0.3048
        keys = np.array([1, 1, 0, 3, 1024, 0, 1, 1, 3072, 0, 1, 32633, 4099, 0, 1, 9002], "<u2")
        las.header.vlrs.append(laspy.VLR("LASF_Projection", 34735, "", keys.tobytes()))
        files.append(tmp_path / f"{name}.las")
        las.write(files[-1])
    result = debris_volumes(files[0], houses, files[1], PLAIN)
    np.testing.assert_allclose(result.buildings["lost_m3"], both.buildings["lost_m3"], rtol=1e-3, atol=0.5)


FOOT, SURVEY_FOOT = 0.3048, 1200 / 3937


@pytest.mark.parametrize(
    ("keys", "horizontal_m", "vertical_m", "crs"),
    [
        ([3076, 9001, 4099, 9002], 1, FOOT, CRS),
        ([3076, 9001, 4099, 9003], 1, SURVEY_FOOT, CRS),
        ([3076, 9002, 4099, 9002], FOOT, FOOT, "EPSG:2992"),
        ([3076, 9003, 4099, 9003], SURVEY_FOOT, SURVEY_FOOT, "EPSG:2229"),
    ],
)
def test_the_volumes_of_a_fallen_house_in_a_user_defined_crs_in_feet_are_in_cubic_metres(
    tmp_path, keys, horizontal_m, vertical_m, crs
):
    rng, xy_m = np.random.default_rng(0), 2000.0
    for name, height_m in (("pre", 6.0), ("post", 1.5)):
        xy = rng.uniform(0, 60, (20_000, 2))
        inside = (abs(xy - 30) < [10, 7.5]).all(axis=1)
        z = 100 + inside * (height_m + (rng.uniform(-0.4, 0.4, len(xy)) if name == "post" else 0))
        las = laspy.LasData(laspy.LasHeader(version="1.2", point_format=0))
        las.header.scales, las.header.offsets = np.full(3, 0.001), np.zeros(3)
        las.x, las.y, las.z = *((xy + xy_m) / horizontal_m).T, z / vertical_m
        entries = [
            (1024, 0, 1, 1),
            (3072, 0, 1, 32767),
            *((key, 0, 1, code) for key, code in zip(keys[::2], keys[1::2], strict=True)),
        ]
        directory = np.array([(1, 1, 0, len(entries)), *entries], "<u2")
        las.header.vlrs.append(laspy.VLR("LASF_Projection", 34735, "", directory.tobytes()))
        las.write(tmp_path / f"{name}.las")
    house = shapely.box(*((np.array([20, 22.5, 40, 37.5]) + xy_m) / horizontal_m))
    gpd.GeoDataFrame({"id": ["a"]}, geometry=[house], crs=crs).to_file(tmp_path / "house.gpkg")
    files = [str(tmp_path / name) for name in ("post.las", "pre.las", "house.gpkg", "out")]
    words = ["rubble", files[0], "--pre", files[1], "--footprints", files[2], "--out", files[3]]
    words += ["--assume-registered"] if horizontal_m == 1 else []
    assert main([*words, "--also", "none", "--set", "align=no"]) == 0
    (row,) = csv.DictReader((tmp_path / "out" / "rubble.csv").open(encoding="utf-8"))
    assert float(row["area_m2"]) == pytest.approx(20 * 15, rel=1e-5)
    assert float(row["lost_m3"]) == pytest.approx(20 * 15 * 4.5, rel=0.01)
    assert float(row["debris_m3"]) == pytest.approx(20 * 15 * 1.5, rel=0.02)


def test_outlines_lie_in_the_feet_of_a_cloud_that_names_no_crs(tmp_path):
    cloud, frame = town(0.0, [6])
    las = laspy.LasData(laspy.LasHeader(version="1.2", point_format=0))
    las.header.scales, las.header.offsets = np.full(3, 0.001), [1e6, 1e6, 0]
    las.x, las.y, las.z = ((cloud.xyz - [*ORIGIN, 0]) / 0.3048 + [1e6, 1e6, 0]).T
    keys = np.array([1, 1, 0, 3, 1024, 0, 1, 1, 3072, 0, 1, 32767, 3076, 0, 1, 9002], "<u2")
    las.header.vlrs.append(laspy.VLR("LASF_Projection", 34735, "", keys.tobytes()))
    las.write(tmp_path / "a.las")
    feet = shapely.transform(frame.geometry.to_numpy(), lambda xy: (xy - ORIGIN) / 0.3048 + 1e6)
    local = gpd.GeoDataFrame(geometry=feet, crs="EPSG:2992")
    las.write(tmp_path / "b.las")
    row = debris_volumes(tmp_path / "a.las", local, tmp_path / "b.las", PLAIN).buildings.iloc[0]
    assert (row["area_m2"], row["height_pre_m"]) == (pytest.approx(196, rel=1e-6), pytest.approx(6, abs=0.1))


def test_products_that_need_points_are_named_where_heights_are_a_surface_model(houses, after, tmp_path, capsys):
    cells = height_grid(lambda: [after], grid_around((*ORIGIN, *(ORIGIN + 69)), 0.5, CRS))
    write_geotiff(tmp_path / "dsm.tif", cells.top, transform=cells.grid.affine, crs=CRS, nodata=np.nan)
    houses.to_file(tmp_path / "houses.gpkg")
    arguments = [
        "rubble",
        str(tmp_path / "dsm.tif"),
        "--footprints",
        str(tmp_path / "houses.gpkg"),
        "--out",
        str(tmp_path / "o"),
    ]
    assert main([*arguments, "--also", "laz"]) == 0
    assert "points.laz need points: not written, as" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "o" / "points.laz").exists()
    main([*arguments, "--also", "none", "--overwrite"])
    assert "need points" not in capsys.readouterr().err


def test_rubble_refuses_heights_over_two_vertical_datums(tmp_path):
    import pyproj
    from geotiff import write_geotiff

    from deepnets4eo.points.rubble.placing import common_crs
    from deepnets4eo.points.rubble.surfaces import Heights

    flat = np.full((8, 8), 30, np.float32)
    geoid = Heights.open(write_geotiff(tmp_path / "a.tif", flat, crs="EPSG:32631+5773"))
    ellipsoid = Heights.open(
        write_geotiff(tmp_path / "b.tif", flat + 28, crs=pyproj.CRS("EPSG:32631").to_3d().to_wkt())
    )
    with raises_naming(InputError, "b.tif", "a.tif", "EGM96"):
        common_crs(ellipsoid, geoid)
    unknown = Heights.open(write_geotiff(tmp_path / "c.tif", flat, crs="EPSG:32631"))
    assert common_crs(ellipsoid, unknown).to_epsg() == 32631


def test_one_file_of_points_for_both_dates_is_refused(after, houses, tmp_path):
    from made_up_clouds import write_las

    path = write_las(tmp_path / "a.las", after.xyz, crs=CRS)
    with raises_naming(InputError, "a.las", "one point cloud", "two dates"):
        debris_volumes(path, houses, path, PLAIN)
