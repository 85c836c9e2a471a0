"""The value that goes through a damage job: every step returns it extended, and none changes what another holds."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from refusals import raises_naming

from deepnets4eo.damage import placing
from deepnets4eo.damage.site.site import Inputs, OutlinePosition, Site
from deepnets4eo.damage.site.work import step_progress
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid
from deepnets4eo.outputs import Finding, Phrase
from deepnets4eo.rasters import Layer

GRID = Grid((20, 30), Affine(0.5, 0, 400_000, 0, -0.5, 5_000_000), "EPSG:32633")


def site(**changes: Any) -> Site:
    """Three houses in a row, the last of which is not assessed."""
    outlines = shapely.box([2, 10, 20], 4, [6, 14, 24], 8)
    inputs = Inputs(None, Layer.open(np.zeros((3, 20, 30), np.uint8), grid=GRID), None, outlines)  # type: ignore[arg-type]
    return Site(inputs, **changes)


def table() -> Buildings:
    frame = pd.DataFrame({"id": list("abc"), "ev_texture": [0.1, 0.2, np.nan], "status": ["assessed", "assessed", "not_assessed"],
                          "reason": ["", "", "under cloud"], "method": ["post_only", "post_only", ""], "dx_px": [0.0, 2.0, 0.0],
                          "dy_px": [0.0, -4.0, 0.0]})  # fmt: skip
    return Buildings(frame, {"ev_texture": "roughness"})


def test_outlines_lie_where_the_image_after_shows_the_buildings() -> None:
    before = site()
    found = before.with_structure(table())
    bounds = shapely.bounds(found.outlines)
    np.testing.assert_allclose(bounds[0], [400_001, 4_999_996, 400_003, 4_999_998])
    np.testing.assert_allclose(bounds[1], [400_006, 4_999_998, 400_008, 5_000_000])  # 2 px right, 4 px up
    assert (len(before.outlines), len(before.buildings.frame)) == (0, 0)


def test_columns_of_an_evidence_are_blank_where_a_building_is_not_assessed() -> None:
    before = site().with_structure(table())
    columns = pd.DataFrame({"ev_new": [1.0, 2.0, 3.0], "unsaid": [7.0, 8.0, 9.0]})
    found = before.with_columns(columns, {"ev_new": "what it holds"}, "new")
    np.testing.assert_array_equal(found.buildings.frame["ev_new"], [1.0, 2.0, np.nan])
    assert found.buildings.meaning == {"ev_texture": "roughness", "ev_new": "what it holds"}
    assert "unsaid" not in found.buildings.frame
    assert "ev_new" not in before.buildings.frame
    with raises_naming(InputError, "2", "ev_new", "3"):
        before.with_columns(columns[:2], {"ev_new": ""}, "new")


def test_rows_of_an_evidence_go_to_the_buildings_of_their_ids_and_other_indices_are_refused() -> None:
    before = site().with_structure(table())
    ids = before.buildings.frame["id"].tolist()
    shuffled = pd.DataFrame({"ev_new": [3.0, 1.0, 2.0]}, index=[ids[2], ids[0], ids[1]])
    found = before.with_columns(shuffled, {"ev_new": "what it holds"}, "new")
    np.testing.assert_array_equal(found.buildings.frame["ev_new"], [1.0, 2.0, np.nan])  # the third is not assessed
    for index in ([ids[0], ids[0], ids[1]], [7, 8, 9], [2, 1, 0]):
        with raises_naming(InputError, "evidence new", "ids of all buildings"):
            before.with_columns(shuffled.set_axis(index), {"ev_new": ""}, "new")


def test_a_building_that_is_left_out_keeps_its_evidence_and_the_first_reason() -> None:
    before = site().with_structure(table())
    found = before.leave_out(np.array(["", "no building", "no building"], object)).buildings.frame
    assert found["reason"].tolist() == ["", "no building", "under cloud"]
    assert found["status"].tolist() == ["assessed", "not_assessed", "not_assessed"]
    assert found["method"].tolist() == ["post_only", "", ""]
    assert found["ev_texture"][1] == 0.2
    assert before.buildings.frame["status"].tolist() == ["assessed", "assessed", "not_assessed"]


def test_no_score_takes_part_where_outlines_may_lie_beside_their_buildings() -> None:
    score: Any = object()
    assert site(evidences=(score,)).scores == (score,)
    assert site(evidences=(score,), position=OutlinePosition(None, "post", known=False)).scores == ()


def test_what_steps_say_is_kept_in_their_order() -> None:
    first, second = Finding("outlines_fit_after", "caution"), Finding("not_in_pre_unknown", "note")
    assert site().with_findings([first]).with_findings([second]).findings == (first, second)


@pytest.mark.parametrize(("graded", "paired"), [(True, True), (True, False), (False, True), (False, False)])
def test_the_steps_share_the_progress_one_after_the_other(graded: bool, paired: bool) -> None:
    shares: list[float] = []
    steps = step_progress(shares.append, graded=graded, paired=paired)
    for step in steps.values():
        if step is not None:
            step(0.0)
            step(1.0)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, pytest.approx(1.0))
    assert (steps["network"] is not None, steps["network_post"] is not None) == (
        graded and paired,
        graded and not paired,
    )


@dataclass(frozen=True)
class Registered:
    """As much of a registration as roofs test."""

    status: str = "degraded"
    usable: bool = True
    why: Phrase | None = None
    shift_m: float = 9.0
    model: str = "affine"
    matrix: Any = None
    dx_m: float = 5.0
    dy_m: float = -3.0


@pytest.mark.parametrize(
    ("registration", "unmoved", "moved", "why"),
    [
        (Registered(), (0.5, 0.1), 0.1, ["roofs_agree_without_shift"]),
        (Registered(why=Phrase("pre_image")), (0.5, 0.1), 0.1, ["pre_image", "roofs_agree_without_shift"]),
        (Registered(), (0.5, 0.1), 0.5, None),
        (Registered(), (0.1, 0.1), 0.0, None),
        (Registered(usable=False), (0.5, 0.1), 0.9, ["roofs_agree_as_georeferenced"]),
        (Registered(usable=False), (np.nan, 0.1), 0.0, None),
        (Registered(status="ok"), (0.5, 0.1), 0.1, None),
    ],
    ids=["clearly better", "with its reason", "as good", "by chance", "failed", "not measured", "sure"],
)
def test_images_stay_as_georeferenced_if_roofs_agree_clearly_better(
    registration: Registered,
    unmoved: tuple[float, float],
    moved: float,
    why: list[str] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placing, "roofs_in_place", lambda *args: (moved, 0.1) if args[3] is registration else unmoved)
    inputs: Any = SimpleNamespace(pre="pre", post="post", outlines_px=None)
    settings: Any = SimpleNamespace(assume_registered=False)
    found: Any = placing._tested_by_roofs(inputs, registration, settings)  # type: ignore[arg-type]
    assert (found is not registration) is (why is not None)
    if why is not None:
        assert (found.status, found.model, found.dx_m, found.dy_m) == ("degraded", "translation", 0.0, 0.0)
        assert [reason.key for reason in found.why.values["reasons"]] == why
    assert placing._tested_by_roofs(inputs, registration, SimpleNamespace(assume_registered=True)) is registration  # type: ignore[arg-type]


@pytest.mark.parametrize(("by_water", "severity"), [(0, None), (7, "caution")])
@pytest.mark.parametrize("has_pre", [True, False])
def test_outlines_without_a_position_are_a_caution_if_water_graded_buildings_all_the_same(
    by_water: int, severity: str | None, has_pre: bool
) -> None:
    own = (Finding("alignment_failed", "worthless"),)
    position = SimpleNamespace(known=False, alignment=SimpleNamespace(why=Phrase("pre_image")), findings=own)
    site: Any = SimpleNamespace(
        position=position,
        registered_pre="pre" if has_pre else None,
        registration=SimpleNamespace(why=Phrase("post_image")),
    )
    found = placing.position_findings(site, by_water)
    if severity is None:
        assert found is own
        return
    (finding,) = found
    assert (finding.code, finding.severity, finding.values["number"], finding.values["far_m"]) == (
        "alignment_failed",
        "caution",
        7,
        8.0,
    )
    assert (finding.values["farther"] is None) is has_pre
    position.known = True
    assert placing.position_findings(site, by_water) is own
