"""The words and the light of a page that state whether images and outlines are aligned (SYNTHETIC map)."""

import pytest
from made_up_map import make_map
from report_visit import write

from deepnets4eo.outputs import Finding

CAUTION = Finding("green", "caution", {"message": "12 roofs lie under trees."})
ASSUMED = Finding("registration_assumed", "caution")


@pytest.mark.parametrize(
    ("footprints", "findings", "light", "words"),
    [
        ({"status": "ok"}, (), "ok", "outlines on the roofs"),
        ({"status": "failed"}, (), "failed", "outlines could not be matched with roofs"),
        ({"status": "ok"}, (CAUTION,), "degraded", "Images aligned"),
        ({"status": "not moved"}, (), "ok", "Images aligned"),
        ({"status": "ok"}, (ASSUMED,), "degraded", "Images assumed to be aligned, not measured"),
    ],
)
def test_the_light_is_green_only_where_images_and_outlines_fit_and_nothing_is_in_doubt(
    visit, tmp_path, footprints, findings, light, words
):
    damage_map = make_map(12)
    damage_map.registration["footprints"] = footprints
    damage_map.findings = findings
    one = visit(write(damage_map, tmp_path / "report.html"))
    assert one.page.locator("#quality .light").get_attribute("class") == f"light {light}"
    assert words in one.page.locator("#quality").inner_text()


@pytest.mark.parametrize(
    ("with_pre", "words"), [(True, "Images assumed to be aligned, not measured"), (False, "After image only")]
)
def test_without_a_registration_the_words_are_chosen_by_the_image_before(visit, tmp_path, with_pre, words):
    damage_map = make_map(12)
    damage_map.inputs.pop("pre", None)
    if with_pre:
        damage_map.inputs["pre"] = "before.tif"
    one = visit(write(damage_map, tmp_path / "report.html", with_pre=with_pre, registration={}))
    assert one.page.locator("#quality").inner_text() == words
    summary = one.page.locator("#view-summary").text_content()
    assert (words if with_pre else "not done: no before image") in summary
