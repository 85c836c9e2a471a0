"""Layers and scenes: what is read is what is there, and what is not there is not valid."""

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
import rasterio
from affine import Affine
from geotiff import write_geotiff
from hypothesis import given, strategies as st
from odc.geo.geobox import GeoBox
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, MaskFlags
from refusals import raises_naming

from deepnets4eo.errors import GridError, InputError, LabelError
from deepnets4eo.grid import Window, crop, overlap_share
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.rasters.datasets import Handles

UTM = GeoBox((40, 60), Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000), "EPSG:32633")


def write(path: Path, array: np.ndarray, grid: GeoBox | None = UTM, **profile: object) -> Path:
    if grid is None:
        return write_geotiff(path, array, crs=None, **profile)
    return write_geotiff(path, array, crs="EPSG:32633" if grid.crs else None, transform=grid.affine, **profile)


@pytest.fixture
def ramp() -> np.ndarray:
    return np.arange(40 * 60, dtype=np.uint16).reshape(40, 60)


@given(row=st.integers(-50, 60), col=st.integers(-70, 80), height=st.integers(1, 50), width=st.integers(1, 50))
def test_a_window_anywhere_equals_the_padded_array(row: int, col: int, height: int, width: int) -> None:
    array = np.arange(1, 40 * 60 + 1, dtype=np.uint16).reshape(40, 60)
    padded = np.pad(array, 150)
    data, valid = Layer.open(array).read(Window(row, col, height, width))
    expected = padded[150 + row : 150 + row + height, 150 + col : 150 + col + width]
    assert (data[0] == expected).all()
    assert (valid == (expected > 0)).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_values_and_type_survive_for(dtype: str, tmp_path: Path) -> None:
    array = np.arange(3 * 40 * 60).reshape(3, 40, 60).astype(dtype)
    layer = Layer.open(write(tmp_path / "a.tif", array))
    data, valid = layer.read()
    assert data.dtype == dtype == layer.dtype
    assert (data == array).all()
    assert valid.all()


def test_five_hundred_bands_are_read(tmp_path: Path) -> None:
    cube = np.random.default_rng(0).integers(0, 255, (500, 8, 9)).astype("uint8")
    grid = GeoBox((8, 9), UTM.affine, UTM.crs)
    layer = Layer.open(write(tmp_path / "cube.tif", cube, grid), bands=[500, 1])
    assert (layer.read()[0] == cube[[499, 0]]).all()


def test_nodata_is_not_valid_only_where_all_bands_have_it(tmp_path: Path) -> None:
    array = np.ones((2, 40, 60), np.uint8)
    array[:, 0, 0] = 0
    array[0, 1, 1] = 0
    _, valid = Layer.open(write(tmp_path / "a.tif", array, nodata=0)).read()
    assert not valid[0, 0]
    assert valid[1, 1]
    assert valid.sum() == 40 * 60 - 1


def test_nan_is_not_valid(tmp_path: Path) -> None:
    array = np.ones((40, 60), np.float32)
    array[3, 4] = np.nan
    _, valid = Layer.open(write(tmp_path / "a.tif", array)).read()
    assert not valid[3, 4]
    assert valid.sum() == 40 * 60 - 1


def test_alpha_is_a_mask_and_no_band(tmp_path: Path) -> None:
    array = np.full((4, 40, 60), 255, np.uint8)
    array[3, 5] = 0
    layer = Layer.open(write(tmp_path / "a.tif", array, photometric="RGB", alpha="YES"))
    _, valid = layer.read()
    assert layer.count == 3
    assert not valid[5].any()
    assert valid.sum() == 39 * 60
    assert layer.unmasked_band is None
    with rasterio.open(tmp_path / "a.tif", "r+") as file:
        file.descriptions = ("Red", "Green", "Blue", "NIR")
    named = Layer.open(tmp_path / "a.tif")
    assert (named.unmasked_band, named.count, named.read()[1].all()) == ("NIR", 4, True)


def in_all_ways(source: object) -> list[tuple[int, str | None, float]]:
    """Number of bands, the band that is no mask, and the share of valid pixels: as read, warped, and reduced."""
    layer = Layer.open(source)
    valid = (layer.read()[1], layer.on(layer.grid.zoom_out(0.5), "nearest").read()[1], layer.thumbnail(30)[1])
    return [(layer.count, layer.unmasked_band, round(float(one.mean()), 3)) for one in valid]


def test_a_band_marked_as_alpha_is_a_mask_only_if_its_values_are_those_of_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (4, 100, 120)).astype(np.uint8)  # near infrared has zeros too
    hard = image.copy()
    hard[3] = 255
    hard[3, :, :20] = 0
    soft = hard.copy()
    soft[3, :, 20:40] = rng.integers(1, 255, (100, 20))
    share = {"hard": 1 - 20 / 120, "soft": 1 - 20 / 120, "shown": 1.0}
    for name, values in (("hard", hard), ("soft", soft), ("shown", image)):
        bands, unmasked = (4, "band_4") if name == "shown" else (3, None)
        grid = GeoBox((100, 120), UTM.affine, UTM.crs)
        tif = write(tmp_path / f"{name}.tif", values, grid, photometric="RGB", alpha="YES")
        sixteen = write(
            tmp_path / f"{name}16.tif", values.astype(np.uint16) * 257, grid, photometric="RGB", alpha="YES"
        )
        png = write(tmp_path / f"{name}.png", values, grid, driver="PNG")
        for path in (tif, sixteen, png):
            assert in_all_ways(path) == [(bands, unmasked, pytest.approx(share[name], abs=0.01))] * 3
            np.testing.assert_array_equal(Layer.open(path).read()[0].astype(np.uint8), values[:bands])
    one = np.full_like(image, 255)
    for name, last in (("masks", hard), ("mixed", image)):
        for number, values in enumerate((one, last)):
            place = UTM.affine * Affine.translation(140 * number, 0)
            write(
                tmp_path / name / f"{number}.tif",
                values,
                GeoBox((100, 120), place, UTM.crs),
                photometric="RGB",
                alpha="YES",
            )
    assert {found[:2] for found in in_all_ways(tmp_path / "masks")} == {(3, None)}
    assert Layer.open(tmp_path / "masks").read()[1].mean() == pytest.approx((120 + 100) / 260)
    assert in_all_ways(tmp_path / "mixed") == [(4, "band_4", pytest.approx(240 / 260, abs=0.02))] * 3


@pytest.mark.parametrize(
    ("last", "bands"),
    [
        (np.arange(2400) % 11 + 60, 4),  # near infrared of narrow range
        (np.where(np.arange(2400) % 5, 61, 62), 4),
        (np.where(np.arange(2400) < 800, 0, 255), 3),
        (np.where(np.arange(2400) < 800, 0, 250 + np.arange(2400) % 6), 3),  # a mask in a lossy file
        (np.arange(2400) % 2, 3),
        (np.full(2400, 128), 3),
    ],
)
def test_narrow_values_marked_as_alpha_are_no_mask(tmp_path: Path, last: np.ndarray, bands: int) -> None:
    image = np.zeros((4, 40, 60), np.uint8)
    image[3] = last.reshape(40, 60)
    assert Layer.open(write(tmp_path / "a.tif", image, photometric="RGB", alpha="YES")).count == bands


@pytest.mark.parametrize("name", ["nir08", "B8A", "B08", "rededge1"])
def test_a_band_marked_as_alpha_that_is_named_as_infrared_is_no_mask(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.tif", np.full((4, 40, 60), 255, np.uint8), photometric="RGB", alpha="YES")
    with rasterio.open(path, "r+") as file:
        file.set_band_description(4, name)
    layer = Layer.open(path)
    assert (layer.count, layer.unmasked_band) == (4, name)


@pytest.mark.parametrize("at", [0, 2, 4, 6])
def test_alpha_hides_at_any_place_among_the_bands(tmp_path: Path, at: int) -> None:
    """Also in tiles, where what is transparent shows the tile below, and where ground control points place the image."""
    rng, count = np.random.default_rng(0), max(at + 1, 4)
    image = rng.integers(60, 120, (count, 40, 40)).astype(np.uint8)
    image[at] = 255
    over = image.copy()
    over[:, :, :20] = 0
    roles = [ColorInterp.alpha if band == at else ColorInterp.undefined for band in range(count)]
    for name, values, east in (("m/1.tif", image, 0), ("m/2.tif", over, 20)):
        (tmp_path / "m").mkdir(exist_ok=True)
        grid = GeoBox((40, 40), Affine.translation(east, 0) * Affine(1, 0, 500_000, 0, -1, 4_000_000), UTM.crs)
        with rasterio.open(write(tmp_path / name, values, grid), "r+") as file:
            file.colorinterp = roles
    mosaic, shown = Layer.open(tmp_path / "m"), [band for band in range(count) if band != at]
    data, valid = mosaic.read()
    assert (mosaic.count, valid.all()) == (count - 1, True)
    np.testing.assert_array_equal(data[:, :, :40], image[shown])
    np.testing.assert_array_equal(data[:, :, 40:], over[shown][:, :, 20:])
    points = [GroundControlPoint(row, col, 500_000 + col, 4_000_000 - row) for row in (0, 40) for col in (0, 40)]
    with rasterio.open(tmp_path / "gcp.tif", "w", driver="GTiff", height=40, width=40, count=count, dtype="uint8", crs=UTM.crs.to_wkt(),
                       gcps=points) as file:  # fmt: skip
        file.write(over)
    with rasterio.open(tmp_path / "gcp.tif", "r+") as file:
        file.colorinterp = roles
    placed = Layer.open(tmp_path / "gcp.tif")
    assert placed.count == count - 1
    assert placed.read()[1].mean() == pytest.approx(0.5, abs=0.03)


def test_an_internal_mask_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.ones((3, 40, 60), np.uint8))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        mask = np.full((40, 60), 255, np.uint8)
        mask[7] = 0
        file.write_mask(mask)
    assert not Layer.open(path).read()[1][7].any()


def test_tiles_of_a_folder_are_one_layer_and_gaps_are_not_valid(tmp_path: Path, ramp: np.ndarray) -> None:
    for row, col in [(0, 0), (0, 30), (20, 30)]:
        window = Window(row, col, 20, 30)
        write(tmp_path / f"{row}_{col}.tif", ramp[window.slices], crop(UTM, window))
    layer = Layer.open(tmp_path)
    data, valid = layer.read()
    assert layer.shape == (40, 60)
    assert (data[0][valid] == ramp[valid]).all()
    assert not valid[20:, :30].any()
    assert valid.sum() == 3 * 20 * 30


def test_tiles_that_do_not_fit_are_refused_by_name(tmp_path: Path, ramp: np.ndarray) -> None:
    write(tmp_path / "a.tif", ramp)
    write(tmp_path / "b.tif", np.stack([ramp, ramp]))
    with raises_naming(GridError, "b.tif"):
        Layer.open(tmp_path)


def test_a_layer_on_its_own_grid_is_itself(ramp: np.ndarray) -> None:
    layer = Layer.open(ramp, grid=UTM)
    assert layer.on(UTM) is layer


def test_warping_windows_equals_cropping_the_warped_whole(ramp: np.ndarray) -> None:
    target = GeoBox(
        (50, 50), Affine.translation(500_003, 3_999_995) * Affine.rotation(10) * Affine.scale(0.4, -0.4), UTM.crs
    )
    view = Layer.open(ramp, grid=UTM).on(target, "bilinear")
    data, valid = view.read()
    part, part_valid = view.read(Window(10, 12, 20, 25))
    assert (part_valid == valid[10:30, 12:37]).all()
    assert np.abs(part[0].astype(int) - data[0, 10:30, 12:37]).max() <= 1


def test_a_warped_array_is_forgotten_with_its_layer(ramp: np.ndarray) -> None:
    layer = Layer.open(ramp, grid=UTM)
    view = layer.on(GeoBox((10, 10), Affine(1, 0, 500_000, 0, -1, 4_000_000), UTM.crs))
    with layer._source.open_dataset() as dataset:
        held = dataset.name
    assert rasterio.open(held).read().shape == (1, 40, 60)
    del layer
    assert view.read()[1].any()
    del view
    gc.collect()
    with pytest.raises(rasterio.RasterioIOError):
        rasterio.open(held)


def test_another_crs_shows_the_same_ground(ramp: np.ndarray) -> None:
    smooth = (ramp % 60).astype(np.float32)
    there = Layer.open(smooth, grid=UTM).on(UTM.to_crs("EPSG:4326"), "bilinear")
    back = Layer.open(there.read()[0], grid=there.grid).on(UTM, "bilinear")
    data, valid = back.read()
    middle = (slice(8, 32), slice(8, 52))
    assert valid[middle].all()
    assert np.abs(data[0][middle] - smooth[middle]).max() < 1.5


def test_images_without_any_crs_are_warped_as_plain_pixels() -> None:
    array = np.arange(100, dtype=np.float32).reshape(10, 10)
    coarse = Layer.open(array).on(GeoBox((5, 5), Affine.scale(2), None), "average")
    assert np.allclose(coarse.read()[0][0], array.reshape(5, 2, 5, 2).mean((1, 3)))


def test_one_crs_missing_needs_the_same_size(ramp: np.ndarray) -> None:
    plain = Layer.open(ramp)
    assert (plain.on(UTM).read()[0][0] == ramp).all()
    with raises_naming(GridError, "CRS"):
        plain.on(GeoBox((10, 10), UTM.affine, UTM.crs))


def test_scene_labels_are_void_where_they_are_not(ramp: np.ndarray) -> None:
    labels = np.full((40, 60), 3, np.uint8)
    scene = Scene.open(grid=UTM, image=Layer.open(ramp, grid=UTM), labels=Layer.open(labels, grid=UTM))
    sample = scene.read(Window(-2, -2, 6, 6))
    assert sample["image"].dtype == np.float32
    assert (sample["labels"][:2] == 255).all()
    assert (sample["labels"][2:, 2:] == 3).all()
    assert not sample["valid"][:2].any()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            np.array([[0, 257]], np.uint16),
            "holds the value 257, expected label values 0 to 254 and 255 for void.*nodata",
        ),
        (np.array([[0, -1]], np.int8), "holds the value -1,"),
        (np.array([[0, 65536]], np.float32), "holds the value 65536,"),
        (np.array([[0, 1.7]], np.float32), "holds float32 that are no labels"),
    ],
)
def test_values_that_are_no_labels_are_refused_and_not_cut_to_bytes(labels: np.ndarray, message: str) -> None:
    with pytest.raises(LabelError, match=f"array {message}"):
        Scene.open(labels=labels).read()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int64", "float32", "bool"])
def test_labels_of_any_type_are_read_as_bytes_with_void_where_nothing_is(dtype: str) -> None:
    labels = Layer.open(np.array([[0, 1, 1]]).astype(dtype), grid=GeoBox((1, 3), Affine.identity(), None))
    sample = Scene(dict(labels=labels)).read(Window(0, 0, 1, 4))
    assert sample["labels"].dtype == np.uint8
    assert sample["labels"].tolist() == [[0, 1, 1, 255]]


def test_labels_out_of_range_that_are_declared_as_nodata_are_void() -> None:
    labels = Layer.open(np.array([[0, 9999]], np.uint16), nodata=9999)
    assert Scene(dict(labels=labels)).read()["labels"].tolist() == [[0, 255]]


def test_reading_from_many_threads_gives_the_same_values(tmp_path: Path, ramp: np.ndarray) -> None:
    layer = Layer.open(write(tmp_path / "a.tif", ramp)).on(crop(UTM, Window(1, 1, 30, 50)), "nearest")
    expected, results = ramp[1:31, 1:51], []
    threads = [Thread(target=lambda: results.append(layer.read()[0][0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all((result == expected).all() for result in results)


def test_threads_that_take_turns_read_through_one_handle(tmp_path: Path, ramp: np.ndarray, monkeypatch) -> None:
    layer, opened = Layer.open(write(tmp_path / "a.tif", ramp)), []
    monkeypatch.setattr(layer.reader, "open_dataset", lambda: opened.append(1))
    for _ in range(3):
        thread = Thread(target=layer.read)
        thread.start()
        thread.join()
    layer.read()
    assert not opened  # but for the one that described the file


def test_a_handle_is_lent_to_one_thread_at_a_time() -> None:
    handles, names = Handles(), iter("abc")
    with handles.lend(lambda: next(names)) as first, handles.lend(lambda: next(names)) as second:
        assert (first, second) == ("a", "b")
    with handles.lend(lambda: next(names)) as again:
        assert again == first  # given back last
    with pytest.raises(OSError, match="damaged"), handles.lend(lambda: next(names)):
        raise OSError("damaged")
    with handles.lend(lambda: next(names)) as kept:
        assert kept == first


def test_threads_take_turns_with_a_shared_handle() -> None:
    handles, names = Handles(), iter("ab")
    handles.share()
    handles.share()  # by a second job
    inside = Event()

    def lend() -> str:
        with handles.lend(lambda: next(names)) as handle:
            inside.set()
            return handle

    with ThreadPoolExecutor(1) as pool, handles.lend(lambda: next(names)) as first:
        waiting = pool.submit(lend)
        assert not inside.wait(0.05)
    assert waiting.result() == first == "a"


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float64"])
def test_a_scene_can_be_read_in_the_types_that_are_stored(dtype: str, ramp: np.ndarray) -> None:
    scene = Scene.open(image=(ramp % 200).astype(dtype), labels=(ramp % 3).astype(np.uint8))
    window = Window(-1, 5, 8, 9)
    stored, sample = scene.read_stored(window), scene.read(window)
    assert (stored["image"].dtype, sample["image"].dtype) == (dtype, np.float32)
    assert stored.keys() == sample.keys()
    assert all((stored[name] == sample[name]).all() for name in sample)


def test_thumbnail_averages(ramp: np.ndarray) -> None:
    data, valid, grid = Layer.open(ramp.astype(np.float32), grid=UTM).thumbnail(30)
    assert data.shape == (1, 20, 30)
    assert valid.all()
    assert tuple(grid.shape) == (20, 30)
    assert np.allclose(data[0], ramp.reshape(20, 2, 30, 2).mean((1, 3)))


@pytest.mark.parametrize("declared", [None, 5.0, 7.0])
def test_whole_pixels_are_averaged_and_those_without_data_left_out(tmp_path: Path, declared: float | None) -> None:
    values = np.random.default_rng(0).uniform(10, 20, (2, 40, 60)).astype(np.float32)
    values[:, ::2, 3] = 5
    path = write_geotiff(tmp_path / "z.tif", values, nodata=declared)
    layer = Layer.open(path, nodata=5)  # which the file does not declare, or as another value
    window = Window(2, 1, 11, 13)
    data, valid = layer.on(layer.grid.zoom_out(2), "average").read(window)
    known = np.where(values == 5, np.nan, values).reshape(2, 20, 2, 30, 2)
    assert valid.all()
    assert data == pytest.approx(np.nanmean(known, (2, 4))[:, 2:13, 1:14], abs=1e-4)


def test_a_thumbnail_of_a_turned_image_is_nearly_the_mean_of_all_its_pixels() -> None:
    rows, cols = np.mgrid[:900, :1200]
    image = (40 * np.sin(rows / 90) + 40 * np.cos(cols / 70) + 120).astype(np.float32)
    grid = GeoBox((900, 1200), UTM.affine, UTM.crs)
    turned = Layer.open(image, grid=grid).on(GeoBox((900, 1200), UTM.affine * Affine.rotation(2), UTM.crs), "bilinear")
    fine, inside = turned.read()
    blocks = inside.reshape(60, 15, 80, 15).all((1, 3))
    data, valid, _ = turned.thumbnail(80)
    assert (valid == inside.reshape(60, 15, 80, 15).mean((1, 3)).round()).mean() > 0.97
    means = fine[0].reshape(60, 15, 80, 15).mean((1, 3))
    assert np.abs(data[0] - means)[blocks & valid].max() < 3


@pytest.mark.parametrize(
    ("shape", "coarse"), [((3, 900), (1, 30)), ((900, 3), (30, 1)), ((1, 4000), (1, 30)), ((90, 60), (30, 20))]
)
def test_a_thumbnail_of_a_long_raster_keeps_one_pixel_across(shape: tuple[int, int], coarse: tuple[int, int]) -> None:
    values = np.full(shape, 7, np.float32)
    data, valid, grid = Layer.open(values).thumbnail(30)
    assert data.shape == (1, *coarse)
    assert tuple(grid.shape) == coarse
    assert valid.all()
    assert (data == 7).all()


def test_a_thumbnail_of_a_turned_image_at_its_own_size_is_the_image() -> None:
    values = np.random.default_rng(3).integers(0, 255, (1, 40, 60)).astype(np.uint8)
    turned = Layer.open(values, grid=UTM).on(UTM.rotate(20))
    data, valid, grid = turned.thumbnail(max(turned.shape))
    expected, seen = turned.read()
    assert grid == turned.grid
    assert data.tolist() == expected.tolist()
    assert valid.tolist() == seen.tolist()


def test_a_thumbnail_of_a_small_raster_is_the_raster(ramp: np.ndarray) -> None:
    data, _, grid = Layer.open(ramp, grid=UTM).thumbnail(1000)
    assert np.array_equal(data[0], ramp)
    assert grid == UTM


def test_overlap_is_a_share_of_the_first() -> None:
    assert overlap_share(UTM, crop(UTM, Window(0, 30, 40, 60))) == pytest.approx(0.5)
    assert overlap_share(UTM, crop(UTM, Window(500, 0, 40, 60))) == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.tif", None, "does not exist"),
        ("text.tif", b"this is no raster", "not a raster"),
        ("empty.tif", b"", "not a raster"),
    ],
)
def test_what_is_no_raster_is_refused(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"{name}.*{message}"):
        Layer.open(path)


def test_a_truncated_file_is_named_when_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (3, 400, 400)).astype("uint8")
    path = write(tmp_path / "cut.tif", noise, None)
    path.write_bytes(path.read_bytes()[:100_000])
    with raises_naming(InputError, "cut.tif"):
        Layer.open(path).read()


def test_an_array_without_pixels_is_refused() -> None:
    with raises_naming(InputError, "(3, 0, 5)"):
        Layer.open(np.zeros((3, 0, 5)))


def test_a_band_that_is_not_there_is_refused(ramp: np.ndarray) -> None:
    with raises_naming(InputError, "bands 1–1"):
        Layer.open(ramp, bands=[2])


@pytest.mark.real_data
def test_the_joplin_tiles_make_two_mosaics_that_overlap(real_data: Path) -> None:
    pre, post = Layer.open(real_data / "joplin" / "pre"), Layer.open(real_data / "joplin" / "post")
    assert pre.shape == (2048, 2048)
    assert post.shape == (2048, 3072)
    assert overlap_share(pre.grid, post.grid) == pytest.approx(0.75, abs=0.05)
    data, valid = pre.on(post.grid).read(Window(0, 1500, 1024, 1024))
    assert 0 < valid.mean() < 1
    assert data[:, valid].mean() > 50


def test_a_value_can_be_declared_as_nodata_afterwards(tmp_path: Path) -> None:
    array = np.arange(2 * 40 * 40, dtype="int16").reshape(2, 40, 40)
    array[:, :, 20:] = -9999
    array[0, 3, 30] = 5  # one band with a value: not nodata
    expected = np.zeros((40, 40), bool)
    expected[:, :20], expected[3, 30] = True, True
    in_file, in_memory = Layer.open(write(tmp_path / "a.tif", array)), Layer.open(array)
    for layer in (in_file, in_memory, in_file.subset([1, 2])):
        assert layer.read()[1].all()
        assert (layer.with_nodata(-9999).read()[1] == expected).all()
        assert layer.read()[1].all(), "the layer itself is as before"
    warped = in_file.on(in_file.grid.zoom_out(2), "average")
    assert warped.read()[0].min() == -9999
    declared = warped.with_nodata(-9999).read()
    assert declared[1][:, :10].all()
    assert not declared[1][5:, 11:].any()
    assert in_file.with_nodata(-9999).on(in_file.grid.zoom_out(2), "average").read()[1].tolist() == declared[1].tolist()


def test_a_layer_opened_again_takes_nodata_bands_and_grid(ramp: np.ndarray) -> None:
    layer = Layer.open(ramp)
    grid = GeoBox(layer.shape, Affine(2, 0, 500_000, 0, -2, 4_000_000), "EPSG:32615")
    again = Layer.open(layer, nodata=7, grid=grid, bands=[1])
    assert (again.nodata, again.grid, again.bands) == (7, grid, [1])
    assert again.read()[1].tolist() == (ramp != 7).tolist()
    assert layer.nodata is None
    assert layer.grid.crs is None
    with pytest.raises(GridError, match="Give one of the same size"):
        Layer.open(layer, grid=grid[:2, :2])


@pytest.mark.parametrize("nodata", [None, 7])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_what_a_masked_array_hides_is_not_valid(dtype: str, nodata: int | None) -> None:
    values = np.full((2, 8, 8), 100, dtype)
    hidden = np.zeros((2, 8, 8), bool)
    hidden[0, :4, :4] = True
    values[hidden] = 3
    layer = Layer.open(np.ma.array(values, mask=hidden), nodata=nodata)
    for one in (layer, layer.subset([2]), layer.with_nodata(9), layer.with_grid(layer.grid)):
        data, valid = one.read()
        assert not np.ma.isMaskedArray(data)
        assert valid.tolist() == (~hidden[0]).tolist()
    assert layer.read(Window(2, 2, 3, 3))[1].tolist() == (~hidden[0][2:5, 2:5]).tolist()
    assert layer.thumbnail(4)[1].tolist() == (~hidden[0][::2, ::2]).tolist()
    warped, known = layer.on(layer.grid.zoom_out(2), "average").read()
    assert known.tolist() == (~hidden[0][::2, ::2]).tolist()
    assert (warped[:, known] == 100).all()


def test_a_masked_array_that_hides_nothing_is_all_valid() -> None:
    assert Layer.open(np.ma.array(np.ones((2, 3)))).read()[1].all()


@pytest.mark.parametrize("source", [None, 5, b"/image.tif", (name for name in ["image.tif"])])
def test_what_no_layer_can_be_opened_from_is_refused(source: object) -> None:
    with pytest.raises(InputError, match="Give a path, a list of paths, an array or a Layer"):
        Layer.open(source)


def test_an_unknown_resampling_is_refused(ramp: np.ndarray) -> None:
    with raises_naming(InputError, "'nearst'", "'nearest'"):
        Layer.open(ramp).on(Layer.open(ramp).grid.zoom_out(2), "nearst")


@pytest.mark.skipif("float16" in rasterio.dtypes.dtype_rev, reason="GDAL has it from 3.11 on")
def test_a_type_that_gdal_lacks_is_refused_where_it_is_warped() -> None:
    layer = Layer.open(np.ones((8, 8), np.float16))
    assert layer.read()[0].dtype == np.float16
    with raises_naming(InputError, "float16"):
        layer.on(layer.grid.zoom_out(2)).read()


def test_a_mask_hides_pixels_beside_an_alpha_band_too(tmp_path: Path) -> None:
    values = np.full((4, 20, 20), 200, np.uint8)
    values[3, :5] = 0
    path = write_geotiff(tmp_path / "a.tif", values)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
        file.write_mask(np.arange(20)[None].repeat(20, axis=0) < 15)
    with rasterio.open(path) as file:
        masked = MaskFlags.alpha not in file.mask_flag_enums[0]
    valid = Layer.open(path).read()[1]
    assert valid.sum() == 15 * (15 if masked else 20)
    assert masked


def test_a_value_without_data_that_is_given_is_left_out_of_means_and_may_be_none_of_the_type(tmp_path: Path) -> None:
    values = np.full((1, 40, 40), 10, np.float32)
    values[:, ::2] = -9999
    path = write_geotiff(tmp_path / "z.tif", values)
    small, valid, _ = Layer.open(path, nodata=-9999).thumbnail(4)
    assert valid.all()
    assert small == pytest.approx(10)
    grid = Layer.open(path).grid
    for source in (np.ones((1, 40, 40), np.uint8), np.ma.masked_less(np.ones((1, 40, 40), np.uint8), 0)):
        assert Layer.open(source, grid=grid, nodata=-9999).thumbnail(4)[1].all()
    assert Layer.open(np.zeros((1, 4, 4), np.uint8), nodata=0.5).read()[1].all()


def test_bands_of_several_types_are_refused(tmp_path: Path) -> None:
    for name, dtype in (("a", np.uint8), ("b", np.float32)):
        write_geotiff(tmp_path / f"{name}.tif", np.ones((1, 8, 8), dtype))
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{k}"><SimpleSource><SourceFilename relativeToVRT="1">{name}.tif</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for k, (name, kind) in enumerate((("a", "Byte"), ("b", "Float32")), start=1)
    )
    (tmp_path / "m.vrt").write_text(f'<VRTDataset rasterXSize="8" rasterYSize="8">{bands}</VRTDataset>')
    with pytest.raises(InputError, match="bands of several types"):
        Layer.open(tmp_path / "m.vrt")


def test_a_forked_process_opens_files_anew() -> None:
    handles, opened = Handles(), []

    def open_dataset() -> object:
        opened.append(object())
        return opened[-1]

    with handles.lend(open_dataset) as first:
        pass
    handles._process -= 1  # as after a fork
    with handles.lend(open_dataset) as second:
        assert second is not first
    with handles.lend(open_dataset) as third:
        assert third is second
    assert len(opened) == 2


def test_new_names_go_to_the_bands_that_are_read() -> None:
    layer = Layer.open(np.zeros((4, 2, 2), np.uint8)).subset([4, 2])
    renamed = layer.with_names(["blue", "red"])
    assert renamed.band_names == ["blue", "red"]
    assert renamed.subset([1, 2, 3, 4]).band_names == ["band_1", "red", "band_3", "blue"]


@pytest.mark.parametrize(("crs", "affine"), [("EPSG:32616", Affine(2, 0, 5e5, 0, -2, 4.1e6)), (None, Affine.identity()),
                                             ("EPSG:4326", Affine(0.1, 0, 10, 0, -0.1, 50))])  # fmt: skip
def test_a_scene_comes_back_from_xarray_as_it_was(crs: str | None, affine: Affine) -> None:
    pytest.importorskip("xarray")
    grid, image = GeoBox((4, 5), affine, crs), np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    image[:, 1, 2] = 7
    layer = Layer.open(image, nodata=7, grid=grid).with_names(["red", "green", "blue"])
    scene = Scene(
        {"image": layer, "labels": Layer.open(image[0] % 3, grid=grid), "dsm": Layer.open(image[1], grid=grid)}
    )
    scene.layers["dsm"].tags["SYNTHETIC"] = "yes"
    dataset = scene.to_xarray()
    assert dataset.image.sel(image_band="green").values[0, 0] == 20
    back = Scene.from_xarray(dataset.transpose().expand_dims("time"))
    assert (back.grid, back.layers["image"].band_names, back.synthetic) == (grid, ["red", "green", "blue"], True)
    before, after = scene.read(), back.read()
    assert before.keys() == after.keys()
    valid = before["valid"]
    assert all(np.array_equal(before[name][..., valid], after[name][..., valid]) for name in before)
    assert np.array_equal(valid, after["valid"])
    assert not valid.all()
    part = scene.to_xarray(Window(1, 2, 2, 3))
    assert part.odc.geobox == grid[1:3, 2:5]


def test_a_data_array_is_a_layer_with_its_grid_bands_and_nodata() -> None:
    xarray = pytest.importorskip("xarray")
    grid, values = GeoBox((3, 4), Affine(2, 0, 5e5, 0, -2, 4.1e6), "EPSG:32616"), np.arange(24, dtype=np.float32)
    values[[5, 17]] = -99
    layer = Layer.open(values.reshape(2, 3, 4), nodata=-99, grid=grid).with_names(["red", "nir"])
    array = Scene({"image": layer}).to_xarray()["image"]
    opened = Layer.open(array)
    assert (opened.grid, opened.band_names) == (grid, ["red", "nir"])
    data, valid = opened.read()
    assert not valid[1, 1]
    assert valid.sum() == 11
    assert np.array_equal(data[:, valid], values.reshape(2, 3, 4)[:, valid])
    assert Layer.open(array, bands=[2]).band_names == ["nir"]
    lost = Layer.open(array.transpose("x", "image_band", "y")).read()[0]
    assert np.array_equal(lost[:, valid], data[:, valid])
    with pytest.raises(GridError, match="no even grid"):
        Layer.open(xarray.DataArray(np.ones((2, 3)), {"y": [2.0, 1.0], "x": [0.0, 1.0, 9.0]}, ("y", "x")))


def test_a_dataset_that_is_no_scene_is_refused() -> None:
    xarray = pytest.importorskip("xarray")
    plane = {"y": [3.0, 2.0, 1.0], "x": [1.0, 2.0, 9.0]}
    with pytest.raises(GridError, match="no even grid"):
        Scene.from_xarray(xarray.Dataset({"image": (("y", "x"), np.ones((3, 3)))}, plane))
    axes = (("time", "band", "y", "x"), np.ones((2, 2, 3, 3)))
    with pytest.raises(InputError, match="Choose one of time"):
        Scene.from_xarray(xarray.Dataset({"image": axes}, plane | {"x": [1.0, 2.0, 3.0]}))
