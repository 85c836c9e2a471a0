"""The table from → to of two maps of land cover: areas counted by hand, other grids, and what is refused."""

import csv
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.cards import VOID, Legend, LegendClass
from deepnets4eo.change import compare_covers
from deepnets4eo.cli.main import main
from deepnets4eo.errors import GridError, InputError, LabelError
from deepnets4eo.grid import Grid, Window
from deepnets4eo.rasters import CogWriter

COVER = Legend("three", tuple(LegendClass(v, n, (v, 9, 9)) for v, n in [(3, "built"), (5, "field"), (8, "water")]))
VALUES = np.array([3, 5, 8], np.uint8)
GSD_M, SIDE = 2.0, (90, 130)


def write_map(
    path: Path, labels: np.ndarray, legend: Legend = COVER, crs: str | None = "EPSG:32631", east: float = 500_000
) -> str:
    height, width = labels.shape
    grid = Grid((height, width), Affine(GSD_M, 0, east, 0, -GSD_M, 5_000_000), crs)
    with CogWriter(path, grid, legend=legend, nodata=VOID) as cog:
        cog.write(Window(0, 0, height, width), labels[None])
    return str(path)


@pytest.fixture
def maps() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    pre, post = VALUES[rng.integers(0, 3, (2, *SIDE))]
    pre[:5, :7], post[-3:] = VOID, VOID
    return pre, post


@pytest.fixture
def files(tmp_path: Path, maps) -> tuple[str, str]:
    return write_map(tmp_path / "pre.tif", maps[0]), write_map(tmp_path / "post.tif", maps[1])


def test_areas_are_those_counted_by_hand_and_lie_in_their_intervals(maps, files) -> None:
    found = compare_covers(*files)
    for i, before in enumerate(VALUES):
        for j, after in enumerate(VALUES):
            pixels = int(((maps[0] == before) & (maps[1] == after)).sum())
            assert found.hectares[i, j] == pytest.approx(pixels * GSD_M**2 / 1e4)
            assert found.low[i, j] < found.hectares[i, j] < found.high[i, j]
    assert found.names == ("built", "field", "water")


def test_a_map_of_another_grid_is_read_on_that_of_the_later_one(tmp_path: Path, maps) -> None:
    finer = np.kron(maps[0], np.ones((2, 2), np.uint8))
    grid = Grid(finer.shape, Affine(GSD_M / 2, 0, 500_000, 0, -GSD_M / 2, 5_000_000), "EPSG:32631")
    with CogWriter(tmp_path / "fine.tif", grid, legend=COVER, nodata=VOID) as cog:
        cog.write(Window(0, 0, *finer.shape), finer[None])
    post = write_map(tmp_path / "post.tif", maps[1])
    plain = compare_covers(write_map(tmp_path / "pre.tif", maps[0]), post)
    np.testing.assert_array_equal(compare_covers(tmp_path / "fine.tif", post).hectares, plain.hectares)


def test_maps_that_cannot_be_compared_are_refused(tmp_path: Path, maps, files) -> None:
    bare = str(write_geotiff(tmp_path / "bare.tif", maps[0], gsd=GSD_M))
    with raises_naming(InputError, "bare.tif", "--legend"):
        compare_covers(bare, files[1])
    other = Legend("two", (LegendClass(3, "roof", (1, 2, 3)), LegendClass(5, "soil", (4, 5, 6))))
    with pytest.raises(InputError, match="has the classes built, field, water, .* roof, soil; expected the same"):
        compare_covers(files[0], write_map(tmp_path / "o.tif", np.full(SIDE, 3, np.uint8), other))
    with pytest.raises(GridError, match="does not overlap"):
        compare_covers(write_map(tmp_path / "far.tif", maps[0], east=900_000), files[1])
    with pytest.raises(InputError, match="no pixel has a class in both"):
        compare_covers(write_map(tmp_path / "void.tif", np.full(SIDE, VOID, np.uint8)), files[1])
    places = [write_map(tmp_path / f"{n}.tif", one, crs=None) for n, one in enumerate(maps)]
    with raises_naming(InputError, "CRS"):
        compare_covers(*places)


def test_the_legend_in_the_tags_says_how_a_map_is_stored_whatever_legend_is_given(tmp_path: Path, maps, files) -> None:
    bare = str(write_geotiff(tmp_path / "bare.tif", np.where(maps[1] == VOID, 0, maps[1])[None], gsd=GSD_M, nodata=0))
    turned = Legend(
        "turned", tuple(LegendClass(v, n, (v, 9, 9)) for v, n in [(8, "built"), (5, "field"), (3, "water")])
    )
    table = np.arange(256, dtype=np.uint8)
    table[[3, 8]] = 8, 3
    pre = write_map(tmp_path / "turned.tif", table[maps[0]], turned)
    found = compare_covers(pre, bare, legend=COVER)
    np.testing.assert_array_equal(found.hectares, compare_covers(*files).hectares)
    other = Legend("two", (LegendClass(3, "roof", (1, 2, 3)), LegendClass(5, "soil", (4, 5, 6))))
    with raises_naming(InputError, "'two'"):
        compare_covers(files[0], bare, legend=other)


def test_classes_that_are_read_as_void_are_named(tmp_path: Path, maps, files, caplog) -> None:
    change = Legend.load("change")
    hidden = [write_geotiff(tmp_path / f"h{n}.tif", (one == 3)[None].astype(np.uint8), gsd=GSD_M, nodata=0)
              for n, one in enumerate(maps)]  # fmt: skip
    compare_covers(*hidden, legend=change)
    assert (
        'h0.tif declares 0 as nodata, which is its value for "no change": those pixels are taken as void.'
        in caplog.text
    )
    masks = [write_geotiff(tmp_path / f"m{n}.tif", (one == 3)[None] * np.uint8(255), gsd=GSD_M)
             for n, one in enumerate(maps)]  # fmt: skip
    compare_covers(*masks, legend=change)
    assert "m1.tif holds only 0 and 255, and 255 is void: nothing is labelled 'change'." in caplog.text
    caplog.clear()
    compare_covers(*files)
    assert not caplog.text


def test_values_without_a_class_are_refused_without_an_option_that_the_verb_lacks(tmp_path: Path, maps, files) -> None:
    strange = write_geotiff(tmp_path / "strange.tif", np.where(maps[0] == 3, 77, maps[0])[None], gsd=GSD_M)
    with raises_naming(LabelError, "strange.tif", "77"):
        compare_covers(strange, files[1], legend=COVER)


def test_the_verb_writes_the_table_once(files, tmp_path: Path, capsys) -> None:
    out = tmp_path / "table.csv"
    assert main(["layers", "transitions", *files, "--out", str(out)]) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["from"], row["to"]) for row in rows[:2]] == [("built", "built"), ("built", "field")]
    assert sum(float(row["hectares"]) for row in rows) == pytest.approx(compare_covers(*files).hectares.sum(), abs=1e-4)
    assert main(["layers", "transitions", *files, "--out", str(out)]) == 1
    assert "exists already" in capsys.readouterr().err
