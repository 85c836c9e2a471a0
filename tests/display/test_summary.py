"""What layers, scenes, legends, runs and damage maps print, and the small tables that notebooks show."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from made_up_map import make_grid, make_map
from sklearn.linear_model import LogisticRegression

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.display import ColorRow, Summary
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.registration import register
from deepnets4eo.segmenters import InputSpec, LayerInput, Run
from deepnets4eo.tiling import Tiling

BAD = '<script>alert("x")</script>\x1b[31m\n\u202e'
CLEAN = r'<script>alert("x")</script>\x1b[31m\n\u202e'


class Cells(HTMLParser):
    """The text between the tags of a piece of HTML, and the names of its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.cells.append(data)


def html_of(shown: object) -> Cells:
    html = shown._repr_html_()  # type: ignore[attr-defined]
    assert len(html) < 20_000
    assert "http" not in html
    page = Cells(html)
    assert page.tags <= {"div", "strong", "table", "tr", "th", "td", "span"}
    return page


def test_a_layer_prints_size_bands_crs_and_ground_size_in_a_line(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "dsm.tif", np.zeros((2, 3), np.float32), gsd=0.5, nodata=-9999)
    layer = Layer.open(path)
    assert repr(layer) == (
        f"<Layer {path}: 2 rows × 3 columns, 1 band of float32 with nodata -9999, EPSG:32631, 0.5 m/px>"
    )
    assert html_of(layer).cells == [
        f"Layer {path}", "size", "2 rows × 3 columns", "bands", "1 band of float32 with nodata -9999",
        "CRS", "EPSG:32631", "pixel", "0.5 m/px",
    ]  # fmt: skip


def test_an_array_without_crs_has_no_ground_size() -> None:
    assert repr(Layer.open(np.zeros((3, 2, 4), np.uint8))) == (
        "<Layer array: 2 rows × 4 columns, 3 bands of uint8, no CRS>"
    )


def test_band_names_and_the_mark_of_made_up_places_are_printed(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "a.tif", np.zeros((3, 2, 2), np.uint8), tags={"SYNTHETIC": "city"})
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("red", "green", "blue")
    assert "3 bands of uint8 (red, green, blue)," in repr(Layer.open(path))
    assert repr(Layer.open(path, bands=[2])).endswith("1 band of uint8 (green), EPSG:32631, 1 m/px, SYNTHETIC>")


def test_a_scene_prints_its_grid_and_a_line_a_layer() -> None:
    scene = Scene.open(image=np.zeros((3, 2, 4), np.uint8), labels=np.zeros((2, 4), np.uint8))
    assert repr(scene) == (
        "<Scene: 2 rows × 4 columns, no CRS>\n  image: 3 bands of uint8, array\n  labels: 1 band of uint8, array"
    )
    assert "labels" in html_of(scene).cells


def test_a_legend_prints_its_classes_and_shows_their_colours() -> None:
    legend = Legend("two", (LegendClass(0, "a & b", (1, 2, 3)), LegendClass(7, "<c>", (9, 8, 7))))
    assert repr(legend) == "<Legend two: 2 classes (0 a & b, 7 <c>)>"
    assert html_of(legend).cells == ["Legend two", "0", "a & b", "7", "<c>", "255", "void"]
    assert re.findall(r"rgb\([\d,]+\)", legend._repr_html_()) == ["rgb(1,2,3)", "rgb(9,8,7)", "rgb(0,0,0)"]


def test_a_legend_of_many_classes_stays_short() -> None:
    legend = Legend("many", tuple(LegendClass(k, f"class_{k}", (k, 0, 1)) for k in range(200)))
    assert repr(legend).endswith("10 class_10, 11 class_11, …)>")


def test_a_damage_map_prints_counts_by_grade_not_its_table() -> None:
    damage_map = make_map(60)
    assert repr(damage_map) == (
        "<DamageMap: 60 buildings, 54 assessed, EPSG:32615>\n"
        "  grades: 27 no-damage, 14 minor-damage, 4 major-damage, 9 destroyed\n"
        "  not assessed: 3 smaller than 20 px, 3 under cloud\n"
        "  registration: ok, pre moved by 3.1 m"
    )
    frame = damage_map.buildings
    assert (frame["damage"] == "destroyed").sum() == 9
    assert (frame["status"] == "assessed").sum() == 54
    cells = html_of(damage_map).cells
    assert cells[cells.index("Destroyed") + 1 :][:2] == ["9", "17%"]
    assert cells[cells.index("Not assessed") + 1] == "6"


def test_a_damage_map_names_its_worst_finding_and_that_it_is_made_up() -> None:
    findings = (Finding("a", "worthless", {"message": "Nothing fits."}), Finding("b", "note", {"message": "Clouds."}))
    damage_map = replace(make_map(4), findings=findings, synthetic=True)
    lines = repr(damage_map).splitlines()
    assert lines[0].startswith("<DamageMap (SYNTHETIC): 4 buildings")
    assert lines[-1] == "  worst finding: worthless: Nothing fits. (1 more)"


def test_a_damage_map_without_buildings_or_crs_prints_zeros() -> None:
    damage_map = make_map(3, grid=make_grid(epsg=None), assessed=0.0)
    assert repr(damage_map).splitlines()[:2] == [
        "<DamageMap: 3 buildings, 0 assessed, no CRS>",
        "  grades: 0 no-damage, 0 minor-damage, 0 major-damage, 0 destroyed",
    ]
    assert "%" not in "".join(html_of(damage_map).cells)


def test_a_run_prints_its_model_inputs_classes_and_tiles() -> None:
    inputs = InputSpec({"image": LayerInput(("red", "nir"), (0, 0), (1, 1), 0, 255)}, gsd_m=0.5)
    segmenter = PixelClassifier(LogisticRegression(), inputs, Legend.load("isprs"), tiling=Tiling(64, 8))
    run = Run(Path("runs") / "forest", segmenter, {}, {"seed": 7})
    assert repr(run) == (
        f"<Run {Path('runs') / 'forest'}: pixel-classifier>\n"
        "  inputs: image (red, nir), 0.5 m/px\n"
        "  classes: isprs (impervious, building, low_vegetation, tree, car, clutter)\n"
        "  tiles: 64 px with a halo of 8 px\n"
        "  seed: 7"
    )
    assert "isprs (impervious, building, low_vegetation, tree, car, clutter)" in html_of(run).cells


def test_text_from_others_is_escaped_and_kept_to_a_line() -> None:
    summary = Summary(BAD, {"a": BAD}, {BAD: BAD}, [ColorRow((1, 2, 3), (BAD,))])
    assert summary.text() == f"<{CLEAN}: {CLEAN}>\n  {CLEAN}: {CLEAN}"
    page = Cells(summary.html())
    assert "script" not in page.tags
    assert page.cells == [CLEAN, "a", CLEAN, CLEAN, CLEAN, CLEAN]


@pytest.mark.parametrize("length", [200, 201, 10_000])
def test_long_text_is_shortened_in_its_middle(length: int) -> None:
    text = Summary("x" * length).text()
    assert len(text) <= 206
    assert ("…" in text) == (length > 200)


def test_a_confusion_matrix_shows_its_scores_and_what_was_not_predicted() -> None:
    counts = ConfusionMatrix(2).update(np.array([0, 0, 1, 255, 1]), np.array([0, 1, 1, 1, 255]))
    assert repr(counts).splitlines() == [
        "<ConfusionMatrix: 4 pixels of 2 classes>",
        "  overall accuracy: 0.500",
        "  mean IoU: 0.417",
        "  kappa: 0.200",
        "  without a prediction: 1, counted as errors",
        "  class 0: 2 in the reference, IoU 0.500, F1 0.667",
        "  class 1: 2 in the reference, IoU 0.333, F1 0.500",
    ]
    assert "overall accuracy" in html_of(counts).cells
    assert "  further classes: 8" in repr(ConfusionMatrix(20)).splitlines()


def test_a_registration_shows_its_status_and_what_it_rests_on() -> None:
    image = np.kron(np.random.default_rng(0).integers(20, 230, (64, 64), np.uint8), np.ones((8, 8), np.uint8))
    found = register(Layer.open(image, grid=make_grid(512)), Layer.open(np.roll(image, 3, 1), grid=make_grid(512)))
    first, *rest = repr(found).splitlines()
    assert first == f"<Registration: {found.headline().removeprefix('registration ')}>"
    assert rest[-1] == "  pre image: 512 rows × 512 columns, EPSG:32615, 0.5 m/px"
    assert html_of(found).cells[0] == "Registration"
