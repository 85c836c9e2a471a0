"""A further kind of map, as the documentation writes it: its text runs, and the frame gives it what every map has (SYNTHETIC image)."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from documented import page_module
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo import plugins
from deepnets4eo.cli import main as command_line, run_map
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.grid import Grid
from deepnets4eo.jobs import JobOutput, Part
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import run as runs

SIDE, GSD = 160, 10.0
SNOW = np.s_[20:60, 30:110]


@pytest.fixture
def snow(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the page, with its verb, installed as a package of others would be."""
    module = page_module("map", "snow_map", 0, 3)
    entries = {
        "segmenters": {"snow-index": EntryPoint("snow-index", "snow_map:SnowIndex", "deepnets4eo.segmenters")},
        "verbs": {"snow": EntryPoint("snow", "snow_map:snow", "deepnets4eo.verbs")},
    }

    def plugins_of(group: str) -> dict[str, EntryPoint]:
        return plugins.plugins_of(group) | entries.get(group, {})

    monkeypatch.setattr(runs, "plugins_of", plugins_of)
    monkeypatch.setattr(command_line, "plugins_of", plugins_of)
    return module


@pytest.fixture
def image(tmp_path: Path) -> str:
    """An image whose snow has an index of 0.6 and whose ground has −0.2, with nodata in a corner."""
    bands = np.empty((2, SIDE, SIDE), np.uint16)
    bands[0], bands[1] = 800, 1200
    bands[0][SNOW], bands[1][SNOW] = 8000, 2000
    bands[:, -8:, -8:] = 0
    path = tmp_path / "image.tif"
    write_geotiff(path, bands, gsd=GSD, nodata=0)
    with rasterio.open(path, "r+") as file:
        file.descriptions = ["green", "swir"]
    return str(path)


def job_of(snow: ModuleType, image: str, out: Path, **changes: Any) -> Any:
    return replace(snow.SnowJob(image, JobOutput(out)), **changes)


@pytest.mark.core("a further kind of map, as somebody else writes it")
def test_a_further_map_has_all_products_and_measures_what_is_there(
    snow: ModuleType, image: str, tmp_path: Path
) -> None:
    made = job_of(snow, image, tmp_path / "out").run()
    assert set(made.paths) == set(snow.SnowJob.products()) == {path.name for path in (tmp_path / "out").iterdir()}
    truth = np.zeros((SIDE, SIDE), np.uint8)
    truth[SNOW], truth[-8:, -8:] = 1, 255
    assert (Layer.open(made.paths["snow.tif"]).read()[0][0] == truth).all()
    low, high = made.summary["area"]["snow_ha_interval"]
    assert low < 32 < high
    assert made.headline().startswith("32.0 ha (")
    assert made.polygons["area_m2"].tolist() == [40 * 80 * GSD**2]
    assert made.summary["area"]["snow_share"] == pytest.approx(3200 / (SIDE**2 - 64))
    manifest = json.loads(made.paths["manifest.json"].read_text(encoding="utf-8"))
    assert manifest["inputs"]["image"][0]["path"].endswith("image.tif")
    assert manifest["parameters"]["limit"] == 0.4
    assert "32.0 ha" in made.paths["report.html"].read_text(encoding="utf-8")


@pytest.mark.core("a further kind of map, as somebody else writes it")
def test_it_goes_on_in_parts_and_after_a_stop(
    snow: ModuleType, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = job_of(snow, image, tmp_path / "alone").run()
    for number in (1, 2):
        output = JobOutput(tmp_path / "shared", part=Part(number, 2))
        assert job_of(snow, image, tmp_path, output=output).run() is None
    shared = job_of(snow, image, tmp_path, output=JobOutput(tmp_path / "shared", resume=True)).run()
    assert (Layer.open(shared.paths["snow.tif"]).read()[0] == Layer.open(alone.paths["snow.tif"]).read()[0]).all()

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("deepnets4eo.maps.region_page.RegionPage.write", stop)
        with pytest.raises(KeyboardInterrupt):
            job_of(snow, image, tmp_path / "stopped").run()
    assert not (tmp_path / "stopped").exists()
    monkeypatch.setattr("deepnets4eo.prediction.predict", stop)  # must not be called again
    resumed = job_of(snow, image, tmp_path, output=JobOutput(tmp_path / "stopped", resume=True)).run()
    assert resumed.summary == alone.summary
    with pytest.raises(OutputError, match="exists already"):
        job_of(snow, image, tmp_path / "alone").run()


def test_its_guards_are_those_of_every_map(snow: ModuleType, image: str, tmp_path: Path) -> None:
    inside = tmp_path / "out" / "snow.tif"
    inside.parent.mkdir()
    Path(image).rename(inside)
    with raises_naming(OutputError, str(inside)):
        job_of(snow, str(inside), tmp_path, output=JobOutput(inside.parent, overwrite=True)).run()
    grey = tmp_path / "grey.tif"
    write_geotiff(grey, np.full((1, 8, 8), 9, np.uint8), gsd=GSD)
    with raises_naming(InputError, "green and swir"):
        job_of(snow, str(grey), tmp_path / "new").run()


def test_bands_of_sentinel_2_are_found_by_their_numbers(snow: ModuleType, image: str) -> None:
    with rasterio.open(image, "r+") as file:
        file.descriptions = ["B03", "B11"]
    opened = job_of(snow, image, Path("out")).open()
    assert opened.images["image"].band_names == ["green", "swir"]


def test_the_image_before_comes_onto_the_grid_of_the_image_after() -> None:
    page = page_module("map", "two_dates", 2)
    values = np.random.default_rng(4).integers(0, 255, (1, 200, 200), np.uint8)
    post = Layer.open(values, grid=Grid((200, 200), Affine(1, 0, 500_000, 0, -1, 5_000_000), "EPSG:32631"))
    pre = Layer.open(values, grid=Grid((200, 200), Affine(1, 0, 500_003, 0, -1, 5_000_000), "EPSG:32631"))
    scene, figures = page.scene_of(pre, post)
    assert scene.grid == post.grid == scene.layers["pre"].grid
    assert figures["status"] == "ok"
    assert figures["shift_m"] == pytest.approx(3, abs=0.2)
    both = np.s_[:, 8:-8, 8:-8]
    shown = [scene.layers[date].read()[0].astype(float)[both] for date in ("pre", "post")]
    assert np.corrcoef(*(one.ravel() for one in shown))[0, 1] > 0.9


def test_its_verb_checks_runs_and_prints(snow: ModuleType, image: str, tmp_path: Path, capsys: Any) -> None:
    words = ["snow", image, "--out", str(tmp_path / "out")]
    assert main([*words, "--dry-run"]) == 0
    assert "160 x 160 px would be mapped" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert main(words) == 0
    assert capsys.readouterr().err.startswith("32.0 ha (")


def test_its_verb_takes_the_options_that_verbs_share(snow: ModuleType, image: str, tmp_path: Path, capsys: Any) -> None:
    words = ["snow", image, "--out", str(tmp_path / "out"), "--limit", "0.7", "--event", "place=Alps"]
    for number in (1, 2):
        assert main([*words, "--part", f"{number}/2"]) == 0
    capsys.readouterr()
    assert main([*words, "--resume", "--json", "-"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["area"]["snow_ha"] == 0
    assert json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))["parameters"]["limit"] == 0.7
    assert "Alps" in (tmp_path / "out" / "report.html").read_text("utf-8")
    assert main(words) != 0
    assert main([*words, "--overwrite"]) == 0
    capsys.readouterr()
    assert main(["snow", "--help"]) == 0
    assert "Map snow in an optical image." in capsys.readouterr().out


def test_json_goes_to_stdout_for_a_dash_that_is_text(
    snow: ModuleType, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    run_map(job_of(snow, image, tmp_path / "out"), json="-")
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))
    assert not Path("-").exists()
