"""OSCD and HRSCD by path: the scripts find all cities and tiles of the real layout, and tell their dates apart."""

import shutil
from pathlib import Path

import hrscd
import numpy as np
import oscd
import pytest
from geotiff import write_geotiff

from deepnets4eo.cards import DatasetCard
from deepnets4eo.rasters import Layer


@pytest.fixture(scope="module")
def cities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of OSCD, whose cities are all alike."""
    root = tmp_path_factory.mktemp("oscd")
    _, parts = DatasetCard.load("oscd").split("official")
    first, *others = (root / name for name in (*parts["train"], *parts["test"]))
    for date in (1, 2):
        for number, band in enumerate(oscd.BANDS):
            values = np.full((1, 4, 6), 1000 * date + number, np.uint16)
            write_geotiff(first / f"imgs_{date}_rect" / f"{band}.tif", values)
    write_geotiff(first / "cm" / "cm.png", np.ones((4, 6), np.uint8), crs=None, driver="PNG")
    for other in others:
        shutil.copytree(first, other)
    return root


@pytest.mark.parametrize("bands", [oscd.RGB, oscd.BANDS])
def test_the_cities_of_oscd_are_stacked_by_date_in_the_order_of_the_bands(
    bands: tuple[str, ...], cities: Path, tmp_path: Path
) -> None:
    train, test = oscd.oscd(cities, tmp_path / "out", bands)
    assert (len(train), len(test)) == (14, 10)
    assert not train.keys() & test.keys()
    expected = [oscd.BANDS.index(band) for band in bands]
    for date, layer in ((1, "image_pre"), (2, "image_post")):
        stacked = Layer.open(test["rio"][layer]).read()[0]
        assert stacked[:, 0, 0].tolist() == [1000 * date + number for number in expected]
    assert Layer.open(test["rio"]["labels"], labels=True).read()[0].max() == 1


def test_the_departments_of_hrscd_are_learnt_from_and_tested_on_apart(tmp_path: Path) -> None:
    for area in ("D14", "D35"):
        for tile in ("1-a", "2-b"):
            for layer in ("pre", "post"):
                write_geotiff(tmp_path / area / tile / f"{layer}.tif", np.zeros((3, 4, 4), np.uint8))
            for layer in ("change", "cover_pre", "cover_post"):
                write_geotiff(tmp_path / area / tile / f"{layer}.tif", np.ones((4, 4), np.uint8))
    train, test = hrscd.scenes_of(tmp_path, tmp_path / "out", ((), ()), smoke=True)
    assert sorted(train) == ["D14-1-a", "D14-2-b"]
    assert sorted(test) == ["D35-1-a", "D35-2-b"]
    sources = test["D35-2-b"]
    assert set(sources) == set(hrscd.LAYERS)
    assert Path(sources["cover_post"]) == tmp_path / "D35" / "2-b" / "cover_post.tif"
    assert Path(sources["image_pre"]) == tmp_path / "D35" / "2-b" / "pre.tif"
