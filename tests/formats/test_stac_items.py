"""Rasters of STAC items: the asset that is named or alone can be meant, and of an address only the blocks that are needed."""

import json
import pickle
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.formats import asset_of, parse_time, stac_items
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Layer

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


NUMBERS = np.stack([np.arange(12), 7 * np.arange(12)]).reshape(2, 3, 4).astype(np.uint16) * 100
OLD = {"raster:bands": [{"scale": 1e-4, "offset": -0.1, "nodata": 0}, {"scale": 2e-4, "nodata": 0}]}
NEW = {"bands": [{"raster:offset": -0.1}, {"raster:scale": 2e-4}], "nodata": 0, "raster:scale": 1e-4}  # of STAC 1.1


@pytest.mark.parametrize("stated", [OLD, NEW])
def test_scale_offset_and_nodata_of_an_item_are_those_of_its_raster(stated: dict[str, Any], tmp_path: Path) -> None:
    write_geotiff(tmp_path / "image.tif", NUMBERS)
    layer = Layer.open(write_item(tmp_path / "item.json", {"image": asset("image.tif") | stated}))
    for each in (layer, pickle.loads(pickle.dumps(layer))):  # noqa: S301
        values, valid = each.read()
        np.testing.assert_allclose(values, [NUMBERS[0] * 1e-4 - 0.1, NUMBERS[1] * 2e-4], rtol=1e-6)
        assert valid.sum() == 11
    assert layer.as_stored().read()[0].dtype == np.uint16


def test_an_offset_that_is_in_the_numbers_already_is_not_taken_off_again(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "image.tif", NUMBERS)
    properties = {"earthsearch:boa_offset_applied": True}
    item = write_item(tmp_path / "item.json", {"image": asset("image.tif") | OLD}, properties=properties)
    np.testing.assert_allclose(Layer.open(item).read()[0][0], NUMBERS[0] * 1e-4)


def test_what_a_raster_states_itself_holds_against_its_item(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "image.tif", NUMBERS, nodata=500)
    with rasterio.open(tmp_path / "image.tif", "r+") as file:
        file.scales, file.offsets = (0.5, 0.5), (1, 1)
    layer = Layer.open(write_item(tmp_path / "item.json", {"image": asset("image.tif") | OLD}))
    np.testing.assert_allclose(layer.read()[0], NUMBERS * 0.5 + 1)
    assert layer.nodata == 500


@pytest.mark.parametrize(
    ("bands", "message"),
    [([{}, {}, {"scale": 2}], "has 2 bands, its STAC item describes 3"), ([{"scale": "x"}], "expected numbers")],
)
def test_an_item_that_describes_another_raster_is_refused(bands: list[Any], message: str, tmp_path: Path) -> None:
    write_geotiff(tmp_path / "image.tif", NUMBERS)
    with pytest.raises(InputError, match=message):
        Layer.open(write_item(tmp_path / "item.json", {"image": asset("image.tif") | {"raster:bands": bands}}))


def test_the_raster_of_an_item_behind_a_redirect_lies_beside_where_it_was_found() -> None:
    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            moved = self.path.startswith("/latest")
            self.send_response(302 if moved else 200)
            if moved:
                self.send_header("Location", "/real/item.json")
            self.end_headers()
            if not moved:
                self.wfile.write(
                    json.dumps({"stac_version": "1.0.0", "type": "Feature", "assets": {"a": asset("./a.tif")}}).encode()
                )

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        found = asset_of(f"{root}/latest/item.json")
        server.shutdown()
    assert found is not None
    assert found.target == f"{root}/real/a.tif"


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
            with raises_naming(InputError, "'red'"):
                Layer.open(f"{address}#red")
            with raises_naming(InputError, "HTTP", "404"):
                Layer.open(address.replace("item.", "none."))
            with raises_naming(InputError, "STAC"):
                Layer.open(address.replace("item.json", "image.tif#visual"))
        finally:
            process.kill()
    served = [line.split() for line in (site / "served.txt").read_text().splitlines()]
    of_image = [int(count) for name, count in served if name == "image.tif"][:-1]  # the last one was taken for an item
    assert 0 < sum(of_image) < (site / "image.tif").stat().st_size / 4


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2023-02-06T02:30:00.500+03:00", "2023-02-05T23:30:00.500000"),
        ("2023-02-06T01:17:34.342Z", "2023-02-06T01:17:34.342000"),
        ("2023-02-05T20:00:00.123456789-0530", "2023-02-06T01:30:00.123456"),
        ("2023-02-06 01:17:34,5z", "2023-02-06T01:17:34.500000"),
        ("2023-02-06t04:17+03", "2023-02-06T01:17:00"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59"),
        ("2023-02-06", "2023-02-06T00:00:00"),
        ("0001-01-01T00:00:00+01:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("2023-02-30T00:00:00Z", None),
        ("soon", None),
        (20230206, None),
        (None, None),
    ],
)
def test_a_time_is_in_utc_whatever_its_fraction_and_zone(text: Any, utc: str | None) -> None:
    when = parse_time(text)
    assert (when and when.replace(tzinfo=None).isoformat()) == utc


NAMES = ["blue", "green", "red", "nir"]
OLD_NAMES = {"eo:bands": [{"name": f"B{k}", "common_name": name} for k, name in enumerate(NAMES, 1)]}
NEW_NAMES = {"bands": [{"name": f"B{k}", "eo:common_name": name} for k, name in enumerate(NAMES, 1)]}
NUMBERED = {"eo:bands": [0, 1, 2, 3]}


@pytest.mark.parametrize(
    ("stated", "properties"),
    [(OLD_NAMES, {}), (NEW_NAMES, {}), (NUMBERED, OLD_NAMES), (OLD_NAMES | {"raster:bands": [{"nodata": 0}]}, {})],
)
def test_bands_without_names_have_those_of_the_item(
    stated: dict[str, Any], properties: dict[str, Any], tmp_path: Path
) -> None:
    write_geotiff(tmp_path / "image.tif", np.ones((4, 3, 4), np.uint16))
    item = write_item(tmp_path / "item.json", {"image": asset("image.tif") | stated}, properties=properties)
    layer = Layer.open(item)
    assert layer.band_names == NAMES
    assert pickle.loads(pickle.dumps(layer)).band_names == NAMES  # noqa: S301


def test_names_of_an_item_fit_the_bands_or_are_left_out(tmp_path: Path) -> None:
    """The file's own names hold; alpha has none; of two bands that show the same each has its own name."""
    with_alpha = np.full((4, 3, 4), 255, np.uint8)
    write_geotiff(tmp_path / "image.tif", with_alpha, photometric="RGB", alpha="YES")
    three = {"eo:bands": OLD_NAMES["eo:bands"][:3]}
    layer = Layer.open(write_item(tmp_path / "item.json", {"image": asset("image.tif") | three}))
    assert layer.band_names == NAMES[:3]
    write_geotiff(tmp_path / "image.tif", np.ones((2, 3, 4), np.uint8))
    assert Layer.open(tmp_path / "item.json").band_names == ["band_1", "band_2"]
    edges = {"eo:bands": [{"name": "B05", "common_name": "rededge"}, {"name": "B06", "common_name": "rededge"}]}
    assert Layer.open(write_item(tmp_path / "item.json", {"image": asset("image.tif") | edges})).band_names == [
        "B05",
        "B06",
    ]
    with rasterio.open(tmp_path / "image.tif", "r+") as file:
        file.descriptions = ("own", "names")
    assert Layer.open(tmp_path / "item.json").band_names == ["own", "names"]


def test_of_several_rasters_the_one_that_can_be_read_is_meant(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "image.tif", NUMBERS)
    away, here = asset("s3://bucket/a.tif", TIFF, "data"), asset("image.tif", TIFF, "data")
    for assets in (
        {"a": away, "b": here},
        {"a": asset("gone.tif", TIFF, "data"), "b": here},
        {"a": asset("gone.tif", TIFF, "visual"), "b": here},
        {"a": away | {"alternate": {"file": {"href": "image.tif"}}}},
        {"a": {"href": "image.tif"}, "b": {"href": "gone.xml"}, "c": 7},  # without media types
    ):
        layer = Layer.open(write_item(tmp_path / "item.json", assets))
        assert layer.paths == [str(tmp_path / "image.tif")]
    mask = {"visual": asset("gone.tif", TIFF, "visual"), "clouds": asset("image.tif")}
    with raises_naming(InputError, "gone.tif"):  # a mask is not taken for the image
        Layer.open(write_item(tmp_path / "item.json", mask))
    with raises_naming(InputError, "s3://bucket/a.tif"):
        Layer.open(
            write_item(tmp_path / "item.json", {"a": asset("s3://bucket/a.tif?sig=x"), "b": asset("s3://b.tif")})
        )


@pytest.mark.parametrize("bands", [7, "x", {"a": 1}, [7, None], [[]], [{"name": 3}], [{"name": "a\nb"}]])
def test_bands_of_an_item_that_are_none_count_as_not_stated(bands: Any, tmp_path: Path) -> None:
    write_geotiff(tmp_path / "image.tif", NUMBERS[:1])
    for key in ("bands", "eo:bands", "raster:bands"):
        layer = Layer.open(write_item(tmp_path / "item.json", {"a": asset("image.tif") | {key: bands}}))
        assert layer.band_names == ["band_1"]


@pytest.mark.parametrize(
    ("assets", "chosen"),
    [
        ({"a": (["visual"], 10), "b": (["visual"], 20)}, ["a"]),
        ({"a": (["data"], 10), "b": (["visual"], 20)}, ["a", "b"]),  # one is none for the eye
        ({"a": (["visual"], 0.6), "b": (["visual"], 2.4)}, ["a"]),
        ({"a": (["visual"], 0.6), "b": (["visual"], 2)}, ["a"]),
        ({"a": (["visual"], 10), "b": (["visual"], 10)}, ["a", "b"]),
        ({"a": (["visual"], None), "b": (["visual"], 20)}, ["a", "b"]),
        ({"ortho_visual": (["data"], 20), "b": (["data"], 10)}, ["ortho_visual"]),
    ],
)
def test_of_images_for_the_eye_the_finest_is_chosen_if_all_state_their_size(
    assets: dict[str, tuple[list[str], float | None]], chosen: list[str]
) -> None:
    described = {name: {"href": "a.tif", "roles": roles, "gsd": size} for name, (roles, size) in assets.items()}
    assert stac_items.StacItem({"assets": described}, "item.json")._visual_of(list(assets)) == chosen


@pytest.mark.parametrize(
    ("asset", "properties", "size"),
    [
        ({"gsd": 0.5, "bands": [{"gsd": 10}]}, {}, 0.5),
        ({"bands": [{"gsd": 10.0}, {"gsd": 20.0}]}, {"gsd": 0.5}, 20.0),  # the item's is of the sensor
        ({"raster:bands": [{"spatial_resolution": 3}]}, {}, 3.0),
        ({}, {"bands": [{"gsd": 10.0}]}, 10.0),  # of all assets
        ({"bands": [{"raster:spatial_resolution": 3}]}, {}, 3.0),
        ({"proj:transform": [3, 0, 5e5, 0, -4, 4e6]}, {"proj:code": "EPSG:32633"}, 4.0),
        ({"proj:transform": [10, 0, 5e5, 0, -10, 4e6, 0, 0, 1]}, {"proj:epsg": 2992}, 3.048),
        ({"proj:transform": [1e-5, 0, 15, 0, -1e-5, 36]}, {"proj:code": "EPSG:4326"}, 1.1132),
        ({"proj:shape": [100, 200], "proj:bbox": [0, 0, 400, 100]}, {"proj:code": "EPSG:32633"}, 2.0),
        ({"proj:transform": [10, 0, 5e5, 0, -10, 4e6]}, {}, None),
        ({"proj:transform": ["a"] * 6, "gsd": "fine", "bands": [{"gsd": -1}]}, {"proj:code": "EPSG:32633"}, None),
    ],
)
def test_the_pixel_size_of_an_asset_is_its_own_its_bands_or_that_of_its_grid(asset, properties, size) -> None:
    item = stac_items.StacItem({"properties": properties, "assets": {"a": asset}}, "item.json")
    assert item.pixel_m(asset) == (size and pytest.approx(size))
