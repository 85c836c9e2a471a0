"""Answers of catalogues that are made to fill the memory: what is kept of them is small, and none ends a search."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from small_site import small_site

from deepnets4eo.catalogues.search import MAX_BODY_BYTES, Item, read_items
from deepnets4eo.formats import Session, WebRequest

BOX = (3.0, 45.0, 3.01, 45.01)
TIMES = (datetime(2023, 1, 1, tzinfo=UTC), datetime(2023, 3, 1, tzinfo=UTC))
MANY = 40_000
RING = [[2.9, 44.9], [3.1, 44.9], [3.1, 45.1], [2.9, 45.1], [2.9, 44.9]]
FULL = {f"k{number}": {} for number in range(MANY)}
DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]


@pytest.fixture
def site() -> Iterator[tuple[str, dict[str, Any]]]:
    with small_site() as opened:
        yield opened


def item(
    properties: dict[str, Any] | None = None, asset: dict[str, Any] | None = None, **others: Any
) -> dict[str, Any]:
    visual = {"href": "./a.tif", "type": "image/tiff", "roles": ["visual"], **(asset or {})}
    return {
        "type": "Feature", "id": "a", "geometry": {"type": "Polygon", "coordinates": [RING]}, "assets": {"visual": visual},
        "properties": {"datetime": "2023-02-01T10:00:00Z", **(properties or {})}, **others,
    }  # fmt: skip


def answered(site: tuple[str, dict[str, Any]], *features: dict[str, Any], **others: Any) -> list[Item]:
    root, pages = site
    pages["/a.json"] = {"type": "FeatureCollection", "features": list(features), **others}
    return read_items(f"{root}/a.json", BOX, TIMES)[0]


@pytest.mark.parametrize(
    "hostile",
    [
        item({"proj:x": FULL}),
        item({"proj:geometry": [[{}]] * MANY}),
        item({"license": [[]] * MANY}),
        item({"license": "x" * 1_000_000}),
        item({"providers": [{"name": FULL}] * 8}),
        item({f"eo:{number}": {} for number in range(MANY)}),
        item({"view:azimuth": DEEP}),
        item(asset={"bands": [{}] * MANY}),
        item(asset={"raster:bands": [FULL] * 2}),
        item(asset={"alternate": FULL}),
        item(asset={"roles": [[]] * MANY}),
        item(assets={f"a{number}": {"href": "x"} for number in range(MANY)}),
        item(id=FULL),
    ],
    ids=[
        "proj:x", "geometry", "licences", "licence", "providers", "eo", "deep", "bands", "raster:bands", "alternate", "roles",
        "assets", "id",
    ],
)  # fmt: skip
def test_little_is_kept_of_an_item_whatever_it_states(
    site: tuple[str, dict[str, Any]], hostile: dict[str, Any]
) -> None:
    sent = len(json.dumps(hostile))
    assert sent > 100_000 or hostile["properties"].get("view:azimuth") is DEEP
    (found,) = answered(site, hostile)
    assert len(repr(found.content)) < 40_000
    assert found.content["properties"]["datetime"] == "2023-02-01T10:00:00Z"


def test_what_serves_of_an_item_is_kept_as_it_is(site: tuple[str, dict[str, Any]]) -> None:
    projection = {"type": "ProjectedCRS", "name": "UTM", "base_crs": {"datum": {"ellipsoid": {"radius": 1.0}}}}
    stated = {
        "proj:epsg": None,
        "proj:projjson": projection,
        "view:azimuth": 10,
        "eo:cloud_cover": 3,
        "sar:product_type": "GRD",
    }
    bands = [{"name": f"b{number}", "data_type": "uint16"} for number in range(12)]
    (found,) = answered(
        site, item(stated, {"bands": bands, "alternate": {"s3": {"href": "s3://a/b.tif"}}}, license="CC-BY")
    )
    assert found.content["properties"] == {"datetime": "2023-02-01T10:00:00Z", **stated, "license": "CC-BY"}
    visual = found.content["assets"]["visual"]
    assert visual["bands"] == bands
    assert visual["alternate"] == {"s3": {"href": "s3://a/b.tif"}}


def test_many_small_items_take_little_memory(site: tuple[str, dict[str, Any]]) -> None:
    root, pages = site
    features = [item({"proj:x": {f"k{k}": {} for k in range(2_000)}, "license": [{}] * 2_000}) for _ in range(100)]
    pages["/a.json"] = {"type": "FeatureCollection", "features": features}
    tracemalloc.start()
    try:
        found, _ = read_items(f"{root}/a.json", BOX, TIMES)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 100
    assert held < 20e6


def test_posted_bodies_do_not_grow_by_merging(site: tuple[str, dict[str, Any]]) -> None:
    root, pages = site
    search = {"rel": "search", "method": "POST", "href": f"{root}/search"}
    pages["/"] = {"type": "Catalog", "stac_version": "1.0.0", "links": [search]}

    def page(handler: BaseHTTPRequestHandler) -> None:
        number = len(pages["posted"])
        link = {
            "rel": "next",
            "method": "POST",
            "href": f"{root}/search",
            "merge": True,
            "body": {f"token{number}": "x" * 3_000},
        }
        content = {"type": "FeatureCollection", "features": [item()], "links": [link]}
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(json.dumps(content).encode())

    pages["/search"] = page
    found, notes = read_items(f"{root}/", BOX, TIMES)
    assert 2 < len(found) < 10
    assert max(len(json.dumps(body)) for body in pages["posted"]) <= MAX_BODY_BYTES
    assert sum(notes.values()) == 1


def states_much(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "99000000000")
    handler.end_headers()


def sends_a_huge_chunk(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\nxxxx")


def breaks_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "9000")
    handler.end_headers()
    handler.wfile.write(b"{")


def is_no_number(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}")


@pytest.mark.parametrize("page", [states_much, sends_a_huge_chunk, breaks_off, is_no_number])
def test_one_answer_never_ends_a_search(page: Callable[[Any], None], site: tuple[str, dict[str, Any]]) -> None:
    root, pages = site
    links = [{"rel": "item", "href": f"{root}/{name}"} for name in ("bad", "good")]
    pages["/"] = {"type": "Catalog", "stac_version": "1.0.0", "links": links}
    pages["/good"], pages["/bad"] = item(), page
    found, notes = read_items(f"{root}/", BOX, TIMES)
    assert [one.content["id"] for one in found] == ["a"]
    assert sum(notes.values()) == 1
    with pytest.raises(WebRequest.errors):
        Session(root).read(f"{root}/bad")


def test_addresses_without_end_are_not_kept(site: tuple[str, dict[str, Any]]) -> None:
    root, pages = site
    links = [{"rel": "item", "href": f"{root}/good"}, {"rel": "item", "href": f"{root}/{'x' * 100_000}"}]
    pages["/"] = {"type": "Catalog", "stac_version": "1.0.0", "links": links}
    pages["/good"] = item()
    found, notes = read_items(f"{root}/", BOX, TIMES)
    assert len(found) == 1
    assert sum(notes.values()) == 1
