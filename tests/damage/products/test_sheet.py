"""The map sheet is one page of paper in five languages, and nothing on it lies beyond the page."""

import re
from pathlib import Path

import geopandas as gpd
import matplotlib
import numpy as np
import pytest
import shapely
from affine import Affine
from made_up_map import make_grid, make_images, make_map
from matplotlib.text import Text
from odc.geo.geobox import GeoBox
from PIL import Image
from pyproj import CRS
from refusals import raises_naming

from deepnets4eo.damage import GRADES, ProductOptions
from deepnets4eo.damage.products import sheet, sheet_drawing
from deepnets4eo.damage.products.sheet import write_sheet
from deepnets4eo.damage.products.summary import CAVEATS, SYNTHETIC_CAVEAT
from deepnets4eo.damage.products.words import translate
from deepnets4eo.damage.table.vocabulary import SUBJECT, TITLES, UNGRADED
from deepnets4eo.errors import InputError
from deepnets4eo.grid import transform_shapes
from deepnets4eo.outputs import EventInfo, Finding
from deepnets4eo.outputs.wording import LANGUAGES
from deepnets4eo.rasters import PLAIN_METRES, Layer

NEEDS_SHAPING = pytest.mark.skipif(
    tuple(map(int, matplotlib.__version__.split(".")[:2])) < (3, 11), reason="matplotlib 3.11 shapes Arabic"
)


@pytest.fixture(scope="module")
def made():
    damage_map = make_map(60)
    damage_map.estimates = {"buildings": {"damaged": {"expected": 20.0, "interval_95": [12.0, 31.0]}}}
    damage_map.inputs = {"pre": "/home/somebody/pre.tif", "post": "post.tif"}
    damage_map.event = EventInfo("Flood $x_1$ " * 60, "درنة", "2026-01-05", "2026-02-03T10:20Z", credit="w" * 900)
    damage_map.findings = (Finding("x", "caution", {"message": "Pixels are large. " * 40}),)
    damage_map.synthetic = True
    damage_map.add_areas("grid:10")
    return damage_map, *make_images(make_grid(), damage_map)


@pytest.fixture
def drawn(monkeypatch):
    """Figures as they are saved, at few pixels."""
    from matplotlib.figure import Figure

    figures, save = [], Figure.savefig
    monkeypatch.setattr(sheet, "DPI", 40)
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **k: (figures.append(figure), save(figure, *a, **k)))
    return figures


def test_every_language_has_every_word():
    texts = re.findall(r"""say\(["']([^"'{]+)["']\)""", Path(sheet.__file__).read_text(encoding="utf-8"))
    for text in {*texts, *CAVEATS, SYNTHETIC_CAVEAT, SUBJECT, *TITLES.values(), *EventInfo.LABELS.values()}:
        words = [translate(text, language) for language in LANGUAGES]
        assert all(isinstance(word, str) and word for word in words), text
        assert text == "N" or re.search("[\u0600-\u06ff]", words[3]), text


@pytest.mark.parametrize("language", ["pt", pytest.param("ar", marks=NEEDS_SHAPING)])
def test_all_words_lie_on_the_page(language, made, drawn, tmp_path):
    damage_map, _, post = made
    path = write_sheet(damage_map, tmp_path / "sheet.png", post=post, options=ProductOptions("a4", language))
    (figure,) = drawn
    page = figure.bbox.padded(1)
    texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text() and text.get_visible()]
    for text in texts:
        box = text.get_window_extent()
        assert page.x0 <= box.x0 <= box.x1 <= page.x1, text.get_text()
        assert page.y0 <= box.y0 <= box.y1 <= page.y1, text.get_text()
    said = " ".join(text.get_text() for text in texts)
    for word in (
        *(translate(TITLES[name], language) for name in (*GRADES, UNGRADED)),
        "12–31",
        "EPSG:32615",
        "pre.tif",
        "2026-01-05",
    ):
        assert word in said
    assert "somebody" not in said
    assert said.index("SYNTHETIC") < said.index(translate("Legend and counts", language))
    with Image.open(path) as picture:
        assert picture.size == (467, 330), "297 by 210 millimetres at 40 dots an inch"


def test_a_pdf_is_one_page_of_its_paper_without_the_time(made, drawn, tmp_path):
    damage_map, _, post = made
    first = write_sheet(damage_map, tmp_path / "sheet.pdf", post=post, options=ProductOptions("a3")).read_bytes()
    assert b"CreationDate" not in first
    assert first.startswith(b"%PDF")
    assert first.count(b"/Type /Page\n") + first.count(b"/Type /Page ") == 1
    width, height = map(float, re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", first).groups())
    assert (round(width / 72 * 25.4), round(height / 72 * 25.4)) == (420, 297)


def test_the_map_is_large_and_its_outlines_are_a_point_wide(made, drawn, tmp_path):
    damage_map, _, post = made
    write_sheet(damage_map, tmp_path / "sheet.pdf", post=post)
    (after,) = (axes for axes in drawn.pop().axes if axes.images)
    after.apply_aspect()
    width, height = after.get_position().width * 297, after.get_position().height * 210
    assert min(width, height) > 130, "millimetres, of a square image"
    assert len(after.collections) == 6
    assert min(each.get_linewidths()[0] for each in after.collections[:5]) >= 1


def test_very_many_buildings_are_shown_by_their_shares(made, drawn, tmp_path, monkeypatch):
    damage_map, _, post = made
    monkeypatch.setattr(sheet_drawing, "MANY", 5)
    monkeypatch.setattr(sheet_drawing, "SQUARES", 1)
    write_sheet(damage_map, tmp_path / "sheet.png", post=post)
    (after,) = (axes for axes in drawn.pop().axes if axes.images)
    areas = [shapely.Polygon(each.get_paths()[0].vertices).area for each in after.collections[:5]]
    worse = damage_map.buildings["damage"].map({grade: number for number, grade in enumerate(GRADES)}).fillna(-1)
    shares = [(worse >= number).mean() for number in (-1, 0, 1, 2, 3)]
    assert np.divide(areas, areas[0]) == pytest.approx(shares), "each covers its own share and that of the worse grades"


def test_an_old_matplotlib_writes_no_arabic(made, tmp_path, monkeypatch):
    damage_map, _, post = made
    monkeypatch.setattr(matplotlib, "__version__", "3.10.1")
    with raises_naming(InputError, "3.11"):
        write_sheet(damage_map, tmp_path / "sheet.png", post=post, options=ProductOptions("a4", "ar"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stated", [None, "metres"])
@pytest.mark.core("the only map sheet")
def test_a_map_without_a_place_is_drawn_with_a_bar_in_its_own_unit(stated, drawn, tmp_path):
    crs = None if stated is None else CRS.from_wkt(PLAIN_METRES).to_wkt()
    grid = GeoBox((256, 256), Affine(0.5, 0, 0, 0, -0.5, 128) if stated else Affine.identity(), crs)
    placed = make_grid()
    damage_map = make_map(20, grid=placed)
    moved = transform_shapes(grid.affine * ~placed.affine, damage_map.buildings.geometry.to_numpy())
    damage_map.buildings = gpd.GeoDataFrame(damage_map.buildings.drop(columns="geometry"), geometry=moved, crs=crs)
    post = Layer.open(np.full((3, 256, 256), 90, np.uint8), grid=grid)
    write_sheet(damage_map, tmp_path / "sheet.png", post=post)
    words = [text.get_text() for text in drawn[-1].findobj(Text)]
    assert "20 m" in words if stated else "50 px" in words
    assert not any("°" in word for word in words)


def test_a_title_without_an_event_has_no_colon(drawn, tmp_path):
    damage_map = make_map(4)
    damage_map.synthetic = True
    _, post = make_images(make_grid(), damage_map)
    write_sheet(damage_map, tmp_path / "sheet.png", post=post)
    (figure,) = drawn
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert words[:2] == [SUBJECT, "(SYNTHETIC)"]


def maps_of(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.images}


@pytest.mark.parametrize(("height", "width"), [(256, 256), (128, 384), (384, 128)])
def test_both_images_are_shown_as_large_as_each_other_and_the_buildings_after(height, width, drawn, tmp_path):
    grid = GeoBox((height, width), Affine(0.5, 0, 360_000, 0, -0.5, 4_100_000), "EPSG:32615")
    damage_map = make_map(20, grid=make_grid(128))
    damage_map.findings = (
        Finding("a", "caution", {"message": "The images lie apart."}), Finding("b", "caution", {"message": "The images are dark."}), Finding("c", "note", {"message": "Trees hide roofs."}),
    )  # fmt: skip
    pre, post = (Layer.open(np.full((3, height, width), value, np.uint8), grid=grid) for value in (60, 90))
    write_sheet(damage_map, tmp_path / "sheet.png", post=post, pre=pre)
    (figure,) = drawn
    maps = maps_of(figure)
    assert list(maps) == ["Before", "After"]
    for axes in maps.values():
        axes.apply_aspect()
    before, after = (axes.get_position() for axes in maps.values())
    assert (before.width, before.height) == pytest.approx((after.width, after.height), rel=1e-6)
    assert not before.overlaps(after)
    assert len(maps["Before"].collections) == 0
    assert len(maps["After"].collections) == 6
    area = (before.width * before.height + after.width * after.height) / (0.95 * 0.85)
    assert area > (0.2 if height > width else 0.35), "of the page inside its edges and below the title"
    sizes = {text.get_text(): text.get_size() for text in figure.findobj(Text)}
    for said in ("CAUTION: The images lie apart.", "CAUTION: The images are dark."):
        assert sizes[said] >= 9
    assert any(text.startswith("Read this before use") and size >= 8 for text, size in sizes.items())
    right = [text for text in figure.findobj(Text) if text.get_text().startswith("NOTE: Trees hide roofs.")]
    assert right[0].get_window_extent().x0 > after.x1 * figure.bbox.width, "in the column beside the maps"
