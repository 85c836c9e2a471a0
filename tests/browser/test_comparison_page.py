"""The page of a comparison: both images or plain ground, colours only where two maps differ, both outlines, the table behind."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
import shapely.affinity
from made_up_map import make_map_of_files
from report_visit import DESKTOP, PHONE, of_panels

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.comparison import compare_maps, read_damage_map, write_comparison
from deepnets4eo.outputs.wording import LANGUAGES

pytestmark = pytest.mark.browser

CRS, COUNT = "EPSG:32633", 24
LONG = "outlines_of_a_file_with_a_name_that_is_longer_than_a_telephone_is_wide"
COLOURED = of_panels("""let coloured = 0;
    for (let i = 0; i < data.length; i += 4) coloured += data[i + 3] > 50 && Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]) > 60;
    return coloured;""")


def houses(shift=0.0, **columns):
    corners = [(400_000 + 20 * (i % 6) + shift, 5_800_000 + 20 * (i // 6)) for i in range(COUNT)]
    boxes = [shapely.box(x + 4, y + 4, x + 14, y + 14) for x, y in corners]
    return gpd.GeoDataFrame({"id": [f"h{i}" for i in range(COUNT)], **columns}, geometry=boxes, crs=CRS)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page without images by language: four buildings are one grade worse in B, another four turn from destroyed to intact."""
    folder, grades = tmp_path_factory.mktemp("comparison"), np.arange(COUNT) % 4
    for name, shift, moved in (("a", 0, 0.0), (LONG, 1, 1.5)):
        damage = [GRADES[grade] for grade in (grades + shift * (np.arange(COUNT) < 8)) % 4]
        houses(moved, state=damage).to_file(folder / f"{name}.gpkg", layer="buildings")
    first, second = (read_damage_map(folder / f"{name}.gpkg", grade="state") for name in ("a", LONG))
    comparison = compare_maps(first, second)
    made = {language: write_comparison(comparison, folder / language, language=language)[0] for language in LANGUAGES}
    return comparison, made


@pytest.mark.parametrize("options", [DESKTOP, PHONE], ids=["desk", "phone"])
def test_without_images_outlines_lie_on_plain_ground_and_only_differences_are_coloured(visit, pages, options):
    comparison, made = pages
    one = visit(made["en"], options)
    page = one.page
    assert page.locator("#headline").inner_text().startswith("16 of 24 buildings have the same grade in both maps")
    assert "Agreement is no accuracy" in page.locator("#limit").inner_text()
    page.evaluate("document.getElementById('layers').open = true")
    chips = {
        name: int(page.locator(f".chip:has-text('{name}') b").inner_text())
        for name in ("Same in both maps", "Another grade", "Damaged only in A", "Damaged only in B")
    }
    grades = np.arange(COUNT) % 4
    a, b = grades >= 2, (grades + (np.arange(COUNT) < 8)) % 4 >= 2
    assert chips == {"Same in both maps": 16, "Another grade": int((a == b).sum()) - 16, "Damaged only in A": int((a & ~b).sum()), "Damaged only in B": int((b & ~a).sum())}  # fmt: skip
    assert page.evaluate(COLOURED)[0] > 100
    for name in ("Another grade", "Damaged only in A", "Damaged only in B"):
        page.locator(f".chip:has-text('{name}')").click()
    one.rest()
    assert page.evaluate(COLOURED) == [0], "what agrees is grey"
    outlines = page.locator("[data-layer='Outlines of B']")
    assert outlines.get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#tab-summary").click()
    tables = page.locator("#view-summary table")
    assert tables.evaluate_all("all => all.every((one) => one.querySelectorAll('tbody tr').length > 0)"), (
        "none is empty"
    )
    text = tables.first.inner_text()
    for count in comparison.matrix.matrix.ravel():
        assert str(count) in text
    assert (
        tables.evaluate_all("all => all.filter((one) => one.scrollWidth > one.parentElement.clientWidth + 1).length")
        == 0
    )


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_a_comparison_is_written_in_every_language(visit, pages, language):
    english = visit(pages[1]["en"], DESKTOP).page.locator("body").inner_text()
    page = visit(pages[1][language], DESKTOP).page
    said = page.locator("body").inner_text()
    for words in ("Same in both maps", "How sure", "Buildings", "Layers", "Difference", "Comparison of damage maps"):
        assert words in english or words == "How sure" or words == "Layers"
        assert words not in said
    assert page.locator("#headline .figure").inner_text() == "16"


def test_a_folder_of_a_map_brings_its_images_and_a_building_shows_both_grades(visit, tmp_path):
    damage_map, images = make_map_of_files(tmp_path, 0.75)
    damage_map.save(tmp_path / "map", **images, also=())
    other = damage_map.buildings.copy()
    other["state"] = other["damage"].where(other["damage"] != "destroyed", "no-damage")
    other[["id", "state", "geometry"]].to_file(tmp_path / "other.gpkg", layer="buildings")
    comparison = compare_maps(
        read_damage_map(tmp_path / "map"), read_damage_map(tmp_path / "other.gpkg", grade="state")
    )
    path = write_comparison(comparison, tmp_path / "out")[0]
    assert str(tmp_path) not in path.read_text("utf-8")
    one = visit(path, DESKTOP)
    assert one.page.locator("#panels canvas").count() == 2
    destroyed = int((damage_map.buildings["damage"] == "destroyed").sum())
    assert int(one.page.locator(".chip:has-text('Damaged only in A') b").inner_text()) == destroyed > 0
    one.page.locator("#table .body .row").first.click()
    card = one.page.locator("#card").inner_text()
    assert "Damaged only in A" in card
    assert "Destroyed" in card
    assert "No visible damage" in card
    assert one.page.locator("[data-layer='Outlines of B']").count() == 0, "they are the same"
