"""Dates of a series come from names, tags, lists or STAC items; what has none is refused."""

import json
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from affine import Affine
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.change.series.dates import DatedImage, as_date, dated_name, find_images
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError
from deepnets4eo.formats import allow_user_files
from deepnets4eo.grid import Grid
from deepnets4eo.rasters import Layer

PIXELS = np.ones((1, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("TERRA_MODIS_012010_NDVI_2013-09-14.jp2", None, date(2013, 9, 14)),
        ("S2A_MSIL2A_20200229T103021_T32.tif", None, date(2020, 2, 29)),
        ("mosaic_2019_07.tif", None, date(2019, 7, 1)),
        ("1985.tif", None, date(1985, 7, 1)),
        ("x20190231y.tif", None, None),
        ("tile_4_17.tif", None, None),
        ("LT05_1990123.tif", "%Y%j", date(1990, 5, 3)),
        ("scene 03Feb2011.tif", "%d%b%Y", date(2011, 2, 3)),
        ("scene_2011.tif", "%Y%m%d", None),
        ("MOD_2013-257.tif", None, date(2013, 9, 14)),
        ("MOD_2013.257_x.tif", None, date(2013, 9, 14)),
        ("MOD_2013_100.tif", None, None),  # a day of the year, or a number of its own
        ("MOD_2013-366.tif", None, None),
        ("S2_2019-1-5.tif", None, None),  # neither July 2019 nor January
        ("S2_2019-01-5.tif", None, None),
        ("S2_2020-02-30.tif", None, None),
        ("S2_2020-02-30T101010.tif", None, None),
        ("S2_2020-13-01.tif", None, None),
        ("mosaic_2019_7.tif", None, None),  # a month, or a number of its own
        ("mosaic_2019_07_3m.tif", None, date(2019, 7, 1)),
        ("S2_2019-1-5_of_2019-03-07.tif", None, date(2019, 3, 7)),
        ("a_28-02-2019.tif", None, None),  # the year comes last
        ("28.02.2019.tif", None, None),
        ("S2_5_03_2018_x.tif", None, None),
        ("2019 02 28.tif", None, date(2019, 2, 28)),
        ("h18_v04_2019.tif", None, date(2019, 7, 1)),
        ("season_2019-2020.tif", None, date(2019, 7, 1)),
        ("mosaic_2019_100m.tif", None, date(2019, 7, 1)),
        ("1234567890_20190501.tif", "%Y%m%d", date(2019, 5, 1)),
        ("1112101011_20190501.tif", "%Y%m%d", date(2019, 5, 1)),
        ("LC80160352013257LGN00.tif", "%Y%j", date(2013, 9, 14)),
        ("map_18500102.tif", "%Y%m%d", date(1850, 1, 2)),
    ],
)
def test_dates_are_read_from_names(name, pattern, expected):
    assert dated_name(name, pattern)[0] == expected


def test_a_folder_is_sorted_by_date_and_tags_help_where_names_do_not(tmp_path):
    write_geotiff(tmp_path / "b_2020-03-01.tif", PIXELS)
    write_geotiff(tmp_path / "a_2020-05-01.tif", PIXELS)
    written_later = {"TIFFTAG_DATETIME": "2023:01:31 08:00:00"}
    write_geotiff(tmp_path / "c.tif", PIXELS, tags={"ACQUISITIONDATETIME": "2020-04-02T10:11:12Z"} | written_later)
    assert [image.day for image in find_images(tmp_path)] == [date(2020, 3, 1), date(2020, 4, 2), date(2020, 5, 1)]
    assert [image.day.month for image in find_images(f"{tmp_path}/*_2020*.tif")] == [3, 5]


@pytest.mark.parametrize("tag", ["TIFFTAG_DATETIME", "tiff:datetime"])
def test_the_time_when_a_file_was_written_is_no_date_of_acquisition(tmp_path, tag):
    write_geotiff(tmp_path / "c.tif", PIXELS, tags={tag: "2020:04:02 10:11:12"})
    with raises_naming(InputError, "TIFFTAG_DATETIME"):
        find_images(tmp_path)


def test_folders_of_tiles_are_one_date_each(tmp_path):
    for day in ("2020-01-01", "2020-02-01"):
        for column in (0, 1):
            write_geotiff(tmp_path / day / f"{column}.tif", PIXELS, origin=(8.0 * column, 8))
    assert [image.day.month for image in find_images(tmp_path)] == [1, 2]


def test_given_dates_go_with_the_order_of_the_list():
    images = find_images([PIXELS, PIXELS + 1], dates=["2020-06-01", "2020-05-01"])
    assert [(image.day.month, int(image.sources[0][0, 0, 0])) for image in images] == [(5, 2), (6, 1)]
    with raises_naming(InputError, "1 dates", "2 rasters"):
        find_images([PIXELS, PIXELS], dates=["2020-06-01"])
    for text in (
        "soon",
        "2019-1-5",
        "2019-02-30",
        "2020-13-01",
        "2020-13",
        "x2020-01-01",
        "2020-01-01x",
        "20190230",
        "19",
        "",
    ):
        with raises_naming(InputError, text, "2020", "06", "30"):
            find_images([PIXELS], dates=[text])
    days = ("2019-01-05", "20190105", "2019-01-05T10:11Z", "2019-01", "2019", date(2019, 1, 5))
    assert [as_date(day).isoformat() for day in days] == [
        "2019-01-05", "2019-01-05", "2019-01-05", "2019-01-01", "2019-07-01", "2019-01-05",
    ]  # fmt: skip


def test_masks_of_one_date_are_joined_and_given_dates_are_those_of_the_masks_too(tmp_path):
    for letter, day in zip("ab", ("2020-03-01", "2020-04-01"), strict=True):
        write_geotiff(tmp_path / "images" / f"{day}.tif", PIXELS)
        write_geotiff(tmp_path / "plain" / f"{letter}.tif", PIXELS)
        write_geotiff(tmp_path / "plain_masks" / f"mask_{letter}.tif", PIXELS)
        for kind in ("cloud", "shadow"):
            write_geotiff(tmp_path / "masks" / f"{day}_{kind}.tif", PIXELS)
    joined = find_images(tmp_path / "images", masks=tmp_path / "masks")
    names = [[str(mask).rsplit("/", 1)[1] for mask in image.masks] for image in joined]
    assert names == [[f"{day}_{kind}.tif" for kind in ("cloud", "shadow")] for day in ("2020-03-01", "2020-04-01")]
    days = ["2020-05-01", "2020-02-01"]
    given = find_images(tmp_path / "plain", masks=tmp_path / "plain_masks", dates=days)
    assert [(image.day.month, str(image.masks[0])[-5:]) for image in given] == [(2, "b.tif"), (5, "a.tif")]
    with raises_naming(InputError, "2 dates", "4 masks"):
        find_images(tmp_path / "plain", masks=tmp_path / "masks", dates=days)


def test_rasters_without_a_date_twice_a_date_and_missing_masks_are_refused(tmp_path):
    write_geotiff(tmp_path / "one" / "x.tif", PIXELS)
    with raises_naming(InputError, "x.tif", "--set", "date_pattern"):
        find_images(tmp_path / "one")
    with raises_naming(InputError, "'%Y'"):
        find_images(tmp_path / "one", date_pattern="%Y")
    with raises_naming(InputError, "'%Q'"):
        find_images(tmp_path / "one", date_pattern="%Q")
    for name in ("a_2020-03-01.tif", "b_20200301.tif"):
        write_geotiff(tmp_path / "two" / name, PIXELS)
    with raises_naming(InputError, "2020-03-01"):
        find_images(tmp_path / "two")
    write_geotiff(tmp_path / "three" / "2020-03-01.tif", PIXELS)
    write_geotiff(tmp_path / "masks" / "2020-03-02.tif", PIXELS)
    with raises_naming(InputError, "2020-03-01"):
        find_images(tmp_path / "three", masks=tmp_path / "masks")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no raster"):
        find_images(tmp_path / "empty")
    with pytest.raises(InputError, match=r"is no folder of rasters"):
        find_images(tmp_path / "absent")


def stac(folder, **assets):
    items = [
        {
            "type": "Feature", "id": f"item-{day}", "properties": {"datetime": f"{day}T10:00:00Z"},
            "assets": {name: {"href": href.format(day=day)} for name, href in assets.items()},
        }
        for day in ("2021-02-01", "2021-01-01")
    ]  # fmt: skip
    path = folder / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


def test_stac_items_are_read_from_their_local_assets(tmp_path):
    for day in ("2021-01-01", "2021-02-01"):
        for name in ("red", "nir", "scl"):
            write_geotiff(tmp_path / "files" / f"{name}_{day}.tif", PIXELS)
    names = {name: f"./files/{name}_{{day}}.tif" for name in ("red", "nir", "scl")}
    path = stac(tmp_path, **names, thumbnail="t.jpeg.json")
    images = find_images(path, assets=["nir", "red"], masks="scl")
    assert [image.day.month for image in images] == [1, 2]
    assert [str(source).rsplit("/", 1)[1] for source in images[0].sources] == [
        "nir_2021-01-01.tif",
        "red_2021-01-01.tif",
    ]
    assert str(images[1].masks[0]).endswith("scl_2021-02-01.tif")
    with raises_naming(InputError, "red", "nir", "scl"):
        find_images(path)
    with raises_naming(InputError, "'redd'", "'red'"):
        find_images(path, assets=["redd"])
    assert len(find_images(stac(tmp_path, red=names["red"], scl=names["scl"]), masks="scl")) == 2


@pytest.mark.parametrize("how", ["../", "absolute", "file://", "link"])
def test_stac_assets_outside_the_folder_of_the_items_are_read_only_where_the_user_named_them(tmp_path, how):
    secret = tmp_path / "private" / "red_2021-01-01.tif"
    write_geotiff(secret, PIXELS)
    folder = tmp_path / "shared"
    folder.mkdir()
    if how == "link":
        (folder / "red.tif").symlink_to(secret)
    names = {
        "../": "../private/red_2021-01-01.tif",
        "absolute": str(secret),
        "file://": f"file://{secret}",
        "link": "red.tif",
    }
    path = folder / "items.json"
    item = {"id": "x", "properties": {"datetime": "2021-01-01T10:00:00Z"}, "assets": {"red": {"href": names[how]}}}
    path.write_text(json.dumps({"features": [item]}))
    with raises_naming(InputError, secret, folder):
        find_images(path)
    with allow_user_files(["series", str(path), str(tmp_path / "private")]):
        assert [image.day.isoformat() for image in find_images(path)] == ["2021-01-01"]


def test_stac_files_that_are_none_and_assets_elsewhere_are_refused(tmp_path):
    with raises_naming(InputError, "https://far.org/a.tif"):
        find_images(stac(tmp_path, red="https://far.org/a.tif"))
    path = tmp_path / "other.json"
    for text, message in (
        ('{"features": [{"type": "Feature"}]}', "is no STAC ItemCollection"),
        ("[1]", "is no STAC ItemCollection"),
        ('{"id": "x", "assets": {"a": {"href": "a.tif"}}}', "item 'x' has no datetime"),
        (
            '{"id": "x", "properties": {"datetime": "2019-02-30T10:00:00Z"}, "assets": {}}',
            "item 'x' has the datetime '2019-02-30T10:00:00Z', expected one like 2020-06-30T10:00:00Z",
        ),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            find_images(path)


def test_dates_of_which_only_the_year_is_known_are_said_and_so_is_the_file_of_the_grid(tmp_path, caplog):
    for name in ("1985.tif", "1990_06_03.tif", "1995.tif"):
        write_geotiff(tmp_path / name, PIXELS)
    images = find_images(tmp_path)
    assert [image.year_alone for image in images] == [True, False, True]
    given = find_images(tmp_path, dates=["1985-02", "1990", "1995-07-01"])
    assert [image.year_alone for image in given] == [False, True, False]
    assert [image.year_alone for image in find_images(tmp_path, date_pattern="%Y")] == [True, True, True]
    series = ImageSeries(images)
    assert "Only the year of 1985, 1995 is known: the middle of the year (1 July) stands for the date" in caplog.text
    assert series.grid_source == str(tmp_path / "1985.tif")


def _stack(*, unit: float = 1.0, last: date = date(2020, 5, 1), placed: bool = True, number: int = 4) -> None:
    """A series of five dates, of which one differs."""
    grid = Grid((32, 32), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
    values = np.random.default_rng(0).integers(200, 3000, (2, 32, 32)).astype(np.float32)
    days = [date(2020, month, 1) for month in range(1, 5)] + [last]
    layers = [
        Layer.open(values * (unit if index == number else 1), grid=grid if placed or index != number else None)
        for index in range(5)
    ]
    ImageSeries([DatedImage(day, (layer,)) for day, layer in zip(days, layers, strict=True)])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({}, ""), ({"unit": 20.0}, ""), ({"unit": 1 / 20}, ""), ({"unit": 1e-4}, "as in another unit"), ({"unit": 1e4}, "2020-05-01"),
        ({"last": date(2999, 1, 1)}, "have not come yet: 2999-01-01"), ({"last": date.today() + timedelta(days=1)}, ""),
        ({"placed": False}, "The images of 2020-05-01 have no CRS"), ({"placed": False, "number": 0}, "the result has no place"),
    ],
)  # fmt: skip
def test_dates_of_another_kind_are_named(how: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture) -> None:
    _stack(**how)
    found = [text for text in caplog.messages if "do not name their bands" not in text]
    assert bool(found) == bool(words), found
    assert words in " ".join(found)
