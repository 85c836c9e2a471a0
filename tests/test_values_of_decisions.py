"""Numbers that decide on damage, at the place where another constant would show; expected values by hand."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine

from deepnets4eo.assistant.folders import Folders
from deepnets4eo.assistant.tools import Tools
from deepnets4eo.baselines.parts.templates import Shapes, first_parts
from deepnets4eo.cli.review import POINTS, review
from deepnets4eo.damage import ProductOptions, opening
from deepnets4eo.damage.comparison.scales import CODES, read_grades
from deepnets4eo.damage.decision.estimates import InundatedBuildings, _rows
from deepnets4eo.damage.decision.fit_model import _most_outside, reliable_limit
from deepnets4eo.damage.decision.inundation import _is_everywhere
from deepnets4eo.damage.decision.order import require_order, require_two_pictures
from deepnets4eo.damage.decision.reliability import _between, _site_shift, _spread
from deepnets4eo.damage.decision.site_fit import UNKNOWN_SITE, ShareEstimate, SiteShift, fit_site_shift
from deepnets4eo.damage.decision.two_views import FoundAgain, _network_log_odds
from deepnets4eo.damage.evidences import shakemap
from deepnets4eo.damage.network.roof_parts import roof_parts
from deepnets4eo.damage.review import map_before, taught_map, teaching
from deepnets4eo.damage.review.page import MEANINGS
from deepnets4eo.damage.review.regression import Side
from deepnets4eo.damage.review.sample import draw_sample
from deepnets4eo.damage.review.taught_map import language_of
from deepnets4eo.damage.site.work import step_progress
from deepnets4eo.damage.structure import roofs, unbuilt
from deepnets4eo.damage.table.vocabulary import LOOKS
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid
from deepnets4eo.outputs import EventInfo
from deepnets4eo.rasters import Layer


def test_roofs_found_again_move_the_levels_of_their_site() -> None:
    """Twenty roofs around -4 with a median absolute deviation of 0.5, which is 0.5 / 0.67449 of a normal distribution's deviation."""
    shift = SiteShift((-2.0, 2.0), (1.0, 0.8), 0.5, 1.2, 17.0)
    within = math.sqrt((10 * 1.2**2 + 20 * (0.5 / 0.67449) ** 2) / 30)
    share = 1 / (1 + 0.7**2 + within**2 / 20)
    moved = shift.with_anchor(np.tile([-4.5, -3.5], 10))
    assert moved.level == pytest.approx((-2 - share, 2 - 0.5 * 0.8 * share), abs=1e-5)
    assert moved.between == pytest.approx((math.sqrt(1 - share), 0.8 * math.sqrt(1 - share / 4)), abs=1e-5)
    assert (moved.within, moved.most_information) == pytest.approx((within, 17))
    assert shift.with_anchor(np.tile([-4.5, -3.5], 10)[:19]) is shift


def test_log_odds_of_a_network_are_those_of_probabilities_from_one_to_999_thousandths() -> None:
    p = np.array([0, 0.001, 0.0015, 0.5, 0.9985, 0.999, 1])
    buildings: Any = SimpleNamespace(network=np.stack([1 - p, 0 * p, p / 2, p / 2], axis=1))
    assert _network_log_odds(buildings) == pytest.approx(
        [-6.90675, -6.90675, -6.50080, 0, 6.50080, 6.90675, 6.90675], abs=1e-4
    )


@pytest.mark.parametrize(("wet", "dry", "everywhere"), [(4, 1, True), (3, 1, False), (79, 21, False), (0, 0, False)])
def test_water_is_everywhere_around_four_of_five_buildings_whose_ground_is_seen(
    wet: int, dry: int, everywhere: bool
) -> None:
    known = np.arange(wet + dry + 3) < wet + dry
    around: Any = SimpleNamespace(known=known, surrounded=np.arange(len(known)) < wet)
    assert _is_everywhere(around, np.ones(len(known), bool)) is everywhere


@pytest.mark.parametrize(("pairs", "variance"), [(1, 1.0), (2, 1.0), (4, 0.5)])
def test_the_shift_of_a_site_has_a_variance_of_one_at_most(pairs: int, variance: float) -> None:
    """Of n buildings of even odds it is n · (0.5 / n)² / 0.25² = 4 / n: 2, 1 and 0.5."""
    shift, found = _site_shift(np.zeros(2 * pairs), np.arange(2 * pairs) < pairs, even=True)
    assert (shift, found) == pytest.approx((0, variance), abs=1e-6)


@pytest.mark.parametrize(("shifts", "spread"), [([0.0, 0.4], 0.3), ([0.0, 2.0], math.sqrt(1.9))])
def test_sites_differ_by_three_tenths_of_log_odds_at_least(shifts: list[float], spread: float) -> None:
    assert _between(np.array(shifts), np.array([0.1, 0.1])) == pytest.approx(spread)


@pytest.mark.parametrize(("of_a_kind", "known"), [(8, True), (7, False)])
def test_eight_buildings_of_a_kind_say_where_it_lies_at_a_site_to_a_tenth(of_a_kind: int, known: bool) -> None:
    damaged = np.tile(np.repeat([True, False], of_a_kind), 2)
    found = fit_site_shift(np.where(damaged, 2.0, -2.0), damaged, np.repeat([0, 1], 2 * of_a_kind))
    if known:
        assert (found.level, found.between, found.within) == ((-2, 2), pytest.approx((0.1, 0.1)), pytest.approx(0.1))
    else:
        assert found == UNKNOWN_SITE


def test_the_two_grades_that_are_mistaken_for_one_another_are_explained() -> None:
    assert {grade: "mud" in text for grade, text in MEANINGS.items()} == {"minor-damage": False, "major-damage": True}


@pytest.mark.parametrize(("wrong", "limit"), [(42, 201.0), (40, None)])
def test_a_range_ends_where_the_mean_accuracy_of_200_buildings_falls_below_08(wrong: int, limit: float | None) -> None:
    """Of the 200 highest values, half of them of damaged buildings, 21 or 20 of either kind are wrong: 0.79 or 0.8 are right."""
    value = np.arange(401.0)
    right = ~((value > 200) & (value <= 200 + wrong))
    assert reliable_limit(value, right, value % 2 == 0) == limit


@pytest.mark.parametrize(("buildings", "share"), [(30, 1.0), (29, 0.0)])
def test_thirty_buildings_say_what_share_of_a_site_lies_outside(buildings: int, share: float) -> None:
    site = np.repeat(["a", "b"], [buildings, 100])
    assert _most_outside(np.arange(len(site)) < buildings, site) == share


@pytest.mark.parametrize(("damaged", "intact", "known"), [(5, 5, True), (5, 6, True), (4, 6, False), (6, 4, False)])
def test_five_buildings_of_either_kind_say_how_far_a_site_is_shifted(damaged: int, intact: int, known: bool) -> None:
    grade = np.tile(np.repeat([3, 0], [damaged, intact]), 2)
    spread = _spread(np.full((len(grade), 4), 0.25), grade, np.repeat([0, 1], damaged + intact))
    assert spread[0] == (0.3 if known else 2.0)


@pytest.mark.parametrize(("letters", "language"), [(4081, "fr"), (4082, "en")])
def test_the_language_of_a_page_is_stated_in_its_first_4096_letters(
    letters: int, language: str, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    page.write_text(" " * letters + '<html lang="fr">', encoding="utf-8")
    assert language_of(page) == language


def test_columns_count_up_to_three_standard_deviations_when_answers_teach(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of a hundred buildings lies 99 / √99 = 9.95 deviations from the mean of all."""
    values = np.zeros((100, 1))
    values[7] = 1
    table = SimpleNamespace(teaching_values=values, prior=None, has_network=False)
    monkeypatch.setattr(teaching, "Buildings", lambda _: table)
    evidence = teaching._evidence(pd.DataFrame(index=range(100)), np.zeros((100, 3)))
    assert evidence[7].tolist() == [3, 0, 0, 0, 1]
    assert evidence[8, 0] == pytest.approx(-1 / math.sqrt(99))


def image_of(side: int) -> Layer:
    grid = Grid((side, side), Affine(1, 0, 500_000, 0, -1, 5_000_000), "EPSG:32631")
    return Layer.open(np.broadcast_to(np.uint8(1), (1, side, side)), grid=grid)


def small_houses(count: int) -> np.ndarray:
    left, top = 100 + 40.0 * (np.arange(count) % 25), 100 + 40.0 * (np.arange(count) // 25)
    return shapely.box(left, top, left + 4, top + 4)


@pytest.mark.parametrize(
    ("houses", "copies", "like_ground", "auc", "flagged", "few"),
    [
        (50, 20, 0.81, 0.81, 50, None),
        (49, 20, 0.81, 0.81, 0, None),
        (50, 19, 0.81, 0.81, 0, 19),
        (50, 20, 0.79, 0.81, 0, None),
        (50, 20, 0.81, 0.79, 0, None),
    ],
)
def test_outlines_are_unbuilt_if_50_of_them_differ_from_20_copies_on_open_ground(
    houses: int,
    copies: int,
    like_ground: float,
    auc: float,
    flagged: int,
    few: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    total = houses + copies
    monkeypatch.setattr(unbuilt, "place_decoys", lambda *_: small_houses(copies))
    monkeypatch.setattr(unbuilt, "collect", lambda *_, **__: {"measured": np.zeros(total)})
    monkeypatch.setattr(unbuilt, "ground_likeness", lambda _: np.zeros((total, 6)))
    monkeypatch.setattr(unbuilt, "assess_coverage", lambda *_: SimpleNamespace(reason=np.full(total, "")))
    monkeypatch.setattr(unbuilt, "_compare", lambda values, *_: (np.full(len(values), like_ground), auc))

    class Outlines:
        def __len__(self) -> int:
            return houses

        def in_pixels(self, _: object) -> np.ndarray:
            return small_houses(houses)

    found = unbuilt.find_unbuilt(image_of(256), Outlines(), None)  # type: ignore[arg-type]
    assert (found.flags.sum(), found.few_copies) == (flagged, few)


def test_no_more_than_400_copies_of_outlines_are_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unbuilt, "DRAWS", 2)
    assert len(unbuilt.place_decoys(small_houses(500), image_of(1200), np.random.default_rng(0))) == 400


@pytest.mark.parametrize(
    ("before", "after", "known", "refused"),
    [(10, 2, 100, True), (9, 2, 90, False), (10, 2, 101, False), (12, 3, 100, True), (11, 3, 100, False)],
)
def test_images_are_swapped_if_ten_and_a_tenth_look_damaged_before_and_four_times_fewer_after(
    before: int, after: int, known: int, refused: bool
) -> None:
    """A building looks damaged from a probability of 0.5 on."""
    rows = np.arange(known + 5)
    pre = np.where(rows < before, 0.5, 0.49)
    post = np.where((rows >= before) & (rows < before + after), 0.5, np.where(rows < known, 0.49, np.nan))
    if refused:
        with pytest.raises(InputError, match=f"{before} of {known} buildings look damaged in PRE"):
            require_order(pre, post)
    else:
        require_order(pre, post)


@pytest.mark.parametrize(
    ("roofs", "unlike", "agreement", "ground", "refused"),
    [
        (21, 2, 0.81, 0.61, True),
        (21, 3, 0.81, 0.61, False),  # the tenth percentile of 21 roofs is the third one
        (20, 0, 0.81, 0.61, True),
        (19, 0, 0.81, 0.61, False),
        (20, 0, 0.80, 0.61, False),
        (20, 0, 0.81, 0.60, False),
        (20, 0, 0.81, math.nan, False),
    ],
)
def test_a_pair_is_one_image_if_nine_of_ten_roofs_and_the_ground_agree(
    roofs: int, unlike: int, agreement: float, ground: float, refused: bool
) -> None:
    found = np.where(np.arange(roofs) < unlike, 0.1, agreement)
    if refused:
        with pytest.raises(InputError, match="seem to be one image"):
            require_two_pictures(np.append(found, np.nan), ground)
    else:
        require_two_pictures(np.append(found, np.nan), ground)


@pytest.mark.parametrize(("paired", "ends"), [(True, [1 / 7.5, 1.5 / 7.5, 3.5 / 7.5, 1]), (False, [0.2, 1])])
def test_steps_over_images_take_their_share_of_the_time(paired: bool, ends: list[float]) -> None:
    shares: list[float] = []
    for done in step_progress(shares.append, graded=True, paired=paired).values():
        if done is not None:  # a step that does no work has none
            done(1.0)
    assert shares == pytest.approx(ends)


def test_nodes_of_a_million_are_no_shaking(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = {"lon_min": "10", "lat_min": "50", "lon_max": "11", "lat_max": "51", "nlat": "2", "nlon": "2"}
    table = np.array([[10, 51, 999_999], [11, 51, 1e6], [10, 50, -999_999], [11, 50, 3]])
    units = {"LON": "dd", "LAT": "dd", "MMI": "intensity"}
    monkeypatch.setattr(shakemap, "_read_xml", lambda _: ({"grid_specification": grid}, units, table))
    values, _ = shakemap.ShakeMapGrid.read("grid.xml").fields["MMI"]
    np.testing.assert_array_equal(values, [[999_999, np.nan], [-999_999, 3]])


def test_the_help_of_a_review_states_the_size_of_its_samples() -> None:
    (info,) = (one for one in get_type_hints(review, include_extras=True)["looks"].__metadata__ if hasattr(one, "help"))
    assert f"by default {LOOKS} buildings, half of them the likeliest damaged, or {POINTS} points" in info.help
    assert (LOOKS, POINTS) == (40, 100)


@pytest.mark.parametrize(("drawn", "interval"), [(5, [0, 5]), (6, [6, 6]), (994, [994, 994]), (995, [995, 1000])])
def test_an_end_within_half_a_percent_of_none_or_all_is_none_or_all(drawn: float, interval: list[float]) -> None:
    rows = _rows(np.full(5, float(drawn)), np.full((40, 5), float(drawn)), 1000.0)
    assert {tuple(row["interval_95"]) for row in rows.values()} == {tuple(interval)}
    every = _rows(np.full(5, 500.0), np.full((40, 5), 500.0), 1000.0, up_to_all=True)
    assert every["damaged"]["interval_95"] == [500, 1000]
    assert _rows(np.full(5, 500.0), np.full((40, 5), 500.0), 1000.0)["damaged"]["interval_95"] == [500, 500]


@pytest.mark.parametrize(("structure", "step"), [((0.1, 0.5), 0.02472), ((0.0, 0.5), 0.04379)])
def test_houses_in_water_are_ordered_by_a_quarter_of_what_their_structure_shows(
    structure: tuple[float, float], step: float
) -> None:
    """Log-odds of 0.9 have a slope of 0.09; those of the structure lie 2.197 apart, or 3.892 as for 0.02."""
    rows = np.ones(2, bool)
    found = InundatedBuildings(rows, rows, np.ones(2))._in_order(np.array([0.9, 0.9]), np.array(structure))
    assert found == pytest.approx([0.9 - step, 0.9 + step], abs=1e-4)


def test_parts_of_a_template_cover_four_fifths_of_its_object() -> None:
    """Half cells of an object of 40 by 20 pixels are 200, of which two parts cover 160: squares of 9."""
    shapes = Shapes(np.array([[40.0, 20, 0]]), np.array([0]), np.array([[6, 10]]), 4)
    bank: Any = SimpleNamespace(shapes=shapes, weights=np.ones((1, 3, 6, 10), np.float32))
    assert first_parts(bank, 2).weights.shape == (1, 2, 3, 9, 9)


def test_codes_of_xview2_are_one_to_four_and_eight_others_are_named() -> None:
    assert read_grades(pd.Series([4, 1, 3, 2]), "a.csv", CODES["xview2"])[0].tolist() == [3, 0, 2, 1]
    with pytest.raises(InputError, match=r"w0 \(1\), .*, w7 \(1\) and 1 more\."):
        read_grades(pd.Series([f"w{number}" for number in range(9)]), "a.csv", CODES["xview2"])
    with pytest.raises(InputError, match=r"not stated: 3, 4, 5, 6, 7, 8, 9, 10\."):
        read_grades(pd.Series(range(3, 12)), "a.csv")


@pytest.mark.parametrize(("better", "gains"), [(65, False), (66, True)])
def test_answers_move_a_side_if_they_gain_more_than_a_standard_error(better: int, gains: bool) -> None:
    """The loss falls from 0.313 to 0.127 at the better ones and rises to 0.598 at the others of 100 answers.

    66 of them gain 0.0262 on average, with a standard error of 0.0223; 65 gain 0.0215, with one of 0.0225."""
    beyond = np.arange(100) % 2 == 0
    sign = np.where(beyond, 1.0, -1.0)
    left_out = sign * np.where(np.arange(100) < better, 2.0, 0.2)
    assert Side(np.zeros((100, 1)), beyond, sign).gains(left_out) is gains


@pytest.mark.parametrize(("gaps", "codes"), [(0.009, []), (0.01, ["dsm_post_has_gaps"])])
def test_a_hundredth_of_the_ground_without_a_height_is_named(
    gaps: float, codes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "unknown_share", lambda *_: gaps)
    layers = {"dsm_pre": None, "dsm_post": image_of(64)}
    assert [finding.code for finding in opening._check_others(layers, image_of(64))] == codes


def test_an_assistant_names_paths_of_1024_letters_and_circles_on_the_earth(tmp_path: Path) -> None:
    folders = Folders([tmp_path])
    for letters, message in ((1024, "does not exist"), (1025, "is outside of the folders")):
        with pytest.raises(InputError, match=message):
            folders.to_read("a" * letters)
    for radius_m, message in ((20_004_000, "does not exist"), (20_004_001, "no circle on the Earth")):
        with pytest.raises(InputError, match=message):
            Tools(folders).buildings_near("map", 10, 50, radius_m)


@pytest.mark.parametrize(("low", "named"), [(0.34, False), (0.35, True)])
def test_damage_of_more_than_a_third_contradicts_an_earthquake_which_damaged_a_fifth_at_most(
    low: float, named: bool
) -> None:
    buildings: Any = SimpleNamespace(assessed=np.ones(100, bool))
    share = ShareEstimate(0.5, "estimated", (low, 0.7), 0.0, 0.5)
    found = FoundAgain(np.zeros(100, bool), np.full(100, np.nan), leaning=False)
    findings = found.findings(buildings, EventInfo(name="Earthquake"), share)
    assert [finding.code for finding in findings] == ["no_earthquake_in_images"] * named
    assert [finding.values for finding in findings] == [{"low": 100 * low, "assessed": 100, "share": 0.2}] * named


@pytest.mark.parametrize(
    ("leaning", "again", "ruins", "two_views"),
    [(True, 12, 4, True), (True, 12, 5, False), (True, 10, 0, True), (True, 9, 0, False), (False, 12, 0, False)],
)
def test_ten_roofs_found_again_of_which_a_third_are_ruins_show_two_views(
    leaning: bool, again: int, ruins: int, two_views: bool
) -> None:
    rows = np.arange(20)
    assert FoundAgain(rows < again, np.where(rows < ruins, 0.5, 0.49), leaning).two_views is two_views


def test_a_roof_found_again_divides_the_odds_of_damage_by_fourteen() -> None:
    """2 of 50 damaged roofs and 231 of 413 standing ones are found again: 0.04 / 0.5593 = 0.07152."""
    even = np.array([[0.25, 0.25, 0.25, 0.25], [0.1, 0.1, 0.4, 0.4]])
    weighed = FoundAgain(np.array([True, True]), np.zeros(2), leaning=True).weigh(even)
    assert weighed[:, 2:].sum(axis=1) == pytest.approx([0.07152 / 1.07152, 4 * 0.07152 / (1 + 4 * 0.07152)], abs=1e-4)


@pytest.mark.parametrize(("gsd_m", "reach_px"), [(1.0, 12), (0.5, 25), (0.3, 25)])
def test_leaning_roofs_are_looked_for_up_to_twelve_metres_and_a_half(
    gsd_m: float, reach_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []
    monkeypatch.setattr(roofs, "_search", lambda _, reach: (searched.append(reach), (None, np.zeros(2), 0.0))[1])
    views: Any = SimpleNamespace(working_grid=SimpleNamespace(gsd_m=gsd_m))
    assert roofs.find_roofs(views) is None
    assert searched == [reach_px]


def test_a_sample_is_drawn_by_the_same_seed_unless_another_is_given() -> None:
    table = gpd.GeoDataFrame(
        {"status": "assessed", "damage_prob": np.linspace(0, 1, 60)}, geometry=small_houses(60), crs="EPSG:32633"
    )
    first, same, other = (draw_sample(table, 20, **how).rows.tolist() for how in ({}, {"seed": 0}, {"seed": 1}))
    assert first == same != other


def test_a_map_written_again_names_its_page_before_the_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taught_map, "formats_there", lambda _: (ProductOptions(), None))
    monkeypatch.setattr(taught_map, "named_before", lambda _: set())
    monkeypatch.setattr(taught_map, "inputs_from_here", lambda inputs, _: inputs)
    written = {"geojson": Path("damage.geojson"), taught_map.PAGE: Path("report.html"), "csv": Path("damage.csv")}
    content: Any = SimpleNamespace(
        water_file=None, inputs={}, save=lambda *_, **__: written, open_shown=lambda *_: None
    )
    pair: Any = SimpleNamespace(pre=None, post=None)
    found = taught_map.save_again(content, pair, tmp_path, "en")
    assert [path.name for path in found] == ["report.html", "damage.geojson", "damage.csv"]


@pytest.mark.parametrize(("missing", "parts"), [(11, 4), (12, 3)])
def test_parts_of_a_roof_fill_half_of_their_rectangle(missing: int, parts: int) -> None:
    """Of a square of 32 pixels, whose parts have 16, a corner of 11² or 12² of 256 is missing."""
    roof = shapely.box(0, 0, 32, 32).difference(shapely.box(32 - missing, 32 - missing, 32, 32))
    assert len(roof_parts(roof, 16.0)) == parts


def test_a_map_is_kept_again_in_place_of_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_before, "map_before", lambda folder: folder)
    for text in ("first", "second"):
        for name in map_before.OF_MAP:
            (tmp_path / name).write_text(text, encoding="utf-8")
        map_before.keep_map_before(tmp_path)
        kept = {(tmp_path / map_before.BEFORE / name).read_text(encoding="utf-8") for name in map_before.OF_MAP}
        assert kept == {text}
