"""Limits at which a change, a doubt or a place of a series is judged otherwise, each from both sides."""

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.change import cleansing, cover_table, doubts
from deepnets4eo.change.classical.detector import DateLayers, _without_few_far
from deepnets4eo.change.classical.pair_scores import CosineDistance, Mad
from deepnets4eo.change.diffusion import Diffusion
from deepnets4eo.change.doubts import doubt_findings, doubtful_ground
from deepnets4eo.change.pair import CloudMaskedSource
from deepnets4eo.change.rasters import extent_findings
from deepnets4eo.change.refinement import Refinement, refine_scores
from deepnets4eo.change.series import deltas, page
from deepnets4eo.change.series.deltas import DateDeltas, DeltaRules, find_spikes
from deepnets4eo.change.series.page import SeriesChips
from deepnets4eo.change.series.ranking import _cluster, collect_events
from deepnets4eo.change.transitions import from_to_legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid
from deepnets4eo.rasters import Layer

UTM = "EPSG:32631"


def grid_of(rows: int, cols: int, gsd_m: float = 10.0) -> Grid:
    return Grid((rows, cols), Affine(gsd_m, 0, 500_000, 0, -gsd_m, 5_000_000), UTM)


@pytest.mark.parametrize(
    ("changed", "seen", "trained", "code"),
    [
        (50, 100, False, []), (51, 100, False, ["most_changed"]), (9, 1000, False, ["few_changed"]), (10, 1000, False, []),
        (9, 1000, True, []), (0, 0, False, []),
    ],
)  # fmt: skip
def test_more_than_half_or_fewer_than_ten_pixels_of_change_are_named(
    changed: int, seen: int, trained: bool, code: list[str]
) -> None:
    assert [finding.code for finding in extent_findings(changed, seen, trained=trained)] == code


@pytest.mark.parametrize(("after", "shrinks"), [(49, True), (50, False)])
def test_a_refinement_that_leaves_less_than_half_shrinks(after: int, shrinks: bool) -> None:
    assert Refinement(Path("a.tif"), 100, after).shrinks is shrinks


@pytest.mark.parametrize(("doubtful", "named"), [(49, False), (50, True)])
def test_a_twentieth_of_the_change_in_doubt_is_named(doubtful: int, named: bool) -> None:
    score = np.full((1, 40, 50), 127, np.uint8)  # half of 254 is change
    score[:, 20:] = 126
    doubt = np.zeros((2, 40, 50), np.uint8)
    doubt[0].ravel()[:doubtful] = 1
    doubt[1, 20:] = 1  # in doubt, but not changed
    grid = grid_of(40, 50)
    found = doubt_findings(Layer.open(score, grid=grid), Layer.open(doubt, grid=grid))
    assert [finding.code for finding in found] == ["change_under_clouds"] * named
    if found:
        assert (found[0].values["clouds"], found[0].values["shadows"]) == (pytest.approx(0.05), 0)


@pytest.mark.parametrize(("cloudy", "named"), [(99, False), (100, True)])
def test_clouds_on_a_twentieth_of_an_image_are_named(cloudy: int, named: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = grid_of(40, 50)
    mask = np.zeros((1, 40, 50), np.uint8)
    mask.ravel()[:cloudy] = 1
    bright = Layer.open(mask, grid=grid)
    image = Layer.open(np.ones((3, 40, 50), np.uint8), grid=grid)
    monkeypatch.setattr(doubts, "_shadows", lambda *_: None)
    classified: Any = {DateLayers.post: SimpleNamespace(or_bright=lambda *_: bright)}
    doubt, findings = doubtful_ground({DateLayers.pre: image, DateLayers.post: image}, classified)
    assert [finding.code for finding in findings] == ["clouds_post"] * named
    assert doubt is not None
    assert np.count_nonzero(doubt.read()[0][0]) == cloudy


@pytest.mark.parametrize(("gsd_m", "seen_m"), [(59.9, 59.9), (60.1, None), (None, 12.0)])
def test_shadows_of_clouds_are_looked_for_in_pixels_of_up_to_60_metres(
    gsd_m: float | None, seen_m: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image without a place counts as 768 m wide, so that one of 64 pixels has pixels of 12 m."""
    values = np.ones((3, 48, 64), np.uint8)
    image = Layer.open(values) if gsd_m is None else Layer.open(values, grid=grid_of(48, 64, gsd_m))
    looked: list[float] = []
    monkeypatch.setattr(doubts, "shadows_in_image", lambda first, second, size: looked.append(size))
    assert doubts._shadows(image, image) is None
    assert looked == pytest.approx([] if seen_m is None else [seen_m], rel=1e-3)


@pytest.mark.parametrize(("covered", "visible"), [(1, True), (2, False)])
def test_a_pixel_of_a_preview_of_which_half_is_under_clouds_is_hidden(covered: int, visible: bool) -> None:
    grid = grid_of(2, 2)
    mask = np.zeros((1, 2, 2), np.uint8)
    mask.ravel()[:covered] = 1
    image = Layer.open(np.full((1, 2, 2), 9, np.uint8), grid=grid)
    source = CloudMaskedSource(image, Layer.open(mask, grid=grid))
    assert bool(source.read_coarse((1, 1), [1])[1][0, 0]) is visible


@pytest.mark.parametrize(("far", "used"), [(10, 9_990), (11, 10_000)])
def test_up_to_a_thousandth_of_the_pixels_far_from_all_others_are_left_out(far: int, used: int) -> None:
    values = np.zeros((2, 100, 100), np.float32)
    values[1].ravel()[:far] = -20.1
    values[0].ravel()[far:50] = 20.0  # as far as values of an image are
    blocks = _without_few_far(lambda: [(values, np.ones((100, 100), bool))])
    assert [np.count_nonzero(valid) for _, valid in blocks()] == [used]


@pytest.mark.parametrize(
    ("angle", "steps", "length", "expected"),
    [
        (6.5e-5, 1.0, 100.0, 0), (6.8e-5, 1.0, 100.0, 6.8e-5), (6.8e-5, 0.0, 100.0, 6.8e-5),
        (0.9e-12, 0.0, 100.0, 0), (1.5e-12, 0.0, 100.0, 1.5e-12),
    ],
)  # fmt: skip
def test_angles_that_rounding_explains_are_none(angle: float, steps: float, length: float, expected: float) -> None:
    """Of two bands with steps of 1 and vectors of 100: 8 · (1/24) · (1/100² + 1/100²) = 6.67e-5."""
    turn = 2 * np.arcsin((angle / 2) ** 0.5)  # whose cosine is 1 - angle
    method = CosineDistance()
    method.with_steps((steps, steps))
    pair = length * np.array([1, 0, np.cos(turn), np.sin(turn)]).reshape(4, 1, 1)
    assert method.measure(pair).item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("weight", "kept"), [(0.079, True), (0.081, False)])
def test_variates_of_fewer_than_two_unchanged_pixels_per_band_are_not_taken(weight: float, kept: bool) -> None:
    method, before = Mad(), SimpleNamespace(no_change=lambda pixels: np.full(pixels.shape[-1], weight))
    method.variates = before  # type: ignore[assignment]
    values = np.random.default_rng(0).normal(size=(4, 10, 10)).astype(np.float32)
    method._estimate(lambda: [(values, np.ones((10, 10), bool))])
    assert (method.variates is before) is kept


def test_predictions_of_more_than_one_half_are_change() -> None:
    assert cleansing.MORE_PROBABLE[[0, 127, 128, 254]].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(("side", "block_px"), [(60, 16), (63, 16), (68, 17), (1024, 256), (1032, 256)])
def test_blocks_of_a_table_of_covers_are_a_quarter_of_the_map_from_16_to_256_pixels(
    side: int, block_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cover_table, "transitions_of_counts", lambda *_, where, **others: where[1])
    cover = Layer.open(np.zeros((1, side, side), np.uint8), grid=grid_of(side, side))
    found: Any = cover_table.compare_covers(cover, cover, legend=Legend.load("change"))
    assert found == block_px


@pytest.mark.parametrize(("classes", "fits"), [(15, True), (16, False)])
def test_pairs_of_fifteen_covers_fit_into_a_byte(classes: int, fits: bool) -> None:
    cover = Legend(
        name="many", classes=[LegendClass(value=k, name=f"c{k}", color=(k, 9 * k, 255 - k)) for k in range(classes)]
    )
    if fits:
        assert from_to_legend(cover).num_classes == 225
    else:
        with pytest.raises(InputError, match="has 16 classes; pairs from → to need 2 to 15"):
            from_to_legend(cover)


def test_a_feature_differs_by_ten_at_most() -> None:
    values = np.array([[12, 2], [-30, 0]], np.float32)
    found = deltas._plain_distance(values, np.zeros_like(values), np.ones(2, bool))
    assert found.tolist() == [6, 5]


@pytest.mark.parametrize(
    ("near", "far", "spike"),
    [
        ((4.1, 5), (1, 1), True), ((4.0, 5), (1, 1), False), ((5, 4.0), (1, 1), False), ((5, 5), (1, 2.9), True), ((5, 5), (1, 3.1), False),
    ],
)  # fmt: skip
def test_a_date_of_four_medians_to_both_sides_is_a_spike_unless_one_side_is_three_times_as_far(
    near: tuple[float, float], far: tuple[float, float], spike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = {deltas.NEIGHBOURS: near, deltas.NEIGHBOURHOOD: far}
    monkeypatch.setattr(deltas, "_both_sides", lambda standard, valid, count, _: np.reshape(sides[count], (2, 1, 1)))
    assert find_spikes(np.zeros((1, 1, 1), np.float32), np.ones((1, 1), bool)).tolist() == [[spike]]


@pytest.mark.parametrize(("date_index", "held"), [(4, True), (5, False)])
def test_a_change_is_searched_for_at_four_times_the_dates_at_which_it_must_hold(date_index: int, held: bool) -> None:
    change = np.array([[2], [-2], [1e-3]], np.float32)
    standard = np.tile(change, (7, 1, 1))
    valid = np.zeros((7, 3), bool)
    valid[date_index] = True
    seen = (valid, np.zeros_like(valid))
    found = deltas._held(standard, seen, np.zeros_like(change), 0, np.eye(1), change, np.ones(3, np.int64))
    assert found[:2] == pytest.approx([1, 1] if held else [0, 0], abs=1e-2)


@pytest.mark.parametrize(("cells", "fits"), [(79, False), (80, True)])
def test_forty_cells_that_changed_least_fit_ten_coefficients(cells: int, fits: bool) -> None:
    assert DeltaRules.can_fit(cells, 10) is fits


def test_a_change_counts_if_later_dates_show_half_of_it() -> None:
    held = np.array([0.49, 0.5, 1.0], np.float32)
    one = DateDeltas(
        3, np.ones(3, bool), np.ones((3, 2), np.float32), np.full(3, 2.0, np.float32), np.ones(3, bool), held
    )
    events = collect_events([one], 3)
    assert events.cell.tolist() == [1, 2]
    np.testing.assert_allclose(events.magnitude, [1, 2])


@pytest.mark.parametrize(("number", "clusters"), [(9, {-1}), (10, {0, 1})])
def test_clusters_by_density_have_five_events(number: int, clusters: set[int]) -> None:
    options: Any = SimpleNamespace(clustering="hdbscan", seed=0)
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(number, 2)) * 0.1 + 50 * (np.arange(number)[:, None] % 2)).astype(np.float32)
    assert set(_cluster(vectors, options).tolist()) == clusters


@pytest.mark.parametrize(("step", "kept"), [(5.6, 5), (5.63, 9)])
def test_years_of_a_timeline_have_54_pixels_each(step: float, kept: int) -> None:
    dates = [date(2010, 5, 1), date(2019, 5, 1)]
    assert len(page._date_labels(dates, lambda day: step * (day.year - 2011), 960)) == kept


@pytest.mark.parametrize(("step", "kept"), [(11.2, 2), (11.26, 4)])
def test_days_of_a_timeline_have_108_pixels_each(step: float, kept: int) -> None:
    dates = [date(2010, 5, day) for day in (1, 2, 3, 4)]
    assert len(page._date_labels(dates, lambda day: step * day.day, 960)) == kept


def chips_of(shape: tuple[int, int], shares: list[float]) -> SeriesChips:
    """Chips of a series whose dates are valid in these shares of 100 pixels."""

    def read(index: int, _: Any) -> tuple[None, np.ndarray]:
        return None, np.arange(100) < 100 * shares[index]

    chips = SeriesChips.__new__(SeriesChips)
    chips._series = SimpleNamespace(shape=shape, grid=grid_of(*shape), read=read, __len__=None)  # type: ignore[assignment]
    return chips


@pytest.mark.parametrize(("outline_px", "shown_px"), [(10, 64), (21, 64), (100, 300), (170, 510), (300, 512)])
def test_a_picture_of_a_change_shows_64_to_512_pixels_of_the_ground(outline_px: int, shown_px: int) -> None:
    x, y = 500_000 + 10 * 700, 5_000_000 - 10 * 800
    half_m = 10 * outline_px / 2
    chip = chips_of((1500, 1500), []).frame(shapely.box(x - half_m, y - half_m, x + half_m, y + half_m))
    assert (chip.window.height, chip.window.width) == (shown_px, shown_px)


@pytest.mark.parametrize(("last", "shown"), [(0.5, 1), (0.49, 0)])
def test_the_picture_of_the_place_is_of_the_last_date_that_is_half_valid(last: float, shown: int) -> None:
    class Series(SimpleNamespace):
        def __len__(self) -> int:
            return 2

    chips = chips_of((300, 300), [0.6, last])
    chips._series = Series(**vars(chips._series))  # type: ignore[assignment]
    assert chips.last_shown() == shown


def test_a_page_saves_the_first_two_thousand_changes() -> None:
    number = 2001
    table = gpd.GeoDataFrame({"rank": np.arange(1, number + 1)}, geometry=[shapely.Point(0, 0)] * number)
    saved = page._save_links(SimpleNamespace(table=table))  # type: ignore[arg-type]
    assert "%0A2000" in saved
    assert "%0A2001" not in saved


@pytest.mark.parametrize(
    ("score", "changed"), [(np.nextafter(np.float32(0.5), np.float32(0)), 0), (np.float32(0.5), 400)]
)
def test_scores_of_one_half_are_change_before_and_after_a_refinement(
    score: np.float32, changed: int, tmp_path: Path
) -> None:
    grid = grid_of(20, 20)
    scores = Layer.open(np.full((1, 20, 20), score, np.float32), grid=grid)
    image = Layer.open(np.full((3, 20, 20), 90, np.uint8), grid=grid)
    found = refine_scores(scores, [image], tmp_path / "a.tif", diffusion=Diffusion(steps=0), device="cpu", workers=1)
    assert (found.before, found.after) == (changed, changed)
