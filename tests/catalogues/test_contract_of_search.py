"""What a search of a catalogue reads, keeps and reports: whole results of small documents, without a network."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
import shapely

from deepnets4eo.catalogues import search
from deepnets4eo.catalogues.search import _first_page, _Kept, _next_page, _Walk

BOX = (10.0, 50.0, 11.0, 51.0)
TIMES = (datetime(2023, 2, 1, tzinfo=UTC), datetime(2023, 2, 3, 4, 5, 6, tzinfo=UTC))
ROOT = "https://a.example/catalog.json"


def item(name: str, **more: Any) -> dict[str, Any]:
    square = shapely.geometry.mapping(shapely.box(10, 50, 10.5, 50.5))
    return {"type": "Feature", "id": name, "geometry": square, "properties": {"datetime": "2023-02-02T00:00:00Z"}} | more  # fmt: skip


def link(relation: str, target: str, **more: Any) -> dict[str, Any]:
    return {"rel": relation, "href": target} | more


def collection(*children: dict[str, Any], **extent: Any) -> dict[str, Any]:
    stated = {"spatial": {"bbox": [list(BOX)]}, "temporal": {"interval": [["2023-01-01T00:00:00Z", None]]}} | extent
    return {"type": "Collection", "extent": stated, "links": list(children)}


def walked(
    pages: dict[str, Any], monkeypatch: pytest.MonkeyPatch, start: str = "a.json"
) -> tuple[list[str], Counter[str], list[str]]:
    """The ids that a walk finds in documents by name, its notes, and the names in the order in which they were read."""
    read: list[str] = []

    def fetch(request: Any, session: Any) -> tuple[bytes | None, str]:
        name = request[0].rpartition("/")[2]
        read.append(name)
        if name not in pages:
            return None, "a document could not be read (status 404)"
        return json.dumps(pages[name]).encode(), request[0]

    monkeypatch.setattr(search, "_fetch_or_reason", fetch)
    monkeypatch.setattr(search, "AT_ONCE", 1)
    walk = _Walk(ROOT, ROOT, None, BOX, TIMES)
    walk.add(f"https://a.example/{start}", {}, None)
    walk.read_all()
    return [one.content["id"] for one in walk.items], walk.notes, read


def test_documents_are_read_level_by_level_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {
        "a.json": collection(link("child", "b.json"), link("item", "one.json"), link("item", "gone.json"), link("parent", "p.json")),
        "b.json": {"type": "Catalog", "links": [link("item", "two.json"), link("item", "one.json"), link("item", "list.json")]},
        "one.json": item("one"),
        "two.json": item("two"),
        "list.json": {"type": "FeatureCollection", "features": [item("three"), "no item", item("four")], "links": [link("next", "more.json")]},
        "more.json": {"type": "FeatureCollection", "features": [], "links": [link("next", "never.json")]},
    }  # fmt: skip
    found, notes, read = walked(pages, monkeypatch)
    assert found == ["one", "two", "three", "four"]
    assert notes == {"a document could not be read (status 404)": 1}
    assert read == ["a.json", "b.json", "one.json", "gone.json", "two.json", "list.json", "more.json"]


@pytest.mark.parametrize(
    ("extent", "read"),
    [
        ({}, True),
        ({"spatial": {"bbox": [[11.5, 50, 12, 51], [9, 49, 10, 50]]}}, True),  # one of several boxes, which touches
        ({"spatial": {"bbox": [[11.5, 50, 12, 51]]}}, False),
        ({"spatial": {"bbox": [[10, 51.5, 11, 52]]}}, False),
        ({"spatial": {"bbox": [[10, 50, -9999, 11, 51, 9999]]}}, True),  # with heights
        ({"temporal": {"interval": [[None, "2023-01-31T00:00:00Z"]]}}, False),
        ({"temporal": {"interval": [[None, "2023-02-01T00:00:00Z"]]}}, True),
        ({"temporal": {"interval": [["2023-02-04T00:00:00Z", None]]}}, False),
        ({"temporal": {"interval": [[None, None]]}}, True),
        ({"temporal": "whenever", "spatial": 3}, True),  # not understood
    ],
)
def test_collections_elsewhere_or_of_other_times_are_not_read(
    extent: dict[str, Any], read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, notes, _ = walked({"a.json": collection(link("item", "one.json"), **extent), "one.json": item("one")}, monkeypatch)  # fmt: skip
    assert found == (["one"] if read else [])
    assert not notes


def test_a_search_ends_at_its_limits_with_one_note(monkeypatch: pytest.MonkeyPatch) -> None:
    pages: dict[str, Any] = {f"{k}.json": {"type": "FeatureCollection", "features": [item(str(k))], "links": [link("next", f"{k + 1}.json")]} for k in range(9)}  # fmt: skip
    advice = "give the collection of the event, or a smaller box"
    monkeypatch.setattr(search, "MAX_DOCUMENTS", 4)
    found, notes, _ = walked(pages, monkeypatch, "0.json")
    assert found == ["0", "1", "2", "3"]
    assert notes == {f"not read to its end after 4 documents and 4 items; {advice}": 1}
    monkeypatch.setattr(search, "MAX_DOCUMENTS", 99)
    monkeypatch.setattr(search, "MAX_ITEMS", 2)
    found, notes, _ = walked(pages, monkeypatch, "0.json")
    assert found == ["0", "1"]
    assert notes == {f"not read to its end after 2 documents and 2 items; {advice}": 1}


def test_links_that_lead_outside_or_ask_for_too_much_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    large = {"token": "x" * (16 << 10)}
    pages = {
        "a.json": collection(link("item", "file:///etc/passwd"), link("child", "ftp://b.example/c.json"), link("item", 3), {"rel": "item"}),
        "b.json": {"type": "FeatureCollection", "features": [item("one")], "links": [link("next", "c.json", method="POST", body=large)]},
    }  # fmt: skip
    assert walked(pages, monkeypatch)[1] == {"a link leads outside of the catalogue and was not followed": 2}
    found, notes, read = walked(pages, monkeypatch, "b.json")
    assert (found, read) == (["one"], ["b.json"])
    assert notes == {"a link asks to post more than 16,384 bytes and was not followed": 1}


@pytest.mark.parametrize(
    ("more", "body", "expected"),
    [
        ({}, {"limit": 3}, None),
        ({"method": "post"}, {"limit": 3}, {}),
        ({"method": "POST", "body": {"token": "t"}}, {"limit": 3}, {"token": "t"}),
        ({"method": "POST", "merge": True, "body": {"token": "t"}}, {"limit": 3, "token": "s"}, {"limit": 3, "token": "t"}),
        ({"method": "POST", "merge": True}, None, {}),
        ({"method": "POST", "merge": "true", "body": "t"}, {"limit": 3}, {}),
    ],
)  # fmt: skip
def test_the_body_of_a_further_page_is_that_of_its_link(more: dict[str, Any], body: Any, expected: Any) -> None:
    assert _next_page(link("next", "b.json", **more), body) == expected


def test_a_search_asks_for_a_box_a_time_and_collections() -> None:
    span = "2023-02-01T00:00:00Z/2023-02-03T04:05:06Z"
    box = (10.12345678, 50.0, 11.0, 51.0)
    posted = _first_page(link("search", "search", method="POST"), ROOT, box, TIMES, ["a", "b"])
    assert posted == (
        "https://a.example/search",
        {"bbox": [10.123457, 50.0, 11.0, 51.0], "datetime": span, "limit": 100, "collections": ["a", "b"]},
    )
    plain = "bbox=10.123457,50.000000,11.000000,51.000000&datetime=" + span + "&limit=100"
    assert _first_page(link("search", "search"), ROOT, box, TIMES, []) == (f"https://a.example/search?{plain}", None)
    (address, _) = _first_page(link("search", "items?key=1"), ROOT, box, TIMES, ["a"])
    assert address == f"https://a.example/items?key=1&{plain}&collections=a"


def test_of_an_item_only_small_values_are_kept() -> None:
    kept = _Kept()
    deep: Any = 1
    for _ in range(8):
        deep = [deep]
    values = {
        "a": "x" * 8_000,
        "b": "x" * 8_001,
        "c": list(range(20)),
        "d": {"e": None},
        "view:angle": deep,
        "proj:epsg": None,
        "other": 1,
    }
    found = kept.select(values, ("a", "b", "c", "d"))
    in_lists: Any = None
    for _ in range(7):
        in_lists = [in_lists]
    assert found == {"a": "x" * 8_000, "c": list(range(16)), "d": {"e": None}, "view:angle": in_lists, "proj:epsg": None}  # fmt: skip
