"""The verb `layers heights` as a user meets it."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from deepnets4eo.cli.main import main
from deepnets4eo.grid import Grid, whole
from deepnets4eo.rasters import CogWriter
from deepnets4eo.synthetic import City

CITY = City(5, 200, 0.5)


def raster(path: Path, values: np.ndarray, names: tuple[str, ...] = (), grid: Grid = CITY.grid) -> str:
    values = values if values.ndim == 3 else values[None]
    with CogWriter(path, grid, count=len(values), dtype=str(values.dtype), band_names=names) as file:
        file.write(whole(grid), values)
    return str(path)


@pytest.fixture
def dsm(tmp_path: Path) -> str:
    return raster(tmp_path / "dsm.tif", CITY.dsm.astype(np.float32))


def test_heights_above_ground_come_out_and_only_the_path_is_on_stdout(dsm: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out" / "ndsm.tif"
    assert main(["layers", "heights", dsm, "--out", str(out), "--max-building-m", "30"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    with rasterio.open(out) as file:
        assert file.descriptions == ("ndsm",)
        assert file.tags()["GROUND"] == "zhang"
        assert np.abs(file.read(1) - (CITY.dsm - CITY.dtm)).mean() < 0.2


def test_the_published_composite_comes_out_of_a_surface_and_a_false_colour_image(dsm: str, tmp_path: Path) -> None:
    image = raster(tmp_path / "irrg.tif", CITY.image[[3, 0, 1]])
    dtm = raster(tmp_path / "dtm.tif", CITY.dtm.astype(np.float32))
    out = tmp_path / "a.tif"
    options = ["--image", image, "--bands", "nir, red, green", "--channels", "dsm,ndsm, ndvi", "--dtm", dtm]
    assert main(["layers", "heights", dsm, "--out", str(out), *options]) == 0
    with rasterio.open(out) as file:
        assert file.descriptions == ("dsm", "ndsm", "ndvi")
        assert file.tags()["GROUND"] == dtm
        assert np.allclose(file.read(2), CITY.dsm - CITY.dtm, atol=1e-3)


def test_existing_files_stay_without_overwrite(dsm: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "a.tif"
    out.write_text("precious")
    assert main(["layers", "heights", dsm, "--out", str(out), "--channels", "slope"]) != 0
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert main(["layers", "heights", dsm, "--out", str(out), "--channels", "slope", "--overwrite"]) == 0


def test_mistakes_are_explained(dsm: str, tmp_path: Path, capsys) -> None:
    image = raster(tmp_path / "image.tif", CITY.image[:3])
    out = ["--out", str(tmp_path / "a.tif")]
    for command, message in (
        ([dsm, *out, "--channels", "dsm,ndvi"], "needs an image with near infrared"),
        ([dsm, *out, "--channels", "dsm,ndvi", "--image", image], "--bands nir,red,green"),
        ([dsm, *out, "--channels", "dsm,hight"], "expected some of dsm, ndsm, ndvi, slope"),
        ([dsm, *out, "--image", image], "no channel needs it"),
        ([image, *out], "has 3 bands; expected one"),
        ([str(tmp_path / "missing.tif"), *out], "missing.tif"),
        ([raster(tmp_path / "void.tif", np.full_like(CITY.dsm, -9999, "f4")), *out], "Check its nodata value"),
        ([dsm, *out, "--max-building-m", "0"], "max_building_m is 0"),
    ):
        assert main(["layers", "heights", *command]) == 2, command
        assert message in capsys.readouterr().err
    assert not (tmp_path / "a.tif").exists()


def test_outliers_are_counted_in_a_warning(tmp_path: Path, caplog) -> None:
    values = CITY.dsm.astype(np.float32)
    values[5:8, 5] = -7777  # -9999 is taken as no data
    path = raster(tmp_path / "spiky.tif", values)
    assert main(["layers", "heights", path, "--out", str(tmp_path / "a.tif"), "--channels", "dsm"]) == 0
    assert f"dsm ({path}): 3 heights outside -500 to 9000 m" in caplog.text
