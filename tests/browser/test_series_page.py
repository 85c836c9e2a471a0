"""The page of a ranked series in a browser: it works offline, shows both pictures of a change, and dots lead to changes."""

import csv

from made_up_series import BANDS, Change, make_series
from report_visit import DESKTOP, PHONE

from deepnets4eo.change import NoveltyOptions, NoveltyRanking
from deepnets4eo.change.series import SeriesJob, SeriesProducts
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.jobs import JobOutput


def test_a_dot_of_the_timeline_leads_to_its_pictures(visit, tmp_path):
    series = ImageSeries(make_series(2, size=192, count=10, changes=(Change(3, 4, 6),)), bands=BANDS)
    SeriesJob(series, JobOutput(tmp_path), NoveltyOptions(cell_px=16), SeriesProducts(top=3)).run()
    page = visit(tmp_path / "report.html", DESKTOP).page
    pictures = page.locator("article image")
    assert page.locator(".overview path").count() == len(NoveltyRanking.read(tmp_path).table)
    assert "5" in page.locator(".timeline .score").all_text_contents()
    with page.expect_download() as saved:
        page.get_by_text("Save the table (CSV)").click()
    rows = list(csv.DictReader(saved.value.path().open()))
    assert [row["id"] for row in rows] == [str(number) for number in NoveltyRanking.read(tmp_path).table["id"]]
    assert pictures.count() == 6
    boxes = [pictures.nth(number).bounding_box() for number in range(6)]
    assert all(box["width"] > 100 and box["height"] > 100 for box in boxes)
    page.locator('.timeline a[href="#change-1"]').click()
    assert page.evaluate("document.querySelector(':target').id") == "change-1"
    phone = visit(tmp_path / "report.html", PHONE).page
    edges = phone.locator(".timeline :is(circle, text)").evaluate_all(
        "all => all.filter((one) => one.checkVisibility()).map((one) => one.getBoundingClientRect().toJSON())"
    )
    assert all(edge["left"] >= 0 and edge["right"] <= PHONE["viewport"]["width"] for edge in edges), (
        "nothing is scrolled to"
    )
    labels = phone.locator(".timeline text:not(.score)")
    shown = [label.bounding_box() for label in labels.all() if label.is_visible()]
    assert 2 <= len(shown) < labels.count()
    assert all(one["x"] + one["width"] < other["x"] for one, other in zip(shown, shown[1:], strict=False))
