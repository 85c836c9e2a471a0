"""What results state of themselves: pairs of land cover, areas without all nodes, doubtful registrations, mud, review of maps, faces of one class."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.change import pair as change_pair
from deepnets4eo.damage import areas as areas_of_damage
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import MapReview
from deepnets4eo.floods import mud, scene as flood_scene
from deepnets4eo.floods.recognition import Recognition
from deepnets4eo.maps.region_page import pairs_of
from deepnets4eo.osm.elements import lacks_nodes, with_incomplete
from deepnets4eo.osm.reading import _whole_areas
from deepnets4eo.outputs import Phrase
from deepnets4eo.points.cloud_data import PointPart
from deepnets4eo.points.snapnet import training as snapnet
from deepnets4eo.points.views.views import Views

SQUARE = shapely.box(0, 0, 2, 2)


def test_pairs_of_land_cover_are_numbered_in_the_order_of_the_polygons() -> None:
    polygons = gpd.GeoDataFrame(
        {"from": ["crop", "crop", None, "crop"], "to": ["town", np.nan, "town", "town"]}, geometry=[SQUARE] * 4
    )
    pairs, numbers = pairs_of(polygons)
    assert pairs == [("crop", "town"), ("crop", None), (None, "town")]
    assert numbers.tolist() == [0, 1, 2, 0]
    assert numbers.dtype == np.uint16


def areas(**columns: Any) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(columns, geometry=[SQUARE, shapely.LineString([(0, 0), (1, 1)]), shapely.box(5, 5, 6, 7)])


@pytest.mark.parametrize(
    ("ways", "relations", "lacking"),
    [({7}, set(), [True, False, False]), (set(), {7}, [False, False, True]), ({7, 8}, {7}, [True, True, True]), ({9}, set(), [False] * 3)],
)  # fmt: skip
def test_areas_of_ways_and_relations_without_all_nodes_are_marked_by_their_own_numbers(
    ways: set[int], relations: set[int], lacking: list[bool]
) -> None:
    table = areas(osm_way_id=["7", "8", None], osm_id=[None, None, "7"])
    assert lacks_nodes(with_incomplete(table, ways, relations)).tolist() == lacking
    assert with_incomplete(table, set(), set()) is table
    only = table.drop(columns="osm_id")
    assert lacks_nodes(with_incomplete(only, {7}, {7})).tolist() == [True, False, False]


def test_areas_without_all_nodes_are_left_out_and_their_ground_is_unknown(caplog: pytest.LogCaptureFixture) -> None:
    table = areas(tainted=["yes", "yes", "no"])
    with caplog.at_level(logging.WARNING):
        kept, unknown = _whole_areas(table, "a.osm")
    assert kept.index.tolist() == [1, 2], "a line is drawn as far as it is known"
    assert unknown is not None
    assert [shape.bounds for shape in unknown] == [(0, 0, 2, 2)]
    (message,) = caplog.messages
    assert message.startswith("1 area of a.osm left out")
    whole = areas(tainted=["no"] * 3)
    assert _whole_areas(whole, "a.osm")[0] is whole
    assert _whole_areas(whole, "a.osm")[1] is None


@pytest.mark.parametrize(
    ("corner", "taken"),
    [((180.0, 90.0), False), ((180.1, 1.0), True), ((1.0, 90.1), True), ((-180.1, -1.0), True), ((400.0, 300.0), True)],
)
def test_areas_beyond_all_degrees_are_in_pixels_whatever_their_file_states(
    corner: tuple[float, float], taken: bool
) -> None:
    x, y = corner
    table = gpd.GeoDataFrame({"name": ["a"]}, geometry=[shapely.box(min(x, 0), min(y, 0), max(x, 0), max(y, 0))], crs="EPSG:4326")  # fmt: skip
    if taken:
        assert areas_of_damage._on_ground(table, "areas", "pixels", None).crs is None
    else:
        with pytest.raises(InputError, match="are on the Earth, but the map is in pixels"):
            areas_of_damage._on_ground(table, "areas", "pixels", None)


@pytest.mark.parametrize(
    ("assumed", "status", "codes"),
    [
        (True, "failed", ["registration_assumed"]),
        (False, "ok", []),
        (False, "assumed", []),
        (False, "degraded", ["registration_degraded"]),
    ],
)
def test_a_doubtful_registration_of_a_pair_is_a_caution(assumed: bool, status: str, codes: list[str]) -> None:
    registration: Any = SimpleNamespace(status=status, why=Phrase("match_not_measured"))
    options: Any = SimpleNamespace(assume_registered=assumed)
    found = change_pair._registration_findings(registration, options)
    assert [(finding.code, finding.severity) for finding in found] == [(code, "caution") for code in codes]


@pytest.mark.parametrize(("status", "count"), [("ok", 0), ("degraded", 1), ("failed", 1)])
def test_a_doubtful_registration_of_a_flood_names_its_image(status: str, count: int) -> None:
    registration: Any = SimpleNamespace(status=status, why=Phrase("match_not_measured"))
    image: Any = SimpleNamespace(source="maps/before.tif")
    found = flood_scene._registration_findings(image, registration)
    assert [finding.code for finding in found] == ["registration_doubtful"] * count


WATER_FOUND = Recognition(seen=1000, new=900)
DRY = Recognition(seen=1000)


@pytest.mark.parametrize(
    ("recognition", "ground", "muddy", "written"),
    [
        (WATER_FOUND, (True, True), "", False),  # water is recognised
        (Recognition(seen=1000, small=True), (True, True), "", False),
        (DRY, (True, True), "found", True),
        (DRY, (False, True), "suspected", False),
        (DRY, (False, False), "", False),
        (DRY, None, "", False),
    ],
)
def test_mud_is_sought_where_water_is_not_recognised(
    recognition: Recognition, ground: Any, muddy: str, written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = None if ground is None else SimpleNamespace(is_found=ground[0], is_suspected=ground[1])
    monkeypatch.setattr(mud, "measure_mud", lambda *_: measured)
    monkeypatch.setattr(mud, "write_with_mud", lambda *_: "with mud")
    monkeypatch.setattr(mud, "measure_recognition", lambda _, __, labels: Recognition(seen=1000, new=int(labels == "with mud")))  # fmt: skip
    nothing: Any = None
    labels: Any = "labels"
    found, after = mud.with_mud(labels, tmp_path / "mud.tif", nothing, nothing, recognition)
    assert found == ("with mud" if written else "labels")  # type: ignore[comparison-overlap]
    assert after.muddy == muddy
    assert after.new == (1 if written else recognition.new)


@pytest.mark.parametrize("answered", [True, False])
def test_a_review_states_its_result_or_what_it_waits_for(answered: bool) -> None:
    def result() -> Any:
        if not answered:
            raise InputError("no class has two answers")
        return SimpleNamespace(headline=lambda: "9 of 10 are right", lines=lambda: ["crop 90 %"])

    review: Any = SimpleNamespace(result=result)
    expected = ["9 of 10 are right.", "crop 90 %"] if answered else ["Results appear here when each class has two answers."]  # fmt: skip
    assert MapReview.state(review) == {"lines": expected, "enough": False, "added": 0}


@dataclass(frozen=True)
class Surface:
    faces: np.ndarray
    classes: np.ndarray | None
    corners: Any = None


def test_triangles_whose_corners_have_different_classes_are_left_out_and_splats_stay() -> None:
    faces = np.array([[0, 1, 2], [1, 2, 3], [3, 4, 4], [4, 4, 3]])
    surface = Surface(faces, np.array([0, 0, 0, 1, 1]))
    views = Views(surface)  # type: ignore[arg-type]
    assert snapnet.without_mixed_faces(views).surface.faces.tolist() == [[0, 1, 2], [3, 4, 4], [4, 4, 3]]
    for other in (Surface(faces, None), Surface(faces, surface.classes, corners="of splats")):
        views = Views(other)  # type: ignore[arg-type]
        assert snapnet.without_mixed_faces(views) is views


def test_labelled_points_of_the_withheld_part_of_a_cloud_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clouds, of which the second is not validated; the last point of the first is of its halo."""
    legend = Legend.from_dict({"name": "two", "classes": [{"value": 0, "name": "a", "color": [9, 9, 0]}, {"value": 1, "name": "b", "color": [0, 9, 9]}]})  # fmt: skip
    parts = np.array([PointPart.withheld] * 5 + [PointPart.learnt, PointPart.withheld], np.uint8)
    monkeypatch.setattr(snapnet, "point_parts", lambda *_: parts)
    labels = np.zeros((6, 4), np.uint8)
    labels[:, snapnet.CODE] = [0, 1, VOID, 1, 0, 0]
    labels[3, snapnet.PROPAGATED] = 1
    monkeypatch.setattr(snapnet, "label_tile", lambda *_: labels)

    @dataclass
    class Cloud:
        classification: np.ndarray
        xyz: np.ndarray

        def __len__(self) -> int:
            return len(self.xyz)

    cloud = Cloud(np.array([0, 1, 1, 0, VOID, 1, 1], np.uint8), np.zeros((7, 3)))
    named = SimpleNamespace(pieces=lambda *_: [(cloud, 6)])
    split = SimpleNamespace(scenes=[named, named], splits=[SimpleNamespace(parts={"val"}), SimpleNamespace(parts={"train"})], validated=True)  # fmt: skip
    rendered: Any = SimpleNamespace(split=split, legend=legend, protocol=lambda counted, validated: (counted, validated))  # fmt: skip
    labeller: Any = SimpleNamespace(halo_m=1.0)
    recipe: Any = SimpleNamespace(data=None)
    found = snapnet.score_points(labeller, rendered, recipe, Path())
    assert found["seen_share"] == 2 / 4, (
        "of four labelled points one was left unseen and one took its neighbour's class"
    )
    assert found["overall_accuracy"] == 0.5
    assert found["protocol"] == (snapnet.PROTOCOL, True)
    split.splits[0].parts = {"train"}
    assert np.isnan(snapnet.score_points(labeller, rendered, recipe, Path())["seen_share"])
