"""Images before and after an event from catalogues: which are chosen, why others are not, and what broken catalogues get."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import shapely
from refusals import raises_naming

from deepnets4eo.catalogues import FindOptions, Plan, candidates, draw_coverage, make_plan, search
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.formats import web

BOX = (3.0, 45.0, 3.01, 45.01)
DAY = "2023-02-06"
TIFF = "image/tiff; application=geotiff"
GOOD = {"gsd": 0.5, "eo:cloud_cover": 2, "view:off_nadir": 10, "view:azimuth": 100, "view:sun_elevation": 50}


def item(
    name: str, when: Any = "2023-02-01T10:00:00Z", bounds: Any = (2.99, 44.99, 3.02, 45.02), **properties: Any
) -> dict[str, Any]:
    geometry = None if bounds is None else json.loads(shapely.to_geojson(shapely.box(*bounds)))
    asset = {"href": f"./{name}.tif", "type": TIFF, "roles": ["visual"]}
    values = {"datetime": when, "platform": f"sat-{name}", **GOOD, **properties}
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "geometry": geometry, "bbox": bounds, "properties": values,
        "assets": {"visual": asset},
    }  # fmt: skip


def catalogue(links: list[tuple[str, str]], **others: Any) -> dict[str, Any]:
    kind = {"type": "Catalog", "stac_version": "1.0.0", "id": "c", "description": "made up"}
    return {**kind, **others, "links": [{"rel": rel, "href": href} for rel, href in links]}


def collection(*features: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def choose(folder: Path, *features: Any, date: str = DAY, **options: Any) -> Plan:
    """The plan of items in a file."""
    path = folder / "items.json"
    path.write_text(json.dumps(collection(*features)), encoding="utf-8")
    return make_plan([str(path)], BOX, date, {}, FindOptions(**options))[0]


AFTER = item("after", "2023-02-08T10:00:00Z")


FAR = {"before": "2022-12-28T10:00:00Z", "after": "2023-03-18T10:00:00Z"}  # 40 days from the event


def test_an_image_further_from_the_event_than_its_limit_is_left_out(tmp_path: Path) -> None:
    event = "2023-02-06T10:00:00Z"
    before = choose(tmp_path, item("far", FAR["before"]), AFTER, date=event, days_before=41).before
    assert before is not None
    assert before.name == "far"
    assert choose(tmp_path, item("far", FAR["before"]), AFTER, date=event, days_before=39).before is None
    assert choose(tmp_path, item("before"), item("far", FAR["after"]), date=event, days_after=41).after.name == "far"
    with raises_naming(InputError, "40 days after the event, 39 at most"):
        choose(tmp_path, item("before"), item("far", FAR["after"]), date=event, days_after=39)
    day = event[:10]  # an event of a whole day: 40 days and 10 hours after its beginning
    assert choose(tmp_path, item("before"), item("far", FAR["after"]), date=day, days_after=40).after.name == "far"
    with raises_naming(InputError, "40 days after the event, 39 at most"):
        choose(tmp_path, item("before"), item("far", FAR["after"]), date=day, days_after=39)
    with raises_naming(InputError, "40.5 days after the event, 40 at most"):
        choose(tmp_path, item("before"), item("far", "2023-03-18T22:00:00Z"), date=event, days_after=40)


@pytest.fixture
def site() -> Iterator[tuple[str, dict[str, Any]]]:
    """A server of this computer: its address, and path → JSON, text, or a function of the handler."""
    pages: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(urlsplit(self.path).path)
            pages.setdefault("asked", []).append(self.path)
            if callable(page):
                page(self)
                return
            body = page if isinstance(page, str) else json.dumps(page)
            self.send_response(404 if page is None else 200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", pages
        server.shutdown()


def find_at(address: str) -> Plan:
    return make_plan([address], BOX, DAY, {}, FindOptions())[0]


WORSE: dict[str, dict[str, Any]] = {
    "cloud": {"eo:cloud_cover": 30},
    "steep": {"view:off_nadir": 25},
    "turned": {"view:azimuth": 280},
    "coarse": {"gsd": 1.0},
    "dusk": {"view:sun_elevation": 15},
    "old": {"when": "2022-02-01T10:00:00Z"},
    "half": {"bounds": (3.003, 44.99, 3.02, 45.02)},
}


@pytest.mark.parametrize("change", WORSE)
def test_the_better_of_two_images_before_is_chosen_and_the_other_listed(change: str, tmp_path: Path) -> None:
    plan = choose(tmp_path, item("bad", **WORSE[change]), item("good"), AFTER)
    assert plan.before is not None
    assert plan.before.name == "good"
    assert len(plan.rejected) == 1
    assert plan.rejected[0].startswith("bad, 202")
    assert "score 0." in plan.rejected[0]


def test_the_score_is_the_product_that_the_page_states(tmp_path: Path) -> None:
    """By hand: all covered, 2 % cloud, 10 of 60 degrees, 0.5 m, sun above 30 degrees, 365 days of 365 or 30 of 30."""
    before = item("before", "2022-02-06T00:00:00Z")
    plan = choose(tmp_path, before, item("after", "2023-03-08T00:00:00Z"))
    assert plan.before is not None
    for image in (plan.before, plan.after):
        assert image.score == pytest.approx(0.98 * (1 - 10 / 60) / 2, abs=1e-4)
    assert f"score of the pair {(0.98 * 5 / 6 / 2) ** 2:.3f}" in plan.notes[-1]


def test_tiles_of_one_pass_are_one_image_of_those_that_the_box_needs(tmp_path: Path) -> None:
    west, east = (2.99, 44.99, 3.006, 45.02), (3.004, 44.99, 3.02, 45.02)
    tiles = [
        item("w", bounds=west, platform="s", **{"eo:cloud_cover": 10}),
        item("e", "2023-02-01T10:00:09Z", bounds=east, platform="s", **{"eo:cloud_cover": 30}),
        item("again", "2023-02-01T10:00:10Z", bounds=east, platform="s", **{"eo:cloud_cover": 40}),
        item("zone", "2023-02-01T10:00:11Z", bounds=(3.009, 44.99, 3.02, 45.02), platform="s", **{"proj:code": "EPSG:32632"}),
        item("later", "2023-02-01T12:00:00Z", bounds=west, platform="s"),
    ]  # fmt: skip
    plan = choose(tmp_path, *tiles, AFTER)
    assert plan.before is not None
    assert [Path(name).name for name in plan.before.files] == ["w.tif", "e.tif"]
    assert plan.before.covered == 100
    assert plan.before.cloud == pytest.approx(0.6 * 10 + 0.4 * 30, abs=0.1)
    assert [line.partition(",")[0] for line in plan.rejected] == ["later"]
    named = [
        item(name, when, bounds=west, platform="s", catalog_id="1030")
        for name, when in (("a", "2023-02-01"), ("b", "2023-02-02"))
    ]
    one = choose(tmp_path, *named, item("c", bounds=east, platform="s", catalog_id="1030"), AFTER)
    assert one.before is not None
    assert (one.before.name, len(one.before.files)) == ("1030", 2)


@pytest.mark.parametrize(("share", "is_taken"), [(0.049, False), (0.06, True)])
def test_an_image_covers_a_twentieth_of_the_box(tmp_path: Path, share: float, is_taken: bool) -> None:
    strip = item("strip", bounds=(2.99, 44.99, BOX[0] + share * (BOX[2] - BOX[0]), 45.02))
    plan = choose(tmp_path, strip, AFTER)
    assert (plan.before is not None) is is_taken
    assert any("4.9% of the box" in line for line in plan.rejected) is not is_taken


LIES = {
    "it has no time": item("x", None),
    "neither a geometry nor a bbox in degrees": item("x", bounds=None),
    "bbox in degrees": item("x") | {"geometry": {"type": "Polygon"}, "bbox": [500_000, 5_000_000, 500_100, 5_000_100]},
    "it has no projection": item("x", **{"proj:code": None}),
    "it has no rasters": item("x") | {"assets": {}},
    "it has 2 rasters: a, b": item("x") | {"assets": {key: {"href": "a.tif", "type": TIFF} for key in "ab"}},
    "it has only a thumbnail": item("x")
    | {"assets": {"t": {"href": "t.png", "type": "image/png", "roles": ["thumbnail"]}}},
    "outside its own folder": item("x") | {"assets": {"visual": {"href": "../../x.tif", "type": TIFF}}},
    "it was taken on the day of the event; give --date with the time": item("x", "2023-02-06T05:00:00Z"),
    "2000 days before the event, 1095 at most": item("x", "2017-08-16T00:00:00Z"),
    "it covers 0.1% of the box": item("x", bounds=(2.99, 44.99, 3.00001, 45.02)),
    "80 % cloud over the box, 60 % at most": item("x", **{"eo:cloud_cover": 80}),
    "pixels of 10.0 m, 2 m at most": item("x", gsd=10),
    "it was taken by night": item("x", **{"view:sun_elevation": -20}),
}


@pytest.mark.parametrize("reason", LIES)
def test_an_item_that_cannot_serve_has_its_reason(reason: str, tmp_path: Path) -> None:
    plan = choose(tmp_path, LIES[reason], item("good"), AFTER)
    assert plan.before is not None
    assert plan.before.name == "good"
    assert [reason in line for line in plan.rejected] == [True]


def test_values_that_cannot_be_count_as_not_stated(tmp_path: Path) -> None:
    lies = {
        "gsd": -1,
        "eo:cloud_cover": "none",
        "view:off_nadir": 900,
        "view:azimuth": True,
        "view:sun_elevation": None,
    }
    wide = item("before", **lies)
    wide["assets"]["visual"] |= {"raster:bands": [{"data_type": "uint16"}], "href": "https://example.org/a.tif"}
    wide["properties"]["providers"] = [{"name": "A\nB"}, 3]
    before = choose(tmp_path, wide, AFTER).before
    assert before is not None
    assert (before.gsd_m, before.cloud, before.off_nadir_deg, before.azimuth_deg, before.sun_deg) == (None,) * 5
    assert (before.bits, before.credit, before.files) == (16, "AB", ["https://example.org/a.tif"])
    assert before.score == pytest.approx(0.7 * (1 - 25 / 60) * 0.5 / (1 + 4.5833 / 365), abs=1e-3)


def test_no_image_after_is_an_error_and_none_before_a_plan_without_it(tmp_path: Path) -> None:
    with raises_naming(InputError, "2023-02-06", "2", "1", "90"):
        choose(tmp_path, item("far", bounds=(9, 9, 10, 10)), item("x", "2023-02-09", **{"eo:cloud_cover": 90}))
    plan = choose(tmp_path, AFTER)
    assert plan.before is None
    assert any("no image before the event" in note for note in plan.notes)
    with raises_naming(InputError, "--date", "'soon'"):
        choose(tmp_path, AFTER, date="soon")
    early = item("early", "2023-02-06T03:00:00+03:00")
    with_time = choose(tmp_path, early, AFTER, date="2023-02-06T01:17Z")
    assert with_time.before is not None
    assert with_time.before.time == "2023-02-06T00:00Z"


def test_of_many_images_only_the_best_are_paired_and_a_hundred_rejected_ones_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [
        item(f"{day}-{k}", f"2023-02-{day}T10:00:00Z", **{"eo:cloud_cover": 1 + k / 50})
        for day in ("01", "08") for k in range(100)
    ]  # fmt: skip
    pairs: list[float] = []
    monkeypatch.setattr(candidates, "MAX_PAIRED_IMAGES", 5)
    monkeypatch.setattr(candidates, "lean_difference", lambda *_: pairs.append(0.0) or (0.0, 0.0))
    plan = choose(tmp_path, *many)
    assert len(pairs) == 5 * 5 + 1
    assert plan.before is not None
    assert (plan.before.name, plan.after.name, len(plan.rejected)) == ("01-0", "08-0", 100)
    assert "198 images rejected" in plan.notes[-1]


def test_a_static_catalogue_is_walked_once_and_only_where_it_can_meet_the_box(site: Any) -> None:
    root, pages = site
    extent = {"spatial": {"bbox": [[2, 44, 4, 46]]}, "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]}}
    elsewhere = {**extent, "spatial": {"bbox": [[20, 44, 24, 46]]}}
    before = {**extent, "temporal": {"interval": [["2001-01-01T00:00:00Z", "2002-01-01T00:00:00Z"]]}}
    here = {"type": "Collection", "license": "CC-BY-4.0", "providers": [{"name": "Provider"}]}
    pages["/catalog.json"] = catalogue(
        [("child", "./here/c.json"), ("child", "far.json"), ("child", "old.json"), ("child", "catalog.json"), ("child", "html.json"),
         ("child", "gone.json"), ("item", "file:///etc/passwd"), ("child", "odd.json")]
    )  # fmt: skip
    pages["/here/c.json"] = catalogue(
        [("item", "a.json"), ("item", "a.json#x"), ("item", "/b.json"), ("child", "../catalog.json")],
        **here,
        extent=extent,
    )
    pages["/far.json"], pages["/old.json"] = (
        catalogue([("item", "z.json")], **here, extent=e) for e in (elsewhere, before)
    )
    pages["/odd.json"] = catalogue([("item", 3), ("item", "http://[")], **here, extent={"spatial": 7})  # type: ignore[list-item]
    pages["/html.json"] = "<html>sorry</html>"
    pages["/here/a.json"], pages["/b.json"] = item("a"), AFTER
    plan = find_at(f"{root}/catalog.json")
    assert plan.before is not None
    assert plan.before.files == [f"{root}/here/a.tif"]
    assert (plan.before.credit, plan.before.licence) == ("Provider", "CC-BY-4.0")
    assert plan.event_info().credit == "Provider (CC-BY-4.0)"
    text = "\n".join(plan.notes)
    for note in (
        "a document is no JSON of STAC (1 x)",
        "HTTP Error 404",
        "leads outside of the catalogue and was not followed (2 x)",
    ):
        assert note in text
    assert sorted(pages["asked"]) == sorted(
        f"/{name}.json" for name in ("catalog", "here/c", "far", "old", "html", "gone", "odd", "here/a", "b")
    )


def test_a_catalogue_without_end_or_that_takes_too_long_is_left_with_a_note(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, pages = site

    class Endless(dict[str, Any]):
        def get(self, path: str, default: Any = None) -> Any:
            number = int(path.strip("/") or 0)
            return (
                collection(item("a"), AFTER)
                if number % 2
                else catalogue([("item", f"/{number + 1}"), ("child", f"/{number + 2}")])
            )

    monkeypatch.setattr(search, "MAX_DOCUMENTS", 20)
    pages_get = Endless().get
    for number in range(60):
        pages[f"/{number}"] = pages_get(f"/{number}")
    assert "not read to its end after 2" in "\n".join(find_at(f"{root}/0").notes)
    monkeypatch.setattr(search, "MAX_SEARCH_S", -1)
    with raises_naming(InputError, "0 items"):
        find_at(f"{root}/0")


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A byte now and then."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(40):
        handler.wfile.write(b" ")
        time.sleep(0.05)


def hang(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.6)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("<html>", "is no STAC catalogue"),
        ("[1]", "is no STAC catalogue"),
        ({"type": "Other"}, "is no STAC catalogue"),
        (None, "HTTP Error 404"),
        (hang, "had not come to an end after 0.4 seconds"),
        (drip, "had not come to an end after"),
        ("[" * 200_000, "is no STAC catalogue"),
    ],
)
def test_a_catalogue_that_cannot_be_read_is_refused(
    page: Any, message: str, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, pages = site
    monkeypatch.setattr(web, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(web.Session.read, "__kwdefaults__", web.Session.read.__kwdefaults__ | {"seconds": 0.4})
    pages["/catalog.json"] = page
    with pytest.raises(InputError, match=message):
        find_at(f"{root}/catalog.json")


def test_the_search_of_an_api_is_read_page_by_page_until_one_comes_again(site: Any) -> None:
    root, pages = site
    pages["/api"] = catalogue([("child", "/never"), ("search", "/search")])
    following = {"links": [{"rel": "next", "href": "/page?token=2"}]}
    pages["/search"] = collection(item("a")) | following
    pages["/page"] = collection(AFTER) | following
    plan = find_at(f"{root}/api")
    assert (plan.before is None, plan.after.name) == (False, "after")
    assert len(pages["asked"]) == 3
    query = parse_qs(urlsplit(pages["asked"][1]).query)
    assert [float(side) for side in query["bbox"][0].split(",")] == list(BOX)
    assert query["datetime"] == ["2020-02-07T00:00:00Z/2023-05-08T00:00:00Z"]
    pages["/page"] = "<html>"
    with raises_naming(InputError, "JSON", "STAC"):
        find_at(f"{root}/api")
    pages["/search"] = "<html>"
    with raises_naming(InputError, "JSON", "STAC"):
        find_at(f"{root}/api")


def views(before: tuple[float, float | None], after: tuple[float, float | None]) -> Callable[[Path], Plan]:
    def make(folder: Path) -> Plan:
        sides = [{"view:off_nadir": angle, "view:azimuth": azimuth} for angle, azimuth in (before, after)]
        return choose(folder, item("b", **sides[0]), item("a", "2023-02-08", **sides[1]))

    return make


@pytest.mark.parametrize(
    ("plan", "apart_m", "severity"),
    [
        (views((20, 90), (20, 90)), 0, None),
        (views((20, 90), (20, 270)), 6 * math.tan(math.radians(20)), "note"),
        (views((30, 0), (30, 90)), 3 * math.tan(math.radians(30)) * math.sqrt(2), "note"),
        (views((0, None), (45, None)), 3, "caution"),  # from straight above no direction is needed
    ],
)
def test_findings_say_how_far_the_views_put_roofs_apart(
    plan: Any, apart_m: float, severity: Any, tmp_path: Path
) -> None:
    findings = {one.code: one for one in plan(tmp_path).findings()}
    assert "after_off_nadir" in findings or "before_off_nadir" in findings
    if severity is None:
        assert "views_differ" not in findings
        return
    assert findings["views_differ"].severity == severity
    assert f"{apart_m:.1f} m ({apart_m / 0.5:.0f} px)" in findings["views_differ"].message


def test_views_whose_directions_are_not_stated_are_not_said_to_differ(tmp_path: Path) -> None:
    """Two views of 12 degrees may be the same, or lie on both sides."""
    findings = {one.code: one for one in views((12, None), (12, None))(tmp_path).findings()}
    assert "views_differ" not in findings
    text = findings["views_not_known"].message
    assert "directions that are not stated" in text
    assert f"0.0 to {6 * math.tan(math.radians(12)):.1f} m" in text
    unknown = {one.code: one for one in views((12, 0), (None, None))(tmp_path).findings()}  # type: ignore[arg-type]
    assert "The view angle of the image after is not stated" in unknown["views_not_known"].message


def test_the_verb_writes_a_plan_a_picture_and_outlines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "catalog.json").write_text(
        json.dumps(catalogue([("item", "b.json"), ("item", "a.json"), ("item", "../up.json")]))
    )
    half = item("b", bounds=(2.99, 44.99, 3.005, 45.02))
    for name, one in (("b", half), ("a", AFTER)):
        (tmp_path / "cat" / f"{name}.json").write_text(json.dumps(one))
    place = tmp_path / "box.geojson"
    houses = [shapely.box(3.001, 45.001, 3.0012, 45.0012), shapely.box(3.5, 45.5, 3.6, 45.6)]
    for path, shapes in ((place, [shapely.box(*BOX)]), (tmp_path / "houses.geojson", houses)):
        features = [
            {"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(one))} for one in shapes
        ]
        path.write_text(json.dumps(collection(*features)))
    out = tmp_path / "plan.yaml"
    words = ["find", "--catalogue", str(tmp_path / "cat" / "catalog.json"), "--date", DAY, "--out", str(out)]
    assert (
        main([*words, "--place", str(place), "--outlines", str(tmp_path / "houses.geojson"), "--event", "name=Quake"])
        == 0
    )
    printed = capsys.readouterr()
    assert printed.out.split() == [str(out), str(out.with_suffix(".png")), str(tmp_path / "plan_buildings.gpkg")]
    assert "CAUTION: The image before covers 50 % of the box" in printed.err
    assert "leads outside of the catalogue" in printed.err
    assert out.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
    text = out.read_text(encoding="utf-8")
    assert text.startswith("# A plan for `deepnets4eo damage plan.yaml --out DIR`.")
    assert "- cat/b.tif" in text
    plan = Plan.load(out)
    assert plan.after.files == [str(tmp_path / "cat" / "after.tif")]
    assert plan.outlines == str(tmp_path / "plan_buildings.gpkg")
    assert (plan.event_info().name, plan.event_info().date_post) == ("Quake", "2023-02-08T10:00Z")
    assert main(["check", str(out)]) == 0
    checked = capsys.readouterr().out
    assert "plan.yaml: plan" in checked
    assert "after.tif does not exist. Correct the plan." in checked
    for wrong, message in (
        (["--place", str(place), "--bbox", *map(str, BOX)], "expected --bbox W S E N or --place FILE"),
        (["--bbox", "3", "45", "2", "46"], "west before east"),
        (["--bbox", *map(str, BOX), "--catalogue", "none.json"], "none.json does not exist. Check the path."),
        (["--bbox", *map(str, BOX), "--set", "max_cloud=101"], "max_cloud is"),
    ):
        assert main([*words, *wrong, "--overwrite"]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x", "is no plan, which has a box and images"),
        ("box: [3, 45, 3.1, 45.1]\ndate: '2023-02-06'", "after"),
        ("box: [3, 45, 2, 46]\ndate: x\nafter: {files: [a.tif]}", "west before east"),
        ("box: [3, 45, 4, 46]\ndate: x\nafter: {file: [a.tif]}", "unknown key 'after.file'"),
        ("box: [3, 45, 4, 46]\ndate: x\nafter: {files: [a.tif], off_nadir_deg: 99}", "off_nadir_deg is 99"),
        ("box: [3, 45, 4, 46]\ndate: x\nafter: {files: [a.tif], time: soon}", "date_post is 'soon'"),
        ("box: [3, 45, 4, 46]\ndate: x\nevent: {nam: q}\nafter: {files: [a.tif]}", "unknown key 'nam'"),
    ],
)
def test_a_plan_with_mistakes_is_refused_by_name(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    assert main(["damage", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "plan.yaml" in error
    assert main(["check", str(path)]) == 2


def test_a_time_with_a_fraction_keeps_its_zone(tmp_path: Path) -> None:
    """23:30 UTC of the day before is before the event, whatever the day is called there."""
    evening = item("evening", "2023-02-06T02:30:00.500+03:00")
    plan = choose(tmp_path, evening, AFTER, date="2023-02-06T01:17Z")
    assert plan.before is not None
    assert (plan.before.name, plan.before.time, plan.after.name) == ("evening", "2023-02-05T23:30Z", "after")


def test_an_image_of_a_span_of_time_is_before_or_after_the_event_as_a_whole(tmp_path: Path) -> None:
    def span(name: str, start: str, end: str) -> dict[str, Any]:
        return item(name, None, start_datetime=f"{start}T00:00:00Z", end_datetime=f"{end}T00:00:00Z")

    around = span("around", "2023-02-01", "2023-02-09")
    plan = choose(tmp_path, around, span("b", "2023-01-01", "2023-01-31"), span("a", "2023-02-10", "2023-02-20"))
    assert plan.before is not None
    assert (plan.before.name, plan.after.name) == ("b", "a")
    assert [line for line in plan.rejected if "around" in line and "from before the event to after it" in line]


@pytest.mark.parametrize(
    "stated",
    [
        {"proj:epsg": 32631},
        {"proj:epsg": None, "proj:code": "EPSG:32631"},
        {"proj:epsg": None, "proj:wkt2": 'PROJCRS["x"]'},
        {"proj:code": None, "proj:projjson": {"type": "ProjectedCRS"}},
        {},
    ],
)
def test_any_of_the_ways_to_state_a_projection_is_one(stated: dict[str, Any], tmp_path: Path) -> None:
    assert choose(tmp_path, item("before", **stated), AFTER).before is not None
    of_asset = item("before", **dict.fromkeys(stated))
    of_asset["assets"]["visual"] |= stated
    assert choose(tmp_path, of_asset, AFTER).before is not None


def test_an_image_over_180_degrees_lies_on_both_sides_and_nowhere_between(tmp_path: Path) -> None:
    over = {"type": "Polygon", "coordinates": [[[179.5, 44], [-179.5, 44], [-179.5, 46], [179.5, 46], [179.5, 44]]]}
    with raises_naming(InputError, "1 item"):
        choose(tmp_path, AFTER | {"geometry": over, "bbox": [179.5, 44, -179.5, 46]})


ODD: dict[str, Any] = {
    "year 1": {"datetime": "0001-01-01T00:00:00Z"},
    "year 1 east": {"datetime": "0001-01-01T00:00:00+01:00"},
    "year 9999": {"datetime": "9999-12-31T23:59:59.9Z"},
    "infinite": {"view:azimuth": math.inf, "gsd": math.inf, "eo:cloud_cover": math.nan},
    "huge": {"view:azimuth": 10**400, "view:off_nadir": -(10**400)},
    "lists": {"view:azimuth": [1], "platform": {"a": 1}, "providers": 3, "datetime": [1], "proj:epsg": [[]]},
}


@pytest.mark.parametrize("days", [1095, 999_999_999])
@pytest.mark.parametrize("odd", ODD)
def test_an_item_with_odd_values_is_chosen_or_left_out_with_a_reason(odd: str, days: int, tmp_path: Path) -> None:
    plan = choose(tmp_path, item("odd", **ODD[odd]) | {"id": "a $x_y$ z"}, item("good"), AFTER, days_before=days)
    assert plan.before is not None
    assert plan.event_info().date_post
    plan.save(tmp_path / "plan.yaml")
    assert Plan.load(tmp_path / "plan.yaml").after.name == "after"


@pytest.mark.parametrize(
    "change",
    [
        {"bbox": [math.nan] * 4, "geometry": None}, {"assets": {"visual": 7}}, {"assets": [1]}, {"properties": 7}, {"id": None},
        {"assets": {"visual": {"href": "http://[", "type": TIFF}}}, {"geometry": {"type": "Polygon", "coordinates": {}}, "bbox": 3},
        {"assets": {"visual": {"href": "x.tif", "type": TIFF, "eo:bands": 3, "raster:bands": [4], "roles": {}}}},
        {"assets": {"visual": {"href": "s3://bucket/x.tif", "type": TIFF}}},
    ],
)  # fmt: skip
def test_items_that_are_none_end_no_search(change: dict[str, Any], tmp_path: Path) -> None:
    plan = choose(tmp_path, item("odd") | change, item("good"), AFTER)
    assert plan.after.name == "after"


def test_the_plan_is_there_whatever_becomes_of_its_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = [item("before") | {"id": "a $\\frac{1}$ b"}, AFTER | {"id": "$x_y^z_$"}, item("r") | {"id": "$$"}]
    (tmp_path / "items.json").write_text(json.dumps(collection(*odd)))
    words = ["find", "--catalogue", str(tmp_path / "items.json"), "--bbox", *map(str, BOX), "--date", DAY]
    assert main([*words, "--out", str(tmp_path / "plan.yaml")]) == 0
    assert (tmp_path / "plan.png").read_bytes()[:4] == b"\x89PNG"

    def fail(*_: Any) -> None:
        raise InputError("no picture")

    monkeypatch.setattr("deepnets4eo.catalogues.plan.draw_coverage", fail)
    assert main([*words, "--out", str(tmp_path / "other.yaml")]) == 2
    assert Plan.load(tmp_path / "other.yaml").after.name == "$x_y^z_$"
    assert "no picture" in capsys.readouterr().err


def test_what_a_kill_while_drawing_has_left_goes_with_the_next_plan(tmp_path: Path) -> None:
    (tmp_path / "items.json").write_text(json.dumps(collection(AFTER)))
    left = [tmp_path / f".partial-0123abcd-{name}" for name in ("plan.png", "plan.yaml", "other.png")]
    for path in left:
        path.write_text("")
    words = ["find", "--catalogue", str(tmp_path / "items.json"), "--bbox", *map(str, BOX), "--date", DAY]
    assert main([*words, "--out", str(tmp_path / "plan.yaml")]) == 0
    assert [path.exists() for path in left] == [False, False, True]


def test_the_picture_names_the_rejected_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    drawn: list[str] = []

    def look(figure: Any, *_: Any, **__: Any) -> None:
        drawn.extend(text.get_text() for text in figure.legends[0].get_texts())
        drawn.extend(text.get_text() for text in figure.axes[0].texts)
        seen.extend([*figure.axes[0].get_xlim(), *figure.axes[0].get_ylim()])

    seen: list[float] = []
    monkeypatch.setattr(Figure, "savefig", look)
    (tmp_path / "items.json").write_text(json.dumps(collection(item("bad", gsd=1), item("good"), AFTER)))
    plan, shapes = make_plan([str(tmp_path / "items.json")], BOX, DAY, {}, FindOptions())
    with pytest.raises(OSError, match="could not write"):  # as nothing was drawn
        draw_coverage(plan, shapes, tmp_path / "plan.png")
    assert any(text.startswith("1: bad, 2023-02-01T10:00Z: score 0.") for text in drawn)
    assert "1" in drawn
    reach = 1.1 * 0.015  # a tenth more than the images reach from the middle of the box
    assert seen == pytest.approx([3.005 - reach, 3.005 + reach, 45.005 - reach, 45.005 + reach], abs=1e-6)


@pytest.mark.parametrize(
    "far", [(2.0, 44.99, 3.02, 45.02), (2.99, 44.99, 4.0, 45.02), (2.99, 44.0, 3.02, 45.02), (2.99, 44.99, 3.02, 46.0)]
)
def test_the_picture_reaches_four_sides_of_the_box_from_its_middle(
    far: tuple[float, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    seen: list[float] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: seen.extend(figure.axes[0].get_xlim()))
    (tmp_path / "items.json").write_text(json.dumps(collection(item("good", bounds=far), AFTER)))
    plan, shapes = make_plan([str(tmp_path / "items.json")], BOX, DAY, {}, FindOptions())
    with pytest.raises(OSError, match="could not write"):
        draw_coverage(plan, shapes, tmp_path / "plan.png")
    assert seen == pytest.approx([3.005 - 0.04, 3.005 + 0.04], abs=1e-6)


def test_the_score_says_what_it_is_made_of(tmp_path: Path) -> None:
    plan = choose(tmp_path, item("before", gsd=1, **{"eo:cloud_cover": None}), AFTER)
    line = next(note for note in plan.notes if note.startswith("score of before"))
    shares = [float(part.split()[-1]) for part in line.replace(" (not stated)", "").partition(" = ")[2].split(" x ")]
    assert plan.before is not None
    assert math.prod(shares) == pytest.approx(plan.before.score, rel=0.03)
    assert "clear 0.70 (not stated)" in line
    assert "fine 0.50" in line


def test_an_image_that_can_be_read_is_chosen_and_the_other_named(site: Any) -> None:
    root, pages = site
    twice = item("before")
    twice["assets"] = {
        "bucket": {"href": "s3://bucket/a.tif", "type": TIFF, "roles": ["visual"]},
        "web": {"href": "a.tif", "type": TIFF, "roles": ["visual"]},
    }
    pages["/items.json"] = collection(twice, AFTER)
    plan = find_at(f"{root}/items.json")
    assert plan.before is not None
    assert plan.before.files == [f"{root}/a.tif"]
    assert "an image that cannot be read from here: bucket at s3://bucket/a.tif (1 x)" in plan.notes


def test_of_items_only_what_is_used_is_held_and_all_answers_are_bounded(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, pages = site
    fat = item("before") | {"summary": "x" * 200_000}
    fat["properties"]["notes"] = fat["assets"]["visual"]["notes"] = "x" * 200_000
    pages["/api"] = catalogue([("search", "/s0")])
    for number in range(20):
        pages[f"/s{number}"] = collection(fat, AFTER) | {"links": [{"rel": "next", "href": f"/s{number + 1}"}]}
    times = search.parse_time("2020-01-01"), search.parse_time("2024-01-01")
    monkeypatch.setattr(web.Session.__init__, "__defaults__", (3_000_000,))
    items, notes = search.read_items(f"{root}/api", BOX, times)  # type: ignore[arg-type]
    assert sum(len(json.dumps([one.content, one.collection])) for one in items) < 1_000 * len(items)
    assert 4 <= len(items) <= 10
    assert "all answers together have more than 3,000,000 bytes" in "".join(notes)
    assert len(pages["asked"]) < 8


def test_what_a_catalogue_on_the_open_network_refers_to_in_a_private_one_is_left_out(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, pages = site
    is_private = web._is_private_number
    monkeypatch.setattr(web, "_is_private_number", lambda number: number != "127.0.0.1" and is_private(number))
    inside = item("before")
    inside["assets"]["visual"]["href"] = "http://169.254.169.254/a.tif"
    pages["/items.json"] = collection(inside, AFTER) | {"links": [{"rel": "next", "href": "http://10.0.0.1/items"}]}
    plan = find_at(f"{root}/items.json")
    assert plan.before is None
    assert any("in a private network" in line for line in plan.rejected)
    assert any("leads outside of the catalogue" in note for note in plan.notes)
