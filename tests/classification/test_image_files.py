"""Files of images as they are really delivered: numbers of several types, scales, nodata, alpha, palettes, tables and archives."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from rasterio.enums import ColorInterp

from deepnets4eo.classification import list_images
from deepnets4eo.classification.images import measure_pixels
from deepnets4eo.classification.readers import ImageData
from deepnets4eo.errors import InputError

from .test_images import data, pixels_of

GROUND = np.arange(1000, 1048, dtype=np.uint16).reshape(3, 4, 4)


def two_classes(folder: Path, first: np.ndarray, second: np.ndarray, *changes: dict, **profile: object) -> Path:  # type: ignore[type-arg]
    """A folder of two classes with an image each; changes : attributes that rasterio sets of the first, and of the second."""
    for name, array, change in zip("ab", (first, second), (*changes, {}, {}), strict=False):
        path = write_geotiff(folder / name / f"{name}.tif", array, **profile)
        with rasterio.open(path, "r+") as file:
            for key, value in change.items():
                setattr(file, key, value)
    return folder


def test_numbers_of_several_types_are_read_into_one_that_holds_them_all(tmp_path: Path) -> None:
    wide = GROUND.astype(np.float32) + 0.25
    folder = two_classes(tmp_path, GROUND, wide)
    pixels = pixels_of(list_images(data(folder))[0], tmp_path)
    np.testing.assert_array_equal(pixels, np.stack([GROUND, wide]))
    np.testing.assert_array_equal(pixels_of(list_images(data(folder))[0], tmp_path, memory_bytes=1), pixels)
    with pytest.raises(InputError, match=r"b.tif holds uint16, .*a.tif uint8: .* two units"):
        pixels_of(list_images(data(two_classes(tmp_path / "8", GROUND.astype(np.uint8), GROUND)))[0], tmp_path)


def test_scale_and_offset_that_a_file_states_are_applied(tmp_path: Path) -> None:
    """Sentinel-2 before and after baseline 04.00: the later numbers lie 1,000 higher for one ground."""
    later = {"offsets": (-1000.0,) * 3}
    pixels = pixels_of(list_images(data(two_classes(tmp_path, GROUND, GROUND + 1000, {}, later)))[0], tmp_path)
    np.testing.assert_array_equal(pixels[0], pixels[1])


def test_each_file_has_its_own_value_without_data(tmp_path: Path) -> None:
    hidden = [GROUND.astype(np.int32), GROUND.astype(np.int32)]
    hidden[0][:, 0, 0], hidden[1][:, 0, 1], hidden[1][:, 0, 0] = -99, -7, 0
    images, _ = list_images(data(two_classes(tmp_path, *hidden, {"nodata": -99}, {"nodata": -7})))
    pixels = pixels_of(images, tmp_path)
    assert np.isnan(pixels).all(axis=1)[:, 0, :2].tolist() == [[True, False], [False, True]]
    seen = np.concatenate([hidden[0][0].ravel()[1:], np.delete(hidden[1][0].ravel(), 1)])
    spec = measure_pixels(pixels, np.arange(2), images)
    assert spec.layers["image"].mean[0] == pytest.approx(seen.mean())


def test_every_file_is_compared_with_the_first(tmp_path: Path) -> None:
    names = ("B02", "B03", "B04")
    for folder, second, message in (
        ("order", {"descriptions": names[::-1]}, r"b.tif has its bands as B04, B03, B02"),
        ("others", {"descriptions": ("B02", "B03", "B08")}, r"b.tif lacks B04"),
    ):
        images, _ = list_images(data(two_classes(tmp_path / folder, GROUND, GROUND, {"descriptions": names}, second)))
        with pytest.raises(InputError, match=message):
            images.read(1)
    colours = [
        {"colorinterp": [getattr(ColorInterp, name) for name in order.split()]}
        for order in ("red green blue", "blue green red")
    ]
    images, _ = list_images(data(two_classes(tmp_path / "colours", GROUND, GROUND, *colours)))
    with pytest.raises(InputError, match=r"b.tif has its colours as blue, green, red, .*a.tif as red, green, blue"):
        images.read(1)


def test_alpha_hides_and_is_no_band_grey_and_palettes_are_refused(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(1, 255, (3, 4, 4), np.uint8)
    alpha = np.full((1, 4, 4), 255, np.uint8)
    alpha[0, 0, 0] = 0
    write_geotiff(tmp_path / "a" / "a.png", photo, driver="PNG", crs=None)
    write_geotiff(tmp_path / "b" / "b.png", np.concatenate([photo, alpha]), driver="PNG", crs=None)
    (tmp_path / "b" / "._b.png").write_bytes(b"\0\5\x16\7")  # what macOS keeps beside each file of an archive
    (tmp_path / "__MACOSX" / "a").mkdir(parents=True)
    (tmp_path / ".ipynb_checkpoints").mkdir()
    images, legend = list_images(data(tmp_path))
    assert legend.names == ("a", "b")
    pixels = pixels_of(images, tmp_path)
    assert np.isnan(pixels[1]).all(axis=0).sum() == 1
    np.testing.assert_array_equal(np.where(np.isnan(pixels[1]), photo, pixels[1]), photo)
    write_geotiff(tmp_path / "b" / "c.jpg", photo[:1].repeat(16, 1).repeat(16, 2), driver="JPEG", crs=None)
    with pytest.raises(InputError, match=r"c.jpg has 1 band \(grey\), .*a.png has 3 bands"):
        list_images(data(tmp_path))[0].read(2)
    path = write_geotiff(tmp_path / "b" / "c.jpg", photo[:1], driver="PNG", crs=None)
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {value: (value, 0, 0, 255) for value in range(256)})
    with pytest.raises(InputError, match=r"c.jpg has a colour table.*-expand rgb"):
        list_images(data(tmp_path))[0].read(2)


def test_zips_of_classes_are_named_with_the_command_that_unpacks_them(tmp_path: Path) -> None:
    for name in ("Forest", "River"):
        (tmp_path / f"{name}.zip").write_bytes(b"PK")
    for layout in ("auto", "folders"):
        with pytest.raises(InputError, match=r"holds 2 archives, Forest.zip, River.zip, .*unzip -q -d"):
            list_images(data(tmp_path, layout=layout))


def table(folder: Path, text: str) -> ImageData:
    for name in ("a", "b", "c"):
        write_geotiff(folder / "images" / f"{name}.tif", GROUND)
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    return data(folder / "labels.csv")


def test_tables_may_call_parts_split_and_say_one_thing_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    legend = list_images(data(two_classes(tmp_path / "two", GROUND, GROUND)))[1]
    text = "image,label,split\nimages/a.tif,a,train\nimages/b.tif,b,validation\nimages/c.tif,b,test\n./images/a.tif,a,train\n"
    images, _ = list_images(table(tmp_path, text), legend)
    assert images.parts == ("train", "val", "test")
    assert images.targets.argmax(1).tolist() == [0, 1, 1]
    assert "1 lines say again" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label,part\nimages/a.tif,a,train\n./images/a.tif,a,test\n", r"line 2 and line 3 name one image.*a \(train\) and as a \(test\)"),
        ("image,label\nimages/a.tif,a\nimages/a.tif,b\n", "line 2 and line 3 name one image.*as a and as b"),
        ("image,label,split\nimages/a.tif,a,fold1\n", "line 2: split is 'fold1'"),
        ("image,label\n../outside/a.tif,a\n", r"outside its own folder"),
        ("image,label\nimages/\0a.tif,a\n", "line 2: there is no file|cannot be read as a table"),
        ("image,label\nimages/none.tif\n", "line 2: there is no file"),
        ("image,kind\n", "has the columns image, kind"),
        ("", "has the columns ; expected"),
        ("image,label\n" + "a" * 140_000 + ",b\n", "cannot be read as a table"),
    ],
)  # fmt: skip
def test_tables_that_contradict_themselves_or_lead_elsewhere_are_refused(
    text: str, message: str, tmp_path: Path
) -> None:
    write_geotiff(tmp_path / "outside" / "a.tif", GROUND)
    legend = list_images(data(two_classes(tmp_path / "two", GROUND, GROUND)))[1]
    with pytest.raises(InputError, match=message):
        list_images(table(tmp_path / "in", text), legend)
