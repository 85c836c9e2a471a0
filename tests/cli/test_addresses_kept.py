"""Rasters at an address reach their reader as they were written: no verb makes a path of them, which has one slash less."""

import pytest

from deepnets4eo.cli.main import main

ADDRESS = "https://127.0.0.1:9/a.tif"  # where no server answers


@pytest.mark.parametrize(
    "words",
    [
        ["polygons", ADDRESS, "--out", "a.gpkg"], ["objects", ADDRESS, "building", "--out", "a.gpkg"], ["layers", "heights", ADDRESS, "--out", "a.tif"],
        ["layers", "pansharpen", ADDRESS, ADDRESS, "--out", "a.tif"], ["predict", "buildings", ADDRESS, "--out", "a.tif"],
    ],
)  # fmt: skip
def test_an_address_keeps_its_slashes(words: list[str], tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) in (1, 2)
    assert ADDRESS in capsys.readouterr().err
