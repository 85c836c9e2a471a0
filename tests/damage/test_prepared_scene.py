"""Where the outlines lie: each outcome of the alignments and of registration, one by one."""

from dataclasses import replace
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
import shapely
from made_up_town import GRID

from deepnets4eo.damage import Settings, assess, placing
from deepnets4eo.damage.placing import outline_position, registration_findings
from deepnets4eo.damage.site.site import Inputs
from deepnets4eo.footprints import FootprintAlignment, read_footprints
from deepnets4eo.grid import Grid
from deepnets4eo.outputs import Phrase
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City

GOOD = FootprintAlignment(
    "ok", None, 1.0, 2.0, 0.2, 2.0, 0.4, 0.03, np.zeros((50, 2)), np.ones(50, bool), np.ones(50), GRID, 50, 8.0
)
BAD = replace(
    GOOD,
    status="failed",
    why=Phrase("footprints_agree_by_chance", {"agreeing": 0.03, "chance": 0.02}),
    dx_m=0.0,
    dy_m=0.0,
    in_place=0.4,
)


class Registered:
    """What is read of a registration."""

    def __init__(
        self, status: str, turn: float = 0.0, scale: tuple[float, float] = (1.0, 1.0), inliers: int = 9
    ) -> None:
        self.status, self.usable, self.why = status, status != "failed", Phrase("match_not_measured")
        self.measured = SimpleNamespace(
            rotation_deg=turn, scale_min=scale[0], scale_max=scale[1], inliers=inliers, reliable=10
        )


def test_the_first_image_on_which_footprints_align_is_used() -> None:
    assert outline_position({"pre": GOOD}, Registered("ok")).image == "pre"
    found = outline_position({"pre": BAD, "post": GOOD}, Registered("ok"))
    assert (found.image, found.known, found.findings) == ("post", True, ())
    assert found.fit_after == (0.4, 0.4)
    assert outline_position({"pre": replace(BAD, in_place=9.0), "post": GOOD}, Registered("ok")).fit_after is None
    assert outline_position({"pre": replace(BAD, voters=2), "post": GOOD}, Registered("ok")).fit_after is None
    assert outline_position({"post": GOOD}, Registered("failed")).fit_after is None


def test_an_alignment_that_failed_everywhere_leaves_the_position_unknown() -> None:
    found = outline_position({"pre": BAD, "post": BAD}, Registered("ok"))
    assert not found.known
    assert [(finding.code, finding.severity) for finding in found.findings] == [("alignment_failed", "worthless")]
    assert "--set align=no" in found.findings[0].remedy


@pytest.mark.parametrize(("in_place", "known"), [(3.1, True), (2.9, False), (float("nan"), False)])
def test_outlines_that_edges_follow_where_they_are_stay_there(in_place: float, known: bool) -> None:
    found = outline_position({"post": replace(BAD, in_place=in_place)}, None)
    assert found.known == known
    assert found.findings[0].code == ("alignment_weak" if known else "alignment_failed")


def test_one_or_two_footprints_are_taken_where_they_are_with_caution() -> None:
    found = outline_position({"post": replace(BAD, voters=2)}, None)
    assert (found.known, found.findings[0].code, found.findings[0].severity) == (True, "alignment_unknown", "caution")


@pytest.mark.parametrize(("status", "image"), [("ok", "pre"), ("failed", "post")])
def test_without_alignment_outlines_lie_on_the_image_that_can_be_used(status: str, image: str) -> None:
    found = outline_position({}, Registered(status))
    assert (found.alignment, found.image, found.known) == (None, image, True)


def test_a_far_move_is_a_finding() -> None:
    assert (
        outline_position({"pre": replace(GOOD, dx_m=8.5)}, Registered("ok")).findings[0].code == "footprints_moved_far"
    )
    assert outline_position({"pre": replace(GOOD, dx_m=7.0)}, Registered("ok")).findings == ()


@pytest.mark.parametrize(
    ("answers", "paired", "looked_at"),
    [
        ({"pre": GOOD, "post": GOOD}, True, ["pre"]),
        ({"pre": BAD, "post": GOOD}, True, ["pre", "post"]),
        ({"pre": GOOD, "post": BAD}, False, ["post"]),
    ],
)
def test_no_more_images_are_looked_at_than_needed(answers, paired: bool, looked_at: list[str], monkeypatch) -> None:
    pre, post = (Layer.open(np.zeros((1, 8, 8)), grid=GRID[:8, :8]) for _ in range(2))
    inputs = Inputs(
        pre,
        post,
        read_footprints(gpd.GeoDataFrame(geometry=[shapely.box(*GRID.extent.boundingbox)], crs=GRID.crs)),
        np.zeros(0, object),
    )
    monkeypatch.setattr(placing, "align_footprints", lambda image, *_, **__: answers["pre" if image is pre else "post"])
    assert list(placing.measure_alignments(inputs, Settings(), paired=paired)) == looked_at
    assert placing.measure_alignments(inputs, Settings(align=False), paired=paired) == {}


def test_registration_that_failed_or_is_doubtful_is_a_finding() -> None:
    assert registration_findings(None) == registration_findings(Registered("ok")) == ()
    for status in ("failed", "degraded"):
        (finding,) = registration_findings(Registered(status))
        assert finding.code == f"registration_{status}"
        assert "taken as registered, not measured" in finding.message


def test_that_nothing_fits_names_what_stopped_the_registration() -> None:
    (finding,) = outline_position({"post": BAD}, Registered("failed")).findings
    assert finding.code == "alignment_failed"
    assert "Neither could the images be registered (taken as registered, not measured)" in finding.message
    assert "raise --set max_shift_m" in finding.remedy
    (alone,) = outline_position({"post": BAD}, None).findings
    assert "max_shift_m" not in alone.remedy


def test_what_the_user_took_upon_himself_is_a_finding() -> None:
    (assumed,) = registration_findings(Registered("ok"), Settings(assume_registered=True))
    assert (assumed.code, assumed.severity) == ("registration_assumed", "caution")
    (turned,) = registration_findings(Registered("ok", -4.2), Settings(max_rotation_deg=6))
    assert (turned.code, turned.severity) == ("registration_turned", "caution")
    assert "rotated by 4.2°; georeferenced images are rarely rotated by more than 3°" in turned.message
    assert registration_findings(Registered("ok", 2.9), Settings(max_rotation_deg=6)) == ()


def test_a_scale_and_few_places_found_again_are_findings() -> None:
    (scaled,) = registration_findings(Registered("ok", scale=(0.95, 1.0)))
    assert (scaled.code, scaled.severity) == ("registration_scaled", "caution")
    assert "scaled by 0.950 to 1.000" in scaled.message
    (few,) = registration_findings(Registered("ok", inliers=4))
    assert (few.code, few.severity) == ("registration_few_matches", "note")
    assert "40% of the places" in few.message
    assert registration_findings(Registered("ok", scale=(0.985, 1.015), inliers=5)) == ()


def test_outlines_are_aligned_on_images_with_a_world_file_and_no_crs() -> None:
    city = City(seed=3, size_px=384)
    pre, post = (
        Layer.open(image.image, grid=Grid(image.grid.shape, image.grid.affine, None)) for image in (city.pre, city.post)
    )
    outlines = city.footprints().set_crs(None, allow_override=True)
    outlines.geometry = outlines.geometry.translate(2, 0)
    aligned = assess(pre, post, outlines)
    assert [one.code for one in aligned.findings if one.code.startswith("alignment")] == []
    assert (aligned.buildings["status"] == "assessed").sum() > 15


def test_of_two_failed_alignments_the_better_one_decides() -> None:
    better, worse = (replace(BAD, in_place=value) for value in (3.6, 1.0))
    for order in ({"pre": better, "post": worse}, {"pre": worse, "post": better}):
        found = outline_position(order, Registered("ok"))
        assert found.known
        assert order[found.image] is better
