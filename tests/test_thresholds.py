"""Limits at which a rule changes its answer, each from both sides."""

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import laspy
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine
from geotiff import write_geotiff
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC
from scipy.ndimage import gaussian_filter

from deepnets4eo.change.classical.detector import _without_few_far
from deepnets4eo.change.doubts import _assumed_gsd_m, _shadows, doubt_findings
from deepnets4eo.change.pair import CloudMaskedSource
from deepnets4eo.change.rasters import extent_findings
from deepnets4eo.change.series.deltas import find_spikes
from deepnets4eo.damage.areas import people_findings
from deepnets4eo.damage.decision.findings import minor_findings, result_findings
from deepnets4eo.damage.decision.inundation import CountsAs, Inundation
from deepnets4eo.damage.findings import evidence_findings
from deepnets4eo.damage.structure.roofs import _sample
from deepnets4eo.damage.structure.unbuilt import find_unbuilt
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.errors import BlockError
from deepnets4eo.floods.units import RadarImage
from deepnets4eo.formats.cf_words import CFWords, _different
from deepnets4eo.formats.rasters import place_advice
from deepnets4eo.grid import Grid
from deepnets4eo.inspection import CloudClassification
from deepnets4eo.jobs.blocks import Receipt, RemoteSteps
from deepnets4eo.outputs.map_page.panels import _where_it_matters
from deepnets4eo.points.files.las import OwnRecord
from deepnets4eo.points.files.las_writer import Additions, _Intensities
from deepnets4eo.rasters import Layer
from deepnets4eo.rasters.band_subset import false_alpha
from deepnets4eo.read_as.images import undeclared_nodata
from deepnets4eo.read_as.masks import ValuesSeen


def grid_of(shape: tuple[int, int], gsd_m: float) -> Grid:
    return Grid(shape, Affine(gsd_m, 0, 500_000, 0, -gsd_m, 5_000_000), "EPSG:32631")


def layer_of(values: np.ndarray, gsd_m: float) -> Layer:
    return Layer.open(values, grid=grid_of(values.shape[1:], gsd_m))


@pytest.mark.parametrize(("gsd_m", "is_coarse"), [(0.5, False), (1.0, False), (1.1, True), (1.9, True)])
def test_an_image_of_more_than_a_metre_is_coarse(gsd_m: float, is_coarse: bool) -> None:
    post = layer_of(np.ones((1, 8, 8), np.uint8), gsd_m)
    none: Any = SimpleNamespace(
        because=lambda _: np.zeros(3, bool),
        by_post=np.zeros(3, bool),
        compared=np.ones(3, bool),
        height_lost_m=np.full(3, np.nan),
    )
    assert [finding.code for finding in evidence_findings(None, post, none)] == ["post_coarse"] * is_coarse


@pytest.mark.parametrize(
    ("blocks", "failures", "goes_on"), [(10, 3, True), (10, 4, False), (50, 5, True), (50, 6, False), (20, 3, True)]
)
def test_a_step_goes_on_without_a_tenth_of_its_blocks_or_three(blocks: int, failures: int, goes_on: bool) -> None:
    class Executor:
        def run(self, work: object, names: Any) -> Iterator[Receipt]:
            yield from (Receipt(name, "no disk" if number < failures else "") for number, name in enumerate(names))

    steps = RemoteSteps(Executor(), lambda: None, ())  # type: ignore[arg-type]
    names = [str(number) for number in range(blocks)]
    if goes_on:
        assert steps.finish("measure", names, str, (), None) == dict.fromkeys(names[:failures], "no disk")
    else:
        with pytest.raises(BlockError, match=f"{failures} of {blocks} blocks"):
            steps.finish("measure", names, str, (), None)


def test_messages_list_the_six_smallest_values_of_a_mask() -> None:
    whole = frozenset(map(float, (300, 3, 7, 33, 8, 2, 5)))
    assert ValuesSeen(whole=whole).listed == "2, 3, 5, 7, 8, 33"
    assert ValuesSeen(whole=whole - {300.0, 8.0}, fraction_px=2).listed == "2, 3, 5, 7, 33, fractions"


def test_gaps_do_not_hide_the_unit_of_radar() -> None:
    values = np.random.default_rng(0).normal(-12, 3, (40, 40)).astype(np.float32)
    values[:20] = np.nan
    assert RadarImage("a.tif", {"VV": values}).unit() == "decibel"
    values[20:] = 10 ** (values[20:] / 10)
    assert RadarImage("a.tif", {"VV": values}).unit() == "power"


@pytest.mark.parametrize(("stored", "meant"), [(127, 127), (128, -128), (255, -1), (1, 1)])
def test_bytes_that_are_meant_with_a_sign_wrap_at_128(stored: int, meant: int) -> None:
    words = CFWords({"_Unsigned": "false", "_FillValue": stored}, np.dtype("uint8"), "a.nc#v")
    assert words.bands(1)[0].nodata == meant


@pytest.mark.parametrize("by_water", [0, 4])
def test_buildings_that_only_water_damages_are_numbered_if_there_are_any(by_water: int) -> None:
    found = Inundation(next(iter(CountsAs)), 9, 5, 2, 6, by_water, 0, 0, 0, 0, "water.tif").findings()
    assert [(finding.code, finding.values["by_water"]) for finding in found] == [
        ("buildings_in_water", by_water or None)
    ]


@pytest.mark.parametrize(("soft", "is_mask"), [(0.4, True), (0.6, False)])
def test_soft_edges_of_a_mask_are_less_than_half_of_it(soft: float, is_mask: bool, tmp_path: Path) -> None:
    alpha = np.full((60, 60), 255, np.uint8)
    alpha[: round(60 * soft)] = 100
    path = write_geotiff(tmp_path / "a.tif", np.stack([alpha, alpha, alpha, alpha]), photometric="RGB", alpha="YES")
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp[3] == ColorInterp.alpha
        assert false_alpha(dataset) == ([] if is_mask else [4])


def test_the_last_job_that_wrote_a_cloud_counts(tmp_path: Path) -> None:
    cloud = laspy.LasData(laspy.LasHeader(version="1.2", point_format=0))
    for text in (b"first", b"second"):
        cloud.header.vlrs.append(laspy.VLR(OwnRecord.user, OwnRecord.job, record_data=text))
    cloud.write(tmp_path / "a.las")
    assert Additions.stored_job(tmp_path / "a.las") == "second"


@pytest.mark.parametrize(("step", "how"), [(1.0, "shifted so that they begin at 0"), (0.5, "scaled to 0–65,535")])
def test_intensities_of_whole_numbers_are_shifted_and_others_scaled(step: float, how: str) -> None:
    intensities = _Intensities(Path("a.las"), -5.0, 100.0, step)
    assert f"has them {how}," in str(intensities)
    np.testing.assert_array_equal(intensities.to_las(np.array([-5.0, -4.0])), np.array([0, 1 / step]))


@pytest.mark.parametrize(("side", "counts"), [((6, 10), True), ((6, 9), False)])
def test_roofs_of_sixty_pixels_count_in_the_sample(side: tuple[int, int], counts: bool, monkeypatch: Any) -> None:
    asked: list[int] = []

    def cut(body: object, numbers: np.ndarray, *_: object) -> Iterator[None]:
        asked.extend(numbers.tolist())
        yield None

    monkeypatch.setattr("deepnets4eo.damage.structure.roofs.cut_roofs", cut)
    monkeypatch.setattr("deepnets4eo.damage.structure.roofs._best", lambda *_: (np.zeros((0, 2)), np.zeros(0)))
    box = np.array([[50, 50, 50 + side[0], 50 + side[1]]])
    views: Any = SimpleNamespace(
        body=SimpleNamespace(box=box), centres=np.array([[53.0, 55.0]]), inside=np.array([0]), fields=lambda _: (0, 0)
    )
    _sample(views, 4)
    assert asked == [0] * counts


def test_an_image_with_rational_polynomials_is_told_how_they_place_it(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "a.tif", np.ones((1, 9, 9), np.uint8), crs=None, transform=Affine.identity())
    with rasterio.open(path) as dataset:
        assert "RPC" not in place_advice(dataset).split(":")[0]
    numbers = [1.0] * 20
    with rasterio.open(path, "r+") as dataset:
        dataset.rpcs = RPC(0, 1, 0, 1, numbers, numbers, 0, 1, 0, 1, numbers, numbers, 0, 1)
    with rasterio.open(path) as dataset:
        assert "gdalwarp -rpc" in place_advice(dataset)


@pytest.mark.parametrize(("value", "is_left_out"), [(15.0, False), (25.0, True)])
def test_few_pixels_beyond_twenty_deviations_are_left_out(value: float, is_left_out: bool) -> None:
    values, valid = np.zeros((2, 100, 100), np.float32), np.ones((100, 100), bool)
    values[0, 0, 0] = value
    (_, kept), *_ = _without_few_far(lambda: iter([(values, valid)]))()
    assert kept[0, 0] != is_left_out
    assert kept.sum() == 10_000 - is_left_out


@pytest.mark.parametrize(("share", "is_hidden"), [(0.0008, True), (0.0015, False)])
def test_a_collar_is_fainter_than_a_thousandth_of_bright_ground(share: float, is_hidden: bool) -> None:
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(128, 128)), 2)
    values = (1 + 0.1 * noise / noise.std()).astype(np.float32)
    values[:, :40] = share * np.percentile(values, 90)
    assert (undeclared_nodata(layer_of(values[None], 10.0)) is not None) == is_hidden


@pytest.mark.parametrize(("gsd_m", "is_searched"), [(29.9, True), (31.0, False), (59.0, False)])
def test_clouds_in_colour_next_to_another_day_are_searched_up_to_thirty_metres(
    gsd_m: float, is_searched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr("deepnets4eo.inspection.clouds.clouds_in_image", lambda image, *_: seen.append(image.count))
    image = layer_of(np.ones((3, 8, 8), np.uint8), gsd_m)
    CloudClassification(None, False).or_bright(image, image)
    assert seen == [3] * is_searched


@pytest.mark.parametrize(("gsd_m", "is_searched"), [(60.0, True), (61.0, False), (119.0, False)])
def test_shadows_are_searched_up_to_sixty_metres(
    gsd_m: float, is_searched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    monkeypatch.setattr("deepnets4eo.change.doubts.shadows_in_image", lambda *args: seen.append(args[2]))
    image = layer_of(np.ones((3, 8, 8), np.uint8), gsd_m)
    _shadows(image, image)
    assert seen == pytest.approx([gsd_m] * is_searched)


@pytest.mark.parametrize(
    ("changed", "seen", "trained", "code"),
    [
        (51, 100, True, "most_changed"), (50, 100, True, ""), (9, 100, False, "few_changed"), (10, 100, False, ""), (9, 100, True, ""),
        (9, 15, False, "most_changed"), (0, 0, False, ""),
    ],
)  # fmt: skip
def test_change_of_more_than_half_or_of_less_than_ten_pixels_is_named(
    changed: int, seen: int, trained: bool, code: str
) -> None:
    assert [finding.code for finding in extent_findings(changed, seen, trained=trained)] == [code] * bool(code)


@pytest.mark.parametrize(("doubtful_px", "named"), [(49, False), (50, True)])
def test_a_twentieth_of_the_changed_area_in_doubt_is_named(doubtful_px: int, named: bool) -> None:
    score, doubt = np.zeros((100, 100), np.uint8), np.zeros((2, 100, 100), np.uint8)
    score[:10] = 254
    doubt[1, 0, :doubtful_px] = 1
    doubt[0, 50:] = 1  # where nothing changed
    findings = doubt_findings(layer_of(score[None], 10.0), layer_of(doubt, 10.0))
    assert [finding.values["shadows"] for finding in findings] == pytest.approx([doubtful_px / 1000] * named)


@pytest.mark.parametrize(("shape", "gsd_m"), [((128, 64), 6.0), ((10, 1536), 0.5)])
def test_an_image_of_unknown_pixels_is_taken_for_768_metres_long(shape: tuple[int, int], gsd_m: float) -> None:
    plain = Layer.open(np.ones((1, *shape), np.uint8))
    assert _assumed_gsd_m(plain) == pytest.approx(gsd_m)
    assert _assumed_gsd_m(layer_of(np.ones((1, *shape), np.uint8), 2.0)) is None


@pytest.mark.parametrize(("share", "is_seen"), [(0.4, True), (0.6, False)])
def test_half_of_a_pixel_of_a_preview_is_under_clouds(share: float, is_seen: bool) -> None:
    image = layer_of(np.ones((1, 40, 40), np.uint8), 10.0)
    clouds: Any = SimpleNamespace(
        read_coarse=lambda shape: (np.full((1, *shape), share, np.float32), np.ones(shape, bool))
    )
    valid = CloudMaskedSource(image, clouds).read_coarse((8, 8), [1])[1]
    assert valid.all() == valid.any() == is_seen


@pytest.mark.parametrize(("known", "short"), [([1.0, 0.991, 1.0], 0), ([1.0, 0.989, 0.981], 2)])
def test_areas_of_which_a_hundredth_has_no_people_are_counted(
    known: list[float], short: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepnets4eo.damage.areas.known_shares", lambda *_: np.array(known))
    monkeypatch.setattr("deepnets4eo.damage.areas.open_people", lambda _: None)
    frame = gpd.GeoDataFrame(geometry=shapely.box([0, 2, 4], 0, [1, 3, 5], 1), crs="EPSG:32631")
    findings: Any = people_findings("people.tif", frame)
    assert [(finding.values["number"], finding.values["areas"]) for finding in findings] == [(short, 3)] * bool(short)


@pytest.mark.parametrize(("outside", "severity"), [(18, "note"), (19, "worthless")])
def test_a_map_is_worthless_if_more_than_nine_tenths_of_the_buildings_are_out_of_range(
    outside: int, severity: str
) -> None:
    is_outside = np.arange(20) < outside
    frame = pd.DataFrame({
        "status": np.where(is_outside, "not_assessed", "assessed"), "method": "pre_post",
        "reason": np.where(is_outside, Reason.TOO_NARROW.sentence, ""),
    })  # fmt: skip
    found = {finding.code: finding.severity for finding in result_findings(Buildings(frame), np.zeros(20, bool), None)}
    assert found["evidence_outside_range"] == severity


@pytest.mark.parametrize(
    ("named", "low", "is_said"), [(5, 2.0, True), (4, 1.0, False), (10, 5.0, True), (10, 5.1, False)]
)
def test_minor_damage_is_not_told_if_half_of_what_is_named_so_may_be_other(
    named: int, low: float, is_said: bool
) -> None:
    row = {"named": named, "truly": {"minor-damage": {"interval_95": [low, float(named)]}}}
    assert [finding.code for finding in minor_findings({"minor-damage": row})] == ["minor_not_told"] * is_said


@pytest.mark.parametrize(("gsd_m", "looks"), [(1.0, True), (1.1, False), (1.9, False)])
def test_outlines_without_a_house_are_searched_up_to_a_metre(gsd_m: float, looks: bool) -> None:
    class AskedError(Exception):
        pass

    class Outlines:
        def __len__(self) -> int:
            return 5

        def in_pixels(self, _: object) -> object:
            raise AskedError

    pre: Any = layer_of(np.ones((1, 8, 8), np.uint8), gsd_m)
    outlines: Any = Outlines()
    if looks:
        with pytest.raises(AskedError):
            find_unbuilt(pre, outlines, None)
    else:
        assert not find_unbuilt(pre, outlines, None).flags.any()


@pytest.mark.parametrize(("gsd_m", "step_px"), [(0.25, 4), (0.5, 2), (0.6, 1), (1.0, 1)])
def test_details_of_a_page_are_averaged_to_a_metre_at_most(gsd_m: float, step_px: int) -> None:
    grid = grid_of((4000, 4000), gsd_m)
    rows, cols = np.meshgrid(np.arange(10, 4000, 97), np.arange(10, 4000, 97), indexing="ij")
    positions = np.column_stack([rows.ravel(), cols.ravel()]).astype(float)
    shown = list(_where_it_matters(grid, positions, np.ones(len(positions)), 1))
    assert {step for _, step in shown} == {step_px}


def test_missing_values_of_bands_that_repeat_are_one_and_so_is_not_a_number() -> None:
    assert len(_different([math.nan, 5, math.nan, 5])) == 2
    assert _different([3, 4, 3]) == [3, 4]
    assert len(_different([math.nan, 5])) == len(_different([5, math.nan])) == 2


@pytest.mark.parametrize(("nearer", "is_spike"), [(0.30, False), (0.36, True)])
def test_a_date_nearer_to_one_side_than_a_third_of_the_other_is_no_spike(nearer: float, is_spike: bool) -> None:
    """Distances of one date of one cell from the dates before and after it; 4 median distances and more are far."""
    sides = iter([np.array([[[9.0]], [[9.0]]]), np.array([[[1.0]], [[nearer]]])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepnets4eo.change.series.deltas._both_sides", lambda *_: next(sides))
        assert find_spikes(np.zeros((1, 1, 1), np.float32), np.ones((1, 1), bool)).item() is is_spike


@pytest.mark.parametrize(("medians", "is_spike"), [(4.0, False), (4.1, True)])
def test_a_date_farther_than_four_median_distances_from_both_sides_is_a_spike(medians: float, is_spike: bool) -> None:
    sides = iter([np.array([[[9.0]], [[medians]]]), np.ones((2, 1, 1))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepnets4eo.change.series.deltas._both_sides", lambda *_: next(sides))
        assert find_spikes(np.zeros((1, 1, 1), np.float32), np.ones((1, 1), bool)).item() is is_spike
