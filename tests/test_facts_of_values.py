"""What values answer that otherwise only whole jobs ask: buildings, dates of floods, stretches, layers, files, commands."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
import torch
from affine import Affine
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox

from deepnets4eo.assistant.folders import Folders
from deepnets4eo.catalogues import search
from deepnets4eo.change.options import ChangeOptions
from deepnets4eo.change.page import _headline as change_headline, _overlays as change_overlays
from deepnets4eo.cli.change import _network_first
from deepnets4eo.cli.options import memory_bytes
from deepnets4eo.cli.output import ask_on_terminal
from deepnets4eo.damage.evidences.points import SOURCES, PointEvidence
from deepnets4eo.damage.evidences.rasters import ScoreLayer
from deepnets4eo.damage.images.clouds import ShownClouds
from deepnets4eo.damage.images.dates import in_colour
from deepnets4eo.damage.network.stretches import stretches_of_job
from deepnets4eo.damage.opening import open_pair
from deepnets4eo.damage.products.report import _overlay
from deepnets4eo.damage.settings import Settings, _whole_cems_name
from deepnets4eo.damage.table.buildings import ASSESSED, BY_WATER, POST_ONLY, Buildings
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.floods.figures import headline_parts, page_headline
from deepnets4eo.floods.mask_date import MaskDate
from deepnets4eo.floods.radar_date import RadarDate
from deepnets4eo.formats.rasters import _with_position
from deepnets4eo.grid import Grid, Window
from deepnets4eo.jobs.records import InputState
from deepnets4eo.outputs.served_page.sample_page import SamplePage
from deepnets4eo.points.files.las_header import _name_words
from deepnets4eo.points.labeller import load_again
from deepnets4eo.points.look.flight import _vertex_colours
from deepnets4eo.prediction.preparation import PreparedScene, _by_wavelength
from deepnets4eo.rasters import BandGapsSource, CollarSource, Layer, Scene
from deepnets4eo.rasters.bilinear import _resample
from deepnets4eo.registration import ImagePair
from deepnets4eo.reprojection import _short_way_round, to_crs
from deepnets4eo.segmenters.stretch import Stretch
from deepnets4eo.training.augmentation import with_drawn_clicks


def grid_of(rows: int, cols: int, size: float = 1.0) -> Grid:
    return Grid((rows, cols), Affine(size, 0, 500_000, 0, -size, 5_000_000), "EPSG:32631")


def table(**columns: object) -> Buildings:
    frame = {
        "id": list("abc"),
        "status": ["assessed", "not_assessed", "not_assessed"],
        "reason": ["", "under cloud", "x"],
    }
    return Buildings(pd.DataFrame(frame | {"method": ["pre_post", "", ""]} | columns), {})


def test_buildings_as_if_all_were_seen_after_and_those_that_only_water_grades() -> None:
    by_post = table().all_by_post().frame
    assert set(by_post["status"]) == {ASSESSED}
    assert set(by_post["method"]) == {POST_ONLY}
    wet = table().set_by_water(np.array([True, True, False])).frame
    assert wet["status"].tolist() == ["assessed", "assessed", "not_assessed"]
    assert wet["method"].tolist() == ["pre_post", BY_WATER, ""]


def test_a_map_of_permanent_water_is_water_wherever_it_is_not_zero() -> None:
    tile: Any = SimpleNamespace(
        values=np.array([[[0.0, 1.0, 7.0, 1.0]]], np.float32), seen=np.array([[True, True, True, False]])
    )
    np.testing.assert_array_equal(MaskDate(("water",)).water(tile), [[0, 1, 1, np.nan]])
    now, lasting = MaskDate(("water",)).lasting_water(tile)
    assert now.tolist() == lasting.tolist() == [[False, True, True, False]]


def test_radar_before_an_optical_flood_measures_nothing_with_it() -> None:
    date = RadarDate(("vv",))
    unlike: Any = SimpleNamespace()
    assert date.measure_with(unlike, MaskDate(("water",)), unlike, unlike) is date


def area_of(**hectares: float) -> dict[str, Any]:
    area = {"flood_ha": 0.0, "permanent_water_ha": 0.0, "seen_ha": 30.0, "flood_share": 0.0, **hectares}
    return {"area": area, "sensors": {"pre_1": "radar", "post": "radar"}}


def test_a_headline_of_no_flood_names_the_visible_ground_and_of_nothing_seen_that_nothing_could_be_compared() -> None:
    text, rest = headline_parts(area_of())
    assert text == "No flood was found"
    assert rest.startswith(" in 30.0 ha of visible ground")
    assert headline_parts(area_of() | {"sensors": {"post": "radar"}})[0] == "No water was found", "its age is unknown"
    assert headline_parts(area_of(seen_ha=0.0)) == ("", "Nothing could be compared.")
    assert "compared" in page_headline(area_of(seen_ha=0.0)).sentence


def test_clouds_over_buildings_and_water_around_them_are_on_when_a_page_opens() -> None:
    def raster(name: str, scale: Any = None) -> Any:
        return SimpleNamespace(name=name, scale=scale, layer=None)

    def page(*, hides: bool, wet: int) -> Any:
        because = lambda *_: np.array([hides, False])  # noqa: E731
        return SimpleNamespace(table=SimpleNamespace(because=because), inundation={"inundated": wet})

    for on in (True, False):
        clouds = _overlay(raster("clouds"), page(hides=on, wet=int(not on)))
        water = _overlay(raster("water"), page(hides=not on, wet=int(on)))
        assert (clouds.title, clouds.is_visible, water.title, water.is_visible) == ("Clouds", on, "New water", on)
    assert _overlay(raster("score", "scale"), page(hides=True, wet=1)).title == "score"


def test_only_images_whose_outlines_a_run_finds_are_stretched_for_it(tmp_path: Path) -> None:
    own = {"post": Stretch((0.0,), (1.0,), (0.0,), (255.0,))}
    layer = Layer.open(np.zeros((3, 8, 8), np.uint16))
    assert stretches_of_job(own, None, None, layer) == own
    assert stretches_of_job(own, str(tmp_path), None, layer) == own, "a folder that is no run"


def test_a_stretch_and_another_size_are_told_in_words() -> None:
    stretch = Stretch((300.0, 310.5), (1300.0, 1400.0), (0.0, 0.0), (200.0, 200.0))
    assert "from the 2nd to the 98th percentile of each band (300" in str(stretch)
    assert "1300" in str(stretch) or "1,300" in str(stretch)
    scene = Scene({"image": Layer.open(np.zeros((1, 8, 6), np.uint8), grid=grid_of(8, 6))})
    smaller = Scene({"image": Layer.open(np.zeros((1, 4, 3), np.uint8), grid=grid_of(4, 3, 2.0))})
    assert str(PreparedScene(scene, scene, {})) == ""
    assert str(PreparedScene(scene, smaller, {})) == "labelled at 4 x 3 px of 2 m"
    assert str(PreparedScene(scene, smaller, {"image": stretch})).startswith(
        "labelled at 4 x 3 px of 2 m; layer 'image' is "
    )


def test_shapes_without_a_crs_and_shapes_that_are_nowhere_are_left_as_they_are() -> None:
    with pytest.raises(ValueError, match="naive"):
        to_crs(gpd.GeoSeries([shapely.Point(0, 0)]), 4326)
    for part in (shapely.Point(179, 0), shapely.Polygon(), shapely.LineString([(0, 0), (math.nan, 1)])):
        moved, same = _short_way_round(part)
        assert moved is same is part
    with pytest.raises(GridError):
        to_crs(gpd.GeoSeries([shapely.Point(0, 0)], crs='LOCAL_CS["site",UNIT["metre",1]]'), 4326)


@pytest.mark.parametrize(("off", "is_sure"), [(0.0, False), (5e-7, False), (-5e-7, False), (2e-6, True), (-2e-6, True)])
def test_centres_within_a_millionth_of_a_pixel_from_the_edge_are_left_to_gdal(off: float, is_sure: bool) -> None:
    data = np.arange(12.0).reshape(1, 3, 4)
    values, inside = np.zeros((1, 1, 1)), np.zeros((1, 1), bool)
    position = (0, 0, 3, 4, 0, 0)
    affine = (1.0, 0.0, 3.5 + off, 0.0, 1.0, 0.5)  # its centre is at x = 4 + off, the right edge, and y = 1
    assert _resample(data, position, affine, False, -1.0, values, inside) is is_sure
    assert bool(inside[0, 0]) is (is_sure and off < 0)
    affine = (1.0, 0.0, 1.0, 0.0, 1.0, 0.5)  # between the pixels 1 and 2 of a row, between rows 0 and 1
    assert _resample(data, position, affine, False, -1.0, values, inside)
    assert values[0, 0, 0] == pytest.approx(np.mean([data[0, 0, 1], data[0, 1, 1]]))


def test_collars_and_gaps_are_looked_for_on_another_grid_again() -> None:
    values = np.full((2, 40, 40), 90, np.uint8)
    values[:, :20] = 0
    layer = Layer.open(values, grid=grid_of(40, 40))
    other = GeoBox((20, 20), Affine(2, 0, 500_000, 0, -2, 5_000_000), "EPSG:32631")
    for source in (CollarSource(layer, 0.0), BandGapsSource(layer, {0: 0.0}, 7)):
        moved = source.warp(other)
        assert type(moved) is type(source)
        valid = moved.read(Window(0, 0, 20, 20), [1])[1]
        assert moved.grid == other
        assert valid[15, 5:15].all()
        assert not valid[5, 5:15].any()


def test_a_document_with_values_that_no_document_has_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: Any = object.__new__(next(kind for kind in vars(search).values() if hasattr(kind, "_took")))
    monkeypatch.setattr(type(taken), "take", lambda self, content, *_: [][content])
    assert taken._took(0, "", {}, None) is False
    monkeypatch.setattr(type(taken), "take", lambda *_: None)
    assert taken._took({}, "", {}, None) is True


def test_a_state_without_files_or_whose_files_are_gone_has_no_content(tmp_path: Path) -> None:
    word = InputState("seed", "3")
    assert word.with_content() is word
    path = tmp_path / "a.txt"
    state = InputState("a", "x", files=(path,))
    assert state.with_content() is state, "the file is not there"
    path.write_text("1", "utf-8")
    first = state.with_content()
    path.write_text("2", "utf-8")
    assert first.content != state.with_content().content != ""
    assert first.with_content() is first


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4e9), ("500 MB", 5e8), ("1k", 1e3), ("7", 7), ("2TiB", 2e12), ("1", 1)]
)
def test_sizes_of_memory_have_decimal_units(text: str, size: float) -> None:
    assert memory_bytes(text) == size


@pytest.mark.parametrize("text", ["1.2.3GB", "much", "0", "0.5", "-4GB", "9" * 400])
def test_other_texts_are_no_size_of_memory(text: str) -> None:
    with pytest.raises(InputError, match="is not a size"):
        memory_bytes(text)


@pytest.mark.parametrize(("of_input", "of_error"), [(True, True), (True, False), (False, True)])
def test_questions_are_asked_where_both_ends_are_a_terminal(
    of_input: bool, of_error: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: of_input))
    monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: of_error))
    asked: dict[str, Any] = {}
    monkeypatch.setattr("typer.prompt", lambda question, **how: asked.update(how) or 7)
    ask = ask_on_terminal()
    assert (ask is not None) is (of_input and of_error)
    if ask is not None:
        assert ask("which?") == "7"
        assert asked == {"default": "", "show_default": False, "err": True}


def test_a_network_of_others_comes_before_both_images() -> None:
    options = ChangeOptions()
    assert _network_first("a.tif", "b.tif", None, options) == ("a.tif", "b.tif", options)
    pre, post, with_network = _network_first("net.onnx", "a.tif", "b.tif", options)
    assert (pre, post, with_network.model) == ("a.tif", "b.tif", "net.onnx")
    for pre, model in (("a.tif", None), ("net.onnx", "run")):
        with pytest.raises(InputError, match="expected PRE POST, or FILE.onnx PRE POST without --model"):
            _network_first(pre, "b.tif", "c.tif", ChangeOptions(model=model))


def test_names_of_copernicus_are_completed() -> None:
    assert _whole_cems_name(None) is None
    assert _whole_cems_name("EMSR884_AOI06") == "EMSR884_AOI06_GRA_PRODUCT_v1"
    assert _whole_cems_name("EMSR884_AOI06_GRA_MONIT02_v3") == "EMSR884_AOI06_GRA_MONIT02_v3"
    with pytest.raises(ValueError, match="expected EMSRNNN_AOINN"):
        _whole_cems_name("EMSR84_AOI06")


def test_colours_of_an_image_are_its_declared_bands_else_the_first_three() -> None:
    four = Layer.open(np.zeros((4, 8, 8), np.uint8))
    assert in_colour(four).bands == [1, 2, 3]
    assert in_colour(four.with_names(["blue", "green", "red", "nir"])).bands == [3, 2, 1]
    two = Layer.open(np.zeros((2, 8, 8), np.uint8))
    assert in_colour(two) is two


def test_a_labeller_that_was_made_in_this_process_cannot_be_opened_in_another() -> None:
    made: Any = SimpleNamespace()
    with pytest.raises(InputError, match="was not loaded cannot work in other processes"):
        load_again(made)


def test_names_of_a_header_that_are_no_text_are_told_in_plain_words() -> None:
    error = UnicodeDecodeError("utf-8", b"caf\xe9" + b"x" * 60, 3, 4, "invalid")
    assert "are not UTF-8 (b'caf\\xe9" in _name_words(error, "codec")
    assert "x" * 29 not in _name_words(error, "codec"), "32 bytes are shown"
    assert _name_words(ValueError("a"), "of laspy") == "of laspy"


def test_a_surface_without_classes_and_colours_is_shown_by_its_heights() -> None:
    heights = np.linspace(0, 100, 101)
    vertices = np.stack([0 * heights, 0 * heights, heights], axis=1)
    surface = SimpleNamespace(vertices=vertices, classes=None, colour=None)
    views: Any = SimpleNamespace(surface=surface)
    colours = _vertex_colours(views, None)
    np.testing.assert_array_equal(colours[0], colours[2])  # below the 2nd percentile
    np.testing.assert_array_equal(colours[98], colours[100])  # above the 98th
    assert not np.array_equal(colours[40], colours[60])
    surface.colour = np.full((101, 3), 7, np.uint8)
    assert (_vertex_colours(views, None) == 7).all()


def test_clouds_of_a_given_mask_lie_on_the_grid_of_the_post_image() -> None:
    post = Layer.open(np.full((3, 40, 40), 90, np.uint8), grid=grid_of(40, 40))
    pair = ImagePair.open(post, post)
    mask = np.zeros((20, 20), np.uint8)
    mask[:10] = 1
    given = Layer.open(mask, grid=grid_of(20, 20, 2.0))
    shown = ShownClouds.of_map(given, pair, {"status": "failed"}, is_seen=True)
    assert shown is not None
    assert shown.layer.read()[0][0].mean() == 0.5
    assert shown.layer.shape == (40, 40)
    assert ShownClouds.of_map(None, pair, {"status": "failed"}, is_seen=False) is None


def test_drawn_clicks_are_channels_of_the_sample_from_0_to_1() -> None:
    mask = torch.zeros((32, 32), dtype=torch.int64)
    mask[:, 16:] = 1
    sample = {"mask": mask, "image": torch.zeros((3, 32, 32)), "clicks": torch.zeros((2, 32, 32))}
    drawn = with_drawn_clicks(sample, 12, np.random.default_rng(0))
    clicks = drawn["clicks"]
    assert clicks.shape == (2, 32, 32)
    assert clicks.dtype == torch.float32
    assert 0.5 < float(clicks.max()) <= 1.0
    assert set(drawn) == set(sample)
    assert float(clicks[0][:, 20:].max()) <= float(clicks[0][:, :16].max())


def test_an_assistant_reads_only_names_that_can_exist(tmp_path: Path) -> None:
    folders = Folders((tmp_path,), None)
    for name in ("x" * 5000, "missing.tif"):
        with pytest.raises(InputError):
            folders.to_read(name)
    with pytest.raises(InputError, match="nothing may be written"):
        folders.to_write("new")
    (tmp_path / "a.vrt").write_text("<VRTDataset/>", "utf-8")
    with pytest.raises(InputError, match="names other files"):
        folders.to_read("a.vrt")


def test_a_page_of_samples_states_its_answers_and_refuses_other_addresses() -> None:
    page: Any = object.__new__(SamplePage)
    page.__dict__["state"] = lambda: {"lines": ["12 answers"]}
    status, kind, body = page.post("state", {})
    assert (int(status), kind) == (200, "application/json") or "json" in kind
    assert json.loads(body) == {"lines": ["12 answers"]}
    assert page.reason(InputError("no such row")) == "no such row"


def test_a_change_map_that_compared_nothing_says_so() -> None:
    figures: dict[str, Any] = {"area": {"changed_ha": 0.0, "seen_ha": 0.0, "changed_share": math.nan}}
    assert "compared" in change_headline(figures["area"], "en").sentence


@pytest.mark.parametrize(("in_doubt", "visible"), [(None, False), (0.0, False), (0.5, True)])
def test_clouds_and_shadows_are_on_if_the_first_lines_state_changes_in_doubt(
    in_doubt: float | None, visible: bool
) -> None:
    labels = Layer.open(np.zeros((8, 8), np.uint8))
    doubt = Layer.open(np.zeros((2, 8, 8), np.uint8))
    area = {} if in_doubt is None else {"changed_in_doubt_ha": in_doubt}
    drawn: Any = SimpleNamespace(labels=labels)
    found = change_overlays(SimpleNamespace(doubt=doubt), drawn, area)  # type: ignore[arg-type]
    assert [overlay.is_visible for overlay in found[1:]] == [visible] * 2
    assert (found[0].unknown, found[0].is_unknown_visible) == ("Not compared", True)
    assert len(change_overlays(SimpleNamespace(doubt=None), drawn, area)) == 1  # type: ignore[arg-type]


def test_images_without_a_crs_are_opened_at_half_a_metre_as_they_are_shown() -> None:
    pair = open_pair(None, np.zeros((3, 8, 8), np.uint8), Settings())
    assert pair.post.gsd_m == pytest.approx(0.5)
    assert pair.findings
    stated = open_pair("-", np.zeros((3, 8, 8), np.uint8), Settings(gsd_m=0.3))
    assert stated.post.gsd_m == pytest.approx(0.3)
    assert stated.pre is None
    with pytest.raises(InputError, match="there is none"):
        open_pair("-", np.zeros((3, 8, 8), np.uint8), Settings(assume_registered=True))


@pytest.mark.parametrize(
    ("own", "stated", "crs", "origin"),
    [
        (None, ("EPSG:32631", ()), "EPSG:32631", (0, 0)),
        (None, ("EPSG:32631", (10, 0, 500_000, 0, -10, 5_000_000)), "EPSG:32631", (500_000, 5_000_000)),
        (None, ("", (10, 0, 500_000, 0, -10, 5_000_000)), None, (500_000, 5_000_000)),
        (None, ("", ()), None, (0, 0)),
        (None, ("no such CRS", (10, 0, 500_000, 0, -10, 5_000_000)), None, (500_000, 5_000_000)),
        ("EPSG:4326", ("EPSG:32631", (10, 0, 500_000, 0, -10, 5_000_000)), "EPSG:4326", (3, 45)),
    ],
)
def test_a_position_that_is_stated_elsewhere_counts_where_a_raster_has_none(
    own: str | None, stated: Any, crs: str | None, origin: tuple[float, float], tmp_path: Path
) -> None:
    path = write_geotiff(tmp_path / "a.tif", np.ones((4, 4), np.uint8), crs=own, origin=(3, 45), gsd=0.1)
    with _with_position(rasterio.open(path), stated) as dataset:
        assert (None if dataset.crs is None else dataset.crs.to_string()) == crs
        assert (dataset.transform.c, dataset.transform.f) == pytest.approx(origin)
        assert dataset.read(1).sum() == 16


@pytest.mark.parametrize("weight", [0.25, 0.0])
def test_a_raster_of_scores_states_its_meaning_and_files(weight: float, tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "scores.tif", np.zeros((4, 4), np.uint8))
    given: Any = SimpleNamespace(column="ev_x", weight=weight, layer=Layer.open(path), card_file=tmp_path / "c.yaml")
    use = "weight 0.25 in the decision" if weight else "not in the decision"
    assert ScoreLayer.meaning.fget(given) == {"ev_x": f"mean of the raster 'scores.tif' in the outline on post; {use}"}  # type: ignore[attr-defined]
    assert ScoreLayer.paths.fget(given) == {"ev_x": str(path), "ev_x_card": str(tmp_path / "c.yaml")}  # type: ignore[attr-defined]
    given.card_file = None
    assert ScoreLayer.paths.fget(given) == {"ev_x": str(path)}  # type: ignore[attr-defined]
    assert ScoreLayer.rasters.fget(given) == (given,)  # type: ignore[attr-defined]


def test_what_came_down_of_a_roof_is_known_if_half_of_it_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {*SOURCES.values()} | {"collapsed_share", "roof_seen_share"}
    table = pd.DataFrame({name: [0.4, 0.4] for name in names}).assign(roof_seen_share=[0.5, 0.49])
    monkeypatch.setattr("deepnets4eo.points.debris_volumes", lambda *_: SimpleNamespace(buildings=table.copy()))
    given: Any = SimpleNamespace(post=None, pre=None)
    found = PointEvidence.measure(given, None)  # type: ignore[arg-type]
    column = next(name for name, source in SOURCES.items() if source == "collapsed_share")
    assert found[column].tolist() == pytest.approx([0.4, math.nan], nan_ok=True)
    assert list(found) == list(SOURCES)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["B8A", "B4", "B2"], [3, 2, 1]),
        (["B2", "B4", "B8A"], [1, 2, 3]),
        (["B4", "B4", "B8A"], None),
        (["x", "y", "z"], None),
    ],
)
def test_bands_of_sentinel_2_by_other_names_are_taken_in_the_order_of_training(
    names: list[str], chosen: list[int] | None
) -> None:
    layer = Layer.open(np.zeros((3, 8, 8), np.uint16)).with_names(names)
    assert _by_wavelength(layer, ["B02", "B04", "B8A"]) == chosen
