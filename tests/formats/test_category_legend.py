"""Names of categories and raster attribute tables, as GDAL, ArcGIS, ERDAS and ENVI write them, are the legend of a label raster."""

import json
from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff

from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.rasters import Layer

NAMES = "<CategoryNames>{}</CategoryNames>"
VALUES = np.array([[1, 1, 2, 0], [1, 1, 2, 0], [3, 3, 3, 0]], np.uint8).repeat(16, 0).repeat(16, 1)


def side_file(path: Path, band: str) -> None:
    text = f'<PAMDataset><PAMRasterBand band="1">{band}</PAMRasterBand></PAMDataset>'
    path.with_name(f"{path.name}.aux.xml").write_text(text, encoding="utf-8")


def categories(*names: str) -> str:
    return NAMES.format("".join(f"<Category>{name}</Category>" for name in names))


def table(columns: list[tuple[str, int]], *rows: tuple[object, ...]) -> str:
    fields = "".join(
        f'<FieldDefn index="{number}"><Name>{name}</Name><Type>2</Type><Usage>{usage}</Usage></FieldDefn>'
        for number, (name, usage) in enumerate(columns)
    )
    cells = ("".join(f"<F>{cell}</F>" for cell in row) for row in rows)
    body = "".join(f'<Row index="{number}">{row}</Row>' for number, row in enumerate(cells))
    return f"<GDALRasterAttributeTable>{fields}{body}</GDALRasterAttributeTable>"


def labels(folder: Path, band: str, **how: object) -> Path:
    path = write_geotiff(folder / "cover.tif", VALUES[None], **how)
    side_file(path, band)
    return path


@pytest.mark.parametrize(
    ("band", "classes"),
    [
        (categories("", "building", "road", "tree &amp; bush"), {1: "building", 2: "road", 3: "tree & bush"}),
        (
            table([("Value", 5), ("Class_Name", 2)], (1, "roof"), (3, "grass"), (7, "")),
            {1: "roof", 3: "grass"},
        ),
        (table([("OID", 0), ("Value", 0), ("Label", 0)], (0, 1, "roof"), (1, 3, "grass")), {1: "roof", 3: "grass"}),
        (table([("Histogram", 1), ("Class Name", 0)], (5, ""), (9, "roof"), (2, "road")), {1: "roof", 2: "road"}),
        (table([("From", 3), ("To", 4), ("Name", 2)], (1, 1, "roof"), (2, 2, "road")), {1: "roof", 2: "road"}),
        (categories("other", "Other", "road"), {0: "other (0)", 1: "Other (1)", 2: "road"}),
    ],
)
def test_named_categories_are_the_legend_of_a_raster(band: str, classes: dict[int, str], tmp_path: Path) -> None:
    legend = Layer.open(labels(tmp_path, band)).legend
    assert legend is not None
    assert dict(zip(legend.values, legend.names, strict=True)) == classes


@pytest.mark.parametrize(
    "band",
    [
        "",
        categories("", ""),
        table([("Value", 5), ("Count", 1)], (1, 20), (2, 30)),  # ArcGIS, without names
        table([("Value", 5), ("Class_Name", 2)], (111, "urban"), (523, "sea")),  # no values of labels
        table([("Value", 5), ("Class_Name", 2)], (-1, "unknown"), (1, "sea")),
    ],
)
def test_a_raster_without_names_of_label_values_has_no_legend(band: str, tmp_path: Path) -> None:
    assert Layer.open(labels(tmp_path, band)).legend is None


def test_heights_and_pictures_have_no_legend_whatever_their_side_file_names(tmp_path: Path) -> None:
    for name, values in (("heights", VALUES[None].astype(np.float32)), ("picture", np.stack([VALUES] * 3))):
        path = write_geotiff(tmp_path / f"{name}.tif", values)
        side_file(path, categories("a", "b"))
        assert Layer.open(path).legend is None


def test_the_nodata_value_is_no_class(tmp_path: Path) -> None:
    legend = Layer.open(labels(tmp_path, categories("nothing", "building", "road"), nodata=0)).legend
    assert legend is not None
    assert legend.names == ("building", "road")


def test_colours_come_from_the_attribute_table_else_the_colour_table_and_are_distinct(tmp_path: Path) -> None:
    columns = [("Value", 5), ("Class_Name", 2), ("Red", 6), ("Green", 7), ("Blue", 8)]
    rows = (1, "roof", 255, 0, 10), (2, "road", 128, 0, 255), (3, "grass", 255, 0, 10)
    legend = Layer.open(labels(tmp_path, table(columns, *rows))).legend
    assert legend is not None
    colours = [entry.color for entry in legend.classes]
    assert colours[:2] == [(255, 0, 10), (128, 0, 255)]
    assert len(set(colours)) == 3
    entries = "".join(f'<Entry c1="{red}" c2="0" c3="0" c4="255"/>' for red in (0, 30, 60))
    band = f"<ColorInterp>Palette</ColorInterp>{categories('black', 'dark', 'red')}<ColorTable>{entries}</ColorTable>"
    legend = Layer.open(labels(tmp_path, band)).legend
    assert legend is not None
    assert [entry.color for entry in legend.classes] == [(0, 0, 0), (30, 0, 0), (60, 0, 0)]
    assert legend.void_color not in [entry.color for entry in legend.classes]


def test_a_legend_of_ours_counts_before_names_of_categories(tmp_path: Path) -> None:
    own = Legend.load("isprs")
    path = labels(tmp_path, categories("a", "b", "c"), tags={"LEGEND": json.dumps(own.to_dict())})
    assert Layer.open(path).legend == own


def test_polygons_and_scores_are_of_the_named_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = labels(tmp_path, categories("ground", "building", "road", "tree"))
    assert main(["polygons", str(path), "--classes", "building", "--out", str(tmp_path / "b.geojson")]) == 0
    features = json.loads((tmp_path / "b.geojson").read_text("utf-8"))["features"]
    assert [feature["properties"]["class"] for feature in features] == ["building"]
    capsys.readouterr()
    assert main(["evaluate", str(path), str(path), "--json", "-"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["iou"] == {"ground": 1.0, "building": 1.0, "road": 1.0, "tree": 1.0}
