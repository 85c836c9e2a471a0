"""Files of images as they are really delivered: numbers of several types, scales, nodata, alpha, palettes, tables and archives."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from rasterio.enums import ColorInterp
from refusals import raises_naming

from deepnets4eo.classification import list_images
from deepnets4eo.classification.images import ImageSplit, measure_pixels, split_images
from deepnets4eo.classification.parts import keep_together, place_blocks, place_of, shared_between
from deepnets4eo.classification.readers import ImageData
from deepnets4eo.cli.main import main
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
    with raises_naming(InputError, "b.tif", "uint16", "a.tif", "uint8"):
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
    with raises_naming(InputError, "b.tif", "a.tif"):
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
    with raises_naming(InputError, "1", "a.png", "3"):
        list_images(data(tmp_path))[0].read(2)
    path = write_geotiff(tmp_path / "b" / "c.jpg", photo[:1], driver="PNG", crs=None)
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {value: (value, 0, 0, 255) for value in range(256)})
    with raises_naming(InputError, "c.jpg"):
        list_images(data(tmp_path))[0].read(2)


def test_zips_of_classes_are_named_with_the_command_that_unpacks_them(tmp_path: Path) -> None:
    for name in ("Forest", "River"):
        (tmp_path / f"{name}.zip").write_bytes(b"PK")
    for layout in ("auto", "folders"):
        with raises_naming(InputError, "2", "Forest.zip", "River.zip"):
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


def delivered(folder: Path, count: int = 8) -> Path:
    """Two classes of JPEGs named by their places, four blocks of 0.02° from west to east; b has a hidden file."""
    rng = np.random.default_rng(1)
    for name in "ab":
        for number in range(count):
            path = folder / name / f"{-95.6301 + 0.01 * number:.4f}_29.76{number}.jpeg"
            write_geotiff(path, rng.integers(0, 255, (3, 16, 16), np.uint8), driver="JPEG", crs=None)
    (folder / "b" / ".DS_Store").write_bytes(b"\0")
    return folder


def test_images_named_by_their_places_are_split_by_whole_blocks(tmp_path: Path) -> None:
    images, _ = list_images(data(delivered(tmp_path)))
    blocks = place_blocks(images.names, 0.02)
    assert len(set(blocks)) == 4
    split = split_images(images, val_share=0.2, test_share=0.2, labels_per_class=0, seed=0, groups=blocks)
    parts = [{blocks[row] for row in rows} for rows in (split.labelled, split.val, split.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 4
    assert min(split.describe()[name] for name in ("labelled", "val", "test")) >= 2
    with raises_naming(InputError, "a/0.tif"):
        place_blocks(["a/0.tif"], 0.02)
    with pytest.raises(InputError, match="lie in one block"):
        split_images(images, val_share=0.2, test_share=0, labels_per_class=0, seed=0, groups=[0] * 16)
    assert place_of("S2A_20200101_1.5_tile.tif") is None
    assert place_of("x/200.5_29.7.png") is None


def test_images_alike_lie_in_one_part_where_parts_are_drawn_and_are_counted_where_published() -> None:
    split = ImageSplit(np.array([0, 1]), np.array([2]), np.array([3, 4]), np.array([5]), tuple("abcdef"))
    moved, count = keep_together(split, (), ["x", "y", "x", "y", "z", "z"])
    assert count == 2
    assert [rows.tolist() for rows in (moved.labelled, moved.unlabelled, moved.val, moved.test)] == [
        [0, 1, 3],
        [2],
        [4, 5],
        [],
    ]
    assert keep_together(split, ("train",) * 3 + ("val",) * 2 + ("test",), list("xyxyzz"))[1] == 0
    assert shared_between(
        {"train": [("a", 1), ("b", 2)], "val": [("c", 3)], "test": [("d", 2), ("e", 2), ("f", 4)]}
    ) == [
        "2 of 3 images of test are byte for byte images of train, e.g. d is b: what is learnt from one is tested on the other. "
        "Take them out of one of the two."
    ]


def test_check_describes_folders_tables_and_archives_of_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = delivered(tmp_path / "places")
    shutil.copy(next((folder / "a").glob("*.jpeg")), folder / "b" / "-95.5_29.7.jpeg")
    assert main(["check", str(folder)]) == 0
    shown = capsys.readouterr().out
    for words in (
        "images: 17",
        "a: 8, b: 9",
        "3 bands of 16 × 16 px: 17",
        "split with --set split.by=place",
        "1 images stand in several",
    ):
        assert words in shown
    parts = tmp_path / "parts"
    for part in ("train", "test"):
        shutil.copytree(folder / "a", parts / part / "a")
        shutil.copytree(folder / "b", parts / part / "b", ignore=shutil.ignore_patterns("*_29.7.jpeg"))
    images, legend = list_images(data(parts))
    assert (legend.names, set(images.parts)) == (("a", "b"), {"train", "test"})
    assert main(["check", str(parts)]) == 0
    shown = capsys.readouterr().out
    assert "parts: test: 16, train: 16" in shown
    assert "16 of 16 images of train are byte for byte images of test" in shown
    pixels = np.random.default_rng(0).integers(0, 255, (6, 64, 64, 3), np.uint8)
    pixels[5] = pixels[0]
    np.savez(tmp_path / "eurosat_train.npz", x=pixels, y=[0, 1, 2, 2, -1, 0])
    assert main(["check", str(tmp_path / "eurosat_train.npz")]) == 0
    shown = capsys.readouterr().out
    for words in (
        "images with labels",
        "class 0: 2, class 1: 1, class 2: 2, unlabelled: 1",
        "1 images are byte for byte others",
    ):
        assert words in shown
    (tmp_path / "zips").mkdir()
    (tmp_path / "zips" / "River.zip").write_bytes(b"PK")
    main(["check", str(tmp_path / "zips")])
    assert "unzip -q -d" in capsys.readouterr().out
