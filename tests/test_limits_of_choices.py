"""Choices at their limits: next clicks, extents of outlines, parts of large roofs, files of Deepness."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.cards import VOID
from deepnets4eo.classification.frozen import _band_statistics
from deepnets4eo.damage.files.foreseen import foreseen_reasons
from deepnets4eo.damage.network.look_model import by_site
from deepnets4eo.damage.network.roof_parts import Roofs, roof_parts
from deepnets4eo.damage.network.scoring import LogitsAndGrades, group_scores
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.sampled.estimates import estimate_difference
from deepnets4eo.inspection.overlap import _take_as_own
from deepnets4eo.points.cloud_data import PointPart
from deepnets4eo.points.features.measured import _check_intensities
from deepnets4eo.points.local_planes import normal_disagreement
from deepnets4eo.points.views.training import MIN_LABELLED_SHARE, RenderedViews, ViewLayer
from deepnets4eo.prediction.click_session import next_click
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters.clicks import draw_clicks
from deepnets4eo.segmenters.onnx_card import _of_deepness
from deepnets4eo.training.image_masks import MAX_NAMED, ImageMaskFolders
from deepnets4eo.training.mask_legend import _is_between
from deepnets4eo.training.streams import StreamSamples


@pytest.mark.parametrize("measure", ["entropy", "margin"])
@pytest.mark.parametrize("along", [0, 1])
def test_the_next_click_is_more_than_ten_pixels_from_every_click(measure: Any, along: int) -> None:
    """All pixels are as doubtful, and only some may be clicked."""
    session: Any = SimpleNamespace(probabilities=np.full((2, 60, 60), 0.5), clicks=SimpleNamespace(pixels=[(30, 30)]))
    offered = np.zeros((60, 60), bool)
    for step in (-10, 10, 11):
        offered[tuple(np.array([30, 30]) + step * np.eye(2, dtype=int)[along])] = True
    assert next_click(session, measure, offered) == ((41, 30) if along == 0 else (30, 41))
    with pytest.raises(InputError, match="expected one of"):
        next_click(session, "area", offered)  # type: ignore[arg-type]


def test_the_doubt_of_classes_chooses_the_click_by_entropy_or_by_the_margin_of_the_best_two() -> None:
    p = np.zeros((3, 60, 60))
    p[0] = 1
    p[:, :30, :30] = np.array([0.34, 0.33, 0.33])[:, None, None]
    p[:, 30:, 30:] = np.array([0.5, 0.5, 0.0])[:, None, None]
    session: Any = SimpleNamespace(probabilities=p, clicks=SimpleNamespace(pixels=[]))
    assert max(next_click(session, "entropy")) < 30
    assert min(next_click(session, "margin")) >= 30


def test_outlines_in_pixels_take_their_extent_as_a_grid_of_256_cells() -> None:
    item: Any = SimpleNamespace(
        in_pixels=SimpleNamespace(problem="in pixels", box=(10.0, 20.0, 138.0, 84.0)), problems=["in pixels", "other"], facts={}
    )  # fmt: skip
    _take_as_own(item, plain=True)
    assert item.problems == ["other"]
    assert item.grid.shape == (256, 256)
    corners = [item.grid.affine * corner for corner in ((0, 0), (256, 256))]
    assert corners == [pytest.approx((10, 20)), pytest.approx((138, 84))]


def test_a_roof_of_a_thousand_square_metres_has_parts_of_sixteen_metres() -> None:
    small, large = shapely.box(0, 0, 99.9, 10), shapely.box(0, 20, 100, 30)
    roofs = Roofs.of(np.array([small, large]), 1.0, (64, 128))
    assert len(roofs) == 2
    assert roofs.whole.tolist() == [1] * 6  # 100 m by 16.7 m along it, and its width of 10 m
    assert len(Roofs.of(np.array([large]), 0.99, (64, 128)).whole) == 0, "below a thousand square metres"
    assert roofs.centres[0].tolist() == pytest.approx([5, 50], abs=1)


def test_parts_that_a_roof_fills_by_half_are_kept_and_at_most_400_of_one_roof() -> None:
    assert len(roof_parts(shapely.box(0, 0, 1000, 1000), 1.0)) == 400
    assert len(roof_parts(shapely.LineString([(0, 0), (5, 0)]), 1.0)) == 0
    assert sum(part.area for part in roof_parts(shapely.box(0, 0, 40, 30), 10.0)) == pytest.approx(1200)
    triangle = shapely.Polygon([(0, 0), (40, 0), (0, 40)])
    areas = sorted(part.area for part in roof_parts(triangle, 20.0))
    assert areas == pytest.approx([200, 200, 400]), "half-filled parts along its long side stay"
    assert all(part.area >= 200 - 1e-6 for part in roof_parts(triangle, 20.0))


def test_roofs_are_as_damaged_as_their_worst_part() -> None:
    roofs = Roofs.of(np.array([shapely.box(0, 0, 100, 10), shapely.box(0, 20, 8, 28)]), 1.0, (64, 128))
    p = np.tile([0.7, 0.2, 0.06, 0.04], (len(roofs.outlines), 1))
    p[3] = [0.1, 0.1, 0.3, 0.5]
    p[4] = np.nan
    worst = roofs.by_worst_part(p)
    assert worst[0, 2:].sum() == pytest.approx(0.8)
    assert worst.sum(axis=1) == pytest.approx([1, 1])
    np.testing.assert_array_equal(worst[1], p[1])


@pytest.mark.parametrize(
    ("further", "expected"),
    [
        ({"standardization_mean": [0.5], "standardization_std": [0.25]}, {"mean": [127.5], "std": [63.75], "normalisation": "none"}),
        ({"standardization_mean": [0.5]}, {"normalisation": "percentile"}),
        ({"standardization_std": [0.5]}, {"normalisation": "percentile"}),
        ({"resolution": 20}, {"normalisation": "percentile", "gsd_m": 0.2}),
    ],
)  # fmt: skip
def test_files_of_deepness_state_images_from_0_to_1_and_centimetres(further: Any, expected: Any) -> None:
    graph: Any = SimpleNamespace(inputs=[SimpleNamespace(shape=[1, 3, 512, 512])], source="roofs.onnx")
    facts = _of_deepness({"class_names": {"0": "ground", "10": "water", "2": "roof"}} | further, graph)
    assert {name: facts[name] for name in expected} == expected
    assert ("mean" in facts, "gsd_m" in facts) == ("mean" in expected, "gsd_m" in expected)
    assert [entry["name"] for entry in facts["legend"]["classes"]] == ["ground", "roof", "water"]
    assert facts["bands"] == ["red", "green", "blue"]
    four: Any = SimpleNamespace(inputs=[SimpleNamespace(shape=[1, 4, 512, 512])], source="roofs.onnx")
    assert "bands" not in _of_deepness({"class_names": {"0": "ground", "1": "roof"}} | further, four)


def test_the_scatter_of_normals_is_the_same_wherever_the_points_lie() -> None:
    """Coordinates of a map projection have seven digits before the point, as many as numbers of 32 bits hold."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.random((2, 60)), 0.02 * rng.standard_normal((1, 60))])
    index = np.argsort(((points[:, :, None] - points[:, None]) ** 2).sum(axis=0), axis=1)[:, :12]
    here = normal_disagreement(points, index)
    there = normal_disagreement(points + np.array([[500_000.0], [5_000_000.0], [100.0]]), index)
    assert 0.01 < here.mean() < 1
    np.testing.assert_allclose(there, here, atol=1e-3)
    flat = np.concatenate([points[:2], np.zeros((1, 60))])
    assert normal_disagreement(flat, index).max() < 1e-3
    line = np.concatenate([points[:1], np.zeros((2, 60))])
    assert normal_disagreement(line, index).tolist() == [0] * 60, "points on a line span no plane"


@pytest.mark.parametrize(
    ("colour", "between"),
    [
        ((100, 0, 0), True),
        ((0, 0, 0), False),
        ((200, 0, 0), False),
        ((210, 0, 0), False),
        ((100, 3, 0), True),
        ((100, 60, 0), False),
    ],
)
def test_a_blend_lies_on_the_line_between_two_colours(colour: tuple[int, ...], between: bool) -> None:
    assert _is_between(colour, [(0, 0, 0), (200, 0, 0), (7,)]) is between
    assert not _is_between(colour, [(0, 0, 0), (0, 0, 0)])
    assert _is_between((5,), [(0,), (9,)])
    assert not _is_between((5,), [(7,), (9,)])


def test_files_without_a_partner_are_named_and_the_others_counted(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(MAX_NAMED + 2):
        (tmp_path / "images" / f"{number}.png").touch()
    (tmp_path / "masks" / "0.png").touch()
    folders = ImageMaskFolders(tmp_path / "images", tmp_path / "masks")
    with pytest.raises(InputError, match=rf"{MAX_NAMED + 1} of {MAX_NAMED + 2} images and 1 masks .* and 1 more\."):
        folders.pairs()
    (tmp_path / "masks" / "1.png").touch()
    with pytest.raises(InputError, match=r"\d\.png\. Name each mask") as refused:
        folders.pairs()
    assert "more" not in str(refused.value)


def test_statistics_of_a_band_are_its_mean_deviation_and_deciles() -> None:
    patches = np.random.default_rng(0).random((2, 3, 6, 7))
    found = _band_statistics(torch.from_numpy(patches)).numpy()
    flat = patches.reshape(2, 3, -1)
    deciles = np.quantile(flat, np.arange(1, 10) / 10, axis=2)  # (9, 2, 3)
    expected = np.concatenate([flat.mean(axis=2), flat.std(axis=2), np.moveaxis(deciles, 0, 2).reshape(2, -1)], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    one = _band_statistics(torch.full((1, 1, 1, 1), 5.0)).numpy()
    assert one.tolist() == [[5.0, 0.0, *[5.0] * 9]]


@pytest.mark.parametrize("labelled", [0.49, 0.51])
def test_snapshots_that_show_few_labelled_points_are_not_learnt_from(labelled: float) -> None:
    kept: Any = SimpleNamespace(
        store=SimpleNamespace(append=lambda layers: 7), inputs=SimpleNamespace(names=[]), learnt=[], withheld=[],
        pixels=np.zeros(256, np.int64),
    )  # fmt: skip
    limit = MIN_LABELLED_SHARE * 400
    labels, part = np.full((20, 20), VOID, np.uint8), np.full((20, 20), PointPart.neither, np.uint8)
    number = int(limit) - 1 if labelled < 0.5 else int(np.ceil(limit))
    labels.ravel()[: 2 * number] = 3
    part.ravel()[:number], part.ravel()[number : 2 * number] = PointPart.learnt, PointPart.withheld
    RenderedViews.add(kept, {ViewLayer.labels: labels}, part)
    assert (kept.learnt, kept.withheld) == (([7], [7]) if labelled > 0.5 else ([], []))
    assert kept.pixels[3] == (number if labelled > 0.5 else 0)


def test_a_third_of_the_draws_have_no_click_and_the_others_up_to_the_most() -> None:
    mask = np.full((16, 16), VOID, np.uint8)
    mask[3, 4:9] = [0, 1, 2, 1, 0]
    rng = np.random.default_rng(0)
    drawn = [draw_clicks(mask, 3, rng) for _ in range(2000)]
    numbers = np.array([len(clicks.rows) for clicks in drawn])
    assert (numbers == 0).mean() == pytest.approx(0.3, abs=0.03)
    shares = np.bincount(numbers, minlength=4)[1:] / (numbers > 0).sum()
    assert shares == pytest.approx([1 / 3] * 3, abs=0.04)
    for clicks in drawn[:50]:
        np.testing.assert_array_equal(mask[clicks.rows, clicks.cols], clicks.classes)
    assert len(draw_clicks(np.full((4, 4), VOID, np.uint8), 3, rng).rows) == 0


def test_two_maps_are_compared_if_any_point_has_an_answer() -> None:
    found = estimate_difference(2, 1, 3, 5, 0.5)
    assert found.difference == pytest.approx(0.5 * (2 - 1) / 6)
    assert found.p_value == pytest.approx(1.0)
    assert estimate_difference(0, 0, 4, 0, 0.5).p_value == 1.0
    with pytest.raises(InputError, match="no point has an answer"):
        estimate_difference(0, 0, 0, 5, 0.5)


@pytest.mark.parametrize(("scenes", "count"), [(10, 4), (4, 10), (5, 5)])
def test_epochs_visit_every_scene_in_turn_and_each_turn_in_another_order(scenes: int, count: int) -> None:
    stream: Any = object.__new__(StreamSamples)
    object.__setattr__(stream, "scenes", scenes)
    object.__setattr__(stream, "seed", 3)
    visits = [visit for epoch in range(2 * scenes) for visit in stream._visits(epoch, count)]
    assert len(visits) == 2 * scenes * count
    turns = [visits[start : start + scenes] for start in range(0, len(visits), scenes)]
    for number, turn in enumerate(turns):
        assert {visit for _, visit in turn} == {number}
        assert len({seed for seed, _ in turn}) == scenes
    assert len({tuple(seed for seed, _ in turn) for turn in turns}) > 1
    assert len({seed for seed, _ in visits}) == scenes
    assert all(0 <= seed < 2**31 for seed, _ in visits), "seeds of scenes have 31 bits"


@pytest.mark.parametrize(
    ("size", "is_warned", "is_refused"),
    [(19.0, False, False), (21.0, True, False), (99.0, True, False), (101.0, True, True)],
)
def test_intensities_of_clouds_are_of_two_units_if_one_is_fifty_times_the_other(
    size: float, is_warned: bool, is_refused: bool, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = {"a": 2.0, "b": size, "dark": 0.0}
    if is_refused:
        with pytest.raises(InputError, match="the cloud a reach 2, those of b 101.* are of two units"):
            _check_intensities(sizes)
    else:
        _check_intensities(sizes)
        assert bool(caplog.records) is is_warned
    _check_intensities({"a": 0.0})


@pytest.mark.parametrize(("damaged", "known"), [(3, True), (2, False), (7, False)])
def test_a_group_has_an_area_under_the_curve_from_three_buildings_of_either_kind_on(damaged: int, known: bool) -> None:
    grades = np.array([3] * damaged + [0] * (9 - damaged))
    logits = np.eye(4)[grades] * 5 + np.random.default_rng(0).random((9, 4))
    graded: Any = SimpleNamespace(groups=np.array([["a", "x"]] * 9), pair=LogitsAndGrades(logits, grades), post=None)
    scores = group_scores(graded)
    assert set(scores) == {"a", "x"}
    assert (scores["a"]["buildings"], scores["a"]["damaged"]) == (9, damaged)
    assert scores["a"]["auc"] == (1.0 if known else None)
    assert (scores["a"]["recall"], scores["a"]["false_alarms"]) == (1.0, 0.0)


@pytest.mark.parametrize(("largest_px", "looks"), [(2000, True), (1999, False)])
def test_ground_without_data_is_foreseen_unless_an_image_is_too_large(
    largest_px: int, looks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.full((3, 40, 50), 90, np.uint8)
    values[:, :, :25] = 0
    grid = GeoBox((40, 50), Affine(1, 0, 500_000, 0, -1, 5_000_000), "EPSG:32631")
    outlines = np.array(
        [shapely.box(30, 5, 40, 15), shapely.box(5, 5, 15, 15), shapely.box(60, 5, 70, 15), shapely.Polygon()], object
    )
    outside = shapely.box(9, 9, 10, 10)
    frame = SimpleNamespace(geometry=gpd.GeoSeries([*outlines[:3], outside]))
    inputs: Any = SimpleNamespace(
        outlines_px=outlines, post=Layer.open(values, grid=grid, nodata=0), footprints=SimpleNamespace(frame=frame)
    )
    monkeypatch.setattr("deepnets4eo.damage.files.foreseen.MAX_PX", largest_px)
    expected = ["", Reason.NODATA if looks else "", Reason.OUTSIDE, Reason.OUTSIDE]
    assert foreseen_reasons(inputs).tolist() == expected


@pytest.mark.parametrize(("number", "known"), [(20, True), (19, False)])
def test_a_site_is_standardised_from_twenty_known_buildings_on(number: int, known: bool) -> None:
    features = np.random.default_rng(0).normal(5, 3, (25, 4))
    features[number:, 1] = np.nan
    found = by_site(features)
    assert np.isfinite(found[:number]).all() == known
    if known:
        np.testing.assert_allclose(found[:20].mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(found[:20].std(axis=0), 1, rtol=0.01)
