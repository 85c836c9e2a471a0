"""Images are called swapped where many buildings look damaged before alone, copies where nothing differs, no others."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from refusals import raises_naming

from deepnets4eo.damage.decision.decision import DecisionModel
from deepnets4eo.damage.decision.order import order_finding, require_order, require_two_pictures
from deepnets4eo.damage.structure.measures import USUAL_AGREEMENT
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.errors import InputError


def shown(before: int, after: int, count: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """`before` buildings damaged in the pre image alone, `after` others in the post image alone."""
    pre, post = np.full(count, 0.1), np.full(count, 0.1)
    pre[:before], post[before : before + after] = 0.9, 0.9
    return pre, post


@pytest.mark.parametrize(("before", "after", "count"), [(10, 0, 100), (40, 10, 100), (100, 25, 1000)])
def test_many_buildings_damaged_in_the_pre_image_alone_are_refused(before: int, after: int, count: int) -> None:
    with raises_naming(InputError, before, count, after):
        require_order(*shown(before, after, count))


@pytest.mark.parametrize(("before", "after", "count"), [(9, 0, 60), (40, 11, 100), (99, 0, 1000), (0, 80, 100)])
def test_fewer_or_mixed_ones_pass(before: int, after: int, count: int) -> None:
    require_order(*shown(before, after, count))


@pytest.mark.parametrize(
    ("before", "after", "code", "severity"),
    [
        (6, 2, "dates_swapped", "worthless"),
        (2, 6, "outlines_fit_after", "caution"),
        (0, 0, "outlines_fit_after", "caution"),
        (5, 5, "outlines_fit_after", "caution"),
    ],
)
def test_outlines_that_fit_the_image_after_alone_name_swapped_dates_where_more_looks_damaged_before(
    before: int, after: int, code: str, severity: str
) -> None:
    finding = order_finding(*shown(before, after, 90), (0.0, 0.43))
    assert (finding.code, finding.severity) == (code, severity)
    assert f"{before} of 90 buildings look damaged judging only by the image before, {after} judging" in finding.message
    assert "(43% agree on one offset)" in finding.message


@pytest.mark.parametrize(("probability", "counted"), [(0.5, 12), (0.49, 0)])
def test_a_building_looks_damaged_from_a_probability_of_one_half_on(probability: float, counted: int) -> None:
    before, after = np.full(40, 0.1), np.full(40, 0.1)
    before[:12] = probability
    assert order_finding(before, after, (0.0, 0.4)).values["worse_before"] == counted


def test_buildings_that_one_image_does_not_show_do_not_count() -> None:
    pre, post = shown(12, 0)
    post[:3] = np.nan
    require_order(pre, post)


def test_an_image_and_its_copy_are_refused() -> None:
    with raises_naming(InputError, "0.85", "0.93"):
        require_two_pictures(np.array([*[0.85] * 4, *[0.95] * 18, np.nan]), 0.93)


@pytest.mark.parametrize(
    "similarity",
    [[0.79] * 20, [0.63, 0.69, 0.7, 0.72, 0.77], [1.0] * 19, [], [np.nan] * 30, [1.0] * 18 + [0.1] * 4],
)
def test_images_of_two_days_and_few_buildings_pass(similarity: list[float]) -> None:
    require_two_pictures(np.array(similarity), 0.93)


@pytest.mark.parametrize(
    ("agreement", "ground", "refused"),
    [
        ([0.95] * 20, 0.93, True),
        ([0.95] * 19, 0.93, False),
        ([0.81] * 20, 0.93, True),
        ([0.8] * 20, 0.93, False),
        ([0.95] * 20, 0.61, True),
        ([0.95] * 20, 0.6, False),
        ([0.1] * 2 + [0.95] * 19, 0.93, True),
        ([0.1] * 3 + [0.95] * 18, 0.93, False),
    ],
)
def test_the_limits_of_a_copy_are_twenty_roofs_nine_tenths_of_them_above_80_and_the_ground_above_60_percent(
    agreement: list[float], ground: float, refused: bool
) -> None:
    if refused:
        with pytest.raises(InputError):
            require_two_pictures(np.array(agreement), ground)
    else:
        require_two_pictures(np.array(agreement), ground)


@pytest.mark.parametrize("ground", [0.22, np.nan])
def test_roofs_that_all_look_alike_on_another_ground_pass(ground: float) -> None:
    require_two_pictures(np.full(200, 0.97), ground)


@pytest.mark.parametrize(("agreement", "refused"), [(0.7, False), (0.9, True)])
def test_copies_are_told_by_the_agreement_as_measured_and_not_relative_to_the_site(
    agreement: float, refused: bool
) -> None:
    """Of few roofs, all of which are found again, the column relative to the site is above 1."""
    judge = DecisionModel.load("damage-evidence")
    variant = judge.model.variants["pre_post"]
    frame = pd.DataFrame(np.tile(variant.centre, (20, 1)), columns=variant.columns)
    frame = frame.assign(ev_roof_match=agreement / USUAL_AGREEMENT, status="assessed", method="pre_post", reason="")
    before = frame[list(judge.model.variants["post_only"].columns)]
    table = Buildings(frame, {}, before, agreement=np.full(20, agreement))
    site = SimpleNamespace(buildings=table, position=SimpleNamespace(fit_after=None), ground_agreement=0.9)
    if refused:
        with pytest.raises(InputError):
            judge.check_order(site)
    else:
        assert judge.check_order(site) is site
