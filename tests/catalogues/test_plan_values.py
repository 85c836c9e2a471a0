"""Values of plans and of the search that hold at their boundaries: names of files, order of what was rejected, times and boxes that touch."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import shapely
from refusals import raises_naming

from deepnets4eo.catalogues import FindOptions, Plan, make_plan
from deepnets4eo.catalogues.candidates import HALF_AFTER
from deepnets4eo.catalogues.plan import relative_path
from deepnets4eo.catalogues.search import _may_meet
from deepnets4eo.catalogues.stac_footprints import footprint
from deepnets4eo.errors import InputError

BOX = (3.0, 45.0, 3.01, 45.01)
TIMES = (datetime(2023, 1, 1, tzinfo=UTC), datetime(2023, 3, 1, tzinfo=UTC))


def test_paths_below_a_folder_are_named_from_there_and_all_others_whole(tmp_path: Path) -> None:
    folder = tmp_path / "plans"
    assert relative_path(str(folder / "images" / "a.tif"), folder) == "images/a.tif"
    assert relative_path(str(tmp_path / "a.tif"), folder) == str((tmp_path / "a.tif").resolve())
    assert relative_path("https://example.org/a.tif", folder) == "https://example.org/a.tif"
    assert relative_path("-", folder) == "-"
    assert relative_path("osm", folder) in {"osm", str(Path("osm").resolve())}


def an_item(name: str, when: str, cloud: float) -> dict[str, Any]:
    properties = {
        "datetime": when, "gsd": 0.5, "eo:cloud_cover": cloud, "view:off_nadir": 0, "view:azimuth": 0, "view:sun_elevation": 50,
    }  # fmt: skip
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "bbox": (2.99, 44.99, 3.02, 45.02), "properties": properties,
        "geometry": json.loads(shapely.to_geojson(shapely.box(2.99, 44.99, 3.02, 45.02))),
        "assets": {"visual": {"href": f"./{name}.tif", "type": "image/tiff; application=geotiff", "roles": ["visual"]}},
    }  # fmt: skip


def test_the_best_are_chosen_and_the_others_follow_by_falling_score(tmp_path: Path) -> None:
    clouds = {"b2": 20, "b0": 0, "b3": 28, "b1": 10}
    items = [an_item(name, "2023-02-01T10:00:00Z", cloud) for name, cloud in clouds.items()]
    items += [an_item("a1", "2023-02-08T10:00:00Z", 9), an_item("a0", "2023-02-08T10:00:00Z", 7)]
    for number, one in enumerate(items):  # each of a pass of its own
        day, hour = one["properties"]["datetime"].split("T")
        one["properties"] |= {"platform": f"sat-{number}", "datetime": f"{day}T{hour}"}
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}), encoding="utf-8")
    plan, shapes = make_plan([str(tmp_path / "items.json")], BOX, "2023-02-06", {}, FindOptions())
    assert plan.before is not None
    assert (plan.before.name, plan.after.name) == ("b0", "a0")
    named = [next(name for name in (*clouds, "a0", "a1") if name in line) for line in plan.rejected]
    days = {"before": 4 + 14 / 24, "after": 2 + 10 / 24}
    scores = {name: (1 - cloud / 100) / (1 + days["before"] / HALF_AFTER["before"]) for name, cloud in clouds.items()}
    scores |= {"a1": 0.91 / (1 + days["after"] / HALF_AFTER["after"])}
    best = 0.93 / (1 + days["after"] / HALF_AFTER["after"])
    assert plan.after.score == round(best, 4) != round(best, 5)
    assert named == sorted(set(scores) - {"b0"}, key=lambda name: -scores[name]) == ["b1", "a1", "b2", "b3"]
    assert [role for role, _, _ in shapes] == ["before", "after", "", "", "", ""]


@pytest.mark.parametrize(
    ("first", "last", "then"),
    [
        ("2022-01-01T00:00:00Z", "2023-01-01T00:00:00Z", True),  # ends as the search begins
        ("2022-01-01T00:00:00Z", "2022-12-31T23:59:59Z", False),
        ("2023-03-01T00:00:00Z", "2024-01-01T00:00:00Z", True),  # begins as the search ends
        ("2023-03-01T00:00:01Z", "2024-01-01T00:00:00Z", False),
        ("2022-01-01T00:00:00Z", None, True),
        ("2023-06-01T00:00:00Z", None, False),
        (None, "2022-06-01T00:00:00Z", False),
        (None, "2023-02-01T00:00:00Z", True),
        (None, None, True),
    ],
)
def test_a_collection_meets_the_time_of_the_search_where_both_touch(first: Any, last: Any, then: bool) -> None:
    assert _may_meet({"temporal": {"interval": [[first, last]]}}, BOX, TIMES) is then
    early = ["2000-01-01T00:00:00Z", "2001-01-01T00:00:00Z"]
    assert _may_meet({"temporal": {"interval": [early, [first, last]]}}, BOX, TIMES) is then, "any interval"


@pytest.mark.parametrize(
    ("box", "near"),
    [
        ((3.01, 45.01, 4.0, 46.0), True),  # corner at corner
        ((3.011, 45.0, 4.0, 46.0), False),
        ((2.0, 44.0, 3.0, 45.0), True),
        ((2.0, 44.0, 2.999, 46.0), False),
        ((2.0, 44.0, 4.0, 44.999), False),
        ((2.0, 45.011, 4.0, 46.0), False),
        ((2.0, 44.0, -9.0, 4.0, 46.0, 9.0), True),  # with heights
        ((2.0, 44.0, -9.0, 2.9, 46.0, 9.0), False),
        ((170.0, 44.0, -170.0, 46.0), True),  # over the 180th meridian it is not understood
    ],
)
def test_a_collection_meets_the_box_of_the_search_where_both_touch(box: Any, near: bool) -> None:
    assert _may_meet({"spatial": {"bbox": [box]}}, BOX, TIMES) is near
    assert _may_meet({"spatial": {"bbox": ["?"]}}, BOX, TIMES)


def test_a_bbox_with_heights_has_the_same_sides_as_one_without() -> None:
    flat, high = (footprint({"bbox": sides}) for sides in ([1, 2, 3, 5], [1, 2, -100, 3, 5, 900]))
    assert flat.bounds == high.bounds == (1, 2, 3, 5)


@pytest.mark.parametrize(("stated", "cloud"), [(0, 0.0), (30, 30.0), (100.5, None), (-0.5, None), ("10", None)])
def test_a_cloud_cover_that_is_no_percentage_is_not_known(tmp_path: Path, stated: Any, cloud: float | None) -> None:
    item = an_item("a0", "2023-02-08T10:00:00Z", stated)
    (tmp_path / "items.json").write_text(
        json.dumps({"type": "FeatureCollection", "features": [item]}), encoding="utf-8"
    )
    plan, _ = make_plan([str(tmp_path / "items.json")], BOX, "2023-02-06", {}, FindOptions())
    assert plan.after.cloud == cloud
    assert plan.before is None


@pytest.mark.parametrize(
    ("roles", "served"),
    [
        (["visual"], True),
        (["reflectance"], True),  # no role that is known
        ([], True),
        ("thumbnail", True),  # no list of roles
        (["thumbnail"], False),
        (["metadata", "reflectance"], False),
        (["overview", "visual"], True),
    ],
)
def test_only_an_asset_that_is_said_to_be_no_image_serves_none(roles: Any, served: bool, tmp_path: Path) -> None:
    item = an_item("a0", "2023-02-08T10:00:00Z", 1)
    item["assets"]["visual"]["roles"] = roles
    item["assets"] = {"any": item["assets"]["visual"]}
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [item]}), encoding="utf-8")
    if served:
        assert make_plan([str(path)], BOX, "2023-02-06", {}, FindOptions())[0].after.name == "a0"
        return
    with raises_naming(InputError, roles[0]):
        make_plan([str(path)], BOX, "2023-02-06", {}, FindOptions())


def test_whoever_drew_the_outlines_is_credited_behind_the_images(tmp_path: Path) -> None:
    items = [an_item("b0", "2023-02-01T10:00:00Z", 0), an_item("a0", "2023-02-08T10:00:00Z", 0)]
    for one in items:
        one["properties"]["providers"] = [{"name": "Maker", "roles": ["producer"]}]
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}), encoding="utf-8")
    plan, _ = make_plan([str(tmp_path / "items.json")], BOX, "2023-02-06", {}, FindOptions())
    by_mappers = plan.model_copy(update={"outlines_credit": "Mappers of the town"})
    assert by_mappers.event_info().credit == f"{plan.event_info().credit}; Mappers of the town"
    by_mappers.save(tmp_path / "plan.yaml")
    assert Plan.load(tmp_path / "plan.yaml").event_info().credit == by_mappers.event_info().credit
