"""damage.qgz: what QGIS needs to open both images under the styled buildings, from any folder it is copied to."""

import zipfile
from xml.etree import ElementTree as ET

import numpy as np
import pyogrio
import pyproj
import pytest
from affine import Affine
from geotiff import write_geotiff
from made_up_map import make_grid, make_images, make_map

from deepnets4eo.damage.products.profiles import CERTAINTY
from deepnets4eo.damage.products.qgis_layout import LEGEND, MAP, PICTURE, SCALE_BAR
from deepnets4eo.damage.products.qgis_project import write_project
from deepnets4eo.damage.products.qgis_styles import buildings_style
from deepnets4eo.damage.table.vocabulary import NOT_KNOWN, UNGRADED
from deepnets4eo.outputs import EventInfo, Finding
from deepnets4eo.rasters import Layer

KEYS = ("damage_map_post_image_0", "damage_map_pre_image_0")


@pytest.fixture
def saved(tmp_path):
    """A map saved beside its images, and the project's XML."""
    grid = make_grid()
    damage_map = make_map(20, grid=grid)
    damage_map.event = EventInfo("Flood", "Derna", date_pre="2023-07-01", date_post="2023-09-13", producer="Team 7")
    damage_map.findings = (Finding("coarse", "caution", {"message": "Pixels are large."}),)
    damage_map.extent_without_outlines = damage_map.assessed_extent.copy()
    images = {}
    for name, image in zip(("pre", "post"), make_images(grid, damage_map), strict=True):
        (tmp_path / "images").mkdir(exist_ok=True)
        write_geotiff(tmp_path / "images" / f"{name}.tif", image.read()[0], crs=grid.crs, transform=grid.affine)
        images[name] = Layer.open(tmp_path / "images" / f"{name}.tif")
    paths = damage_map.save(tmp_path / "out", **images)
    return tmp_path / "out", project_of(paths["damage.qgz"])


def project_of(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["damage.qgs"]
        text = archive.read("damage.qgs").decode("utf-8")
    assert text.startswith("<!DOCTYPE qgis ")
    return ET.fromstring(text.split("\n", 1)[1])


def made_project(tmp_path, home, **images):
    grid = next(image for image in images.values() if image is not None).grid
    crs = grid.crs
    damage_map = make_map(4, grid=make_grid(epsg=None if crs is None else crs.to_epsg()))
    return project_of(write_project(damage_map, tmp_path / "damage.qgz", home=home, **images))


def sources(project):
    return {layer.findtext("id"): layer.findtext("datasource") for layer in project.iter("maplayer")}


def test_every_source_is_relative_and_exists(saved):
    out, project = saved
    tables = {name for name, _ in pyogrio.list_layers(out / "damage.gpkg")}
    for key, source in sources(project).items():
        assert source.startswith(("./", "../"))
        file, _, table = source.partition("|layername=")
        assert (out / file).is_file(), key
        assert table in tables | {""}
    assert sources(project)["damage_map_post_image_0"] == "../images/post.tif"
    assert min(map(len, sources(project))) > 10  # QGIS gives layers with shorter keys others, and loses them


def test_buildings_lie_over_both_images_in_groups(saved):
    _, project = saved
    tree = project.find("layer-tree-group")
    groups = {
        group.get("name"): [node.get("id") for node in group.findall("layer-tree-layer")]
        for group in tree.findall("layer-tree-group")
    }
    assert groups == {
        "Damage": [
            f"damage_map_{name}"
            for name in ("buildings", "buildings_by_confidence", "assessed_extent", "imaged_without_outlines")
        ],
        "Post image 2023-09-13": ["damage_map_post_image_0"],
        "Pre image 2023-07-01 (lies 3.1 m off the post image)": ["damage_map_pre_image_0"],
    }
    listed = [node.get("id") for node in tree.iter("layer-tree-layer")]
    assert listed == [layer.findtext("id") for layer in project.iter("maplayer")]
    hidden = [node.get("id") for node in tree.iter("layer-tree-layer") if node.get("checked") != "Qt::Checked"]
    assert hidden == ["damage_map_buildings_by_confidence"]
    assert [node.get("name") for node in tree.iter("layer-tree-layer")][-2:] == ["post.tif", "pre.tif"]


def test_buildings_have_the_style_of_the_geopackage(saved):
    _, project = saved
    (layer,) = (layer for layer in project.iter("maplayer") if layer.findtext("id") == "damage_map_buildings")
    assert (layer.get("type"), layer.get("geometry"), layer.findtext("provider")) == ("vector", "Polygon", "ogr")
    found, expected = layer.find("renderer-v2"), buildings_style(0)[0]
    for element in (found, expected):
        ET.indent(element)
        element.tail = None
    assert ET.tostring(found) == ET.tostring(expected)


def test_title_crs_extent_and_metadata(saved):
    _, project = saved
    assert project.findtext("title") == project.get("projectname") == "Building damage: Flood, Derna"
    assert tuple(map(int, project.get("version").split(".")[:2])) >= (3, 22)
    for place in ("projectCrs", "mapcanvas/destinationsrs"):
        crs = project.find(f"{place}/spatialrefsys")
        assert crs.findtext("authid") == "EPSG:32615"
        assert pyproj.CRS.from_wkt(crs.findtext("wkt")).to_epsg() == 32615
    assert project.findtext("properties/SpatialRefSys/ProjectionsEnabled") == "1"
    left, bottom, right, top = (
        float(project.findtext(f"mapcanvas/extent/{name}")) for name in ("xmin", "ymin", "xmax", "ymax")
    )
    assert left < 360_000 < 360_128 < right
    assert bottom < 4_099_872 < 4_100_000 < top
    assert right - left < 2 * 128
    abstract = project.findtext("projectMetadata/abstract")
    assert "CAUTION: Pixels are large." in abstract
    assert "Producer: Team 7" in abstract
    assert "not validated in the field" in abstract


def test_images_elsewhere_have_absolute_paths_and_tiles_a_group(tmp_path):
    grid = make_grid()
    (tmp_path / "far").mkdir()
    for name, part in (("a", grid[:, :128]), ("b", grid[:, 128:])):
        write_geotiff(
            tmp_path / "far" / f"{name}.tif", np.ones((3, *part.shape), np.uint8), crs=part.crs, transform=part.affine
        )
    project = made_project(tmp_path, tmp_path / "deep" / "down" / "out", post=Layer.open(tmp_path / "far"))
    images = {key: source for key, source in sources(project).items() if "post" in key}
    assert images == {
        f"damage_map_post_image_{k}": (tmp_path / "far" / f"{name}.tif").as_posix() for k, name in enumerate("ab")
    }
    tree = project.find("layer-tree-group")
    assert [group.get("name") for group in tree.iter("layer-tree-group")] == [None, "Damage", "Post image"]


def test_deep_images_are_stretched_and_eight_bit_ones_not(tmp_path):
    grid = make_grid(300)
    ramp = np.arange(90_000, dtype=np.uint16).reshape(1, 300, 300) % 1000 + 200
    write_geotiff(tmp_path / "deep.tif", np.repeat(ramp, 4, axis=0), crs=grid.crs, transform=grid.affine)
    write_geotiff(tmp_path / "grey.tif", np.ones((1, 300, 300), np.uint8), crs=grid.crs, transform=grid.affine)
    project = made_project(
        tmp_path, tmp_path, post=Layer.open(tmp_path / "deep.tif"), pre=Layer.open(tmp_path / "grey.tif")
    )
    deep, grey = (project.find(f".//maplayer[id='{key}']/pipe/rasterrenderer") for key in KEYS)
    assert [deep.get(f"{color}Band") for color in ("red", "green", "blue")] == ["1", "2", "3"]
    for color in ("red", "green", "blue"):
        assert float(deep.findtext(f"{color}ContrastEnhancement/minValue")) == pytest.approx(220, abs=8)
        assert float(deep.findtext(f"{color}ContrastEnhancement/maxValue")) == pytest.approx(1180, abs=8)
    assert (grey.get("type"), grey.get("grayBand")) == ("singlebandgray", "1")
    assert grey.find("contrastEnhancement") is None


def test_arrays_and_plain_pixels_give_a_project_of_buildings_alone(tmp_path):
    for epsg in (32615, None):
        grid = make_grid(epsg=epsg)
        pre, post = make_images(grid, make_map(4, grid=grid))
        assert set(sources(made_project(tmp_path, tmp_path, pre=pre, post=post))) == {
            "damage_map_buildings",
            "damage_map_buildings_by_confidence",
            "damage_map_assessed_extent",
        }


def test_without_a_crs_the_layout_and_the_project_say_why_there_is_no_map(tmp_path):
    words, kinds = {}, {}
    for epsg in (32615, None):
        grid = make_grid(epsg=epsg)
        pre, post = make_images(grid, make_map(4, grid=grid))
        project = made_project(tmp_path, tmp_path, pre=pre, post=post)
        items = list(project.iter("LayoutItem"))
        words[epsg] = "\n".join(
            [*(item.get("labelText", "") for item in items), project.findtext("projectMetadata/abstract")]
        )
        kinds[epsg] = {item.get("type") for item in items}
    assert kinds[32615] - kinds[None] == {MAP, LEGEND, SCALE_BAR, PICTURE}
    assert words[None].count("the images have no CRS") == 2
    assert words[None].count("gdal_edit.py -a_srs") == 2
    assert "no CRS" not in words[32615]
    assert "Building damage" in words[None]


def test_fonts_of_the_layout_are_those_of_qt_5_and_qt_6_reads_them_as_meant(saved):
    gui = pytest.importorskip("PyQt6.QtGui", exc_type=ImportError)
    read = set()
    for element in saved[1].iter():
        if element.tag in ("LabelFont", "styleFont"):
            font = gui.QFont()
            assert font.fromString(element.get("description"))
            read.add((font.family(), font.pointSize(), font.bold()))
    assert {("Sans", 15, True), ("Sans", 10, False), ("Sans", 8, False), ("Sans", 7, False)} <= read


def test_the_same_map_gives_the_same_bytes(tmp_path):
    damage_map = make_map(4)
    damage_map.event = EventInfo("a < b & c")
    _, post = make_images(make_grid(), damage_map)
    first = write_project(damage_map, tmp_path / "a.qgz", home=tmp_path, post=post).read_bytes()
    assert write_project(damage_map, tmp_path / "b.qgz", home=tmp_path, post=post).read_bytes() == first


def test_degrees_are_drawn_in_the_zone_of_the_place_and_each_theme_shows_its_layer(tmp_path):
    damage_map = make_map(20)
    damage_map.buildings["inundated"] = np.where(np.arange(20) < 5, "yes", "no")
    damage_map.add_areas("grid:30")
    plane = make_grid()
    left, bottom, right, top = pyproj.Transformer.from_crs(32615, 4326, always_xy=True).transform_bounds(
        *plane.extent.boundingbox
    )
    degrees = Affine((right - left) / 256, 0, left, 0, (bottom - top) / 256, top)
    write_geotiff(tmp_path / "post.tif", np.ones((3, 256, 256), np.uint8), crs="EPSG:4326", transform=degrees)
    post = Layer.open(tmp_path / "post.tif")
    project = project_of(write_project(damage_map, tmp_path / "damage.qgz", home=tmp_path, post=post))
    assert project.findtext("projectCrs/spatialrefsys/authid") == "EPSG:32615"
    shown = [float(project.findtext(f"mapcanvas/extent/{name}")) for name in ("xmin", "ymin", "xmax", "ymax")]
    assert shown == pytest.approx(plane.extent.boundingbox, abs=8)
    unchecked = {node.get("id") for node in project.iter("layer-tree-layer") if node.get("checked") == "Qt::Unchecked"}
    assert unchecked == {f"damage_map_{name}" for name in ("buildings_by_confidence", "buildings_in_water", "areas")}
    themes = {
        theme.get("name"): {layer.get("id") for layer in theme if layer.get("visible") == "1"}
        for theme in project.iter("visibility-preset")
    }
    common = {"damage_map_assessed_extent", "damage_map_post_image_0"}
    assert themes == {
        "damage": common | {"damage_map_buildings"},
        "confidence": common | {"damage_map_buildings_by_confidence"},
        "inundation": common | {"damage_map_buildings_in_water"},
        "areas": common | {"damage_map_areas"},
        "after": common,
    }
    assert "\"inundated\" = 'yes'" in sources(project)["damage_map_buildings_in_water"]


def test_themes_of_a_date_show_its_images_alone(saved):
    _, project = saved
    themes = {
        theme.get("name"): [layer.get("id") for layer in theme if layer.get("visible") == "1"]
        for theme in project.iter("visibility-preset")
    }
    for theme, image in (("before", "damage_map_pre_image_0"), ("after", "damage_map_post_image_0")):
        assert themes[theme] == ["damage_map_assessed_extent", image]


def test_each_confidence_has_its_class_and_buildings_without_a_grade_have_theirs(saved):
    _, project = saved
    (layer,) = (
        each for each in project.iter("maplayer") if each.findtext("id") == "damage_map_buildings_by_confidence"
    )
    renderer = layer.find("renderer-v2")
    classes = [each.get("value") for each in renderer.iter("category")]
    assert [name.split(" (")[0] for name in classes] == [*(word for _, word in CERTAINTY), UNGRADED]
    expression = renderer.get("attr")
    assert expression.startswith(f'CASE WHEN "damage" IS NULL THEN \'{UNGRADED}\' WHEN "confidence" >= 0.9 THEN')
    assert all(f"THEN '{name}'" in expression for name in classes)


def test_the_print_layout_has_map_legend_scale_caution_and_sources(saved):
    _, project = saved
    (layout,) = project.find("Layouts")
    items = {item.get("type"): item for item in layout.findall("LayoutItem")}
    shown, box = items["65639"], items["65639"].find("Extent").attrib
    assert shown.get("followPresetName") in {theme.get("name") for theme in project.iter("visibility-preset")}
    width, height = (float(box[f"{axis}max"]) - float(box[f"{axis}min"]) for axis in "xy")
    assert width / height == pytest.approx(206 / 158)
    assert min(width, height) >= 128
    assert (
        items["65642"].get("map_uuid")
        == items["65646"].get("mapUuid")
        == items["65640"].get("mapUuid")
        == shown.get("uuid")
    )
    assert [node.get("id") for node in items["65642"].iter("layer-tree-layer")] == [
        f"damage_map_{name}" for name in ("buildings", "assessed_extent", "imaged_without_outlines")
    ]
    title, sentence, caution, sources = (
        item.get("labelText") for item in layout.findall("LayoutItem") if item.get("type") == "65641"
    )
    assert title == project.findtext("title")
    assert "classified" in sentence
    assert caution == "CAUTION: Pixels are large."
    for words in ("2023-07-01", "2023-09-13", "Team 7", "--event credit=", "not validated in the field"):
        assert words in sources
    for item in layout.findall("LayoutItem"):
        left, top, width, height = (
            float(item.get(name).split(",")[k]) for name in ("position", "size") for k in (0, 1)
        )
        assert min(left, top, 297 - left - width, 210 - top - height) >= 3, "printers leave a margin"


def test_a_map_without_findings_prints_what_every_reader_must_know(tmp_path):
    _, post = make_images(make_grid(), damage_map := make_map(4))
    damage_map.synthetic = True
    damage_map.event = EventInfo(credit="Images © Somebody")
    project = project_of(write_project(damage_map, tmp_path / "damage.qgz", home=tmp_path, post=post))
    title, _, caution, sources = (
        item.get("labelText") for item in project.iter("LayoutItem") if item.get("type") == "65641"
    )
    assert title.startswith("SYNTHETIC ")
    assert caution.startswith("SYNTHETIC: ")
    assert "A building without a mark is not known to be undamaged" in caution
    assert "Images © Somebody" in sources
    assert "--event" not in sources


def test_buildings_of_unknown_grades_are_coloured_by_the_quarter_of_their_rank() -> None:
    known, ranked = buildings_style(0), buildings_style(12)
    values = [{entry.get("value") for entry in style[0].iter("category")} for style in (known, ranked)]
    assert values[1] - values[0] == {f"{NOT_KNOWN}-{number}" for number in (1, 2, 3, 4)}
    assert values[0] < values[1]
    attributes, tips = (
        [text(style) for style in (known, ranked)]
        for text in (lambda style: style[0].get("attr"), lambda style: style[1].text)
    )
    assert "damage_rank" not in attributes[0] + tips[0]
    assert 'ceil(4 * "damage_rank" / 12.0)' in attributes[1]
    assert "of 12" in tips[1]
    assert "damage_prob" in tips[0]
    assert "damage_prob" not in tips[1]
