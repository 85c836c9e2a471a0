"""Tiles as one raster: what makes a mosaic and what does not, one difference at a time; grids and validity of sources."""

import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from refusals import raises_naming

from deepnets4eo.cards import Legend
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import Window, blocks
from deepnets4eo.inspection import inspect
from deepnets4eo.rasters import CogWriter, Layer, copy_box, find_tiles, same_grid

NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)


def tile(path: Path, values: np.ndarray, col: int = 0, row: int = 0, **changed: object) -> Path:
    placed = {"crs": "EPSG:32633", "transform": NORTH_UP * Affine.translation(col, row)}
    return write_geotiff(path, values, **(placed | changed))


VALUES = np.arange(1, 13, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize(
    ("values", "changed", "named"),
    [
        (VALUES, {"crs": "EPSG:32632"}, "CRS"),
        (VALUES.astype(np.int16), {}, "bands or data type"),
        (np.stack([VALUES, VALUES]), {}, "bands or data type"),
        (VALUES, {"nodata": 0}, "nodata value"),
        (
            VALUES,
            {"transform": Affine(0.5, 0, 500_002, 0, 0.5, 4_000_000)},
            r"the direction of their rows \(one runs from south to north\)",
        ),
        (VALUES, {"transform": Affine(0.6, 0, 500_002, 0, -0.5, 4_000_000)}, "resolution"),
        (VALUES, {"transform": Affine(0.5, 0, 500_002, 0, -0.6, 4_000_000)}, "resolution"),
        (VALUES, {"transform": Affine(0.5, 0.01, 500_002, 0, -0.5, 4_000_000)}, "rotation"),
        (VALUES, {"transform": Affine(0.5, 0, 500_002, 0.01, -0.5, 4_000_000)}, "rotation"),
    ],
)
def test_tiles_that_differ_in_one_thing_make_no_mosaic(tmp_path: Path, values, changed, named) -> None:
    first = tile(tmp_path / "a.tif", VALUES)
    second = tile(tmp_path / "b.tif", values, 4, **changed)
    with pytest.raises(GridError, match=rf"b\.tif and .*a\.tif differ in {named}: they make no mosaic"):
        Layer.open([first, second])


def test_later_tiles_lie_on_top_wherever_the_first_lies(tmp_path: Path) -> None:
    paths = [tile(tmp_path / "b.tif", VALUES, 2, 1), tile(tmp_path / "a.tif", VALUES + 100)]
    layer = Layer.open(paths)
    assert layer.shape == (4, 6)
    assert layer.grid.affine.almost_equals(NORTH_UP)
    assert layer.source == f"{tmp_path} (2 tiles)"
    assert layer.paths == [str(path) for path in paths]
    data, valid = layer.read()
    expected = np.zeros((4, 6), int)
    expected[1:, 2:] = VALUES
    expected[:3, :4] = VALUES + 100
    np.testing.assert_array_equal(data[0], expected)
    np.testing.assert_array_equal(valid, expected > 0)


def test_nodata_of_a_later_tile_shows_the_earlier_one(tmp_path: Path) -> None:
    over = VALUES + 100
    over[0, 0] = 7
    layer = Layer.open([tile(tmp_path / "a.tif", VALUES, nodata=7), tile(tmp_path / "b.tif", over, nodata=7)])
    data, valid = layer.read()
    assert data[0, 0, 0] == 1
    assert (data[0].ravel()[1:] == over.ravel()[1:]).all()
    assert valid.all()
    assert layer.nodata == 7


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_a_mosaic_has_the_type_names_and_roles_of_its_tiles(tmp_path: Path, dtype: str) -> None:
    paths = []
    for number in range(2):
        values = np.stack([VALUES, VALUES + 50, VALUES + 100]).astype(dtype)
        paths.append(tile(tmp_path / f"{number}.tif", values, 4 * number))
        with rasterio.open(paths[-1], "r+") as file:
            file.descriptions = ("nir", "red & rest", "green")
            file.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    layer = Layer.open(paths)
    assert layer.dtype == dtype
    assert layer.band_names == ["nir", "red & rest", "green"]
    assert layer.read()[0][:, 0, 4].tolist() == [1, 51, 101]
    assert [layer.subset([3]).band_names, layer.subset([3, 1]).read()[0][:, 0, 0].tolist()] == [["green"], [101, 1]]


@pytest.mark.parametrize(
    ("first", "second"),
    [(("red", "green", "blue"), ("blue", "green", "red")), (("B04", "B03", "B02"), ("green", "B2", "Red")), ((), ())],
)
def test_bands_of_tiles_are_put_in_one_order(first: tuple[str, ...], second: tuple[str, ...], tmp_path: Path) -> None:
    values = np.stack([VALUES, VALUES + 50, VALUES + 100])  # red, green, blue
    order = [1, 2, 0] if second[:1] == ("green",) else [2, 1, 0]
    roles = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    paths = [tile(tmp_path / "0.tif", values), tile(tmp_path / "1.tif", values[order], 4)]
    for path, names, shown in zip(paths, (first, second), (roles, roles if second else roles[::-1]), strict=True):
        with rasterio.open(path, "r+") as file:
            file.colorinterp = shown
            if names:
                file.descriptions = names
    np.testing.assert_array_equal(Layer.open(paths).read()[0], np.concatenate([values, values], axis=2))


def test_tiles_that_show_other_bands_make_no_mosaic(tmp_path: Path) -> None:
    paths = [tile(tmp_path / f"{number}.tif", np.stack([VALUES] * 3), 4 * number) for number in range(2)]
    for path, names in zip(paths, (("red", "green", "blue"), ("nir", "red", "green")), strict=True):
        with rasterio.open(path, "r+") as file:
            file.descriptions = names
    with pytest.raises(GridError, match="differ in what their bands show"):
        Layer.open(paths)


def test_masks_of_tiles_are_that_of_the_mosaic(tmp_path: Path) -> None:
    paths = [tile(tmp_path / f"{number}.tif", VALUES, 4 * number) for number in range(2)]
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(paths[1], "r+") as file:
        mask = np.full(VALUES.shape, 255, np.uint8)
        mask[1] = 0
        file.write_mask(mask)
    _, valid = Layer.open(paths).read()
    expected = np.ones((3, 8), bool)
    expected[1, 4:] = False
    np.testing.assert_array_equal(valid, expected)


def test_the_files_behind_a_source(tmp_path: Path) -> None:
    for name in ("b.tif", "a.TIF", "c.png", "notes.txt", "a.tif.aux.xml"):
        (tmp_path / name).write_text("")
    (tmp_path / "empty").mkdir()
    assert [Path(path).name for path in find_tiles(tmp_path)] == ["a.TIF", "b.tif", "c.png"]
    assert [Path(path).name for path in find_tiles(f"{tmp_path}/*.[tp]??")] == ["b.tif", "c.png", "notes.txt"]
    assert find_tiles([tmp_path / "x", "y"]) == [str(tmp_path / "x"), "y"]
    assert find_tiles(tmp_path / "b.tif") == [str(tmp_path / "b.tif")]
    for source, message in (
        ([], "the list of tiles is empty"),
        (tmp_path / "empty", r"the folder .*empty holds no raster \(\.img, \.jp2"),
        (f"{tmp_path}/*.jpg", "no file matches"),
        (tmp_path / "absent.tif", r"absent\.tif does not exist. Check the path"),
    ):
        with pytest.raises(InputError, match=message):
            find_tiles(source)


@pytest.mark.parametrize(
    ("moved", "same"),
    [
        (Affine.translation(0.0009, 0), True),
        (Affine.translation(0.0011, 0), False),
        (Affine.translation(0, -0.0009), True),
        (Affine.translation(0, -0.0011), False),
        (Affine.scale(1 + 0.9e-5, 1), True),
        (Affine.scale(1 + 1.1e-5, 1), False),
        (Affine.scale(1, 1 + 2.2e-5), False),
    ],
)
def test_grids_are_the_same_to_a_thousandth_of_a_pixel(moved: Affine, same: bool) -> None:
    grid = GeoBox((50, 100), NORTH_UP, "EPSG:32633")
    assert same_grid(grid, GeoBox((50, 100), NORTH_UP * moved, "EPSG:32633")) is same


def test_grids_of_another_size_or_crs_are_others() -> None:
    grid = GeoBox((50, 100), NORTH_UP, "EPSG:32633")
    assert not same_grid(grid, GeoBox((50, 101), NORTH_UP, "EPSG:32633"))
    assert not same_grid(grid, GeoBox((50, 100), NORTH_UP, "EPSG:32632"))
    assert not same_grid(grid, GeoBox((50, 100), NORTH_UP, None))


def test_a_nodata_value_that_the_type_cannot_hold_hides_nothing() -> None:
    for nodata, hidden in ((-1, 0), (256, 0), (0, 1), (255, 1), (float("nan"), 0)):
        values = np.array([[0, 1, 255]], np.uint8)
        assert (~Layer.open(values, nodata=nodata).read()[1]).sum() == hidden


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_pixel_is_not_valid_where_one_band_is_not_finite(value: float) -> None:
    values = np.ones((2, 1, 3), np.float32)
    values[1, 0, 2] = value
    assert Layer.open(values).read()[1].tolist() == [[True, True, False]]


@pytest.mark.parametrize("nodata", [None, 0])
@pytest.mark.parametrize("turn", [0, 20])
def test_a_raster_placed_by_points_alone_is_straightened(tmp_path: Path, turn: float, nodata: float | None) -> None:
    path = tmp_path / "gcp.tif"
    truth = Affine.translation(500_000, 4_000_000) * Affine.rotation(turn) * Affine.scale(2, -2)
    points = [GroundControlPoint(row, col, *(truth * (col, row))) for row in (0, 40) for col in (0, 60)]
    values = np.kron(np.arange(1, 25, dtype=np.uint8).reshape(4, 6), np.ones((10, 10), np.uint8))
    with rasterio.open(write_geotiff(path, values, crs=None, nodata=nodata), "r+") as file:
        file.gcps = (points, "EPSG:32633")
    layer = Layer.open(path)
    assert layer.grid.crs.epsg == 32633
    assert layer.count == 1
    corners = np.array([truth * corner for corner in ((0, 0), (60, 0), (0, 40), (60, 40))])
    expected = (*corners.min(axis=0), *corners.max(axis=0))
    assert layer.grid.extent.geom.bounds == pytest.approx(expected, abs=2.1)
    onto = GeoBox(layer.shape, layer.grid.affine * Affine.translation(0.25, 0), "EPSG:32633")
    for seen in (layer, layer.on(onto, "nearest")):
        data, valid = seen.read()
        assert valid.mean() == pytest.approx(4 * values.size / seen.grid.extent.geom.area, abs=0.03)
        for row, col in np.ndindex(4, 6):  # the middle of each block
            x, y = ~seen.grid.affine * (truth * (10 * col + 5, 10 * row + 5))
            assert valid[int(y), int(x)]
            assert data[0, int(y), int(x)] == 6 * row + col + 1


def test_a_warped_pixel_lies_within_an_eighth_of_where_the_projection_puts_it() -> None:
    """Over 120 km, where a projection bends lines by more than a pixel of 200 m."""
    side = 600
    grid = GeoBox((side, side), Affine(200, 0, 440_000, 0, -200, 6_660_000), "EPSG:32633")
    rows, cols = np.mgrid[:side, :side].astype(np.float32) + 0.5
    seen = Layer.open(np.stack([cols, rows]), grid=grid, nodata=-1).on(grid.to_crs("EPSG:3035", resolution=200))
    data, valid = seen.read(Window(50, 50, 512, 512))
    y, x = np.nonzero(valid)
    ground = np.array(seen.grid.affine * (x + 50.5, y + 50.5))
    back = Transformer.from_crs("EPSG:3035", "EPSG:32633", always_xy=True).transform(*ground)
    col, row = ~grid.affine * np.array(back)
    inside = (np.minimum(col, row) > 2) & (np.maximum(col, row) < side - 2)
    assert inside.sum() > 100_000
    off = data[:, y, x] - np.array([col, row])
    assert np.abs(off[:, inside]).max() < 0.125


def test_a_raster_is_tiled_packed_and_described_as_promised(tmp_path: Path) -> None:
    grid = GeoBox((600, 700), NORTH_UP, "EPSG:32633")
    noise = np.random.default_rng(0).integers(0, 3, (600, 700))
    sizes = {}
    for name, options, dtype in (
        ("labels", {"legend": Legend.load("isprs"), "nodata": 255}, "uint8"),
        ("quick", {"level": 1}, "uint8"),
        ("small", {"level": 9}, "uint8"),
        ("floats", {"dtype": "float32", "band_names": ["height"]}, "float32"),
    ):
        path = tmp_path / f"{name}.tif"
        with CogWriter(path, grid, **options) as writer:
            for window in blocks(grid.shape, 512):
                writer.write(window, noise[window.slices].astype(dtype))
        with rasterio.open(path) as file:
            assert file.block_shapes == [(512, 512)]
            assert file.compression.name == "deflate"
            predictor = {"uint8": None, "float32": "3"}[dtype]
            assert file.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR") == predictor
            assert (file.colorinterp[0] == ColorInterp.palette) == (name == "labels")
            if name == "labels":
                assert file.colormap(1)[255] == (0, 0, 0, 0)
                assert file.colormap(1)[4] == (255, 255, 0, 255)
        sizes[name] = path.stat().st_size
        assert path.with_suffix(".qml").exists() == (name == "labels")
    assert sizes["small"] < sizes["quick"]
    names = (tmp_path / "labels.tif.aux.xml").read_text()
    assert names.count("<Category>") == 6
    assert "<Category>car</Category><Category>clutter</Category></CategoryNames>" in names


def test_categories_that_are_no_classes_have_no_name(tmp_path: Path) -> None:
    legend = Legend.from_dict({"name": "gaps", "classes": [{"value": 2, "name": "a & b", "color": [1, 2, 3]}]})
    with CogWriter(tmp_path / "a.tif", GeoBox((4, 4), NORTH_UP, None), legend=legend) as writer:
        writer.write(Window(0, 0, 4, 4), np.full((4, 4), 2, np.uint8))
    text = (tmp_path / "a.tif.aux.xml").read_text()
    assert "<Category></Category><Category></Category><Category>a &amp; b</Category></CategoryNames>" in text


@pytest.mark.parametrize("hidden", ["alpha", "mask", "nodata given"])
def test_what_a_later_tile_does_not_know_hides_nothing_of_an_earlier_one(hidden: str, tmp_path: Path) -> None:
    for number, value in enumerate((7, 9)):
        values = np.full((2 if hidden == "alpha" else 1, 2, 4), value, np.uint8)
        known = np.arange(4) >= (2 if number else 0)
        if hidden == "alpha":
            values[1] = 255 * known
        if hidden != "mask":
            values[0] *= known
        path = write_geotiff(tmp_path / f"{number}.tif", values, origin=(500_000 + 2 * number, 5_000_000))
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
            if hidden == "alpha":
                file.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
            if hidden == "mask":
                file.write_mask(np.broadcast_to(known, (2, 4)))
    data, valid = Layer.open(tmp_path, nodata=0 if hidden == "nodata given" else None).read()
    assert data[0].tolist() == [[7, 7, 7, 7, 9, 9]] * 2
    assert valid.all()


def test_tiles_that_do_not_say_where_they_lie_make_no_mosaic(tmp_path: Path) -> None:
    for number in (0, 1):
        write_geotiff(tmp_path / f"{number}.tif", np.full((1, 4, 4), number, np.uint8), crs=None)
    with raises_naming(GridError, "0.tif", "2"):
        Layer.open(tmp_path)


def test_gaps_as_nan_and_every_type_of_values_are_kept(tmp_path: Path) -> None:
    for number in (0, 1):
        origin = (500_000 + 4 * number, 5_000_000)
        write_geotiff(
            tmp_path / "nan" / f"{number}.tif", np.full((1, 4, 4), number, np.float32), origin=origin, nodata=np.nan
        )
        write_geotiff(tmp_path / "long" / f"{number}.tif", np.full((1, 4, 4), 2**60 + number, np.int64), origin=origin)
        write_geotiff(tmp_path / "complex" / f"{number}.tif", np.full((1, 4, 4), 3 + 4j, np.complex64), origin=origin)
    assert Layer.open(tmp_path / "nan").read()[0][0, 0].tolist() == [0] * 4 + [1] * 4
    assert Layer.open(tmp_path / "long").read()[0][0, 0].tolist() == [2**60] * 4 + [2**60 + 1] * 4
    assert (Layer.open(tmp_path / "complex", power=True).read()[0] == 25).all()  # the power, 3² + 4²


def test_bands_with_masks_of_their_own_are_refused_and_gaps_as_nan_are_not(tmp_path: Path) -> None:
    for number in (0, 1):
        write_geotiff(tmp_path / "nan" / f"{number}.tif", np.full((1, 4, 4), number, np.float32), nodata=np.nan)
        path = write_geotiff(tmp_path / "mask" / f"{number}.tif", np.full((1, 4, 4), number, np.uint8))
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
            file.write_mask(np.arange(16).reshape(4, 4) > 5)
    assert Layer.open(f"{tmp_path / 'nan'}#bands").count == 2
    with pytest.raises(GridError, match="has a mask or an alpha band"):
        Layer.open(f"{tmp_path / 'mask'}#bands")


@pytest.mark.parametrize("nodata", [-9999, 300, 0.5])
def test_a_value_without_data_that_no_pixel_can_have_changes_nothing(nodata: float, tmp_path: Path) -> None:
    values = np.zeros((1, 40, 40), np.uint8)
    values[:, ::2] = 100
    for number in (0, 1):
        write_geotiff(tmp_path / f"{number}.tif", values, origin=(500_000 + 40 * number, 5_000_000))
    data, valid = Layer.open(tmp_path, nodata=nodata).read()
    np.testing.assert_array_equal(data, np.concatenate([values, values], axis=2))
    assert valid.all()
    small, known, _ = Layer.open(tmp_path / "0.tif", nodata=nodata).thumbnail(4)
    assert small.tolist() == [[[50] * 4] * 4]
    assert known.all()


def test_an_image_that_only_rpcs_place_is_told_how_to_be_put_on_the_ground(tmp_path: Path) -> None:
    path = tmp_path / "raw.tif"
    with rasterio.open(path, "w", driver="GTiff", height=3, width=4, count=1, dtype="uint8") as file:
        file.write(VALUES, 1)
    coefficients = " ".join(["1"] + ["0"] * 19)
    offsets = dict.fromkeys(("LINE_OFF", "SAMP_OFF", "LAT_OFF", "LONG_OFF", "HEIGHT_OFF"), "1")
    scales = dict.fromkeys(("LINE_SCALE", "SAMP_SCALE", "LAT_SCALE", "LONG_SCALE", "HEIGHT_SCALE"), "1")
    terms = dict.fromkeys(("LINE_NUM_COEFF", "LINE_DEN_COEFF", "SAMP_NUM_COEFF", "SAMP_DEN_COEFF"), coefficients)
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns="RPC", **offsets, **scales, **terms)
    (problem,) = [problem for problem in inspect(str(path)).problems if "CRS" in problem]
    assert "only RPCs" in problem
    assert "gdalwarp -rpc" in problem
    assert not Layer.open(VALUES).place_advice


@pytest.mark.parametrize(
    "names",
    [
        ("red", "green", "blue"),
        ("Fmask", "HLS.S30.T33UXP.B02", "HLS.S30.T33UXP.B8A"),
        ("LC09_SR_B4", "LC09_SR_B5"),
        ("OPERA_L2_RTC-S1_T1_VV", "OPERA_L2_RTC-S1_T1_VH"),
        ("T33_B02_10m", "T33_B03_10m"),
    ],
)
def test_a_folder_of_one_file_per_band_is_no_mosaic(names: tuple[str, ...], tmp_path: Path) -> None:
    for number, name in enumerate(names):
        tile(tmp_path / f"{name}.tif", VALUES + np.uint8(number), nodata=0)
    with pytest.raises(GridError, match="#bands"):
        Layer.open(tmp_path)
    assert Layer.open(f"{tmp_path}#bands").count == len(names)


def test_files_whose_bands_are_called_differently_are_no_mosaic(tmp_path: Path) -> None:
    for number, name in enumerate(("VV", "VH")):
        with rasterio.open(tile(tmp_path / f"{number}.tif", VALUES), "r+") as file:
            file.descriptions = (name,)
    with pytest.raises(GridError, match="#bands"):
        Layer.open(tmp_path)


def test_a_tile_that_nothing_is_seen_of_is_reported(tmp_path: Path, caplog) -> None:
    tile(tmp_path / "a.tif", VALUES[:2, :2], 1, 1)
    tile(tmp_path / "b.tif", VALUES)
    assert "lies wholly under" in Layer.open(tmp_path).hidden_tile
    assert "lies wholly under" in caplog.text
    assert [problem for problem in inspect(str(tmp_path)).problems if "lies wholly under" in problem]


@pytest.mark.parametrize(("col", "nodata"), [(1, None), (0, 0)])
def test_tiles_that_overlap_in_part_or_have_gaps_are_a_mosaic_as_before(tmp_path: Path, col: int, nodata) -> None:
    tile(tmp_path / "red_1.tif", VALUES, nodata=nodata)
    tile(tmp_path / "red_2.tif", VALUES, col, nodata=nodata)
    assert not Layer.open(tmp_path).hidden_tile


def test_tiles_beside_the_pixels_of_the_first_are_moved_with_a_warning_that_says_how_far(tmp_path, caplog):
    for name, east in (("1.tif", 0.0), ("2.tif", 20.5), ("3.tif", 40.01)):
        write_geotiff(
            tmp_path / name,
            np.ones((20, 20), np.uint8),
            crs="EPSG:32633",
            transform=Affine(1, 0, 500_000 + east, 0, -1, 4_000_000),
        )
    Layer.open(tmp_path)
    assert "1 of 3 tiles do not lie on the pixels of" in caplog.text
    assert "the farthest: by 0.5 pixels across and 0 down" in caplog.text


def test_tiles_with_a_transform_and_no_crs_are_put_together(tmp_path: Path) -> None:
    values = np.arange(1, 33, dtype=np.uint8).reshape(1, 4, 8)
    for number, part in enumerate(np.split(values, 2, axis=2)):
        write_geotiff(tmp_path / f"{number}.tif", part, crs=None, transform=Affine(1, 0, 100 + 4 * number, 0, -1, 4))
    np.testing.assert_array_equal(Layer.open(tmp_path).read()[0], values)


@pytest.mark.parametrize("kind", [0, 77])
def test_tiles_with_a_private_tag_of_no_known_type_are_read_and_copied(kind: int, tmp_path: Path) -> None:
    """GDAL leaves the tag out with a message, which rasterio raises by the next call that looks for errors."""
    values = np.arange(3 * 32 * 32, dtype=np.uint8).reshape(3, 32, 32)
    path = write_geotiff(tmp_path / "a.tif", values, tags={"A": "b"}, tiled=False, compress=None)
    content = bytearray(path.read_bytes())
    (directory,) = struct.unpack("<I", content[4:8])
    (count,) = struct.unpack("<H", content[directory : directory + 2])
    last = directory + 2 + 12 * (count - 1)
    content[last : last + 12] = struct.pack("<HHII", 65_000, kind, 3, 8)
    path.write_bytes(content)
    np.testing.assert_array_equal(Layer.open([path]).read()[0], values)
    box = Layer.open(path).grid.geographic_extent.boundingbox
    copy_box([str(path)], tuple(box), {"OF": "a plan"}, tmp_path / "copy.tif")
    assert Layer.open(tmp_path / "copy.tif").tags["OF"] == "a plan"
