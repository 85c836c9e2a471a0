"""Open catalogues as their owners lay them out, made up in small after their documentation: what `find` takes from each."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import shapely
from refusals import raises_naming
from small_site import small_site

from deepnets4eo.cards import CardKind
from deepnets4eo.catalogues import FindOptions, Plan, known, make_plan
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.formats import StacItem

BOX = (3.0, 45.0, 3.01, 45.01)
AROUND = (2.99, 44.99, 3.02, 45.02)
DAY = "2023-02-06"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"


@pytest.fixture
def site() -> Iterator[tuple[str, dict[str, Any]]]:
    with small_site() as both:
        yield both


def node(kind: str, name: str, links: Sequence[tuple[str, str]], **others: Any) -> dict[str, Any]:
    return {
        "type": kind, "stac_version": "1.0.0", "id": name, "description": name, **others,
        "links": [{"rel": rel, "href": href} for rel, href in links],
    }  # fmt: skip


def feature(name: str, assets: dict[str, Any], **properties: Any) -> dict[str, Any]:
    shape = json.loads(shapely.to_geojson(shapely.box(*AROUND)))
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "geometry": shape, "bbox": AROUND, "links": [],
        "properties": properties, "assets": assets,
    }  # fmt: skip


def extent(*boxes: Sequence[float], first: str = "2023-01-01T00:00:00Z", last: str = "2023-03-01T00:00:00Z") -> Any:
    return {"spatial": {"bbox": [*boxes] or [AROUND]}, "temporal": {"interval": [[first, last]]}}


def plan_of(catalogue: str, **options: Any) -> Plan:
    return make_plan([catalogue], BOX, DAY, {}, FindOptions(**options))[0]


def write(folder: Path, pages: dict[str, Any]) -> Path:
    for name, page in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(page), encoding="utf-8")
    return folder


def maxar() -> dict[str, Any]:
    """Events, each with acquisitions, each with tiles of visual, pan and multispectral images; times with a blank."""
    pages = {
        "events/catalog.json": node("Catalog", "opendata", [("child", "./quake/collection.json"), ("child", "./flood/collection.json")]),
        "events/flood/collection.json": node(
            "Collection", "flood", [("child", "./never.json")], license="CC-BY-NC-4.0", extent=extent((10, 50, 11, 51))
        ),
    }  # fmt: skip
    passes = {"10300100AA": ("2023-01-20 08:31:05Z", 3), "10300100BB": ("2023-02-08 08:30:00Z", 12)}
    children = [("child", f"./ard/acquisition_collections/{name}_collection.json") for name in passes]
    pages["events/quake/collection.json"] = node(
        "Collection", "quake", children, license="CC-BY-NC-4.0", extent=extent()
    )
    for name, (when, cloud) in passes.items():
        pages[f"events/quake/ard/acquisition_collections/{name}_collection.json"] = node(
            "Collection", name, [("item", f"../31/0311/{name}.json")], license="CC-BY-NC-4.0", extent=extent(),
            providers=[{"name": "Maxar", "roles": ["producer"]}],
        )  # fmt: skip
        day = f"./2023/{name}"
        assets = {
            "visual": {"href": f"{day}-visual.tif", "type": COG, "roles": ["visual"]},
            "ms_analytic": {"href": f"{day}-ms.tif", "type": COG, "roles": ["data"]},
            "pan_analytic": {"href": f"{day}-pan.tif", "type": COG, "roles": ["data"]},
            "data-mask": {"href": f"{day}-data-mask.gpkg", "type": "application/geopackage+sqlite3", "roles": ["data-mask"]},
        }  # fmt: skip
        pages[f"events/quake/ard/31/0311/{name}.json"] = feature(
            f"31/0311/{name}", assets, datetime=when, platform="WV02", gsd=0.5, catalog_id=name, utm_zone=31,
            quadkey="0311", **{
                "view:off_nadir": 14.2, "view:azimuth": 120.0, "view:sun_elevation": 35.0, "proj:epsg": 32631,
                "tile:data_area": 25.0, "tile:clouds_percent": cloud,
            },
        )  # fmt: skip
    return pages


def vantor() -> dict[str, Any]:
    """Scenes beside the collection of their event: licence beside the properties, names of the owner's, some roles wrong."""
    pages = {
        "events/catalog.json": node("Catalog", "vantor", [("child", "./quake/collection.json")]),
        "events/quake/collection.json": node(
            "Collection",
            "quake",
            [("item", "./B04.json"), ("item", "./103.json")],
            license="CC-BY-NC-4.0",
            extent=extent(),
        ),
    }
    for name, when, roles in (
        ("103", "2023-01-20T08:31:05Z", ["visual"]),
        ("B04", "2023-02-08T08:30:00Z", ["thumbnail"]),
    ):
        assets = {
            "visual": {"href": f"./{name}.tif", "type": COG, "roles": roles},
            "thumbnail": {"href": f"./{name}.jpg", "type": "image/jpg", "roles": ["thumbnail"]},
        }
        one = feature(name, assets, datetime=when, vehicle_name="WV03", pan_gsd=0.31, **{
            "vn:catalog_id": name, "eo:cloud_cover": 5, "view:off_nadir": 20.0, "view:azimuth": 90.0, "proj:code": "EPSG:32631",
        })  # fmt: skip
        pages[f"events/quake/{name}.json"] = one | {"license": "CC-BY-NC-4.0"}
    return pages


def planet_archive() -> dict[str, Any]:
    """Catalogues by event and day, with the names that STAC had before version 1."""
    pages = {
        "catalog.json": node("Catalog", "disasters", [("child", "harvey/catalog.json")], stac_version="0.6.0"),
        "harvey/catalog.json": node(
            "Catalog", "harvey", [("child", "0120/catalog.json"), ("child", "0208/catalog.json")]
        ),
    }
    for day, when in (("0120", "2023-01-20T17:27:54Z"), ("0208", "2023-02-08T17:27:54Z")):
        assets = {
            "visual": {"href": f"{day}_Visual.tif", "type": "image/vnd.stac.geotiff; cloud-optimized=true"},
            "analytic": {"href": f"{day}_AnalyticMS.tif", "type": "image/vnd.stac.geotiff; cloud-optimized=true"},
            "thumbnail": {"href": f"{day}.png", "type": "image/png"},
        }
        old = {
            "eo:gsd": 0.8,
            "eo:epsg": 32631,
            "eo:off_nadir": 9,
            "eo:azimuth": 280,
            "eo:sun_elevation": 55,
            "eo:platform": "SkySat",
        }
        pages[f"harvey/{day}/catalog.json"] = node("Catalog", day, [("item", f"{day}.json")])
        pages[f"harvey/{day}/{day}.json"] = feature(day, assets, datetime=when, **{"eo:cloud_cover": 1, **old})
    return pages


def planet() -> dict[str, Any]:
    """Several images an item, told apart by their names alone."""
    pages = {"catalog.json": node("Catalog", "disasterdata", [("child", "quake/collection.json")])}
    items = []
    for day, when in (("0120", "2023-01-20T10:00:00Z"), ("0208", "2023-02-08T10:00:00Z")):
        names = ("ortho_visual", "ortho_analytic", "ortho_panchromatic", "ortho_udm2")
        assets = {name: {"href": f"./{day}_{name}.tif", "type": COG} for name in names}
        values = {"gsd": 0.5, "eo:cloud_cover": 4, "view:off_nadir": 8, "platform": "skysat", "proj:code": "EPSG:32631"}
        pages[f"quake/{day}.json"] = feature(day, assets, datetime=when, **values)
        items.append(("item", f"./{day}.json"))
    pages["quake/collection.json"] = node("Collection", "quake", items, license="CC-BY-NC-4.0", extent=extent())
    return pages


LAYOUTS = {  # → pages, and what the plan has of the image after: file, sensor, gsd, cloud, off nadir, licence
    "maxar": (maxar, "events/catalog.json", "10300100BB-visual.tif", ("WV02", 0.5, 12, 14.2, "CC-BY-NC-4.0")),
    "vantor": (vantor, "events/catalog.json", "B04.tif", ("WV03", 0.31, 5, 20, "CC-BY-NC-4.0")),
    "planet-archive": (planet_archive, "catalog.json", "0208_Visual.tif", ("SkySat", 0.8, 1, 9, "")),
    "planet": (planet, "catalog.json", "0208_ortho_visual.tif", ("skysat", 0.5, 4, 8, "CC-BY-NC-4.0")),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_gives_images_before_and_after(layout: str, tmp_path: Path) -> None:
    pages, root, file, stated = LAYOUTS[layout]
    plan = plan_of(str(write(tmp_path, pages()) / root))
    assert plan.before is not None
    assert plan.after.files[0].endswith(file)
    after = plan.after
    assert (after.sensor, after.gsd_m, after.cloud, after.off_nadir_deg, after.licence) == stated
    assert (plan.before.time[:10], after.time[:10]) == ("2023-01-20", "2023-02-08")
    assert plan.rejected == []
    assert "2 items read, 0 outside of the box" in plan.notes


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pystac_finds_the_same_items_and_files(layout: str, tmp_path: Path) -> None:
    pystac = pytest.importorskip("pystac")
    pages, root, _, _ = LAYOUTS[layout]
    everything = {name: page for name, page in pages().items() if "flood" not in name}
    for page in everything.values():  # pystac follows each link; the flood's leads nowhere on purpose
        page["links"] = [one for one in page["links"] if "flood" not in one["href"]]
        page["stac_version"] = "1.0.0"
    path = write(tmp_path, everything) / root
    theirs = {
        Path(asset.get_absolute_href()).resolve()
        for item in pystac.Catalog.from_file(str(path)).get_items(recursive=True)
        for name, asset in item.assets.items()
        if "visual" in name
    }
    plan = plan_of(str(path))
    assert {Path(file).resolve() for image in plan.images.values() for file in image.files} == theirs


def sentinel(name: str, when: str, **assets: Any) -> dict[str, Any]:
    one = feature(
        name, assets, datetime=when, platform="sentinel-2b", gsd=10, **{"eo:cloud_cover": 3, "proj:code": "EPSG:32631"}
    )
    return one | {"collection": "sentinel-2-l2a"}


def element84(name: str, when: str) -> dict[str, Any]:
    """The colour image as COG at https, and as JPEG 2000 in a bucket."""
    tci = {
        "visual": {"href": f"https://images.example/{name}/TCI.tif", "type": COG, "roles": ["visual"]},
        "visual-jp2": {"href": f"s3://bucket/{name}/TCI.jp2", "type": "image/jp2", "roles": ["visual"]},
        "red": {
            "href": f"https://images.example/{name}/B04.tif",
            "type": COG,
            "roles": ["data", "reflectance"],
            "gsd": 10,
        },
    }
    return sentinel(name, when, **tci)


def copernicus(name: str, when: str) -> dict[str, Any]:
    """Colour images of three sizes in a bucket, each with an address of https beside."""
    return sentinel(name, when, **{
        f"TCI_{size}m": {
            "href": f"s3://eodata/{name}/TCI_{size}m.jp2", "type": "image/jp2", "roles": ["visual"], "gsd": size,
            "alternate": {"https": {"href": f"https://download.example/{name}/TCI_{size}m.jp2"}},
        }
        for size in (10, 20, 60)
    })  # fmt: skip


@pytest.mark.parametrize(("make", "ending"), [(element84, "/TCI.tif"), (copernicus, "/TCI_10m.jp2")])
def test_an_api_that_pages_by_token_is_read_to_its_end(
    make: Any, ending: str, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, pages = site
    monkeypatch.setattr("deepnets4eo.formats.web.Session.check", lambda self, address: None)
    search = {"rel": "search", "href": "/v1/search"}
    pages["/v1"] = node("Catalog", "api", []) | {"links": [search | {"method": "POST"}, search | {"method": "GET"}]}
    first = {"type": "FeatureCollection", "features": [make("a", "2023-01-20T10:00:00Z")]}
    pages["/v1/search"] = first | {"links": [{"rel": "next", "method": "GET", "href": f"{root}/v1/page?token=next:2"}]}
    pages["/v1/page"] = {"type": "FeatureCollection", "features": [make("b", "2023-02-08T10:00:00Z")], "links": []}
    plan = plan_of(f"{root}/v1", max_gsd_m=10.0)
    assert plan.before is not None
    assert plan.after.files[0].endswith(f"/b{ending}")
    assert plan.after.files[0].startswith("https://")
    assert [path.partition("?")[0] for path, _ in pages["asked"]] == ["/v1", "/v1/search", "/v1/page"]
    assert pages["posted"] == []


@pytest.mark.parametrize("merge", [True, False])
def test_an_api_that_pages_by_post_gets_the_body_that_it_asks_for(merge: bool, site: Any) -> None:
    root, pages = site
    pages["/v1"] = node("Catalog", "api", []) | {"links": [{"rel": "search", "method": "POST", "href": "/v1/search"}]}
    answers = [
        [element84("a", "2023-01-20T10:00:00Z")], [element84("b", "2023-02-08T10:00:00Z")], [],
    ]  # fmt: skip

    def answer(handler: Any) -> None:
        number = len(pages["posted"]) - 1
        whole = pages["posted"][0] if not merge else {}
        link = {
            "rel": "next",
            "method": "POST",
            "href": "/v1/search",
            "merge": merge,
            "body": {**whole, "token": f"next:{number + 1}"},
        }
        page = {"type": "FeatureCollection", "features": answers[number], "links": [link] if answers[number] else []}
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(json.dumps(page).encode())

    pages["/v1/search"] = answer
    for one in (*answers[0], *answers[1]):
        one["assets"] = {"visual": {"href": f"{root}/{one['id']}.tif", "type": COG, "roles": ["visual"]}}
    plan = plan_of(f"{root}/v1", max_gsd_m=10.0)
    assert plan.before is not None
    assert plan.after.files == [f"{root}/b.tif"]
    start = {"bbox": list(BOX), "datetime": "2020-02-07T00:00:00Z/2023-05-08T00:00:00Z", "limit": 100}
    assert pages["posted"] == [start, start | {"token": "next:1"}, start | {"token": "next:2"}]
    assert pages["asked"][1][1]["Content-Type"] == "application/json"


def umbra(name: str, when: str) -> dict[str, Any]:
    assets = {
        f"{name}_GEC.tif": {"href": f"./{name}_GEC.tif", "title": "GEC", "type": COG, "roles": ["data"]},
        f"{name}_SICD.nitf": {"href": f"./{name}_SICD.nitf", "title": "SICD", "type": "application/octet-stream"},
    }
    values = {
        "sar:instrument_mode": "SPOTLIGHT",
        "sar:polarizations": ["VV"],
        "sar:product_type": "GEC",
        "view:incidence_angle": 40,
    }
    return feature(name, assets, datetime=when, platform="Umbra-05", **values)


def capella(name: str, when: str) -> dict[str, Any]:
    assets = {
        "HH": {"href": f"./{name}.tif", "type": COG, "roles": ["data"]},
        "thumbnail": {"href": f"./{name}_thumb.png", "type": "image/png", "roles": ["thumbnail"]},
        "metadata": {"href": f"./{name}_extended.json", "type": "application/json", "roles": ["metadata"]},
    }
    values = {
        "sar:instrument_mode": "spotlight",
        "sar:product_type": "GEO",
        "sar:polarizations": ["HH"],
        "proj:epsg": 32631,
    }
    return feature(name, assets, datetime=when, platform="capella-3", **values)


@pytest.mark.parametrize("make", [umbra, capella])
def test_radar_is_named_and_never_taken_for_a_photograph(make: Any, tmp_path: Path) -> None:
    """In catalogues by year, month and day."""
    pages = {
        "catalog.json": node("Catalog", "open", [("child", "./2023/catalog.json")]),
        "2023/catalog.json": node("Catalog", "2023", [("child", "./02/catalog.json")]),
        "2023/02/catalog.json": node("Catalog", "02", [("item", "./a.json"), ("item", "./b.json")]),
        "2023/02/a.json": make("a", "2023-02-01T10:00:00Z"),
        "2023/02/b.json": make("b", "2023-02-08T10:00:00Z"),
    }
    path = write(tmp_path, pages) / "catalog.json"
    with raises_naming(InputError, "2 items"):
        plan_of(str(path))


def test_a_preview_called_visual_is_none_without_a_thumbnail_beside_it(tmp_path: Path) -> None:
    one = feature(
        "a", {"visual": {"href": "a.tif", "type": COG, "roles": ["thumbnail"]}}, datetime="2023-02-08T10:00:00Z"
    )
    path = write(tmp_path, {"items.json": {"type": "FeatureCollection", "features": [one]}}) / "items.json"
    with pytest.raises(InputError, match="it has only a thumbnail"):
        plan_of(str(path))


def test_bands_of_several_sizes_are_not_chosen_by_size() -> None:
    bands = {
        name: {"href": f"{name}.tif", "type": COG, "roles": ["data"], "gsd": gsd}
        for name, gsd in (("B08", 10), ("B11", 20))
    }
    with raises_naming(InputError, "2", "B08", "B11"):
        StacItem(feature("a", bands), "items.json").choose_asset("it")


def test_the_card_names_catalogues_that_a_program_can_read() -> None:
    listed = known.known_catalogues()
    assert {"maxar", "vantor", "planet", "hotosm", "earth-search", "copernicus", "umbra", "capella"} <= set(listed)
    assert [name for name, one in listed.items() if one.default] == ["vantor", "maxar", "planet", "hotosm"]
    assert all(one.address.startswith("https://") and one.title and one.licence for one in listed.values())
    assert "catalogues" not in CardKind.DATASET.names


@pytest.fixture
def own_card(site: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, Any]]:
    """A card of two catalogues of this computer, one of which does not answer, and a place."""
    root, pages = site
    names = {"quakes": f"{root}/events/catalog.json", "gone": f"{root}/gone/catalog.json"}
    card = {
        name: known.KnownCatalogue(title="t", address=one, licence="free", default=True) for name, one in names.items()
    }
    monkeypatch.setattr(known, "known_catalogues", lambda: card)
    monkeypatch.setattr(known, "GEOCODER", f"{root}/search")
    pages.update({f"/{name}": page for name, page in maxar().items()})
    pages["/search"] = [{"boundingbox": ["45.0", "45.01", "3.0", "3.01"], "display_name": "Smalltown, Somewhere"}]
    return root, pages


def test_find_needs_no_address(own_card: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "plan.yaml"
    assert main(["find", "--place", "Smalltown", "--date", DAY, "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert "note: the box is that of Smalltown, Somewhere (© OpenStreetMap contributors)" in said
    assert "note: gone was not read: " in said
    plan = Plan.load(out)
    assert tuple(plan.box) == BOX
    assert plan.after.files == [f"{own_card[0]}/events/quake/ard/31/0311/2023/10300100BB-visual.tif"]


def test_a_catalogue_of_the_card_can_be_named(own_card: Any) -> None:
    assert plan_of("quakes").after.name == "10300100BB"
    with raises_naming(InputError, "catalog.json"):
        plan_of("gone")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--place", "Smalltown"], "Error: --place 'Smalltown' is no file, and could not be looked up ("),
        (["--bbox", *map(str, BOX)], "Error: none of the open catalogues vantor, maxar, planet, hotosm answers ("),
    ],
)
def test_offline_it_says_so_in_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert main(["find", *words, "--date", DAY, "--out", str(tmp_path / "plan.yaml")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(message)
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([], "OpenStreetMap knows no such place"),
        ([{"boundingbox": ["40", "46", "1", "9"]}], "more than 1 degree. Name a smaller place"),
        ({"error": "busy"}, "OpenStreetMap knows no such place"),
    ],
)
def test_a_place_that_is_none_or_too_wide_is_refused(answer: Any, message: str, own_card: Any) -> None:
    own_card[1]["/search"] = answer
    with pytest.raises(InputError, match=message):
        known.place_box("Nowhere")
