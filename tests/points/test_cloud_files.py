"""Files of points: every format gives the same cloud, in chunks and within bounds, in metres."""

from pathlib import Path

import laspy
import numpy as np
import pytest
from made_up_clouds import ORIGIN, NeighbourCount, scattered, write_las
from pyproj import CRS, Transformer
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.inspection import inspect
from deepnets4eo.points import LabelOptions, label_cloud, open_cloud
from deepnets4eo.points.files.cloud_file import cloud_units

XYZ = scattered(500)


@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_chunks_of_a_las_file_are_the_whole_file_in_order(tmp_path: Path, suffix: str) -> None:
    file = open_cloud(write_las(tmp_path / f"a{suffix}", XYZ))
    chunks = list(file.chunks(120))
    assert [len(chunk) for chunk in chunks] == [120, 120, 120, 120, 20]
    stored = laspy.read(tmp_path / f"a{suffix}")
    np.testing.assert_allclose(np.concatenate([chunk.xyz for chunk in chunks]), stored.xyz, atol=1e-9)
    np.testing.assert_array_equal(np.concatenate([chunk.intensity for chunk in chunks]), stored.intensity)
    np.testing.assert_array_equal(np.concatenate([chunk.return_number for chunk in chunks]), stored.return_number)
    assert file.point_count == 500
    assert file.crs == CRS("EPSG:2154")
    assert file.point_format == "LAS 1.4, point format 8"


@pytest.mark.parametrize(
    ("names", "z", "intensity"),
    [
        ("x y z height", 3, None),
        ("x y height i", 3, 4),
        ("easting northing x y z", 5, None),
        ("x y z reflectance intensity", 3, 5),
    ],
)
def test_a_columns_own_name_goes_before_other_names_for_it(
    tmp_path: Path, names: str, z: float, intensity: float | None
) -> None:
    count = len(names.split())
    (tmp_path / "a.xyz").write_text(f"{names}\n{' '.join(str(number) for number in range(1, count + 1))}\n")
    cloud = open_cloud(tmp_path / "a.xyz").read()
    assert cloud.xyz[0, 2] == z
    assert (None if cloud.intensity is None else cloud.intensity[0]) == intensity


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("x y z z\n1 2 3 4\n")
    with pytest.raises(InputError, match="several columns z"):
        open_cloud(tmp_path / "a.xyz")


@pytest.mark.parametrize(
    ("crs", "unit_m"),
    [
        ("EPSG:2154", 1.0),
        ("EPSG:2227", 0.3048006096),
        ("+proj=utm +zone=33 +units=km", 1000.0),
        ("+proj=utm +zone=33 +units=cm", 0.01),
    ],
)
def test_points_in_any_unit_are_written_in_steps_of_a_millimetre_at_most(
    tmp_path: Path, crs: str, unit_m: float
) -> None:
    xyz = np.random.default_rng(0).uniform(0, 30, (50, 3)) / unit_m
    np.savetxt(tmp_path / "a.xyz", xyz, fmt="%.9f")
    label_cloud(tmp_path / "a.xyz", NeighbourCount(), tmp_path / "a.las", LabelOptions(crs=crs))
    np.testing.assert_allclose(laspy.read(tmp_path / "a.las").xyz * unit_m, xyz * unit_m, atol=0.00051)


def test_points_within_bounds_are_those_of_a_mask(tmp_path: Path) -> None:
    file = open_cloud(write_las(tmp_path / "a.laz", XYZ))
    bounds = (ORIGIN[0] + 5, ORIGIN[1] + 5, ORIGIN[0] + 15, ORIGIN[1] + 20)
    x, y = XYZ[:, 0], XYZ[:, 1]
    inside = (x >= bounds[0]) & (x <= bounds[2]) & (y >= bounds[1]) & (y <= bounds[3])
    np.testing.assert_allclose(file.read(bounds).xyz, XYZ[inside], atol=1e-9)
    with raises_naming(InputError, "700", "000", "0"):
        file.read((0, 0, 1, 1))


@pytest.mark.parametrize("factor", [1, 256, 257])
def test_colours_are_8_bit_however_the_file_stores_them(tmp_path: Path, factor: int) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (500, 3)).astype(np.uint16)
    file = open_cloud(write_las(tmp_path / "a.las", XYZ, colours=colours * factor))
    assert "colour" in file.measurements
    np.testing.assert_array_equal(file.read().colour, colours)


def test_colours_that_are_0_everywhere_are_not_measured(tmp_path: Path) -> None:
    file = open_cloud(write_las(tmp_path / "a.las", XYZ))
    assert "colour" not in file.measurements
    assert file.read().colour is None


@pytest.mark.parametrize(("version", "point_format"), [("1.2", 1), ("1.4", 8)])
def test_fields_that_are_0_everywhere_are_not_measured(tmp_path: Path, version: str, point_format: int) -> None:
    path = write_las(tmp_path / "a.laz", scattered(300), version=version, point_format=point_format)
    fields = ("intensity", "return_number", "number_of_returns")
    assert open_cloud(path).measurements == (*fields, "classification")
    stored = laspy.read(path)
    for name in fields:
        stored[name] = np.zeros(300, np.uint8)
    stored.write(tmp_path / "zero.laz")
    file = open_cloud(tmp_path / "zero.laz")
    assert file.measurements == ("classification",)
    assert list(file.read().measurements()) == ["classification"]
    with raises_naming(InputError, "zero.laz"):
        label_cloud(tmp_path / "zero.laz", NeighbourCount(needs=fields[:2]), tmp_path / "out.laz")
    problems = inspect(str(tmp_path / "zero.laz")).problems
    for name in ("intensity", "return number", "number of returns"):
        assert f"its {name} is 0 everywhere: choose a model without {name}." in problems
    assert not any("features of returns are wrong" in problem for problem in problems)


def test_text_orders_are_recognised_by_their_values(tmp_path: Path) -> None:
    near = XYZ - ORIGIN
    rng = np.random.default_rng(0)
    intensity, colours, labels = rng.integers(-2000, 500, 500), rng.integers(0, 256, (500, 3)), rng.integers(0, 9, 500)
    total = rng.integers(1, 5, 500)
    number = (rng.random(500) * total).astype(int) + 1
    semantic, isprs = tmp_path / "scan.txt", tmp_path / "strip.pts"
    np.savetxt(semantic, np.column_stack([near, intensity, colours]), fmt="%.2f %.2f %.2f %d %d %d %d")
    np.savetxt(tmp_path / "scan.labels", labels, fmt="%d")
    np.savetxt(isprs, np.column_stack([near, intensity, number, total, labels]), fmt="%.2f %.2f %.2f %d %d %d %d")
    scan, strip = open_cloud(semantic), open_cloud(isprs)
    assert list(scan.measurements) == ["colour", "intensity", "classification"]
    assert list(strip.measurements) == ["intensity", "return_number", "number_of_returns", "classification"]
    parts = list(scan.chunks(300))
    np.testing.assert_array_equal(np.concatenate([part.classification for part in parts]), labels)
    np.testing.assert_array_equal(np.concatenate([part.colour for part in parts]), colours)
    np.testing.assert_array_equal(strip.read().number_of_returns, total)
    np.testing.assert_allclose(strip.bounds, [near.min(axis=0), near.max(axis=0)], atol=0.006)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("X,Y,Z,Red,Green,Blue,ignored\n1,2,3,10,20,30,7.5\n4,5,6,40,50,60,0\n", None),
        ("//X Y Z R G B\n1 2 3 10 20 30\n4 5 6 40 50 60\n", None),
        ("2\n1 2 3 10 20 30\n4 5 6 40 50 60\n", None),
        ("1;2;3;10;20;30\n4;5;6;40;50;60\n", None),
        ("10 20 30 3 2 1\n40 50 60 6 5 4\n", "red green blue z y x"),
    ],
)
def test_columns_are_named_by_a_first_line_by_order_or_by_the_user(tmp_path: Path, text: str, columns) -> None:
    (tmp_path / "a.xyz").write_text(text)
    cloud = open_cloud(tmp_path / "a.xyz", columns=columns).read()
    assert cloud.xyz.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert cloud.colour.tolist() == [[10, 20, 30], [40, 50, 60]]


@pytest.mark.parametrize("crs", ["EPSG:2992", "EPSG:2236", "EPSG:2992+5703", "EPSG:32610+6360"])
def test_feet_become_metres_in_a_crs_of_the_same_places(crs: str) -> None:
    stored = CRS.from_user_input(crs)
    units = cloud_units(stored, "a.laz")
    horizontal = stored.sub_crs_list[0] if stored.is_compound else stored
    vertical = stored.sub_crs_list[1] if stored.is_compound else horizontal
    assert units.horizontal_m == horizontal.axis_info[0].unit_conversion_factor
    assert units.vertical_m == vertical.axis_info[0].unit_conversion_factor
    for system in units.crs.sub_crs_list or [units.crs]:
        assert {axis.unit_name for axis in system.axis_info} == {"metre"}
    point = (1_300_000.0, 900_000.0)
    before = Transformer.from_crs(stored.to_2d(), "EPSG:4326", always_xy=True).transform(*point)
    metres = [value * units.horizontal_m for value in point]
    after = Transformer.from_crs(units.crs.to_2d(), "EPSG:4326", always_xy=True).transform(*metres)
    np.testing.assert_allclose(after, before, atol=1e-10)


@pytest.mark.real_data
def test_an_octree_gives_the_same_points_within_bounds_as_all_points_do(real_data: Path) -> None:
    path = real_data / "autzen" / "lone-star.copc.laz"
    with raises_naming(InputError, "CRS"):
        open_cloud(path).read()
    file = open_cloud(path, crs="EPSG:32613")
    bounds = (515370.0, 4918350.0, 515376.0, 4918357.0)
    queried = file.read(bounds).xyz
    xyz = laspy.read(path).xyz
    inside = ((xyz[:, :2] >= bounds[:2]) & (xyz[:, :2] <= bounds[2:])).all(axis=1)
    order = [np.lexsort(points.T) for points in (queried, xyz[inside])]
    np.testing.assert_allclose(queried[order[0]], xyz[inside][order[1]], atol=1e-9)


@pytest.mark.real_data
def test_a_real_file_in_feet_is_read_in_metres(real_data: Path) -> None:
    path = real_data / "autzen" / "autzen_trim.las"
    cloud, stored = open_cloud(path).read(), laspy.read(path)
    np.testing.assert_allclose(cloud.xyz, np.asarray(stored.xyz) * 0.3048, atol=1e-6)
    assert cloud.colour.max() == stored.red.max()  # 8-bit values in 16-bit fields


FOOT, SURVEY_FOOT = 0.3048, 1200 / 3937
NAD83_LCC = [(2048, 0, 4269), (3072, 0, 32767), (3074, 0, 32767), (3075, 0, 8), (3076, 0, 9003)]
NAD83_LCC += [(key, 34736, at) for at, key in enumerate((3078, 3079, 3084, 3085, 3086, 3087))]


def with_keys(path: Path, keys: list[tuple[int, int, int]], numbers: tuple[float, ...] = ()) -> Path:
    """A LAS file with GeoTIFF keys: (key, record of the value or 0, value or place)."""
    write_las(path, XYZ, version="1.2", point_format=1, crs=None)
    cloud = laspy.read(path)
    entries = [number for key, record, value in [(1024, 0, 1), *keys] for number in (key, record, 1, value)]
    directory = np.array([1, 1, 0, len(keys) + 1, *entries], "<u2").tobytes()
    cloud.header.vlrs.append(laspy.VLR("LASF_Projection", 34735, "", directory))
    cloud.header.vlrs.append(laspy.VLR("LASF_Projection", 34736, "", np.array(numbers, "<f8").tobytes()))
    cloud.write(path)
    return path


@pytest.mark.parametrize(
    ("keys", "horizontal_m", "vertical_m"),
    [
        ([(3072, 0, 26910)], 1, 1),
        ([(3072, 0, 26910), (4096, 0, 6360)], 1, SURVEY_FOOT),  # NAVD88 height (ftUS)
        ([(3072, 0, 26910), (4099, 0, 9002)], 1, FOOT),
        ([(3072, 0, 26910), (4096, 0, 5703), (4099, 0, 9003)], 1, SURVEY_FOOT),
        ([(3072, 0, 26910), (4096, 0, 5103), (4099, 0, 9003)], 1, SURVEY_FOOT),  # a code of the old GeoTIFF
        ([(3072, 0, 2992)], FOOT, FOOT),
        ([(3072, 0, 2992), (4096, 0, 5703)], FOOT, 1),
        ([(3072, 0, 2992), (4099, 0, 9001)], FOOT, 1),
        ([(3072, 0, 32767), (3076, 0, 9002)], FOOT, FOOT),
        ([(2048, 0, 4269), (3072, 0, 32767), (3076, 0, 9003), (4099, 0, 9001)], SURVEY_FOOT, 1),
        (NAD83_LCC, SURVEY_FOOT, SURVEY_FOOT),
    ],
)
def test_units_of_geotiff_keys_become_metres(tmp_path: Path, keys, horizontal_m: float, vertical_m: float) -> None:
    numbers = (43.0, 45.5, -120.5, 41.75, 1312335.958, 0.0)
    file = open_cloud(with_keys(tmp_path / "a.las", keys, numbers))
    scales = [horizontal_m, horizontal_m, vertical_m]
    np.testing.assert_allclose(file.read().xyz, laspy.read(file.path).xyz * scales, rtol=1e-12)
    np.testing.assert_allclose(file.bounds, [XYZ.min(axis=0) * scales, XYZ.max(axis=0) * scales], rtol=1e-9)


def with_text(path: Path, text: CRS) -> Path:
    """Add the record of a text to a LAS file, before its keys."""
    cloud = laspy.read(path)
    cloud.header.vlrs.insert(0, laspy.VLR("LASF_Projection", 2112, "", text.to_wkt("WKT1_GDAL").encode() + b"\0"))
    cloud.write(path)
    return path


@pytest.mark.parametrize(
    ("text", "keys", "vertical_m"),
    [
        ("EPSG:26910", [(3072, 0, 26910), (4099, 0, 9003)], SURVEY_FOOT),  # only the keys state the unit of heights
        ("EPSG:26910", [(3072, 0, 26910), (4096, 0, 6360)], SURVEY_FOOT),
        ("EPSG:26910+6360", [(3072, 0, 26910)], SURVEY_FOOT),
        ("EPSG:26910+5703", [(3072, 0, 26910), (4099, 0, 9001)], 1),
        ("EPSG:6339", [(3072, 0, 26910), (4099, 0, 9002)], FOOT),  # another realisation of the datum
    ],
)
def test_the_text_and_the_keys_of_a_las_file_complete_each_other(tmp_path: Path, text, keys, vertical_m: float) -> None:
    file = open_cloud(with_text(with_keys(tmp_path / "a.las", keys), CRS(text)))
    np.testing.assert_allclose(file.read().xyz, laspy.read(file.path).xyz * [1, 1, vertical_m], rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "keys", "words"),
    [
        ("EPSG:26910+6360", [(3072, 0, 26910), (4099, 0, 9001)], "the unit of heights"),
        ("EPSG:26911", [(3072, 0, 26910)], "the CRS: NAD83 / UTM zone 11N and NAD83 / UTM zone 10N"),
        ("EPSG:26910", [(3072, 0, 2992)], "the unit of x and y: 1 m and 0.3048 m"),
    ],
)
def test_records_of_a_las_file_that_contradict_each_other_are_refused(tmp_path: Path, text, keys, words: str) -> None:
    path = with_text(with_keys(tmp_path / "a.las", keys), CRS(text))
    with pytest.raises(InputError, match=f"its text and its GeoTIFF keys contradict each other in {words}"):
        _ = open_cloud(path).crs
    np.testing.assert_array_equal(open_cloud(path, crs="EPSG:26910").read().xyz, laspy.read(path).xyz)


def test_a_user_defined_crs_of_geotiff_keys_has_its_projection(tmp_path: Path) -> None:
    numbers = (43.0, 45.5, -120.5, 41.75, 400_000 / SURVEY_FOOT, 0.0)  # those of EPSG:2991, which is in metres
    file = open_cloud(with_keys(tmp_path / "a.las", NAD83_LCC, numbers))
    positions = [
        Transformer.from_crs(crs, "EPSG:4269", always_xy=True).transform(405_000, 90_000)
        for crs in (file.crs, "EPSG:2991")
    ]
    np.testing.assert_allclose(*positions, atol=1e-9)


@pytest.mark.parametrize("header", [np.zeros((2, 3)), np.array([ORIGIN + 5, ORIGIN + 6]), np.full((2, 3), np.nan)])
def test_bounds_are_those_of_the_points_whatever_the_header_says(tmp_path: Path, header) -> None:
    path = write_las(tmp_path / "a.las", XYZ, crs=None)
    data = bytearray(path.read_bytes())
    data[179:227] = np.stack([header[1], header[0]], axis=1).astype("<f8").tobytes()
    path.write_bytes(data)
    file = open_cloud(path)
    np.testing.assert_allclose(file.bounds, [XYZ.min(axis=0), XYZ.max(axis=0)], atol=1e-9)
    assert any("bounds in its header are not those of its points" in one for one in inspect(str(path)).problems)
    label_cloud(path, NeighbourCount(), tmp_path / "out.las")
    label_cloud(write_las(tmp_path / "b.las", XYZ, crs=None), NeighbourCount(), tmp_path / "expected.las")
    codes = [laspy.read(tmp_path / name).pred_class for name in ("out.las", "expected.las")]
    np.testing.assert_array_equal(*codes)


def test_one_bright_colour_and_infrared_of_16_bits_leave_colours_of_8_bits_as_they_are(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(1, 256, (500, 3)).astype(np.uint16)
    path = write_las(tmp_path / "a.las", XYZ, colours=colours)
    cloud = laspy.read(path)
    red, infrared = colours[:, 0].copy(), (colours[:, 1] * 257).astype(np.uint16)
    red[7] = 256
    cloud.red, cloud.nir = red, infrared
    cloud.write(path)
    read = open_cloud(path).read()
    np.testing.assert_array_equal(read.colour, np.minimum(np.column_stack([red, colours[:, 1:]]), 255))
    np.testing.assert_array_equal(read.near_infrared, colours[:, 1])


@pytest.mark.parametrize("layout", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("kind", ["ushort", "uint16", "uint", "short"])
def test_ply_colours_of_16_bits_are_read(tmp_path: Path, layout: str, kind: str) -> None:
    colours = np.random.default_rng(0).integers(0, 32768, (50, 3))
    order = ">" if layout.endswith("big_endian") else "<"
    code = order + {"ushort": "u2", "uint16": "u2", "uint": "u4", "short": "i2"}[kind]
    table = np.zeros(50, [("xyz", order + "f8", 3), ("rgb", code, 3), ("intensity", code)])
    table["xyz"], table["rgb"], table["intensity"] = XYZ[:50], colours, np.arange(50) * 300
    names = [f"property double {axis}" for axis in "xyz"]
    names += [f"property {kind} {name}" for name in ("red", "green", "blue", "intensity")]
    header = "\n".join(["ply", f"format {layout} 1.0", "element vertex 50", *names, "end_header\n"])
    rows = (" ".join(map(repr, [*map(float, row[0]), *map(int, row[1]), int(row[2])])) for row in table)
    body = "\n".join(rows).encode() if layout == "ascii" else table.tobytes()
    (tmp_path / "a.ply").write_bytes(header.encode() + body)
    read = open_cloud(tmp_path / "a.ply").read()
    np.testing.assert_array_equal(read.colour, colours // 256)
    np.testing.assert_array_equal(read.intensity, np.arange(50) * 300)
    np.testing.assert_allclose(read.xyz, XYZ[:50])
    chunks = list(open_cloud(tmp_path / "a.ply", crs="EPSG:2154").chunks(20))
    assert [len(chunk) for chunk in chunks] == [20, 20, 10]
    assert chunks[0].crs == CRS("EPSG:2154")
    np.testing.assert_array_equal(np.concatenate([chunk.colour for chunk in chunks]), read.colour)
    assert not read.asprs


def test_ply_classes_colours_of_floats_and_further_elements_are_read(tmp_path: Path) -> None:
    names = [*("float " + name for name in ("x", "y", "z", "red", "green", "blue")), "uchar class"]
    lines = ["ply", "format ascii 1.0", "comment of someone", "element vertex 2", *("property " + one for one in names)]
    lines += ["element face 1", "property list uchar int vertex_indices", "end_header"]
    (tmp_path / "a.ply").write_text("\n".join([*lines, "1 2 3 0 0.5 1 6", "4 5 6 nan 1 0 2", "3 0 1 0", ""]))
    file = open_cloud(tmp_path / "a.ply")
    read = file.read()
    assert read.colour.tolist() == [[0, 128, 255], [0, 255, 0]]
    assert read.classification.tolist() == [6, 2]
    assert read.asprs
    np.testing.assert_array_equal(file.bounds, [[1, 2, 3], [4, 5, 6]])
    lines[2] = "comment " + "x" * 1000
    (tmp_path / "a.ply").write_text("\n".join(lines))
    with raises_naming(InputError, "1000"):
        open_cloud(tmp_path / "a.ply")


@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_las_1_4_with_the_legacy_count_alone_has_its_points(tmp_path: Path, suffix: str) -> None:
    path = write_las(tmp_path / f"a{suffix}", XYZ, point_format=1)
    data = bytearray(path.read_bytes())
    data[107:111], data[247:255] = len(XYZ).to_bytes(4, "little"), bytes(8)
    path.write_bytes(data)
    file = open_cloud(path)
    assert file.point_count == 500
    np.testing.assert_allclose(file.read().xyz, XYZ, atol=1e-9)
    assert label_cloud(path, NeighbourCount(), tmp_path / f"out{suffix}").points == 500
    assert len(laspy.read(tmp_path / f"out{suffix}")) == 500


@pytest.mark.parametrize(("name", "is_e57"), [("scan.e57", True), ("SCAN.E57", True), ("scan.xyy", False)])
def test_a_file_of_another_format_is_refused_and_an_e57_file_by_its_name(tmp_path, name, is_e57):
    path = tmp_path / name
    path.write_bytes(b"ASTM-E57")
    with pytest.raises(InputError) as error:
        open_cloud(path)
    assert ("pdal translate" in str(error.value)) is is_e57
