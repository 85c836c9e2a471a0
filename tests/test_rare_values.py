"""Values that few jobs read: what methods keep, doubts of buildings in water, colours of classes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS

from deepnets4eo.baselines.tile_segmenter import TileSegmenter
from deepnets4eo.cards import Legend
from deepnets4eo.catalogues.search import _Walk
from deepnets4eo.change.classical.detector import ChangeDetector
from deepnets4eo.change.classical.pair_scores import CosineDistance
from deepnets4eo.classification.frozen import FrozenImages
from deepnets4eo.errors import InputError
from deepnets4eo.floods import radar_date
from deepnets4eo.floods.buildings import NO, NOT_KNOWN, YES, BuildingWater
from deepnets4eo.floods.radar_date import RadarDate
from deepnets4eo.floods.scene import FloodScene
from deepnets4eo.points.files.las import LasFile
from deepnets4eo.points.files.las_crs import _parts
from deepnets4eo.points.files.pcd import PcdFile
from deepnets4eo.points.files.ply import PlyFile
from deepnets4eo.points.files.text import TextFile
from deepnets4eo.points.look.flight import _vertex_colours
from deepnets4eo.points.rubble import epochs
from deepnets4eo.points.rubble.motion import RigidMotion
from deepnets4eo.points.rubble.rubble_map import BuildingState, without_losses
from deepnets4eo.prediction import plan
from deepnets4eo.rasters.xarray_sources import _agreed
from deepnets4eo.segmenters.onnx_segmenter import OnnxSegmenter
from deepnets4eo.segmenters.tensor_names import file_names
from deepnets4eo.training.streams import StreamSamples


def test_the_steps_of_a_cosine_are_kept_and_taken_back() -> None:
    method, other = CosineDistance(), CosineDistance()
    method.with_steps((0.5, 2.0))
    other.take(method.to_dict())
    assert other.steps == (0.5, 2.0)


def test_dry_ground_that_an_image_does_not_show_is_no_proof() -> None:
    column = np.array([NO, NO, NO, YES], object)
    every = BuildingWater(np.zeros(4), np.full(4, 0.1), column, np.full(4, np.nan))
    seen = BuildingWater(np.zeros(4), np.array([0.1, 0.2, 0.7, 0.8]), np.array([NO, NOT_KNOWN, YES, YES], object), np.array([np.nan, 0.3, np.nan, np.nan]))  # fmt: skip
    found = every.doubted_by(seen)
    assert found.inundated.tolist() == [NO, NOT_KNOWN, YES, YES]
    np.testing.assert_array_equal(found.near_share, [np.nan, 0.3, np.nan, np.nan])


def test_an_opened_flood_prints_the_kinds_of_its_dates() -> None:
    assert FloodScene.__str__(SimpleNamespace(kinds={"pre": "radar", "post": "surface"})) == "pre radar, post surface"  # type: ignore[arg-type]


def test_the_horizontal_part_of_a_bound_crs_is_that_of_its_source() -> None:
    bound = CRS("+proj=utm +zone=31 +ellps=intl +towgs84=-87,-98,-121 +type=crs")
    assert bound.is_bound
    horizontal, vertical = _parts(bound)
    assert not horizontal.is_bound
    assert horizontal.coordinate_operation is not None
    assert vertical is None


def test_a_cloud_without_findings_or_with_those_of_another_version_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    file = LasFile.__new__(LasFile)
    vars(file)["header"] = None
    for stored in (None, b"[]", b"not json", b'[{"strange": 1}]', b"7"):
        monkeypatch.setattr("deepnets4eo.points.files.las.OwnRecord.content", lambda *_, stored=stored: stored)
        assert file.stored_findings() == ()


def test_vertices_have_the_colours_of_their_classes_and_others_grey() -> None:
    legend = Legend.load("change")
    views: Any = SimpleNamespace(surface=SimpleNamespace(classes=np.array([0, 1, 77], np.uint8)))
    expected = [*(entry.color for entry in legend.classes), (90, 90, 90)]
    assert _vertex_colours(views, legend).tolist() == [list(map(float, colour)) for colour in expected]


def test_walls_are_searched_for_within_thirty_metres_in_steps_of_four() -> None:
    tried: list[tuple[float, ...]] = []

    def match(points: np.ndarray, _: float) -> Any:
        shift = tuple(np.round(points[0], 6).tolist())
        tried.append(shift)
        return SimpleNamespace(distance=np.array([0.0 if shift == (10.0, -6.0, 0.0) else 9.0]))

    moving: Any = SimpleNamespace(xyz=np.zeros((1, 3)), wall=np.array([True]))
    found = epochs._search(RigidMotion.upwards(0.0, np.zeros(3)), moving, SimpleNamespace(match=match))  # type: ignore[arg-type]
    assert {x for x, _, _ in tried} == set(range(-30, 31, 4))
    assert len(tried) == 16 * 16
    assert found.apply(np.zeros((1, 3))).tolist() == [[10, -6, 0]]


def test_buildings_of_a_date_that_does_not_fit_are_not_assessed() -> None:
    table = gpd.GeoDataFrame(
        {"state": [BuildingState.collapsed], "damage": [3], "lost_m3": [9.0], "height_m": [6.0]},
        geometry=[shapely.box(0, 0, 5, 5)],
    )
    found = without_losses(table)
    assert found["state"].tolist() == [BuildingState.unknown]
    assert found["damage"].tolist() == [BuildingState.grades[BuildingState.unknown]]
    assert np.isnan(found["lost_m3"][0])


def test_coordinates_of_other_pixels_than_the_stated_ones_count_unless_they_must_fit() -> None:
    data: Any = SimpleNamespace(name="a", attrs={}, sizes={})
    own, stated = Affine(10, 0, 0, 0, -10, 0), Affine(7, 0, 0, 0, -7, 0)
    assert _agreed(data, own, stated, (9, 9), must_fit=False) == own
    quarter = own * Affine.translation(0.25, 0.25)
    assert _agreed(data, quarter, own, (9, 9), must_fit=False) == quarter


def test_a_file_without_a_weight_of_the_encoder_names_none() -> None:
    assert file_names({}, {}, "a.pt") == {}


def test_a_search_that_is_full_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = _Walk.__new__(_Walk)
    monkeypatch.setattr(_Walk, "_is_full", lambda _: True)
    walk.is_cut = False
    walk.take({"type": "FeatureCollection", "features": [{"type": "Feature"}]}, "a.json", {}, None)
    assert walk.is_cut


def test_windows_of_a_scene_are_cut_one_after_the_other() -> None:
    stream: Any = StreamSamples(lambda seed: f"scene {seed}", lambda scene, rng: {}, 4, windows_per_scene=3)  # type: ignore[arg-type,return-value]
    stream._cut = lambda scene, window: (scene, window.scene_seed, window.number, window.visit)
    assert stream._make_windows(7, 2) == [("scene 7", 7, number, 2) for number in range(3)]


@pytest.mark.parametrize("kind", [OnnxSegmenter, TileSegmenter, ChangeDetector])
def test_runs_without_pytorch_compute_in_float32_and_by_no_other_runtime(kind: Any) -> None:
    segmenter = kind.__new__(kind)
    assert plan._only_float32(segmenter)
    assert plan._only_float32(SimpleNamespace(members=(segmenter, segmenter)))
    assert not plan._only_float32(SimpleNamespace(members=(segmenter, SimpleNamespace())))
    compute: Any = SimpleNamespace(by_torch=False, by_int8=False, runtime="openvino")
    with pytest.raises(InputError, match="--runtime openvino is for networks that label whole tiles"):
        plan._check_runtime(compute, segmenter)


def test_formats_without_fields_of_zeros_have_none_that_were_not_measured() -> None:
    for kind in (PlyFile, PcdFile, TextFile):
        assert kind.__new__(kind).not_measured == ()


def test_the_change_of_two_radar_dates_is_measured_where_both_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Any] = []
    for name in ("check_radar_pair", "level_shift_db", "two_tracks"):
        monkeypatch.setattr(radar_date, name, lambda *_: None)
    monkeypatch.setattr(radar_date, "find_change_threshold", lambda before, after, method: (before, after, method))
    monkeypatch.setattr(RadarDate, "_image", lambda *_: None)
    monkeypatch.setattr(RadarDate, "_filter", lambda _, values, seen, *__: used.append(seen.tolist()) or values)
    first: Any = SimpleNamespace(values="before", valid=np.array([True, True, False]))
    last: Any = SimpleNamespace(values="after", valid=np.array([True, False, False]))
    date, options = RadarDate(("VV",)), SimpleNamespace(by_change_vector=True, method="otsu")
    found = date.measure_with(first, date, last, SimpleNamespace(options=options))  # type: ignore[arg-type]
    assert found.change == ("before", "after", "otsu")
    assert used == [[True, False, False]] * 2
    plain = SimpleNamespace(options=SimpleNamespace(by_change_vector=False))
    assert date.measure_with(first, date, last, plain).change is None  # type: ignore[arg-type]


@pytest.mark.parametrize(("bands", "width", "seen"), [(3, 512, None), (4, 512 + 4 * 11, [0, 1, 2])])
def test_images_of_more_than_three_bands_have_eleven_statistics_of_each(
    bands: int, width: int, seen: list[int] | None
) -> None:
    network = FrozenImages(bands, 2, band_statistics=True)
    assert network.head.in_features == width
    assert (None if network.colours is None else network.colours.tolist()) == seen
    assert FrozenImages(bands, 2).head.in_features == 512, "none unless they are asked for"
