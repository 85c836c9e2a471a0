"""Rasters of STAC items: the asset that is named or alone can be meant, and of an address only the blocks that are needed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio.shutil
from geotiff import write_geotiff

from deepnets4eo.errors import InputError
from deepnets4eo.formats.stac_items import asset_of
from deepnets4eo.grid import Window
from deepnets4eo.rasters.layer import Layer

TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def write_item(path: Path, assets: Any, **others: Any) -> str:
    path.write_text(
        json.dumps({"stac_version": "1.0.0", "type": "Feature", "assets": assets, **others}), encoding="utf-8"
    )
    return str(path)


def asset(href: str, kind: str = TIFF, *roles: str) -> dict[str, Any]:
    return {"href": href, "type": kind, "roles": list(roles)}


ASSETS = {
    "visual": asset("./image.tif", TIFF, "visual"),
    "mask": asset("mask.tif"),
    "thumbnail": asset("small.png", "image/png", "thumbnail"),
    "metadata": asset("meta.xml", "application/xml"),
}


def test_an_item_on_disk_is_its_named_or_its_main_raster(tmp_path: Path) -> None:
    noise = np.arange(2 * 30 * 40, dtype=np.uint16).reshape(2, 30, 40)
    write_geotiff(tmp_path / "image.tif", noise)
    write_geotiff(tmp_path / "mask.tif", noise[:1])
    item = write_item(tmp_path / "item.json", ASSETS)
    np.testing.assert_array_equal(Layer.open(item).read()[0], noise)
    assert Layer.open(item).paths == [str(tmp_path / "image.tif")]
    assert Layer.open(f"{item}#mask").count == 1
    assert asset_of(str(tmp_path / "image.tif")) is None
    (tmp_path / "labels.json").write_text('{"features": {}}')
    assert asset_of(str(tmp_path / "labels.json")) is None


@pytest.mark.parametrize(
    ("assets", "others", "named", "message"),
    [
        (ASSETS, {}, "#visul", "has no asset 'visul'. Did you mean 'visual'"),
        ({"a": asset("a.tif"), "b": asset("b.tif")}, {}, "", r"has 2 rasters: a, b\. Name one as .*item.json#ASSET"),
        ({"meta": ASSETS["metadata"]}, {}, "", r"has no rasters\. Name one .* its assets are meta"),
        (None, {}, "", "its assets are none"),
        ({"a": asset("https://example.org/a.tif")}, {}, "", "refers to https://example.org/a.tif. Give that address itself"),
        ({"a": asset("/vsicurl/https://example.org/a.tif")}, {}, "", "Give that address itself"),
        ({"a": asset("a\0.tif")}, {}, "", "which no file is called"),
        ("a.tif", {}, "", "its assets are none"),
        ({"a": {**asset("a.tif"), "roles": 3}, "b": {**asset("b.tif"), "roles": [["data"]]}}, {}, "", "has 2 rasters: a, b"),
        ({"a": asset("../../secret.tif")}, {}, "", "outside its own folder"),
        (ASSETS, {"type": "Collection"}, "", "is a STAC Collection, expected an item"),
    ],
)  # fmt: skip
def test_what_an_item_does_not_say_is_refused(
    assets: Any, others: dict[str, Any], named: str, message: str, tmp_path: Path
) -> None:
    item = write_item(tmp_path / "item.json", assets, **others)
    with pytest.raises(InputError, match=message):
        Layer.open(f"{item}{named}")


def test_of_an_item_at_an_address_only_the_blocks_that_are_needed_are_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1024, 1024)).astype(np.uint8)
    image, site = tmp_path / "plain.tif", tmp_path / "site"
    site.mkdir()
    rasterio.shutil.copy(write_geotiff(image, noise), site / "image.tif", driver="COG", blocksize=128, overviews="NONE")
    write_item(site / "item.json", {"visual": asset("image.tif", TIFF, "visual")})
    command = [sys.executable, str(Path(__file__).with_name("range_server.py")), str(site)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = f"http://127.0.0.1:{process.stdout.readline().strip()}/item.json"
            layer = Layer.open(address)
            np.testing.assert_array_equal(layer.read(Window(600, 700, 100, 100))[0][0], noise[600:700, 700:800])
            with pytest.raises(InputError, match="has no asset 'red'"):
                Layer.open(f"{address}#red")
            with pytest.raises(InputError, match="could not be read: HTTP Error 404"):
                Layer.open(address.replace("item.", "none."))
            with pytest.raises(InputError, match="is no STAC item"):
                Layer.open(address.replace("item.json", "image.tif#visual"))
        finally:
            process.kill()
    served = [line.split() for line in (site / "served.txt").read_text().splitlines()]
    of_image = [int(count) for name, count in served if name == "image.tif"][:-1]  # the last one was taken for an item
    assert 0 < sum(of_image) < (site / "image.tif").stat().st_size / 4
