"""Small statements of files: a grey colour table, nodata of 64 bits, colours of 10 to 12 bits, names of negative values, pixels that are not square."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from geotiff import write_geotiff
from PIL import Image
from rasterio.enums import ColorInterp
from refusals import raises_naming

from deepnets4eo.errors import InputError, RunError
from deepnets4eo.points.files.cloud_file import colour_bits, to_bytes
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec
from deepnets4eo.training.mask_legend import legend_of_masks, read_masks


def test_a_colour_table_of_greys_is_no_palette(tmp_path: Path) -> None:
    grey = (np.arange(64).reshape(8, 8) % 3).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.bmp")  # which always has a colour table
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert Layer.open(tmp_path / "grey.bmp").colour_roles == ["gray"]
    content = read_masks([str(tmp_path / "grey.bmp"), str(tmp_path / "grey.png")])
    assert set(content.pixels) == {(0,), (1,), (2,)}


def test_a_band_that_states_a_palette_and_has_no_table_has_no_colours(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "a.tif", np.ones((4, 4), np.uint8))
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.palette]
    layer = Layer.open(path)
    assert layer.colour_roles == ["palette"]
    assert layer.palette is None


def test_negative_values_of_masks_have_a_name_that_no_other_value_has(tmp_path: Path) -> None:
    mask = write_geotiff(tmp_path / "a.tif", np.array([[-1, 1, 2, 1]], np.int16))
    assert set(legend_of_masks(read_masks([str(mask)]), "x", None).names) == {"class-minus-1", "class-1", "class-2"}


@pytest.mark.parametrize(
    ("nodata", "is_exact"), [(-(2**63), True), (-9999, True), (2**53 + 1, False), (2**60 + 1, False)]
)
def test_nodata_of_64_bits_is_exact_or_refused(nodata: int, is_exact: bool, tmp_path: Path) -> None:
    write_geotiff(tmp_path / "a.tif", np.array([[nodata, nodata + 1, 3, 4]], np.int64))
    band = f"<NoDataValue>{nodata}</NoDataValue><SimpleSource><SourceFilename>{tmp_path / 'a.tif'}</SourceFilename></SimpleSource>"
    text = f'<VRTDataset rasterXSize="4" rasterYSize="1"><VRTRasterBand dataType="Int64" band="1">{band}</VRTRasterBand></VRTDataset>'
    (tmp_path / "a.vrt").write_text(text)
    rasterio.shutil.copy(str(tmp_path / "a.vrt"), str(tmp_path / "b.tif"), driver="GTiff")
    if is_exact:
        assert Layer.open(tmp_path / "b.tif").read()[1].ravel().tolist() == [False, True, True, True]
        return
    with raises_naming(InputError, "int64", "nodata"):
        Layer.open(tmp_path / "b.tif")


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_colours_of_any_number_of_bits_are_as_bright(bits: int) -> None:
    bright = np.linspace(0, 255, 52).astype(np.uint16)
    stored = bright << (bits - 8)
    assert colour_bits(stored) == bits
    np.testing.assert_array_equal(to_bytes(stored, bits=bits), bright)


@pytest.mark.parametrize(
    ("sides", "fits"), [((1.0, 4.0), False), ((1.5, 2.5), True), ((2.0, 2.0), True), ((8.0, 8.0), False)]
)
def test_both_sides_of_a_pixel_are_compared_with_training(
    sides: tuple[float, float], fits: bool, tmp_path: Path
) -> None:
    transform = Affine(sides[0], 0, 500_000, 0, -sides[1], 4_000_000)
    image = write_geotiff(tmp_path / "a.tif", np.ones((1, 8, 8), np.uint8), transform=transform)
    scene = Scene.open(image=image)
    if fits:
        InputSpec({}, 2.0).check(scene)
        return
    with raises_naming(RunError, f"{sides[0]:.0f}", "2 m"):
        InputSpec({}, 2.0).check(scene)
