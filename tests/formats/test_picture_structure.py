"""What a picture file says of how it is built is followed or refused: shortened files, turned pictures, several pages."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from PIL import Image, ImageOps
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.formats import open_raster, picture_structure
from deepnets4eo.formats.picture_structure import Structure, structure_of
from deepnets4eo.inspection import inspect
from deepnets4eo.points.rgbd.frame import read_colour
from deepnets4eo.rasters import Layer

COLOURS = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
FORMATS = {"png": "PNG", "webp": "WEBP", "tif": "GTiff", "jpg": "JPEG"}


def save(path: Path, *, orientation: int = 1) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = {".webp": {"lossless": True}, ".jpg": {"quality": 100, "subsampling": 0}}.get(path.suffix, {})
    Image.fromarray(COLOURS).save(path, exif=exif, **how)
    return path


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_a_png_that_ends_early_is_refused_wherever_it_is_read(tmp_path: Path, share: float) -> None:
    whole = save(tmp_path / "whole.png").read_bytes()
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole[: int(share * len(whole))])
    assert not structure_of(str(cut), "PNG").whole
    for read in (Layer.open, read_colour, open_raster):
        with pytest.raises(InputError, match="truncated"):
            read(cut)
    assert inspect(str(cut)).kind == "unreadable"


@pytest.mark.parametrize("share", [0.4, 0.97])
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp", "jp2", "tif"])
def test_a_picture_that_ends_early_is_refused_in_every_format(tmp_path: Path, suffix: str, share: float) -> None:
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3)).astype(np.uint8)).save(whole)
    assert Layer.open(whole).read()[1].all()
    cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with pytest.raises(InputError, match="truncated"):
        Layer.open(cut).read()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_png_that_ends_early_is_refused_behind_an_archive_or_a_virtual_raster(tmp_path: Path, dtype: str) -> None:
    """GDAL 3.10.3 by itself fills the missing rows of 8 bits with what its memory contained, without an error."""
    grey = np.add.outer(np.arange(200), np.arange(300)).astype(dtype)
    Image.fromarray(grey // (2 if dtype == "uint8" else 1)).save(tmp_path / "a.png")
    with rasterio.open(tmp_path / "a.png") as picture:
        rasterio.shutil.copy(picture, tmp_path / "a.vrt", driver="VRT")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.write(tmp_path / "a.png", "a.png")
    for name in (str(tmp_path / "a.vrt"), f"/vsizip/{(tmp_path / 'a.zip').as_posix()}/a.png"):
        with pytest.raises(InputError, match="truncated"):
            Layer.open(name).read()


def test_bytes_after_the_end_of_a_png_do_no_harm(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png")
    path.write_bytes(path.read_bytes() + b"more")
    assert (np.moveaxis(Layer.open(path).read()[0], 0, -1) == COLOURS).all()


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_read_as_viewers_show_it(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = save(tmp_path / f"a.{suffix}", orientation=orientation)
    with Image.open(path) as picture:
        stored = Image.fromarray(np.asarray(picture.convert("RGB")) if suffix == "jpg" else COLOURS)
    exif = stored.getexif()
    exif[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(stored))
    layer = Layer.open(path)
    assert np.abs(np.moveaxis(layer.read()[0], 0, -1).astype(int) - upright).max() <= 1
    assert layer.declared.orientation == orientation
    assert layer.shape == upright.shape[:2] == layer.read_coarse(layer.shape)[1].shape


def test_world_files_place_pixels_as_they_are_stored(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", orientation=6)
    (tmp_path / "a.pgw").write_text("2\n0\n0\n-2\n500001\n4999999\n")
    layer = Layer.open(path)
    assert (layer.shape, layer.declared.orientation) == (COLOURS.shape[:2], 1)


def test_frames_of_a_camera_are_refused_where_they_are_turned(tmp_path: Path) -> None:
    """Intrinsics hold for the pixels of the sensor."""
    with pytest.raises(InputError, match="orientation"):
        read_colour(save(tmp_path / "a.jpg", orientation=6))


def write_pages(path: Path, pages: list[np.ndarray], reduced: int | None = None) -> Path:
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(path) as file:
        for number, page in enumerate(pages):
            rgb = page.ndim == 3
            file.write(page, photometric="rgb" if rgb else "minisblack", subfiletype=int(number == reduced))
    return path


def test_pages_of_one_band_are_bands(tmp_path: Path) -> None:
    cube = np.arange(4 * 20 * 30, dtype=np.uint16).reshape(4, 20, 30)
    path = write_pages(tmp_path / "cube.tif", [*cube])
    layer = Layer.open(path)
    assert np.array_equal(layer.read()[0], cube)
    assert (layer.count, layer.declared.pages) == (4, 4)
    assert inspect(str(path)).facts["pages"].startswith("4")


@pytest.mark.parametrize(
    "second", [np.zeros((10, 15), np.uint8), np.zeros((20, 30), np.uint16), np.zeros((20, 30, 3), np.uint8)]
)
def test_other_pages_are_refused(tmp_path: Path, second: np.ndarray) -> None:
    path = write_pages(tmp_path / "pages.tif", [np.zeros((20, 30), np.uint8), second])
    with raises_naming(InputError, "pages.tif", "2 pages"):
        Layer.open(path)


def test_overviews_and_masks_are_no_pages(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "a.tif", [np.zeros((20, 30), np.uint8), np.zeros((10, 15), np.uint8)], reduced=1)
    assert structure_of(str(path), "GTiff").pages == 1
    assert Layer.open(path).count == 1


def test_moving_pictures_are_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.roll(COLOURS, shift, 0)) for shift in range(3)]
    for name in ("a.gif", "a.webp", "a.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with raises_naming(InputError, "3 pages"):
            Layer.open(tmp_path / name)


@pytest.mark.parametrize(("below", "taken"), [(0, True), (1, False)])
def test_turned_pictures_up_to_a_limit_are_turned_in_memory(
    below: int, taken: bool, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("deepnets4eo.rasters.upright.MAX_COPY_BYTES", COLOURS.size - below)
    path = save(tmp_path / "a.png", orientation=3)
    if taken:
        np.testing.assert_array_equal(np.moveaxis(Layer.open(path).read()[0], 0, -1), COLOURS[::-1, ::-1])
    else:
        with raises_naming(InputError, "a.png", f"{COLOURS.size:,}"):
            Layer.open(path)


def test_a_file_that_the_disk_does_not_give_is_named_and_one_that_gdal_judges_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[Exception] = [OSError(5, "Input/output error"), struct.error()]

    def fail(*_: object) -> None:
        raise failures.pop(0)

    monkeypatch.setitem(picture_structure._READERS, "PNG", fail)
    path = save(tmp_path / "one.png")
    with raises_naming(InputError, "one.png", "Input/output error"):
        structure_of(str(path), "PNG")
    assert structure_of(str(path), "PNG") == Structure()
