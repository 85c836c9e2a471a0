"""The verb `objects` as a user meets it."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from geotiff import write_geotiff

from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.grid import Grid, whole
from deepnets4eo.rasters import CogWriter


@pytest.fixture
def labels(tmp_path: Path) -> str:
    """Two cars on a bridge of one pixel, and a crumb, at 0.2 m."""
    values = np.zeros((60, 80), np.uint8)
    values[10:20, 10:32] = values[10:20, 36:58] = values[14, 32:36] = 4
    values[50:52, 50:52] = 4
    grid = Grid(values.shape, Affine(0.2, 0, 500_000, 0, -0.2, 4_000_000), "EPSG:32615")
    with CogWriter(tmp_path / "labels.tif", grid, nodata=255, legend=Legend.load("isprs")) as file:
        file.write(whole(grid), values)
    return str(tmp_path / "labels.tif")


def test_cars_and_their_density_come_out_and_only_paths_are_on_stdout(labels: str, tmp_path: Path, capsys) -> None:
    out, density = tmp_path / "cars.gpkg", tmp_path / "density.tif"
    assert (
        main(
            [
                "objects",
                labels,
                "car",
                "--out",
                str(out),
                "--min-area",
                "1",
                "--density",
                str(density),
                "--set",
                "cell_m=4",
            ]
        )
        == 0
    )
    assert capsys.readouterr().out == f"{out}\n{density}\n"
    found = gpd.read_file(out)
    assert len(found) == 2
    assert found["class"].unique().tolist() == ["car"]
    with rasterio.open(density) as file:
        assert file.read(1).sum() * 16 / 10_000 == pytest.approx(2)


def test_a_wrong_class_and_a_missing_legend_are_reported(labels: str, tmp_path: Path, capsys) -> None:
    assert main(["objects", labels, "crs", "--out", str(tmp_path / "a.gpkg")]) == 2
    assert "Did you mean 'car'" in capsys.readouterr().err
    write_geotiff(tmp_path / "bare.tif", np.zeros((8, 8), np.uint8), crs=None)
    assert main(["objects", str(tmp_path / "bare.tif"), "car", "--out", str(tmp_path / "a.gpkg")]) == 2
    assert "--legend" in capsys.readouterr().err
