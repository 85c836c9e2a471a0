"""What evidences of a damage job do and state, function by function: each result against values by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from refusals import raises_naming

from deepnets4eo.damage import Settings
from deepnets4eo.damage.evidences import further, water
from deepnets4eo.damage.evidences.further import identity_of, is_score, read_by, requested_evidences
from deepnets4eo.damage.evidences.shown_water import ShownWater
from deepnets4eo.damage.evidences.water import MAPPED, RECOGNITION, SEEN, Water, find_water
from deepnets4eo.damage.images.dates import SiteImage
from deepnets4eo.damage.site import phases
from deepnets4eo.damage.site.phases import Phase, measure_phases, phase_of, shared_steps, working_ahead
from deepnets4eo.damage.site.site import OutlinePosition, Site
from deepnets4eo.damage.site.work import Work
from deepnets4eo.errors import InputError
from deepnets4eo.floods import BuildingWater, Recognition
from deepnets4eo.jobs import Journal, Part
from deepnets4eo.outputs import EventInfo, Finding, Phrase
from deepnets4eo.rasters import CogWriter, Layer

ON_BUILDINGS = OutlinePosition(None, "pre")
GRID = GeoBox((16, 16), Affine(2, 0, 500_000, 0, -2, 4_000_000), "EPSG:32633")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("survey", {"survey": None}),
        ("brightness=0.3, survey", {"brightness": 0.3, "survey": None}),
        ("a=0,b=1", {"a": 0.0, "b": 1.0}),
    ],
)
def test_evidences_are_named_with_a_weight_or_without(text: str, expected: dict[str, float | None]) -> None:
    assert requested_evidences(text) == expected


@pytest.mark.parametrize("text", ["a=-0.1", "a=1.01", "a=much", "a=", "a=nan"])
def test_a_weight_outside_0_to_1_is_refused(text: str) -> None:
    with raises_naming(InputError, text, "weight of 0 (shown only) to 1"):
        requested_evidences(f"b, {text}")


def test_an_evidence_is_identified_by_all_that_it_states() -> None:
    shown: Any = SimpleNamespace(name="survey", paths={"survey": "a.csv"})
    score: Any = SimpleNamespace(name="light", column="ev_light", weight=0.3, to_dict=lambda: {"fit": 2})
    assert [is_score(shown), is_score(score)] == [False, True]
    assert read_by([score, shown]) == {"survey": "a.csv"}
    assert identity_of(shown) == ["survey", [], [["survey", Path("a.csv")]]]
    assert identity_of(score) == ["light", [0.3, {"fit": 2}], []]


def opened(
    monkeypatch: pytest.MonkeyPatch, named: str, *own: Any, files: dict[str, str] | None = None, **inputs: str
) -> Any:
    """The evidences that the package "survey" opens for a job, and what it was given."""
    given: list[Any] = []
    entry = SimpleNamespace(value="survey:open")
    monkeypatch.setattr(further, "plugins_of", lambda group: {"look": None, "survey": entry, "traffic": entry})
    monkeypatch.setattr(further, "load_plugin", lambda entry: lambda *asked: given.append(asked) or own)
    job: Any = SimpleNamespace(evidence_files=files or {}, paths=inputs)
    settings = Settings(evidences=named)
    found = further.open_further_evidences(job, settings)
    assert [asked[:2] for asked in given] == [(job, settings)] * len(given)
    return found, [asked[2] for asked in given]


def test_evidences_of_other_packages_are_opened_with_their_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, score = SimpleNamespace(name="a", paths={"survey": "a.csv"}), SimpleNamespace(name="b", column="ev_b")
    assert opened(monkeypatch, "", shown) == ([], [])
    assert opened(monkeypatch, "survey", shown, files={"survey": "a.csv"}) == ([shown], [None])
    assert opened(monkeypatch, "survey=0", shown) == ([shown], [0.0])
    assert opened(monkeypatch, "survey=0.5, traffic", score, post="a.tif") == ([score, score], [0.5, None])
    assert sorted(further.further_evidences()) == ["survey", "traffic"]  # not those of the toolbox


@pytest.mark.parametrize(
    ("named", "own", "more", "words"),
    [
        ("surve", (), {}, ["surve", "survey"]),
        ("survey", (), {"files": {"traffic": "t.csv"}}, ["--evidence traffic", "--set evidences=traffic"]),
        ("survey=0.5", (SimpleNamespace(name="a"),), {}, ["weight 0.5", "--set evidences=survey"]),
        ("survey", (SimpleNamespace(name="a"),), {"files": {"survey": "a.csv"}}, ["--evidence survey=a.csv", "`paths`"]),
        ("survey", (SimpleNamespace(name="a", paths={"post": "a.csv"}),), {"post": "a.tif"}, ["its file post"]),
    ],
)  # fmt: skip
def test_evidences_that_do_not_fit_their_request_are_refused(
    named: str, own: tuple[Any, ...], more: dict[str, Any], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with raises_naming(InputError, *words):
        opened(monkeypatch, named, *own, **more)


class Noted:
    """An evidence that notes its turn."""

    def __init__(self, name: str, phase: Phase | None, turns: list[str]) -> None:
        self.name, self.turns = name, turns
        if phase is not None:
            self.phase = phase

    def measure(self, site: Any) -> Any:
        self.turns.append(self.name)
        return SimpleNamespace(position=site.position, seen=(*getattr(site, "seen", ()), self.name))


@pytest.mark.parametrize(("known", "scores"), [(True, ["score"]), (False, [])])
def test_evidences_measure_in_the_order_of_their_phases(
    known: bool, scores: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[str] = []
    monkeypatch.setattr(phases, "return_freed_memory", lambda: turns.append("memory returned"))
    kinds = {"last": Phase.MEASURES, "score": None, "second": Phase.BUILDINGS, "first": Phase.OUTLINES, "again": Phase.BUILDINGS}  # fmt: skip
    evidences: list[Any] = [Noted(name, phase, turns) for name, phase in kinds.items()]
    assert [phase_of(one) for one in evidences[:3]] == [Phase.MEASURES, Phase.SCORES, Phase.BUILDINGS]
    site: Any = SimpleNamespace(position=OutlinePosition(None, "pre", known))
    found: Any = measure_phases(site, evidences, Phase.OUTLINES, Phase.BUILDINGS, Phase.SCORES)
    assert turns == ["first", "second", "again", "memory returned", *scores]
    assert found.seen == ("first", "second", "again", *scores)
    assert list(Phase) == sorted(Phase)


def test_only_evidences_that_can_work_ahead_or_share_their_steps() -> None:
    turns: list[str] = []

    class Ahead(Noted):
        def ahead(self, site: Any) -> Any:
            from contextlib import contextmanager

            @contextmanager
            def work() -> Any:
                turns.append(f"{self.name} begins")
                yield
                turns.append(f"{self.name} ends")

            return work()

        def steps(self) -> dict[str, Any]:
            return {self.name: "label"}

    evidences: list[Any] = [Noted("a", None, turns), Ahead("b", None, turns), Ahead("c", None, turns)]
    with working_ahead(SimpleNamespace(), evidences):  # type: ignore[arg-type]
        turns.append("work")
    assert turns == ["b begins", "c begins", "work", "c ends", "b ends"]
    assert shared_steps(evidences) == {"b": "label", "c": "label"}


def test_only_the_job_that_makes_the_map_keeps_whole_steps_and_only_complete_ones(tmp_path: Path) -> None:
    whole, part = Work(Journal(tmp_path)), Work(Journal(tmp_path), part=Part(2, 3))
    assert (whole.is_whole, whole.share, part.is_whole, part.share) == (True, Part.whole, False, Part(2, 3))
    assert part.run("sum", lambda: 1) == 1
    assert whole.run("sum", lambda: 2) == 2  # the part kept nothing
    assert whole.run("sum", lambda: 3) == 2
    failed = Work(Journal(tmp_path), failed={0: "its tile failed"})
    assert [failed.run("other", lambda value=value: value) for value in (4, 5)] == [4, 5]


def image(role: Any, gsd_m: float = 0.5, bands: int = 3, *, speckled: bool = False) -> SiteImage:
    grid = GeoBox((16, 16), Affine(gsd_m, 0, 500_000, 0, -gsd_m, 4_000_000), "EPSG:32633")
    return SiteImage(Layer.open(np.zeros((bands, 16, 16), np.uint8), grid=grid), role, speckled)


def site_of(
    pre: SiteImage | None = None, post: SiteImage | None = None, hazard: str = "", position: Any = ON_BUILDINGS, **settings: Any
) -> Any:  # fmt: skip
    post = image("post") if post is None else post
    inputs = SimpleNamespace(before=pre, after=post, pre=pre and pre.layer, post=post.layer, cloud_mask=None)
    return Site(inputs, Settings(**settings), EventInfo(name=hazard), position=position, outlines=np.array(["outline"], object))  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.parametrize(
    ("post", "settings", "shows"),
    [
        (image("post"), {}, True),
        (image("post", 2.0), {}, True),
        (image("post", 2.1), {}, False),  # too coarse
        (image("post", bands=1), {}, False),
        (image("post", speckled=True), {}, False),
        (image("post", speckled=True), {"sensor": "optical"}, True),
    ],
)
def test_water_is_shown_by_fine_optical_images_in_colour(
    post: SiteImage, settings: dict[str, Any], shows: bool
) -> None:
    site = site_of(None, post, **settings)
    assert water.SurfaceRules.coarsest_m == 2
    assert water._shows_water(site, "post") is shows
    assert water._shows_water(site, "pre") is False
    assert water._shows_water(site_of(replace(post, role="pre"), image("post"), **settings), "pre") is shows
    assert water._is_searched_for(site) is shows
    assert bool(water._not_shown(site)) is not shows


@pytest.mark.parametrize(
    ("hazard", "settings", "searched"),
    [
        ("", {}, True),
        ("Flood", {"network": False}, True),
        ("Earthquake", {"network": True}, True),  # a network outweighs the name
        ("Earthquake", {"network": False}, False),
        ("", {"water": "none"}, False),
        ("", {"water": "given.tif"}, False),
    ],
)
def test_water_is_searched_for_unless_it_is_given_not_sought_or_the_hazard_is_dry(
    hazard: str, settings: dict[str, Any], searched: bool
) -> None:
    assert water._is_searched_for(site_of(hazard=hazard, **settings)) is searched


@pytest.mark.parametrize(
    ("hazard", "settings", "severity"),
    [
        ("", {}, "note"), ("Hurricane", {}, "note"), ("Flood", {}, "caution"), ("Earthquake", {}, None), ("Flood", {"water": "none"}, None),
        ("Flood", {"water": "given.tif"}, None),
    ],
)  # fmt: skip
def test_an_image_that_cannot_show_water_is_reported(hazard: str, settings: dict[str, Any], severity: Any) -> None:
    site = site_of(None, image("post", 2.1), hazard, **settings)
    advice = site.event.hazard_advice or Phrase("give_water")
    values = {"coarsest_m": 2.0, "remedy": advice}
    assert water._not_shown(site) == (() if severity is None else (Finding("water_not_shown", severity, values),))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The steps of a search for water, which note what they are given, and what each returns."""
    found = SimpleNamespace(
        asked=[],
        around=BuildingWater(np.zeros(2), np.array([0.7, 0.1]), np.array(["yes", "no"], object)),
        recognition=Recognition(1000, 500, 0, 0),
        layer=Layer.open(np.zeros((1, 8, 8), np.uint8), grid=GRID.zoom_out(2)),
        map=False,
    )

    def returns(name: str, value: Any) -> Any:
        def step(*given: Any, **more: Any) -> Any:
            found.asked.append((name, more))
            return value() if callable(value) else value

        return step

    for name, value in {
        "_seen_water": lambda: found.layer, "_given_water": lambda: found.layer, "write_sure_water": lambda: found.layer, "water_around": lambda: found.around,
        "is_flood_map": lambda: found.map, "_doubt_hidden_ground": lambda: found.around.unproven(), "_mapper_run": SimpleNamespace(segmenter="mapper"),
        "_dates": "dates", "read_json": lambda: found.recognition.to_dict(),
    }.items():  # fmt: skip
        monkeypatch.setattr(water, name, returns(name, value))
    monkeypatch.setattr(water, "ShownWater", SimpleNamespace(of_file=lambda source, grid: f"shown {source}", of_labels=lambda *_: "shown labels"))  # fmt: skip
    return found


def asked_of(steps: Any, name: str) -> list[dict[str, Any]]:
    return [more for one, more in steps.asked if one == name]


def test_water_that_was_not_there_before_surrounds_buildings(steps: Any) -> None:
    found = find_water(site_of(image("pre")))
    assert found is not None
    assert (found.source, found.is_new, found.since_unknown, found.reach_m) == ("seen in the images", True, 0, 0)
    assert (found.doubt, found.unproven, found.rasters, found.states_dry) == (None, None, ("shown labels",), False)
    assert found.around.inundated.tolist() == ["yes", "no"]
    (around,) = asked_of(steps, "water_around")
    pixel_m = 0.5 * 16 / 8  # 16 pixels of 0.5 m on 8 of the map
    assert around == {
        "any_water": False,
        "reach_m": 0,
        "pixel_m": pixel_m,
        "nearby": True,
        "workers": Settings().workers,
    }


def test_water_of_one_image_may_be_old(steps: Any) -> None:
    found = find_water(site_of())
    assert found is not None
    assert (found.is_new, found.since_unknown, found.rasters) == (False, 1, ())
    assert found.around.inundated.tolist() == ["not known", "no"]
    assert asked_of(steps, "water_around")[0]["any_water"] is True


def test_a_flood_that_is_not_found_is_doubted(steps: Any) -> None:
    steps.recognition = Recognition(1000, 0)
    lost = OutlinePosition(None, "pre", known=False)
    found = find_water(site_of(image("pre"), hazard="Flood", position=lost))
    assert found is not None
    assert found.doubt is not None
    assert (found.doubt.code, found.unproven, found.reach_m) == ("water_not_told", None, 8)
    assert asked_of(steps, "write_sure_water") == [{"reach_m": np.inf}]
    assert asked_of(steps, "water_around")[0]["nearby"] is False


def test_no_water_at_a_place_without_a_name_does_not_prove_dry_ground(steps: Any) -> None:
    steps.recognition = Recognition(1000, 0)
    found = find_water(site_of(image("pre")))
    assert found is not None
    assert found.doubt is None
    assert found.unproven is not None
    assert found.unproven.code == "water_not_excluded"


@pytest.mark.parametrize(("new", "told"), [(0, False), (500, True)])
def test_a_dry_hazard_is_outweighed_only_by_water_that_was_found(new: int, told: bool, steps: Any) -> None:
    steps.recognition = Recognition(1000, new)
    found = find_water(site_of(image("pre"), hazard="Earthquake", network=True))
    assert (found is not None) is told
    assert found is None or found.unproven is None


def test_a_patch_shows_water_only_by_its_colour(steps: Any) -> None:
    steps.recognition = Recognition(1000, 500, small=True)
    found = find_water(site_of(image("pre")))
    assert found is not None
    assert found.around.inundated.tolist() == ["not known", "no"]
    np.testing.assert_array_equal(found.around.hidden_share, [0.7, np.nan])
    assert found.rasters == ()


@pytest.mark.parametrize(("is_map", "inundated"), [(False, ["yes", "no"]), (True, ["yes", "not known"])])
def test_a_given_mask_states_what_is_dry_and_a_flood_map_does_not(
    is_map: bool, inundated: list[str], steps: Any
) -> None:
    steps.map = is_map
    found = find_water(site_of(None, image("post", 9.0), water="folder/flood.tif"))
    assert found is not None
    assert (found.source, found.is_new, found.states_dry, found.rasters) == ("flood.tif", True, not is_map, ("shown folder/flood.tif",))  # fmt: skip
    assert found.around.inundated.tolist() == inundated
    assert asked_of(steps, "_seen_water") == []
    assert asked_of(steps, "water_around")[0]["any_water"] is False


@pytest.mark.parametrize("site", [site_of(water="none"), site_of(None, image("post", 9.0))])
def test_no_water_is_looked_for_where_none_is_sought_or_shown(site: Site, steps: Any) -> None:
    assert find_water(site) is None
    assert steps.asked == []


def test_a_part_of_a_job_labels_its_share_and_leaves_the_buildings_to_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled: list[Any] = []
    monkeypatch.setattr(water, "_label", lambda site, folder, workers, **more: labelled.append((folder, workers, more)))
    work = Work(Journal(tmp_path), part=Part(2, 3))
    site = replace(site_of(image("pre"), workers=3), work=work)
    assert Water().measure(site) is site
    assert labelled == [(tmp_path / Water.name, 3, {"part": Part(2, 3)})]
    (tmp_path / Water.name / SEEN).touch(), (tmp_path / Water.name / RECOGNITION).touch()
    assert Water().measure(replace(site_of(water="none"), work=work)).water is None
    assert len(labelled) == 1


def write_labels(path: Path, values: np.ndarray) -> Layer:
    with CogWriter(path, GRID, nodata=255) as writer:
        for window in writer.windows:
            writer.write(window, values[window.slices].astype(np.uint8))
    return Layer.open(path, labels=True)


def test_new_water_is_shown_as_ones_and_ground_that_is_not_seen_as_no_data(tmp_path: Path) -> None:
    values = np.zeros((16, 16), int)
    values[:4], values[4:6], values[6:9] = 2, 1, 255
    shown = ShownWater.of_labels(write_labels(tmp_path / "labels.tif", values), GRID)
    assert shown is not None
    (seen, valid) = shown.layer.read()
    assert np.where(valid, seen[0], 255)[:, 3].tolist() == [1] * 4 + [0] * 2 + [255] * 3 + [0] * 7
    assert shown.product is not None
    assert shown.product.is_file()
    values[:4] = 1
    assert ShownWater.of_labels(write_labels(tmp_path / "old.tif", values), GRID) is None


def test_a_given_map_is_written_as_flood_dry_or_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.zeros((16, 16), int)
    values[:4], values[6:9] = 1, 255
    monkeypatch.setattr(water, "open_new_water", lambda source, grid: write_labels(Path(source), values))
    written, valid = water._given_water(str(tmp_path / "given.tif"), GRID, tmp_path / MAPPED).read()
    assert np.where(valid, written[0], 255)[:, 3].tolist() == [2] * 4 + [0] * 2 + [255] * 3 + [0] * 7
