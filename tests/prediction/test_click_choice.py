"""Where the next click is wanted: each measure finds what it is meant to find, in a network that is written by hand."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
from affine import Affine
from refusals import raises_naming
from torch import nn

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid
from deepnets4eo.prediction import Adaptation, ClickSession, next_click
from deepnets4eo.prediction.clicked_scene import read_clicks
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter

SIDE_PX = 64
LEGEND = Legend.from_dict(
    {
        "name": "two",
        "classes": [
            {"value": 0, "name": "dark", "color": [0, 0, 0]},
            {"value": 1, "name": "bright", "color": [9, 9, 9]},
        ],
        "void_color": [1, 1, 1],
    }
)
FIXED = Adaptation(steps=0)


def session_of(image: np.ndarray, *, kernel: np.ndarray) -> ClickSession:
    """A network of one kernel whose response is the logit of the second class, on an image (h, w)."""
    first, last = nn.Conv2d(1, 1, 3, padding=1, padding_mode="replicate", bias=False), nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        first.weight[:] = torch.from_numpy(kernel.astype(np.float32))
        last.weight[:, 0, 0, 0], last.bias[:] = torch.tensor([0.0, 1.0]), 0.0
    module = nn.Sequential(first, last)
    spec = InputSpec({"image": LayerInput(("grey",), (0.0,), (1.0,), -9.0, 9.0)})
    return ClickSession(NetworkSegmenter({}, spec, LEGEND, module=module), image.astype(np.float32)[None], FIXED)


SAME = np.pad([[1.0]], 1)


def lies_in(pixel: tuple[int, int], rows: slice, cols: slice) -> bool:
    return rows.start <= pixel[0] < rows.stop and cols.start <= pixel[1] < cols.stop


@pytest.mark.parametrize("measure", ["entropy", "margin"])
def test_the_next_click_is_where_the_network_doubts_and_not_there_twice(measure: str) -> None:
    image = np.full((SIDE_PX, SIDE_PX), 3.0)
    image[16:40, 20:44] = 0.0
    session = session_of(image, kernel=SAME)
    first = next_click(session, measure)
    assert lies_in(first, slice(16, 40), slice(20, 44))
    right = np.broadcast_to(np.arange(SIDE_PX) >= 30, (SIDE_PX, SIDE_PX))
    assert next_click(session, measure, where=right)[1] >= 30
    session.click(*first, 0)
    second = next_click(session, measure)
    assert max(abs(a - b) for a, b in zip(first, second, strict=True)) > 10


def test_another_measure_is_refused() -> None:
    with raises_naming(InputError, "'chance'"):
        next_click(session_of(np.zeros((SIDE_PX, SIDE_PX)), kernel=SAME), "chance")  # type: ignore[arg-type]


GRID = Grid((20, 30), Affine(2, 0, 500_000, 0, -2, 5_000_000), "EPSG:32631")
TWO = Legend.load("change")  # values 0 and 1


def points_at(pixels: list[tuple[float, float]]) -> list[shapely.Point]:
    """Points at rows and columns of the grid."""
    return [shapely.Point(500_000 + 2 * col, 5_000_000 - 2 * row) for row, col in pixels]


def test_clicks_are_points_or_parts_of_several_by_name_or_value_of_their_class(tmp_path: Path, caplog) -> None:
    single, several = points_at([(3.5, 4.2)]), shapely.MultiPoint(points_at([(0.1, 0.1), (19.9, 29.9)]))
    lost = points_at([(1.5, 1.5)])[0]
    frame = gpd.GeoDataFrame({"class": ["change", "0", None]}, geometry=[*single, several, lost], crs="EPSG:32631")
    frame.to_crs(4326).to_file(tmp_path / "clicks.gpkg")
    clicks = read_clicks(tmp_path / "clicks.gpkg", GRID, TWO)
    assert (clicks.rows.tolist(), clicks.cols.tolist()) == ([3, 0, 19], [4, 0, 29])
    assert clicks.classes.tolist() == [1, 0, 0]
    assert "1 of 4 clicks" in caplog.text
    frame.assign(**{"class": [1.0, 0.0, np.nan]}).to_file(tmp_path / "values.gpkg")
    assert read_clicks(tmp_path / "values.gpkg", GRID, TWO).classes.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("columns", "shapes", "words"),
    [
        ({"kind": ["change"]}, points_at([(1, 1)]), ("'kind'", "'class'")),
        ({"class": ["change"]}, [shapely.box(500_002, 4_999_990, 500_004, 4_999_996)], ("clicks.gpkg",)),
        ({"class": ["forest"]}, points_at([(1, 1)]), ("'forest'", "no change, change")),
        ({"class": ["change"] * 5}, points_at([(1, 1), (-0.1, 1), (20.1, 1), (1, -0.1), (1, 30.1)]), ("4 of 5", "outside the scene")),
    ],
    ids=["columns", "polygons", "class", "place"],
)  # fmt: skip
def test_what_is_no_click_is_refused(
    columns: dict[str, list[str]], shapes: list[shapely.Geometry], words: tuple[str, ...], tmp_path: Path
) -> None:
    gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32631").to_file(tmp_path / "clicks.gpkg")
    with raises_naming(InputError, *words):
        read_clicks(tmp_path / "clicks.gpkg", GRID, TWO)
    with raises_naming(InputError, "none.gpkg do not exist"):
        read_clicks(tmp_path / "none.gpkg", GRID, TWO)
