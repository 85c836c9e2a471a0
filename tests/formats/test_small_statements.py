"""Small statements of files: a grey colour table, nodata of 64 bits, colours of 10 to 12 bits, names of negative values, pixels that are not square."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
from deepnets4eo.formats.declared import _envi_scale
from deepnets4eo.formats.picture_structure import _exif_orientation, _png_orientation
from deepnets4eo.formats.protobuf import varint
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


@pytest.mark.parametrize(
    ("message", "value"),
    [(b"\x00", 0), (b"\x7f", 127), (b"\x80\x01", 128), (b"\xff" * 9 + b"\x01", (1 << 64) - 1), (b"\xff" * 10, None)],
)
def test_a_number_of_protocol_buffers_has_up_to_ten_bytes(message: bytes, value: int | None) -> None:
    if value is None:
        with pytest.raises(ValueError, match="more than 64 bits"):
            varint(message, 0)
    else:
        assert varint(b"?" + message + b"?", 1) == (value, 1 + len(message))


@pytest.mark.parametrize(
    ("text", "scale"), [("10000", 1e-4), ("0", 1.0), ("nan", 1.0), ("none", 1.0), (None, 1.0), ("-2", 1.0)]
)
def test_the_scale_of_reflectance_in_an_envi_header_is_a_positive_number(text: str | None, scale: float) -> None:
    dataset: Any = SimpleNamespace(tags=lambda ns: {} if text is None else {"reflectance_scale_factor": text})
    assert _envi_scale(dataset) == pytest.approx(scale)


def exif(orientation: int, order: str = "<", big: bool = False) -> bytes:
    """A block with one entry, by the definition of TIFF."""
    entry = struct.pack(f"{order}HH", 274, 3)
    mark = b"II" if order == "<" else b"MM"
    if big:
        body = struct.pack(f"{order}Q", 1) + entry + struct.pack(f"{order}QHHI", 1, orientation, 0, 0) + bytes(8)
        return mark + struct.pack(f"{order}HHHQ", 43, 8, 0, 16) + body
    body = struct.pack(f"{order}H", 1) + entry + struct.pack(f"{order}IHH", 1, orientation, 0) + bytes(4)
    return mark + struct.pack(f"{order}HI", 42, 8) + body


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_an_orientation_is_read_in_either_order_of_bytes(order: str, big: bool) -> None:
    assert [_exif_orientation(exif(number, order, big)) for number in (1, 6, 8, 9, 0)] == [1, 6, 8, 1, 1]
    assert _exif_orientation(b"Exif\0\0" + exif(3, order, big)) == 3
    cut = exif(6, order, big)[:20]
    assert _exif_orientation(cut) == 1
    many = struct.pack("<HI", 42, 8) + struct.pack("<H", 65_535)
    assert _exif_orientation(b"II" + many) == 1


def test_a_png_states_its_orientation_before_its_pixels() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + bytes(4)

    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13))
    turned, pixels = chunk(b"eXIf", exif(6)), chunk(b"IDAT", b"x")
    read = [
        _png_orientation(io.BytesIO(head + rest)) for rest in (turned + pixels, pixels + turned, chunk(b"IEND", b""))
    ]
    assert read == [6, 1, 1]
