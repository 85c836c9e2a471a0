"""Ways that few inputs take: names too long for a path, images of one grey, classes that every image has, runs without maps, radar beside an optical date."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

import deepnets4eo.damage.images.checks as input_checks
from deepnets4eo.assistant import tools as assistant_tools
from deepnets4eo.assistant.folders import Folders
from deepnets4eo.assistant.tools import Tools
from deepnets4eo.cards import Legend
from deepnets4eo.change import rasters as change_rasters
from deepnets4eo.change.classical import detector
from deepnets4eo.change.pair import ChangePair
from deepnets4eo.classification.frozen import _fit_layer
from deepnets4eo.damage.decision.network import DamageNetwork
from deepnets4eo.damage.evidences.points import PointEvidence
from deepnets4eo.damage.evidences.rasters import RasterEvidence
from deepnets4eo.damage.evidences.water import Water
from deepnets4eo.damage.products.summary import _lower_bound
from deepnets4eo.damage.site.phases import shared_steps
from deepnets4eo.damage.site.skill import card_path
from deepnets4eo.damage.site.work import BUILDINGS, EVIDENCE, NETWORK, NETWORK_POST, UNBUILT, WATER
from deepnets4eo.damage.structure.evidence import Structure
from deepnets4eo.damage.structure.unbuilt import Unbuilt
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.report import ScoreNames
from deepnets4eo.evaluation.withheld import _reason
from deepnets4eo.floods.mud import mud_groups
from deepnets4eo.floods.radar_date import RadarDate
from deepnets4eo.footprints.ids import make_ids
from deepnets4eo.formats.vector_layers import _exists
from deepnets4eo.inspection.clouds import _without_offset
from deepnets4eo.metrics.calibration import _range
from deepnets4eo.outputs.input_files import label_raster_files
from deepnets4eo.outputs.map_page.panels import stretch_of
from deepnets4eo.points.snapnet.recipe import ViewSection
from deepnets4eo.rasters.warped_source import WarpedSource
from deepnets4eo.read_as.images import UndeclaredBand
from deepnets4eo.registration import ImagePair
from deepnets4eo.segmenters import LayerInput
from deepnets4eo.segmenters.clicks import DISC
from deepnets4eo.segmenters.onnx_card import _legend
from deepnets4eo.segmenters.segmenter import _copy
from deepnets4eo.segmenters.tensor_names import _after_prefix
from deepnets4eo.training.regression import SCORES, overall_scores
from deepnets4eo.training.statistics import _to_gain

NOTHING: Any = None


def test_a_name_too_long_for_a_path_does_not_exist(tmp_path: Path) -> None:
    folders = Folders((tmp_path,), None)
    with pytest.raises(InputError, match="does not exist"):
        folders.to_read("a" * 300)
    assert not _exists("a" * 5000)
    assert not _exists("a\0b")
    assert _exists(str(tmp_path))


def test_an_assistant_maps_change_from_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pre.tif", "post.tif"):
        (tmp_path / name).write_bytes(b"II*")
    monkeypatch.setattr(assistant_tools, "run_verb", lambda *words: {"words": words})
    (tmp_path / "maps").mkdir()
    tools = Tools(Folders((tmp_path,), tmp_path / "maps"))
    words = tools.change("pre.tif", "post.tif", "new")["words"]
    assert words == ("change", str(tmp_path / "pre.tif"), str(tmp_path / "post.tif"), "--out", str(tmp_path / "maps" / "new"))  # fmt: skip


def test_a_pair_of_change_states_how_it_was_registered() -> None:
    pair: Any = SimpleNamespace(registration=SimpleNamespace(status="degraded"))
    assert ChangePair.__str__(pair) == "registration degraded"


@pytest.mark.parametrize(("shape", "whole"), [((2000, 2000), True), ((2000, 2001), False)])
def test_statistics_of_large_scenes_are_measured_in_windows_spread_over_them(shape: tuple[int, int], whole: bool) -> None:  # fmt: skip
    scene: Any = SimpleNamespace(shape=shape, blocks=lambda side: [side])
    windows = detector._windows(scene)
    if whole:
        assert windows == [512]
    else:
        assert len(windows) == 9, "three times three of 512 pixels"
        assert {(window.height, window.width) for window in windows} == {(512, 512)}


@pytest.mark.parametrize("from_to", [True, False])
def test_land_cover_comes_from_a_run_that_finds_it_or_as_it_was_given(from_to: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(change_rasters, "is_from_to", lambda _: from_to)
    layers = change_rasters.CoverLayers
    monkeypatch.setattr(change_rasters, "split_from_to", lambda labels, folder, tags: {layers.pre: f"{folder} a", layers.post: f"{folder} b"})  # fmt: skip
    monkeypatch.setattr(change_rasters, "Layer", SimpleNamespace(open=lambda path: f"opened {path}"))
    pair, run, products, event = SimpleNamespace(covers="given"), SimpleNamespace(legend=None), SimpleNamespace(folder="out"), SimpleNamespace(tags={})  # fmt: skip
    found = change_rasters.covers_of(run, tmp_path, products, pair, event)  # type: ignore[arg-type]
    assert found == (("opened out a", "opened out b") if from_to else "given")  # type: ignore[comparison-overlap]


def test_a_class_that_every_image_or_none_has_is_always_or_never_named() -> None:
    features = np.random.default_rng(0).normal(size=(40, 3))
    targets = np.column_stack([np.ones(40, bool), np.zeros(40, bool)])
    weight, bias = _fit_layer(features, targets, several=True)
    assert not weight.any()
    assert bias.tolist() == [30.0, -30.0]
    weight, bias = _fit_layer(features, targets, several=False)
    assert not weight.any()
    assert bias.tolist() == [0.0, -30.0]
    with pytest.raises(InputError, match="40 images have a label"):
        _fit_layer(features, targets[:, 1:2], several=True)


def test_each_step_that_processes_share_has_its_name() -> None:
    network = DamageNetwork()
    steps = shared_steps([Structure(), Water(), network, Unbuilt(), SimpleNamespace(name="points")])  # type: ignore[list-item]
    assert set(steps) == {EVIDENCE, WATER, NETWORK, NETWORK_POST, UNBUILT, BUILDINGS}
    assert (steps[NETWORK], steps[NETWORK_POST]) == (network.grade_pair, network.grade_post)


def test_points_and_the_cards_of_rasters_are_inputs_of_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepnets4eo.damage.evidences.points.check_point_evidence", lambda *_: None)
    points = PointEvidence("post.laz", "pre.laz", 0.25)
    assert points.open(NOTHING, NOTHING).evidence is points
    raster = RasterEvidence("change", str(tmp_path / "score.tif"))
    assert raster.sources == [raster.source]
    card_path(tmp_path / "score.tif").touch()
    assert raster.sources == [raster.source, tmp_path / "score.evidence.yaml"]
    layer: Any = SimpleNamespace()
    assert RasterEvidence("change", layer).sources == [layer]


@pytest.mark.parametrize("pre_radar", [True, False])
@pytest.mark.parametrize("post_radar", [True, False])
def test_dates_that_look_like_radar_are_named_in_their_order(pre_radar: bool, post_radar: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    class Pair:
        def __init__(self, pre: Any, post: Any, findings: Any = ()) -> None:
            self.pre, self.post, self.findings = pre, post, findings

        def declare_nodata(self, *_: Any, **__: Any) -> Pair:
            return self

        def check_two_images(self, _: str) -> Pair:
            return self

    for name, value in {
        "ImagePair": Pair, "in_colour": lambda image: image, "unknown_colours": lambda _: (), "unmasked_bands": lambda _: (),
        "assumed_gsd": lambda _: (), "check_any_valid": lambda *_: None, "DatePair": lambda *_, radar: radar,
        "_is_radar": lambda _, role: pre_radar if role == "pre" else post_radar,
    }.items():  # fmt: skip
        monkeypatch.setattr(input_checks, name, value)
    pair: Any = Pair("pre", "post")
    assert input_checks.check_images(pair) == ("pre",) * pre_radar + ("post",) * post_radar  # type: ignore[comparison-overlap]
    pair = Pair(None, "post")
    assert input_checks.check_images(pair) == ("post",) * post_radar  # type: ignore[comparison-overlap]


def test_an_image_before_without_structure_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any, role: str) -> None:
        if role == "the pre image":
            raise InputError("noise")

    monkeypatch.setattr(input_checks, "check_any_valid", refuse)
    for name in ("unknown_colours", "unmasked_bands", "assumed_gsd"):
        monkeypatch.setattr(input_checks, name, lambda _: ())
    monkeypatch.setattr(input_checks, "in_colour", lambda image: image)
    monkeypatch.setattr(input_checks, "_is_radar", lambda *_: False)
    monkeypatch.setattr(ImagePair, "declare_nodata", lambda pair, *_, **__: pair)
    monkeypatch.setattr(ImagePair, "check_two_images", lambda pair, _: pair)
    pre, post = SimpleNamespace(), SimpleNamespace()
    found = input_checks.check_images(ImagePair(pre, post, ()))  # type: ignore[arg-type]
    assert found.pre is None
    assert [(finding.code, finding.severity) for finding in found.findings] == [("pre_without_structure", "caution")]


@pytest.mark.parametrize(("named", "count"), [([True, False, True], 2), ([False], None)])
def test_a_grade_that_outlines_cannot_show_has_the_classified_buildings_or_none(named: list[bool], count: int | None) -> None:  # fmt: skip
    assert _lower_bound(np.array(named))["count"] == count


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ({"kind": "none", "scenes": {"a": ["val"]}}, "it learnt from all of its scenes"),
        ({"scenes": {str(number): ["val"] for number in range(5)}}, "whole scenes (0, 1, 2, 3, 4)."),
        ({"scenes": {str(number): ["val"] for number in range(6)}}, "whole scenes (0, 1, 2, 3, 4, …)."),
        ({"scenes": {"a": ["train"], "b": ["val"]}}, "whole scenes (b)."),
        ({"scenes": {"a": ["train", "val"]}}, "there is no folder"),
        ({}, "there is no folder"),
    ],
)
def test_a_run_without_maps_of_withheld_ground_states_why(split: Any, words: str) -> None:
    assert words in _reason(split)


def test_plain_images_have_no_groups_of_mud() -> None:
    image = np.full((3, 64, 64), 120.0, np.float32)
    groups, limit = mud_groups(image, image, 1.0, np.zeros((64, 64), bool))
    assert groups == []
    assert limit == pytest.approx(0, abs=1e-3)


def test_radar_is_levelled_to_another_radar_only() -> None:
    date: Any = object.__new__(RadarDate)
    assert RadarDate.measure_with(date, NOTHING, NOTHING, NOTHING, NOTHING) is date


@pytest.mark.parametrize(("name", "words"), [("https://server/a.tif", "https://server/a.tif"), ("a.tif", "a.tif cannot be read or warped: broken. Check it with")])  # fmt: skip
def test_an_image_that_cannot_be_warped_is_named(name: str, words: str) -> None:
    source: Any = SimpleNamespace(name=name)
    error = WarpedSource._unreadable(source, OSError("broken"))
    assert str(error).startswith(words)
    assert ("warped" in str(error)) is (name == "a.tif")


def test_a_click_fades_from_255_to_0_at_five_pixels() -> None:
    assert DISC.shape == (9, 9)
    assert DISC[4].tolist() == [51, 102, 153, 204, 255, 204, 153, 102, 51]
    assert DISC[0, 0] == 0
    assert DISC[1, 1] == round(255 * (1 - math.hypot(3, 3) / 5))
    np.testing.assert_array_equal(DISC, DISC.T)


def test_a_legend_given_to_a_graph_is_taken_as_it_is() -> None:
    legend = Legend.load("water")
    assert _legend(legend, Path("a.onnx")) is legend


@pytest.mark.parametrize(
    ("keys", "texts", "reason"),
    [
        (["7", "8", "9"], ["7", "8", "9"], None),
        (["7", "7", "8"], ["7", "7_2", "8"], None),  # over half of the keys are distinct
        (["7", "7", "7"], ["1", "2", "3"], "ids_of_features"),
    ],
)
def test_keys_of_a_file_are_ids_if_over_half_are_distinct_else_the_numbers_of_rows(keys: list[str], texts: list[str], reason: str | None) -> None:  # fmt: skip
    table = gpd.GeoDataFrame({"use": ["a"] * 3}, geometry=[shapely.box(0, 0, 1, 1)] * 3, index=pd.Index(keys, name="row_key"))  # fmt: skip
    found = make_ids(table, None, "a.gpkg")
    assert found.texts[0] == texts[0]
    assert len(set(found.texts)) == 3
    assert found.made is (reason is not None)
    assert (found.passed_over and found.passed_over.key) == reason


@pytest.mark.parametrize(("values", "words"), [(np.array([2.5, -1.0]), "-1 to 2.5"), (np.array([]), "none"), (np.array(["a"]), "no numbers")])  # fmt: skip
def test_ranges_in_messages_are_of_numbers(values: Any, words: str) -> None:
    assert _range(values) == words


def test_a_label_raster_is_written_with_its_style_and_names() -> None:
    assert label_raster_files(None) == []
    assert [path.name for path in label_raster_files("maps/a.tif")] == ["a.tif", "a.qml", "a.tif.aux.xml"]


def test_an_image_without_a_valid_pixel_is_shown_from_0_to_1() -> None:
    assert stretch_of(np.full((3, 4, 4), 9.0), np.zeros((4, 4), bool)).tolist() == [[0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize(("third", "factor"), [("height", 4.0), ("height_root", 2.0), ("depth", 1.0)])
def test_the_third_band_varies_as_the_power_of_the_height_that_it_shows(third: Any, factor: float) -> None:
    assert ViewSection(third=third, height_factor=4.0).third_factor == factor


def test_a_value_of_one_band_is_named_with_it() -> None:
    assert str(UndeclaredBand(1, "green", 255.0, 0.4)) == "255 in green alone"


def test_ground_without_data_before_keeps_its_offset() -> None:
    after = np.full((2, 4, 4), 1500.0, np.float32)
    found = _without_offset(after, np.zeros((2, 4, 4), np.float32), np.ones((4, 4), bool), "post.tif")
    assert found is after


def test_a_file_of_a_run_is_not_copied_onto_itself(tmp_path: Path) -> None:
    source = tmp_path / "weights"
    source.write_text("1")
    before = source.stat().st_mtime_ns
    _copy(source, tmp_path / "." / "weights")
    assert source.stat().st_mtime_ns == before
    _copy(source, tmp_path / "other")
    assert (tmp_path / "other").read_text() == "1"
    source.write_text("2")
    _copy(source, tmp_path / "other")
    assert (tmp_path / "other").read_text() == "2"


def test_weights_of_another_network_have_no_prefix_in_common() -> None:
    assert _after_prefix({"stem.weight": NOTHING}, {"a.b": NOTHING}, {"a.b": "a.b"}, "file") == {}


@pytest.mark.parametrize("classes", [True, False])
def test_a_training_logs_scores_of_values_and_of_classes(classes: bool) -> None:
    values = dict.fromkeys(SCORES, 0.5) | {"r2": 0.25, "count": 7}
    scores: dict[str, Any] = {"values": values}
    if classes:
        scores |= dict.fromkeys(ScoreNames.overall, 0.6) | {"mean_f1": 0.75}
    found = overall_scores(scores)
    assert {name: found[name] for name in SCORES} == {name: values[name] for name in SCORES}
    assert found.get("r2_and_f1") == (0.5 if classes else None)
    assert ("mean_f1" in found) is classes


@pytest.mark.parametrize(
    ("dtype", "scaling", "std"),
    [("uint16", "unit", 65535.0), ("float32", "unit", 9.9), ("float32", "range", 20.0), ("uint16", "range", 20.0)],
)
def test_values_are_divided_by_their_largest_size_or_by_the_range_of_their_type(dtype: str, scaling: Any, std: float) -> None:  # fmt: skip
    spec = LayerInput(("a", "b"), (0.0, 0.0), (1.0, 1.0), 0.0, 1.0, dtype=dtype)
    pixels = np.abs(np.linspace(-10, 10, 2001)).reshape(1, -1).repeat(2, axis=0).astype(np.float32)
    found = _to_gain(spec, -pixels, (-20.0, 5.0), scaling)
    assert found.mean == (0.0, 0.0)
    assert found.std == pytest.approx((std, std), rel=1e-3)
