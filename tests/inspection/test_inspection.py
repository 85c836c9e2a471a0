"""`check`: facts are right, and every trouble is said with its remedy."""

import contextlib
import json
import struct
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from refusals import raises_naming
from shapely.geometry import LineString, Polygon, box

from deepnets4eo.cards import Legend
from deepnets4eo.damage.images.checks import require_fine_pixels
from deepnets4eo.errors import InputError
from deepnets4eo.footprints import read_footprints
from deepnets4eo.grid import Window, coarse_grid
from deepnets4eo.inspection import inspect, overlaps
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as import IMAGE, Door, undeclared_nodata, without_collar

PLACE = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)}


def write(path: Path, array: np.ndarray, **profile: object) -> str:
    return str(write_geotiff(path, array, **{"crs": None, **profile}))


def test_a_sound_raster_has_facts_and_no_problem(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (3, 50, 60)).astype(np.uint8)
    found = inspect(write(tmp_path / "a.tif", array, **PLACE))
    assert found.problems == []
    assert found.facts["size"] == "50 rows × 60 columns × 3 bands of uint8"
    assert found.facts["pixel"] == "0.5 × 0.5 m on the ground"
    assert found.facts["CRS"].startswith("EPSG:32633")


@pytest.mark.parametrize(
    ("array", "profile", "problem"),
    [
        (np.full((1, 9, 9), 7, np.uint8), PLACE, "constant: band_1"),
        (np.zeros((1, 9, 9), np.uint8), PLACE | {"nodata": 0}, "no pixel is valid"),
        (np.full((1, 9, 9), np.nan, np.float32), PLACE, "no pixel is valid"),
        (np.arange(81, dtype=np.uint8).reshape(1, 9, 9), {}, "no CRS"),
        (np.arange(81, dtype=np.uint16).reshape(1, 9, 9), PLACE, "8-bit values"),
    ],
)
def test_what_is_wrong_with_a_raster_is_reported(
    array: np.ndarray, profile: dict, problem: str, tmp_path: Path
) -> None:
    assert any(problem in text for text in inspect(write(tmp_path / "a.tif", array, **profile)).problems)


def test_labels_outside_the_legend_are_listed(tmp_path: Path) -> None:
    array = np.array([[[0, 1, 9], [255, 5, 9]]], np.uint8)
    found = inspect(write(tmp_path / "labels.tif", array, **PLACE), Legend.load("isprs"))
    assert any("values [9]" in problem or "values [np.int64(9)]" in problem for problem in found.problems)


def test_a_vector_is_described_and_its_faults_counted(tmp_path: Path) -> None:
    bow_tie = Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    frame = gpd.GeoDataFrame({"id": [1, 2]}, geometry=[box(0, 0, 10, 10), bow_tie], crs="EPSG:32633")
    frame.to_file(tmp_path / "f.gpkg")
    found = inspect(str(tmp_path / "f.gpkg"))
    assert found.facts["features"].startswith("2: 2 Polygon")
    assert any("1 geometries are invalid" in problem for problem in found.problems)


def test_lines_cannot_serve_as_footprints(tmp_path: Path) -> None:
    gpd.GeoDataFrame(geometry=[LineString([(0, 0), (1, 1)])], crs="EPSG:4326").to_file(tmp_path / "lines.geojson")
    assert any("no polygons" in problem for problem in inspect(str(tmp_path / "lines.geojson")).problems)


@pytest.mark.parametrize("name", ["missing.tif", "missing.gpkg", "missing.json"])
def test_a_missing_file_is_a_problem_not_a_crash(name: str, tmp_path: Path) -> None:
    found = inspect(str(tmp_path / name))
    assert found.kind == "unreadable"
    assert "does not exist" in found.problems[0]


def test_overlap_is_reported_both_ways_and_its_absence_too(tmp_path: Path) -> None:
    array = np.arange(100, dtype=np.uint8).reshape(1, 10, 10)
    far = PLACE | {"transform": Affine(0.5, 0, 900_000, 0, -0.5, 4_000_000)}
    paths = [write(tmp_path / "a.tif", array, **PLACE), write(tmp_path / "b.tif", array, **PLACE)]
    paths.append(write(tmp_path / "far.tif", array, **far))
    found = overlaps([inspect(path) for path in paths])
    assert f"{paths[1]} covers 100.0% of {paths[0]}" in found.lines
    assert len(found.problems) == 2
    for path, problem in zip(paths, found.problems, strict=False):
        assert problem.startswith(f"{path} and {paths[2]} do not overlap")
        assert "CRS or the position" in problem


def test_layers_on_one_grid_are_reported_in_one_line(tmp_path: Path) -> None:
    array = np.arange(100, dtype=np.uint8).reshape(1, 10, 10)
    paths = [write(tmp_path / f"{name}.tif", array, **PLACE) for name in ("image", "dsm", "labels")]
    assert overlaps([inspect(path) for path in paths]) == ([f"{', '.join(paths)} lie on one grid."], [])


@pytest.mark.parametrize(("gsd_m", "coarse"), [(9.0, True), (1.0, False)])
def test_pixels_too_coarse_for_the_buildings_are_named_as_damage_names_them(
    gsd_m: float, coarse: bool, tmp_path: Path
) -> None:
    array = np.random.default_rng(0).integers(0, 255, (3, 40, 40)).astype(np.uint8)
    image = write(tmp_path / "post.tif", array, **PLACE | {"transform": Affine(gsd_m, 0, 500_000, 0, -gsd_m, 4e6)})
    corners = [(500_004 + 20 * k, 4_000_000 - 30) for k in range(6 if coarse else 1)]
    houses = [box(x, y, x + 12.5, y + 12.5) for x, y in corners]
    gpd.GeoDataFrame(geometry=houses, crs=PLACE["crs"]).to_file(tmp_path / "houses.gpkg")
    found = [inspect(image), inspect(str(tmp_path / "houses.gpkg"))]
    told = [line for line in overlaps(found).problems if "156 m²" in line and "1.5 m" in line]
    assert len(told) == coarse
    with raises_naming(InputError, "156", "1.5 m") if coarse else contextlib.nullcontext():
        layer = Layer.open(image)
        require_fine_pixels(layer, read_footprints(tmp_path / "houses.gpkg").in_pixels(layer.grid))


@pytest.mark.real_data
def test_the_joplin_footprints_cover_both_images(real_data: Path) -> None:
    joplin = real_data / "joplin"
    found = [inspect(str(joplin / name)) for name in ("pre", "post", "joplin.geojson")]
    assert [item.problems for item in found] == [[], [], []]
    assert any("joplin.geojson covers 100.0%" in line for line in overlaps(found).lines)


def raster(tmp_path: Path, array: np.ndarray, name: str = "a.tif", **profile: object):
    return inspect(write(tmp_path / name, array, **(PLACE | profile)))


def test_the_facts_of_a_raster_word_for_word(tmp_path: Path) -> None:
    array = np.arange(2 * 50 * 60, dtype=np.int16).reshape(2, 50, 60)
    array[0, 0, :30] = array[1, 0, :30] = -1
    found = raster(tmp_path, array, nodata=-1)
    assert found.kind == "raster"
    assert found.problems == []
    extent = found.facts.pop("extent")
    assert found.facts == {
        "size": "50 rows × 60 columns × 2 bands of int16",
        "bands": "band_1, band_2",
        "CRS": "EPSG:32633 WGS 84 / UTM zone 33N",
        "pixel": "0.5 × 0.5 m on the ground",
        "not valid": "1.0% of the pixels (nodata -1)",
        "values": "30 to 2999; 3030 to 5999",
    }
    words = [word.rstrip(",") for word in extent.split()]
    corner = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True).transform
    west, north = corner(500_000, 4_000_000)
    east, south = corner(500_030, 3_999_975)
    assert words[::2] == ["longitude", "to", "latitude", "to"]
    assert list(map(float, words[1::2])) == pytest.approx([west, east, south, north], abs=2e-6)


def test_many_bands_and_pixels_that_are_not_square_are_reported(tmp_path: Path) -> None:
    array = np.arange(13 * 9, dtype=np.uint8).reshape(13, 3, 3)
    for stretch, said in ((1.03, True), (1.01, False)):
        found = raster(tmp_path, array, transform=Affine(0.5, 0, 500_000, 0, -0.5 * stretch, 4_000_000))
        assert ("pixel shape" in found.facts) is said
    assert found.facts["bands"] == ", ".join(f"band_{band}" for band in range(1, 13)) + " …"
    assert found.facts["values"] == "; ".join(f"{9 * band} to {9 * band + 8}" for band in range(6)) + " …"
    assert found.facts["pixel"] == "0.5 × 0.505 m on the ground"
    assert "(nodata" not in found.facts["not valid"]


def test_tiles_of_a_folder_are_a_mosaic(tmp_path: Path) -> None:
    array = np.arange(100, dtype=np.uint8).reshape(1, 10, 10)
    (tmp_path / "tiles").mkdir()
    for number in range(2):
        transform = Affine(0.5, 0, 500_000 + 5 * number, 0, -0.5, 4_000_000)
        write(tmp_path / "tiles" / f"{number}.tif", array, **(PLACE | {"transform": transform}))
    found = inspect(str(tmp_path / "tiles"))
    assert found.kind == "mosaic"
    assert found.facts["size"].startswith("10 rows × 20 columns")


@pytest.mark.parametrize(
    ("dtype", "top", "said"), [("uint16", 255, True), ("uint16", 256, False), ("uint8", 255, False)]
)
def test_bytes_in_sixteen_bits_are_reported(dtype: str, top: int, said: bool, tmp_path: Path) -> None:
    found = raster(tmp_path, np.linspace(0, top, 81).astype(dtype).reshape(1, 9, 9))
    assert any("8-bit values" in problem for problem in found.problems) is said


def test_infinite_values_and_constant_bands_are_reported_by_name(tmp_path: Path) -> None:
    array = np.stack([np.arange(81), np.full(81, 3), np.arange(81)]).reshape(3, 9, 9).astype(np.float32)
    array[0, 0, 0] = np.inf
    assert raster(tmp_path, array).problems == [
        "constant: band_2 has one value only.",
        "it holds infinite values, which are not valid. Set them to nodata.",
    ]


def test_far_values_are_reported_with_the_command_that_declares_them(tmp_path: Path) -> None:
    array = np.linspace(100, 300, 10_000).reshape(1, 100, 100).astype(np.float32)
    array[0, :3] = -9999
    path = tmp_path / "a.tif"
    (problem,) = raster(tmp_path, array).problems
    assert problem.startswith("band_1 holds -9999, far from all others (106")
    assert problem.endswith(
        f"would distort the scaling of a training; declare it as nodata: gdal_edit.py -a_nodata -9999 {path}."
    )
    array[0, :3] = 123_456
    (problem,) = raster(tmp_path, array).problems
    assert problem.endswith("set them to a nodata value that it declares.")


def test_the_shares_of_classes_are_those_of_valid_pixels(tmp_path: Path) -> None:
    labels = np.array([[[0, 0, 1, 4], [0, 0, 255, 255]]], np.uint8)
    found = inspect(write(tmp_path / "l.tif", labels, **PLACE, nodata=255), Legend.load("isprs"))
    assert found.facts["legend"] == "isprs (6 classes)"
    assert found.facts["classes"] == "impervious 66.7%, building 16.7%, car 16.7%"
    assert found.problems == []


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (
            np.array([[[0, 9]]], np.uint8),
            "values [9] are not in the legend isprs; remap them, or choose another legend.",
        ),
        (np.array([[[0, 256]]], np.int16), "labels must be whole numbers 0–255; it holds int16 0–256."),
        (np.array([[[0, -1]]], np.int16), "labels must be whole numbers 0–255; it holds int16 -1–0."),
        (np.array([[[0, 1]]], np.float32), "labels must be whole numbers 0–255; it holds float32 0.0–1.0."),
        (
            np.array([[[-9e9, 1]]], np.float64),
            "labels must be whole numbers 0–255; it holds float64 -9000000000.0–1.0.",
        ),
    ],
)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_labels_that_are_none_are_reported(array: np.ndarray, problem: str, tmp_path: Path) -> None:
    assert problem in inspect(write(tmp_path / "l.tif", array, **PLACE), Legend.load("isprs")).problems


def test_colours_are_labels_too(tmp_path: Path) -> None:
    legend = Legend.load("isprs")
    image = legend.decode(np.array([[0, 1], [1, 1]], np.uint8))
    assert (
        inspect(write(tmp_path / "l.tif", image, **PLACE), legend).facts["classes"]
        == "impervious 25.0%, building 75.0%"
    )
    image[:, 0, 0] = 7
    problems = inspect(write(tmp_path / "l.tif", image, **PLACE), legend).problems
    assert any(
        problem.startswith("it is no label raster of isprs: 1 colours are not in legend") for problem in problems
    )


def test_the_facts_of_a_vector_word_for_word(tmp_path: Path) -> None:
    shapes = [box(500_000, 4_000_000, 500_010, 4_000_010), box(500_100, 4_000_000, 500_110, 4_000_030), None]
    frame = gpd.GeoDataFrame({"id": [1, 2, 3], "kind": ["a", "b", "c"]}, geometry=shapes, crs="EPSG:32633")
    frame.to_file(tmp_path / "f.gpkg", layer="houses")
    found = inspect(str(tmp_path / "f.gpkg"))
    assert found.kind == "vector"
    assert found.facts["layers"] == "houses"
    assert found.facts["features"] == "3: 2 Polygon, 1 without geometry"
    assert found.facts["columns"] == "id, kind"
    assert found.facts["CRS"] == "EPSG:32633 WGS 84 / UTM zone 33N"
    assert found.facts["area"] == "median 200.2 m², 100.1 to 300.2 m²"
    assert "dimensions" not in found.facts
    assert found.problems == ["1 features have no geometry (they are dropped when read as footprints)."]
    assert found.grid is not None
    assert found.grid.extent.geom.bounds == pytest.approx((500_000, 4_000_000, 500_110, 4_000_030))


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (gpd.GeoDataFrame({"id": []}, geometry=[], crs="EPSG:4326"), "it has no feature."),
        (
            gpd.GeoDataFrame(geometry=[box(0, 0, 1, 1)]),
            "it has no CRS. On an image without CRS, they are read as its pixels, or as coordinates of its world file. State their CRS",
        ),
        (gpd.GeoDataFrame(geometry=[box(x, 0, x + 1, 1) for x in (-100, 0, 100)], crs="EPSG:4326"), "more than 180°"),
    ],
)
def test_what_is_wrong_with_a_vector_is_reported(frame: gpd.GeoDataFrame, problem: str, tmp_path: Path) -> None:
    frame.to_parquet(tmp_path / "f.parquet")
    assert any(problem in text for text in inspect(str(tmp_path / "f.parquet")).problems)


def test_heights_of_outlines_are_a_fact(tmp_path: Path) -> None:
    gpd.GeoDataFrame(geometry=[Polygon([(0, 0, 1), (1, 0, 1), (1, 1, 1)])], crs="EPSG:4326").to_file(
        tmp_path / "z.gpkg"
    )
    assert inspect(str(tmp_path / "z.gpkg")).facts["dimensions"].startswith("3D")


def test_json_files_are_reported_apart(tmp_path: Path) -> None:
    about = [{"uid": "a", "subtype": "destroyed"}, {"uid": "b"}, {"uid": "c", "subtype": "destroyed"}]
    features = [{"properties": properties, "wkt": box(0, 0, 9, 9).wkt} for properties in about]
    (tmp_path / "xbd.json").write_text(json.dumps({"features": {"xy": features}, "metadata": {"gsd": 1.5}}))
    found = inspect(str(tmp_path / "xbd.json"))
    assert found.kind == "xBD labels"
    assert found.facts == {
        "buildings": 3, "grades": {"destroyed": 2, "none given": 1}, "metadata": {"gsd": 1.5},
    }  # fmt: skip
    frame = gpd.GeoDataFrame({"id": [1]}, geometry=[box(0, 0, 1, 1)], crs="EPSG:4326")
    (tmp_path / "geo.json").write_text(frame.to_json())
    assert inspect(str(tmp_path / "geo.json")).facts["features"] == "1: 1 Polygon"
    (tmp_path / "other.json").write_text("[1]")
    other = inspect(str(tmp_path / "other.json"))
    assert (other.kind, other.problems) == ("JSON", ["it is neither GeoJSON, xBD labels nor a STAC item."])


@pytest.mark.parametrize("wkt", [["POLYGON ((0 0, 1 0, 1 1, 0 0))"], None, 3, "", "POLYGON"])
def test_labels_whose_outline_is_no_text_of_one_are_unreadable_as_for_damage(wkt: object, tmp_path: Path) -> None:
    path = tmp_path / "xbd.json"
    feature = {"properties": {"uid": "a"}, "wkt": wkt}
    path.write_text(json.dumps({"features": {"xy": [feature]}, "metadata": {}}))
    found = inspect(str(path))
    assert (found.kind, len(found.problems)) == ("unreadable", 1)
    assert "`wkt`" in found.problems[0]
    with raises_naming(InputError, "xbd.json", "`wkt`"):
        read_footprints(path)


def with_tag(path: Path, number: int, text: bytes, count: int) -> Path:
    """Append a directory with one further tag of text, of `count` letters as it states, to a classic little-endian TIFF."""
    data = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, start)
    rows = [bytes(data[start + 2 + 12 * k :][:12]) for k in range(entries)]
    following = bytes(data[start + 2 + 12 * entries :][:4])
    rows = sorted([*rows, struct.pack("<HHII", number, 2, count, len(data))], key=lambda row: row[:2][::-1])
    data += text
    struct.pack_into("<I", data, 4, len(data))
    path.write_bytes(data + struct.pack("<H", len(rows)) + b"".join(rows) + following)
    return path


@pytest.mark.parametrize(
    ("number", "text", "count"),
    [
        (65000, b"abc\0", 2**32 - 16),
        (42112, b"<GDALMetadata>\0\0", 2**31 - 1),
        (270, b"\xff\xfe\xfe\xff\xfe\xfe\xff\0", 8),
    ],
)
def test_a_tag_that_gdal_cannot_read_is_a_problem(number: int, text: bytes, count: int, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (1, 20, 20)).astype(np.uint8)
    path = write(tmp_path / "a.tif", array, **PLACE)
    assert inspect(path).problems == []
    found = inspect(str(with_tag(Path(path), number, text, count)))
    assert (found.kind, len(found.problems)) == ("raster", 1)
    assert "GDAL" in found.problems[0]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.97])
def test_a_cut_jpeg_2000_is_unreadable(share: float, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (3, 64, 64)).astype(np.uint8)
    path = tmp_path / "a.jp2"
    write(path, array, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    assert inspect(str(path)).kind == "raster"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    found = inspect(str(path))
    assert (found.kind, len(found.problems)) == ("unreadable", 1)
    with raises_naming(InputError, "a.jp2"):
        Layer.open(path).read()


def test_files_of_which_one_has_no_crs_cannot_be_compared(tmp_path: Path) -> None:
    array = np.arange(100, dtype=np.uint8).reshape(1, 10, 10)
    placed, plain = raster(tmp_path, array), inspect(write(tmp_path / "plain.tif", array[:, :9]))
    lines, problems = overlaps([placed, plain])
    assert (lines, len(problems)) == ([], 1)
    assert problems[0].startswith(f"{placed.path} and {plain.path}: one file has a CRS and the other has none")
    assert overlaps([placed]) == ([], [])
    half = raster(tmp_path, array, "half.tif", transform=Affine(0.5, 0, 500_002.5, 0, -0.5, 4_000_000))
    lines, problems = overlaps([placed, half])
    assert lines == [f"{half.path} covers 50.0% of {placed.path}", f"{placed.path} covers 50.0% of {half.path}"]
    assert problems == []


def test_files_that_cannot_be_compared_or_lie_apart_are_said_once(tmp_path: Path) -> None:
    gpd.GeoDataFrame(geometry=[box(15, 36, 15.1, 36.1)], crs="EPSG:4326").to_file(tmp_path / "f.geojson")
    gpd.GeoDataFrame(geometry=[box(32, 15, 32.1, 15.1)], crs="EPSG:4326").to_file(tmp_path / "far.geojson")
    vector, far = inspect(str(tmp_path / "f.geojson")), inspect(str(tmp_path / "far.geojson"))
    image = inspect(write(tmp_path / "a.png", np.ones((1, 9, 9), np.uint8), driver="PNG"))
    lines, problems = overlaps([vector, image])
    assert (lines, len(problems)) == ([], 1)
    assert problems[0].startswith(f"{vector.path} and {image.path}: one file has a CRS and the other has none.")
    lines, problems = overlaps([vector, far])
    assert (lines, len(problems)) == ([], 1)
    assert problems[0].startswith(f"{vector.path} and {far.path} do not overlap, so no job takes both.")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("corner", [(367_000, 4_103_000), (64, 400), (64, -95)])
def test_coordinates_that_are_no_degrees_are_said_instead_of_an_area(corner: tuple[int, int], tmp_path: Path) -> None:
    west, south = corner
    houses = [box(west, south, west + 20, south + 9), box(west + 400, south, west + 430, south + 12)]
    gpd.GeoDataFrame({"id": [1, 2]}, geometry=houses, crs="EPSG:4326").to_file(tmp_path / "f.geojson")
    found = inspect(str(tmp_path / "f.geojson"))
    assert found.facts["CRS"] == "EPSG:4326 WGS 84"
    assert not {"area", "extent"} & set(found.facts)
    assert found.grid is None
    assert len(found.problems) == 1
    assert "its coordinates are in EPSG:4326 (degrees) by their file, but reach from" in found.problems[0]
    assert "--footprints-crs EPSG:…" in found.problems[0]


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_feature_where_the_projection_has_no_degrees_does_not_hide_the_extent_of_the_others(tmp_path: Path) -> None:
    houses = [
        box(5e5, 4e6, 5e5 + 20, 4e6 + 9),
        box(5e5, 4e6 + 30, 5e5 + 20, 4e6 + 39),
        box(5e8, 4e6, 5e8 + 10, 4e6 + 10),
    ]
    gpd.GeoDataFrame(geometry=houses, crs="EPSG:32633").to_file(tmp_path / "f.gpkg")
    found = inspect(str(tmp_path / "f.gpkg"))
    west, south, east, north = gpd.GeoSeries(houses[:2], crs="EPSG:32633").to_crs(4326).total_bounds
    assert found.facts["extent"] == f"longitude {west:.6f} to {east:.6f}, latitude {south:.6f} to {north:.6f}"
    assert found.problems == [
        "1 features have coordinates beyond the Earth (they are dropped when read as footprints)."
    ]
    gpd.GeoDataFrame(geometry=houses[2:], crs="EPSG:32633").to_file(tmp_path / "g.gpkg")
    problem = inspect(str(tmp_path / "g.gpkg")).problems[0]
    assert "its CRS has no place for its coordinates: they reach from (5e+08, 4e+06)" in problem


def test_a_few_features_beyond_the_earth_do_not_hide_the_extent_of_the_others(tmp_path: Path) -> None:
    houses = [box(15, 36, 15.001, 36.001), box(15.1, 36, 15.101, 36.001), box(3e5, 4e6, 3.1e5, 4.1e6)]
    gpd.GeoDataFrame(geometry=houses, crs="EPSG:4326").to_file(tmp_path / "f.geojson")
    found = inspect(str(tmp_path / "f.geojson"))
    assert found.facts["extent"] == "longitude 15.000000 to 15.101000, latitude 36.000000 to 36.001000"
    assert found.problems == [
        "1 features have coordinates beyond the Earth (they are dropped when read as footprints)."
    ]
    assert read_footprints(tmp_path / "f.geojson").dropped == {"coordinates beyond the Earth": 1}


def test_degrees_up_to_a_whole_turn_and_the_pole_keep_their_area(tmp_path: Path) -> None:
    gpd.GeoDataFrame(geometry=[box(181, 89, 359, 90)], crs="EPSG:4326").to_file(tmp_path / "f.gpkg")
    found = inspect(str(tmp_path / "f.gpkg"))
    assert {"area", "extent"} <= set(found.facts)
    assert found.problems == []


def test_values_of_a_legend_that_stand_for_others_and_its_void_values_are_no_problem(tmp_path: Path) -> None:
    mask = np.zeros((1, 10, 10), np.uint8)
    mask[:, :3] = 255
    found = inspect(write(tmp_path / "a.tif", mask, **PLACE), Legend.load("change-mask"))
    assert found.facts["classes"] == "no change 70.0%, change 30.0%"
    cover = inspect(write(tmp_path / "b.tif", mask // 255, **PLACE), Legend.load("hrscd"))
    assert not any("not in the legend" in problem for problem in cover.problems)


def test_how_numbers_are_meant_is_a_fact(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.arange(81, dtype=np.int16).reshape(1, 9, 9), **PLACE)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets, file.units = (0.1,), (-3,), ("dm",)
    facts = inspect(path).facts
    assert facts["unit"] == "dm"
    assert facts["stored"] == "values are numbers × 0.1 + -3, and are read so; labels are read as they are stored"
    assert facts["values"] == "-3 to 5"


def test_of_several_layers_the_one_of_polygons_is_described(tmp_path: Path) -> None:
    path = tmp_path / "f.gpkg"
    gpd.GeoDataFrame(geometry=gpd.points_from_xy([0], [0]), crs="EPSG:32633").to_file(path, layer="addresses")
    gpd.GeoDataFrame(geometry=[box(0, 0, 10, 10)], crs="EPSG:32633").to_file(path, layer="buildings")
    found = inspect(str(path))
    assert found.facts["layer described"] == "buildings"
    assert not any("no polygons" in problem for problem in found.problems)
    gpd.GeoDataFrame(geometry=[box(0, 0, 10, 10)], crs="EPSG:32633").to_file(path, layer="more")
    assert any("several layers of polygons: buildings, more" in problem for problem in inspect(str(path)).problems)


def test_a_class_whose_value_is_nodata_is_named(tmp_path: Path) -> None:
    labels = np.array([[[0, 0, 1], [5, 1, 1]]], np.uint8)
    said = 'declares 0 as nodata, which is its value for "impervious": those pixels are taken as void.'
    for nodata, problems in ((0, 1), (255, 0), (None, 0)):
        found = inspect(write(tmp_path / "a.tif", labels, nodata=nodata, **PLACE), Legend.load("isprs"))
        assert sum(said in problem for problem in found.problems) == problems
    black = write(tmp_path / "b.tif", np.zeros((3, 4, 4), np.uint8), nodata=0, **PLACE)
    assert any('its value for "background"' in problem for problem in inspect(black, Legend.load("bright")).problems)


def test_check_compares_the_colours_of_masks_with_their_classes_json(tmp_path: Path) -> None:
    colours = {"Water": (226, 169, 41), "Building": (60, 16, 152)}
    mask = np.zeros((3, 8, 8), np.uint8)
    mask[:] = np.array(colours["Water"])[:, None, None]
    mask[:, 2:5, 2:5] = np.array(colours["Building"])[:, None, None]
    write_geotiff(tmp_path / "tile_1" / "masks" / "1.png", mask, driver="PNG", crs=None)

    def found(**named: tuple[int, int, int]) -> list[str]:
        classes = [{"title": name, "color": "#" + bytes(colour).hex()} for name, colour in named.items()]
        (tmp_path / "classes.json").write_text(json.dumps({"classes": classes}), encoding="utf-8")
        return inspect(str(tmp_path)).problems

    assert found(**colours) == []
    (problem,) = found(Water=(80, 227, 194), Building=(208, 2, 27))
    assert "2 of the 2 colours of its masks are not in classes.json" in problem
    assert "other colours than the masks have" in problem
    write_geotiff(tmp_path / "tile_1" / "masks" / "1.png", mask[:1], driver="PNG", crs=None)
    assert "its masks are no colours" in found(**colours)[0]
    (tmp_path / "classes.json").write_text("{}", encoding="utf-8")
    assert "holds no list of classes" in inspect(str(tmp_path)).problems[0]


def undeclared_image(kind: str) -> tuple[np.ndarray, np.ndarray, bool]:
    """An image with a collar on the right, the collar, and whether it is one: dark ground with values of every size near it is none."""
    rng = np.random.default_rng(0)
    collar = np.zeros((200, 300), bool)
    collar[:, 220:] = True
    power = rng.gamma(4, 0.02, (2, 200, 300)).astype(np.float32)
    photo = rng.integers(30, 250, (3, 200, 300)).astype(np.uint8)
    noise = rng.uniform(5e-7, 1.5e-6, power.shape).astype(np.float32)
    image, fill = {
        "zeros of bytes": (photo, np.zeros_like(photo)),
        "lossy bytes": (photo, rng.integers(0, 4, photo.shape)),
        "zeros of power": (power, np.zeros_like(power)),
        "noise of power": (power, noise),
        "zeros of decibels": (10 * np.log10(power), np.zeros_like(power)),
        "noise of decibels": (10 * np.log10(power), 10 * np.log10(noise)),
        "calm water": (power, power / 100),
        "shadow": (photo, rng.integers(0, 30, photo.shape)),
    }[kind]
    return np.where(collar, fill, image).astype(image.dtype), collar, kind not in ("calm water", "shadow")


@pytest.mark.parametrize(
    "kind",
    ["zeros of bytes", "lossy bytes", "zeros of power", "noise of power", "zeros of decibels", "noise of decibels", "calm water", "shadow"],
)  # fmt: skip
def test_undeclared_collars_of_all_kinds_are_no_data_and_dark_ground_is_data(kind: str, tmp_path: Path) -> None:
    image, collar, hidden = undeclared_image(kind)
    layer = Layer.open(write(tmp_path / "a.tif", image, **PLACE))
    assessed = IMAGE.assess(layer, Door.of_image("post"))
    seen = without_collar(assessed.layer)
    assert [finding.code for finding in assessed.findings] == ["undeclared_nodata_post"] * hidden
    whole = seen.read()[1]
    np.testing.assert_array_equal(whole, ~(collar & hidden))
    if kind == "lossy bytes":  # jobs that do not hide it say so
        assert "it was treated as nodata" in assessed.findings[0].message
        shown = IMAGE.assess(layer, Door.of_image("post", collars="data"))
        assert "it counts as data here" in shown.findings[0].message
    window = Window(90, 190, 50, 60)  # is the same by windows
    np.testing.assert_array_equal(seen.read(window)[1], whole[window.slices])
    assert any("has no data" in problem for problem in inspect(str(tmp_path / "a.tif")).problems) == hidden


def test_a_view_of_most_of_an_image_has_the_collar_that_the_image_has_and_a_small_one_is_looked_at_itself() -> None:
    image, _, _ = undeclared_image("lossy bytes")
    layer = Layer.open(image, grid=GeoBox(image.shape[1:], Affine(1, 0, 500_000, 0, -1, 4_000_000), "EPSG:32633"))
    halves = layer.on(GeoBox((100, 150), layer.grid.affine * Affine.scale(2), layer.grid.crs), "average")
    assert undeclared_nodata(halves) is undeclared_nodata(layer) is not None
    assert undeclared_nodata(halves.with_grid(coarse_grid(layer.grid, 150))) is undeclared_nodata(layer)
    inner = layer.on(GeoBox((60, 60), layer.grid.affine * Affine.translation(100.5, 70.5), layer.grid.crs))
    assert undeclared_nodata(inner) is None  # it shows no collar
