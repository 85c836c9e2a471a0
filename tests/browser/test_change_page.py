"""The page of a change map in a browser: the panels of the damage page, with polygons of change by class and the scores over them."""

import csv
import json
import re
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
import shapely
from made_up_map import make_grid
from report_visit import PHONE

from deepnets4eo.change.page import COLOURS, change_page
from deepnets4eo.outputs import EventInfo, Finding
from deepnets4eo.rasters import Layer, Scene

pytestmark = pytest.mark.browser

SIDE = 256
ALIGNED = {
    "status": "ok",
    "shift_m": 0.0,
    "residual_m": 0.1,
    "model": "translation",
    "reason": "",
    "inliers": 9,
    "tie_points": 9,
}


def squares(pairs, grid, *, least_px=12):
    """One square a pair of classes, the largest first, in a row of five; pairs of None have no class."""
    corners = [
        (20 + 45 * (k % 5), 20 + 45 * (k // 5), 40 - (40 - least_px) * k / len(pairs)) for k in range(len(pairs))
    ]
    boxes = [shapely.box(col, row, col + size, row + size) for col, row, size in corners]
    to_ground = grid.affine.to_shapely()
    geometry = gpd.GeoSeries(
        [shapely.affinity.affine_transform(shape, to_ground) for shape in boxes], crs=str(grid.crs)
    )
    columns = {
        "id": [str(k + 1) for k in range(len(pairs))],
        "area_m2": geometry.area,
        "score": np.linspace(0.9, 0.5, len(pairs)),
    }
    if pairs and pairs[0] is not None:
        columns |= {"from": [pair[0] for pair in pairs], "to": [pair[1] for pair in pairs]}
    return gpd.GeoDataFrame(columns, geometry=geometry)


def write(path, pairs, *, synthetic=False, findings=(), event=EventInfo()):
    grid = make_grid(SIDE)
    rng = np.random.default_rng(0)
    images = {
        name: Layer.open(rng.integers(0, 255, (3, SIDE, SIDE), np.uint8), grid=grid)
        for name in ("image_pre", "image_post")
    }
    score = Layer.open(np.full((1, SIDE, SIDE), 254, np.uint8), grid=grid)
    summary = {
        "synthetic": synthetic, "pre": "/home/somebody/pre.tif", "post": "/home/somebody/post.tif", "method": "run /home/somebody/runs/siamese",
        "threshold": 0.5, "refined": False, "registration": ALIGNED, "findings": [one.to_dict() for one in findings],
        "area": {"changed_ha": 1.5, "changed_ha_interval": (1.2, 1.9), "seen_ha": 30.0, "changed_share": 0.05},
        "polygons": {"count": len(pairs), "min_area_m2": 0.0},
    }  # fmt: skip
    polygons = squares(pairs, grid)
    labels = Layer.open(np.zeros((1, SIDE, SIDE), np.uint8), grid=grid)
    opened, drawn = (
        SimpleNamespace(scene=Scene(images, grid), doubt=None),
        SimpleNamespace(polygons=polygons, labels=labels),
    )
    page = change_page(opened, drawn, summary)
    return polygons, page.write(path, score, polygons, summary, event, findings)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    pairs = [("wood", "road"), ("wood", "road"), ("field", "house"), (None, "house"), ("field", "house")]
    return write(tmp_path_factory.mktemp("change") / "report.html", pairs, synthetic=True)


def test_the_list_holds_the_polygons_and_a_class_is_switched_off(classes, visit):
    polygons, path = classes
    one = visit(path)
    assert one.listed() == polygons["id"].tolist()
    assert one.page.locator("#synthetic").is_visible()
    assert one.page.locator("#headline").inner_text() == ("1.50 ha changed, 5.0% of 30.0 ha that both images show.")
    chips = one.page.locator(".chip")
    assert [re.sub(r"\s+", " ", text) for text in chips.all_inner_texts()][0].startswith("wood → road 2")
    everything = one.pixels()
    chips.first.click()
    assert one.listed() == ["3", "4", "5"]
    assert one.pixels() != everything
    chips.first.click()
    assert one.pixels() == everything


def test_a_row_opens_its_polygon_and_the_scores_lie_over_both_images(classes, visit):
    polygons, path = classes
    one = visit(path)
    before = one.pixels()
    one.page.locator("[data-layer=Score]").click()
    assert all(now != was for now, was in zip(one.pixels(), before, strict=True))
    one.page.locator("#table .body .row").nth(3).click()
    text = one.page.locator("#card").inner_text()
    assert "house" in text
    assert f"{polygons['area_m2'][3]:,.0f} m²" in text
    assert one.page.locator("#card .close-up canvas").count() == 2
    one.page.locator("#swipe").click()
    assert one.page.locator("#swipe-line").is_visible()


def test_the_saved_table_and_geojson_hold_what_is_listed(classes, visit, tmp_path):
    polygons, path = classes
    one = visit(path)
    one.page.locator(".chip").first.click()
    saved = {}
    for kind in ("csv", "geojson"):
        with one.page.expect_download() as waiting:
            one.page.locator(f"#{kind}").click()
        assert waiting.value.suggested_filename == f"change_listed.{kind}"
        waiting.value.save_as(tmp_path / f"saved.{kind}")
        saved[kind] = (tmp_path / f"saved.{kind}").read_text(encoding="utf-8")
    rows = list(csv.DictReader(saved["csv"].splitlines()))
    kept = polygons[2:]
    assert list(rows[0]) == ["id", "latitude", "longitude", "area_m2", "score", "from", "to", "synthetic"]
    assert {row["synthetic"] for row in rows} == {"SYNTHETIC"}
    middle = kept.geometry.centroid.to_crs(4326)
    np.testing.assert_allclose([float(row["latitude"]) for row in rows], middle.y, atol=1e-6)
    assert [row["id"] for row in rows] == kept["id"].tolist()
    assert [row["from"] for row in rows] == ["field", "", "field"]
    np.testing.assert_allclose([float(row["area_m2"]) for row in rows], kept["area_m2"], rtol=1e-4)
    features = json.loads(saved["geojson"])["features"]
    read = gpd.GeoDataFrame.from_features(features, crs=4326).to_crs(polygons.crs)
    overlap = read.geometry.intersection(kept.geometry.reset_index(drop=True)).area / kept["area_m2"].to_numpy()
    assert overlap.min() > 0.9


def test_more_classes_than_colours_become_one_and_change_alone_is_one(visit, tmp_path):
    many = [(f"a{k}", f"b{k}") for k in range(len(COLOURS) + 3)]
    page = visit(write(tmp_path / "many.html", many)[1]).page
    assert page.locator(".chip[data-class]").count() == len(COLOURS) + 1
    assert page.locator(".chip", has_text="other change").inner_text().split()[2] == "3"
    alone = visit(write(tmp_path / "alone.html", [None] * 4)[1], PHONE).page
    assert alone.locator("[data-class] .chip-title").all_text_contents() == ["Change"]
    assert alone.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]


def test_names_of_both_files_stay_apart_on_a_phone(visit, tmp_path):
    one = visit(write(tmp_path / "names.html", [None])[1], PHONE)
    if not one.page.locator("#swipe-line").is_visible():
        one.page.locator("#swipe").click()
    one.page.locator(".label span").evaluate_all(
        "all => all.forEach((one) => { one.textContent = 'S2_2025-12-04_S2C_39SWS_20251204_0.tif'; })"
    )
    first, second = one.page.locator(".label").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect().toJSON())"
    )
    assert first["right"] < second["left"]


def test_the_event_is_on_top_in_the_summary_and_in_saved_files(visit, tmp_path):
    event = EventInfo(
        "Tornado <b>", "Joplin", "2011-05-20", "2011-05-29", sensor_post="WorldView-2", credit="© Somebody"
    )
    page = visit(write(tmp_path / "event.html", [None], event=event)[1]).page
    assert page.locator("h1").inner_text() == page.title() == "Change map: Tornado <b>, Joplin"
    line = page.locator("#event").inner_text()
    assert line == "Before: 2011-05-20 · After: 2011-05-29, WorldView-2 · © Somebody"
    assert "Date after" in page.locator("#view-summary").text_content()
    for kind in ("geojson", "kml"):
        with page.expect_download() as waiting:
            page.locator(f"#{kind}").click()
        waiting.value.save_as(tmp_path / kind)
    collection = json.loads((tmp_path / "geojson").read_text(encoding="utf-8"))
    assert (collection["title"], collection["event"]) == ("Change map: Tornado <b>, Joplin", event.to_dict())
    with page.expect_download() as waiting:
        page.locator("#csv").click()
    row = next(csv.DictReader(waiting.value.path().read_text(encoding="utf-8").splitlines()))
    assert (row["event"], row["place"], row["date_pre"]) == ("Tornado <b>", "Joplin", "2011-05-20")
    assert "synthetic" not in row
    kml = (tmp_path / "kml").read_text(encoding="utf-8")
    assert "Date before: 2011-05-20" in kml
    assert "Tornado &lt;b&gt;" in kml
    alone = visit(write(tmp_path / "alone.html", [None])[1]).page
    assert alone.locator("#event").is_hidden()
    assert alone.locator("h1").inner_text() == alone.title() == "Change map"


def test_a_map_without_any_change_has_a_page_too(visit, tmp_path):
    doubt = Finding("doubt", "caution", {"message": "Images differ by season.", "remedy": "Look."})
    one = visit(write(tmp_path / "none.html", [], findings=(doubt,))[1])
    assert one.listed() == []
    assert "Images differ by season." in one.page.locator("#findings").inner_text()
    assert one.page.locator("#quality .light").get_attribute("class") == "light degraded"


def test_it_prints_with_its_classes_and_without_controls(classes, visit):
    one = visit(classes[1])
    one.page.emulate_media(media="print")
    one.page.wait_for_selector("#sheet canvas")
    text = one.page.locator("body").inner_text()
    for word in ("SYNTHETIC", "wood → road", "post.tif", "1.50 ha (1.20–1.90)", "no calibrated probabilities"):
        assert word in text
    assert "run siamese, threshold 0.5" in text
    assert "somebody" not in classes[1].read_text(encoding="utf-8")
    assert one.page.locator("#table").is_hidden()
    assert one.page.locator("#sheet canvas").count() == 2


def test_values_of_facts_have_half_of_the_width_however_long_their_names_are(classes, visit):
    one = visit(classes[1])
    one.page.emulate_media(media="print")
    one.page.wait_for_selector("#sheet canvas")
    widths = one.page.locator("#sheet .facts").evaluate_all(
        "all => all.map((list) => [list.clientWidth, ...[...list.querySelectorAll('dd')].map((one) => one.clientWidth)])"
    )
    assert [row for row in widths if min(row[1:]) < 0.45 * row[0]] == []
