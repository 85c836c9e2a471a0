"""A further kind of date is one class: registered, it is recognised, measured, mapped, compared and stored (SYNTHETIC place)."""

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from documented import page_module
from geotiff import write_geotiff

from deepnets4eo.errors import InputError
from deepnets4eo.floods import FloodOptions, WaterMapper, date_kinds, map_flood
from deepnets4eo.floods.date_kinds import KINDS, recognise
from deepnets4eo.floods.scene import open_flood_scene
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import load_run
from deepnets4eo.segmenters.run import save_run

SIDE = 96
RIVER, FLOODED = np.s_[:, :20], np.s_[30:70, 20:60]


ThermalDate: Any = page_module("water_date", "thermal_date").ThermalDate


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind of the page as another package installs it."""
    entry = EntryPoint("thermal", "thermal_date:ThermalDate", "deepnets4eo.water_dates")
    monkeypatch.setattr(date_kinds, "plugins_of", lambda group: {"thermal": entry} if group == "water_dates" else {})


def thermal(path: Path, *parts: tuple[slice, slice]) -> str:
    kelvin = np.full((1, SIDE, SIDE), 300, np.uint16)
    for part in parts:
        kelvin[0][part] = 285
    kelvin[0, -6:, -6:] = 0
    write_geotiff(path, kelvin, gsd=10.0, nodata=0)
    return str(path)


@pytest.fixture
def images(tmp_path: Path) -> tuple[str, str]:
    return thermal(tmp_path / "pre.tif", RIVER), thermal(tmp_path / "post.tif", RIVER, FLOODED)


@pytest.mark.core("a further kind of date, as somebody else writes it")
@pytest.mark.usefixtures("installed")
def test_a_further_kind_maps_a_flood_and_is_stored(images: tuple[str, str], tmp_path: Path) -> None:
    pre, post = images
    result = map_flood([pre], post, tmp_path / "out")
    assert result is not None
    assert result.summary["sensors"] == {"pre_1": "thermal", "post": "thermal"}
    expected = np.zeros((SIDE, SIDE), np.uint8)
    expected[RIVER], expected[FLOODED], expected[-6:, -6:] = 1, 2, 255
    assert (Layer.open(result.paths["flood.tif"]).read()[0][0] == expected).all()
    scene = open_flood_scene([pre], post, FloodOptions()).scene
    mapper = WaterMapper.of_scene(scene)
    restored = load_run(save_run(mapper, tmp_path / "run")).segmenter
    assert isinstance(restored, WaterMapper)
    assert restored.dates == mapper.dates == dict.fromkeys(("pre_1", "post"), ThermalDate(("temperature",), {}, 292.5))


def test_without_the_kind_the_refusal_lists_what_the_others_expect(images: tuple[str, str]) -> None:
    with pytest.raises(InputError) as refused:
        recognise(Layer.open(images[0]))
    for kind in KINDS.values():
        assert kind.expects in str(refused.value)
    assert ThermalDate.expects not in str(refused.value)
