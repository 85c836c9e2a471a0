"""Cubes as layers: windows, reduced views, transposed cubes, stacks of bands; only windows are read."""

import json
import logging
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
import scipy.io
from affine import Affine
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox
from refusals import raises_naming

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.formats import hdf5
from deepnets4eo.grid import Window
from deepnets4eo.outputs.input_files import files_behind
from deepnets4eo.rasters import Layer, Scene

RNG = np.random.default_rng(1)
CUBE = RNG.integers(1, 4000, (12, 10, 9)).astype(np.int16)  # bands, rows, columns
LABELS = RNG.integers(0, 4, (10, 9)).astype(np.uint8)


@pytest.fixture
def mat(tmp_path: Path) -> Path:
    scipy.io.savemat(tmp_path / "a.mat", {"cube": CUBE.transpose(1, 2, 0), "gt": LABELS}, do_compression=True)
    return tmp_path / "a.mat"


def test_windows_and_bands_of_a_cube_are_those_of_the_array(mat: Path) -> None:
    layer, array = Layer.open(mat, bands=[3, 1], nodata=7), Layer.open(CUBE, bands=[3, 1], nodata=7)
    for window in (Window(2, 3, 4, 5), Window(-3, 5, 20, 20)):
        for mine, expected in zip(layer.read(window), array.read(window), strict=True):
            assert np.array_equal(mine, expected)
    assert (layer.shape, layer.count, layer.nodata, layer.paths) == ((10, 9), 2, 7, [str(mat)])


def test_a_reduced_view_is_the_mean_of_the_valid_pixels_of_each_cell(tmp_path: Path) -> None:
    cube = np.where(RNG.random(CUBE.shape) < 0.1, np.nan, CUBE.astype(np.float32))
    np.savez(tmp_path / "a.npz", cube=cube)
    data, valid, _ = Layer.open(f"{tmp_path / 'a.npz'}#cube:bhw").thumbnail(5)
    known = np.isfinite(cube).all(axis=0)
    rows, cols = np.arange(5) * 10 // 5, np.arange(data.shape[2]) * 9 // data.shape[2]
    for i, (top, bottom) in enumerate(zip(rows, [*rows[1:], 10], strict=True)):
        for j, (left, right) in enumerate(zip(cols, [*cols[1:], 9], strict=True)):
            inside = known[top:bottom, left:right]
            assert valid[i, j] == inside.any()
            if inside.any():
                assert data[:, i, j] == pytest.approx(cube[:, top:bottom, left:right][:, inside].mean(axis=1), rel=1e-5)


def test_one_file_holds_image_and_labels_of_a_scene(mat: Path) -> None:
    sample = Scene.open(image=mat, labels=mat).read(Window(1, 1, 4, 4))
    assert np.array_equal(sample["image"], CUBE[:, 1:5, 1:5])
    assert np.array_equal(sample["labels"], LABELS[1:5, 1:5])


@pytest.mark.parametrize("order", ["hwb", "whb", "bwh", "wbh"])
def test_a_transposed_cube_is_turned_to_fit_its_labels(
    order: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored = np.einsum(f"bhw->{order}", CUBE)
    scipy.io.savemat(tmp_path / "cube.mat", {"cube": stored})
    scipy.io.savemat(tmp_path / "gt.mat", {"gt": LABELS})
    with caplog.at_level(logging.WARNING):
        scene = Scene.open(image=tmp_path / "cube.mat", labels=tmp_path / "gt.mat")
    assert np.array_equal(scene.read()["image"], CUBE)
    assert ("is transposed" in caplog.text) == (order != "hwb")


def test_labels_of_another_size_are_refused(mat: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "gt.npy", np.kron(LABELS, np.ones((2, 2), np.uint8)))
    with raises_naming(GridError, "a.mat", "has 10", "9 pixels", "20", "18", "2 times"):
        Scene.open(image=mat, labels=tmp_path / "gt.npy")
    np.save(tmp_path / "gt.npy", LABELS[:7])
    with pytest.raises(GridError, match="their pixels cannot be matched"):
        Scene.open(image=mat, labels=tmp_path / "gt.npy")


def test_an_array_may_be_given_its_place(mat: Path) -> None:
    grid = GeoBox((10, 9), Affine(2, 0, 500_000, 0, -2, 4_000_000), "EPSG:32633")
    layer = Layer.open(mat, grid=grid)
    finer = layer.on(grid.zoom_to((20, 18)), "nearest").read()[0]
    assert np.array_equal(finer, np.kron(CUBE, np.ones((1, 2, 2), np.int16)))
    with pytest.raises(GridError, match="has .* pixels and its grid"):
        Layer.open(mat, grid=grid.zoom_to((5, 5)))


def test_the_header_of_an_envi_file_opens_its_numbers(tmp_path: Path) -> None:
    profile = {"driver": "ENVI", "count": 3, "height": 4, "width": 5, "dtype": "int16"}
    with rasterio.open(tmp_path / "a.img", "w", **profile) as file:
        file.write(CUBE[:3, :4, :5])
    header = tmp_path / "a.hdr"
    header.write_text(header.read_text() + "wavelength units = Micrometers\nwavelength = {0.4,\n 0.55, 0.7}\n")
    layer = Layer.open(header)
    assert np.array_equal(layer.read()[0], CUBE[:3, :4, :5])
    assert layer.wavelengths_nm.tolist() == [400, 550, 700]
    assert layer.subset([3, 1]).wavelengths_nm.tolist() == [700, 400]
    assert set(files_behind(str(header))) >= {header, tmp_path / "a.img"}
    (tmp_path / "a.img").unlink()
    with pytest.raises(InputError, match="whose numbers are not next to it"):
        Layer.open(header)


def test_wavelengths_are_read_from_names_of_bands_where_no_tag_has_them(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "a.tif", CUBE[:4])
    with rasterio.open(tmp_path / "a.tif", "r+") as file:
        for band, name in enumerate(("450.5 nm", "Band 2 (0.55 µm)", "NIR", "650 nm"), start=1):
            file.set_band_description(band, name)
        file.update_tags(4, wavelength="700", wavelength_units="Nanometers")
    assert Layer.open(tmp_path / "a.tif").wavelengths_nm == pytest.approx([450.5, 550, np.nan, 700], nan_ok=True)
    write_geotiff(tmp_path / "b.tif", CUBE[:1])
    with rasterio.open(tmp_path / "b.tif", "r+") as file:
        file.set_band_description(1, "B4 at 10 m")
    assert Layer.open(tmp_path / "b.tif").wavelengths_nm is None


def test_files_of_one_band_are_stacked_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        write_geotiff(tmp_path / f"B{number}.tif", CUBE[number, None], nodata=-1)
        with rasterio.open(tmp_path / f"B{number}.tif", "r+") as file:
            file.update_tags(1, wavelength=str(400 + number), wavelength_units="Nanometers")
    layer = Layer.open(f"{tmp_path}#bands")
    assert np.array_equal(layer.read(Window(1, 2, 5, 6))[0], CUBE[[1, 2, 10], 1:6, 2:8])
    assert (layer.band_names, layer.wavelengths_nm.tolist(), layer.nodata) == (["B1", "B2", "B10"], [401, 402, 410], -1)
    assert len(list(files_behind(f"{tmp_path}#bands"))) > 3
    write_geotiff(tmp_path / "B3.tif", CUBE[3, None, :5])
    with pytest.raises(GridError, match="differ in size: they are no bands of one cube"):
        Layer.open(f"{tmp_path}#bands")


@pytest.mark.parametrize("kind", ["npy", "h5", "mat73", "envi"])
def test_only_windows_of_a_large_cube_are_read(kind: str, tmp_path: Path) -> None:
    """200 bands of 5,000 × 5,000 int16 are 10 GB; the files are sparse, and a window of 64² takes a thousandth of them."""
    psutil = pytest.importorskip("psutil")
    bands, side = 200, 5000
    path = _sparse_cube(kind, tmp_path, bands, side)
    layer = Layer.open(path)
    assert (layer.count, layer.shape, path.stat().st_blocks * 512 < 1 << 24) == (bands, (side, side), True)
    process = psutil.Process()
    process_io, memory = process.io_counters().read_chars, process.memory_info().rss
    data, _ = layer.read(Window(3000, 2000, 64, 64))
    assert data.shape == (bands, 64, 64)
    assert process.io_counters().read_chars - process_io < 256 << 20
    assert process.memory_info().rss - memory < 300 << 20


def _sparse_cube(kind: str, folder: Path, bands: int, side: int) -> Path:
    path = folder / {"npy": "a.npy", "h5": "a.h5", "mat73": "a.mat", "envi": "a.img"}[kind]
    if kind in ("h5", "mat73"):
        with h5py.File(path, "w", userblock_size=512 if kind == "mat73" else 0) as file:
            data = file.create_dataset("cube", (bands, side, side), "i2", chunks=(bands, 32, 32))
            data[:, 3000:3096, 2000:2096] = 1  # of what is declared, hdf5 wants one byte in MAX_TIMES_STORED
        if kind == "mat73":
            with path.open("r+b") as file:
                file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    elif kind == "envi":
        path.touch()
        path.with_suffix(".hdr").write_text(
            f"ENVI\nsamples = {side}\nlines = {side}\nbands = {bands}\nheader offset = 0\nfile type = ENVI Standard\n"
            "data type = 2\ninterleave = bil\nbyte order = 0\n"
        )
        with path.open("r+b") as file:
            file.truncate(2 * bands * side * side)
    else:
        np.lib.format.open_memmap(path, "w+", np.int16, (side, side, bands)).flush()
    return path


SAMPLES = {
    "salinasA/SalinasA.mat": (224, 83, 86),
    "salinasA/SalinasA_gt.mat": (1, 83, 86),
    "paviaU_crop/paviaU_crop_41x50.mat": (103, 41, 50),
    "houston2018_crop/houston_dataset.mat#hyprImg": (48, 128, 128),
    "houston2018_crop/houston_dataset.mat#rgbImg": (3, 512, 512),
    "enmap_potsdam/images": (224, 192, 160),
    "jasper_ridge/jasperRidge2_R198.mat": (198, 100, 100),
    "muufl/an_hsi_image_sub_for_demo.mat": (72, 51, 88),
    "muufl/an_hsi_img_for_class_demo.mat": (72, 31, 20),
    "muufl/an_hsi_img_for_tgt_det_demo.mat": (72, 36, 36),
    "muufl/a_hsi_img_for_VI_demo.mat": (224, 90, 90),
    "envi_gamsberg/cubus_gamsberg_subset.hdr": (189, 25, 10),
    "hsi_groundtruth_maps/Salinas_gt.mat": (1, 512, 217),
    "houston2013_pixels/HSI_TrSet.mat": (1, 2832, 144),
    "houston2013_pixels/2013_IEEE_GRSS_DF_Contest_Samples_TR.tif": (1, 349, 1905),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", SAMPLES)
def test_every_real_cube_opens(name: str, real_data: Path) -> None:
    layer = Layer.open(f"{real_data / name.partition('#')[0]}{name[len(name.partition('#')[0]) :]}")
    data, valid = layer.read()
    assert data.shape == SAMPLES[name]
    assert valid.mean() > 0.5
    if name.endswith(".mat"):
        stored = [one for one in scipy.io.loadmat(real_data / name).values() if getattr(one, "ndim", 0) == 3]
        assert not stored or np.array_equal(data, stored[0].transpose(2, 0, 1))


@pytest.mark.real_data
def test_real_wavelengths_are_nanometres(real_data: Path) -> None:
    for name, (low, high) in {
        "enmap_potsdam/images": (418.24, 2445.53),
        "envi_gamsberg/cubus_gamsberg_subset.hdr": (426.820007, 2324.909912),
        "muufl/an_hsi_image_sub_for_demo.mat": (367.7, 1043.4),
    }.items():
        nm = Layer.open(real_data / name).wavelengths_nm
        assert (nm[0], nm[-1]) == pytest.approx((low, high), abs=0.01)


@pytest.mark.parametrize("shape", [(2**33, 8, 4), (65_536, 70_000, 70_000), (4, 2**31, 4)])
def test_arrays_with_more_bands_or_pixels_than_any_raster_are_refused_before_they_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int, int]
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("cube", shape, "u1", chunks=(1, 8, 4))
    with raises_naming(InputError, "a.h5", "0"):
        Layer.open(f"{tmp_path / 'a.h5'}#cube:bhw")
    # As if all values were written, for which no disk here is large enough.
    monkeypatch.setattr(hdf5, "MAX_DECLARED_BYTES", 1 << 60)
    with raises_naming(InputError, "65", "535", "a.h5"):
        Layer.open(f"{tmp_path / 'a.h5'}#cube:bhw")


def test_arrays_of_an_eopatch_lie_in_its_box_and_dates_follow_each_other(tmp_path: Path) -> None:
    series = np.arange(3 * 4 * 5 * 2, dtype=np.float32).reshape(3, 4, 5, 2)  # dates, rows, columns, bands
    for folder, name, array in (
        ("data", "BANDS", series),
        ("mask_timeless", "LULC", series[0, :, :, :1].astype(np.uint8)),
    ):
        (tmp_path / "patch" / folder).mkdir(parents=True)
        np.save(tmp_path / "patch" / folder / f"{name}.npy", array)
    box = {
        "type": "Polygon",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}},
        "coordinates": [
            [
                [500_000, 5_000_000],
                [500_000, 5_000_040],
                [500_050, 5_000_040],
                [500_050, 5_000_000],
                [500_000, 5_000_000],
            ]
        ],
    }
    (tmp_path / "patch" / "bbox.geojson").write_text(json.dumps(box))
    path = tmp_path / "patch" / "data" / "BANDS.npy"
    layer, labels = Layer.open(path), Layer.open(tmp_path / "patch" / "mask_timeless" / "LULC.npy", labels=True)
    assert (layer.shape, layer.count, layer.grid.crs.epsg, labels.grid) == ((4, 5), 6, 32633, layer.grid)
    assert layer.grid.affine == Affine(10, 0, 500_000, 0, -10, 5_000_040)
    expected = series.transpose(0, 3, 1, 2).reshape(6, 4, 5)
    np.testing.assert_array_equal(layer.read()[0], expected)
    np.testing.assert_array_equal(layer.subset([6, 3]).read(Window(1, 2, 2, 3))[0], expected[[5, 2], 1:3, 2:5])
    np.testing.assert_array_equal(Layer.open(f"{path}#BANDS:bhwt").read()[0][:, 0, 0], series[:, 0, 0].T.ravel())
    (tmp_path / "patch" / "bbox.geojson").write_text("{}")
    with raises_naming(InputError, "bbox.geojson", "EOPatch"):
        Layer.open(path)
