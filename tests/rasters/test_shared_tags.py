"""Several files as one layer state what all of them state, as one file would; files that contradict each other are refused."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from geotiff import write_geotiff

from deepnets4eo.cards import Legend
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.rasters import Layer

CORNER = Affine(10, 0, 500_000, 0, -10, 4_000_000)
LEGENDS = [json.dumps(Legend.load(name).to_dict()) for name in ("isprs", "xbd")]
TAGS = [
    ("scale", "amplitude", "power"),
    ("units", "US survey foot", "metre"),
    ("PACKED_ONE", "254", "200"),
    ("LEGEND", *LEGENDS),
    ("ORBIT_DIRECTION", "ASCENDING", "DESCENDING"),
    ("POLARISATION", "VV", "VH"),
]


def parts(folder: Path, tags: list[dict[str, str]], *, bands: bool = False) -> str:
    """Write files that lie side by side, or as bands on one ground; returns the source that reads them together."""
    folder.mkdir()
    for number, known in enumerate(tags):
        place = CORNER * Affine.translation(0 if bands else 4 * number, 0)
        path = write_geotiff(folder / f"{number}.tif", np.ones((1, 4, 4), np.uint8), crs="EPSG:32633", transform=place)
        with rasterio.open(path, "r+") as file:
            file.update_tags(**known)
    return f"{folder}#bands" if bands else str(folder)


@pytest.mark.parametrize("bands", [False, True])
@pytest.mark.parametrize(("name", "text", "other"), TAGS)
def test_tags_that_all_files_state_are_the_layers(
    name: str, text: str, other: str, bands: bool, tmp_path: Path
) -> None:
    one = Layer.open(parts(tmp_path / "one", [{name: text}]))
    layer = Layer.open(parts(tmp_path / "many", [{name: text}] * 2, bands=bands))
    assert layer.tags[name] == one.tags[name] == text
    assert layer.legend == one.legend
    assert layer.declared.unit in (one.declared.unit, text)


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize(("name", "text", "other"), TAGS)
def test_tiles_that_state_another_thing_or_nothing_are_refused_by_name(
    name: str, text: str, other: str, stated: bool, tmp_path: Path
) -> None:
    source = parts(tmp_path / "many", [{name: text}, {name: other} if stated else {}])
    with pytest.raises(GridError, match=r"1\.tif and .*0\.tif differ in what they state as") as refused:
        Layer.open(source)
    assert (repr(other)[:20] if stated else "nothing") in str(refused.value)
    assert repr(text)[:20] in str(refused.value)


def test_bands_may_differ_in_unit_and_keep_it_but_radar_has_one(tmp_path: Path) -> None:
    layer = Layer.open(parts(tmp_path / "a", [{"units": "m"}, {"units": "K"}, {}], bands=True))
    assert [stored.unit for stored in layer.declared.stored] == ["m", "K", ""]
    with pytest.raises(GridError, match="unit of radar: 'power' and 'amplitude'"):
        Layer.open(parts(tmp_path / "b", [{"scale": "amplitude"}, {"scale": "power"}], bands=True))
    layer = Layer.open(parts(tmp_path / "c", [{"scale": "amplitude", "POLARISATION": "VV"}, {}], bands=True))
    assert layer.declared.stored[0].unit == "amplitude"


def test_the_day_of_one_flight_is_kept_and_several_days_are_named(tmp_path: Path, caplog) -> None:
    times = [{"ACQUISITIONDATETIME": f"2021:07:16 05:50:{second}"} for second in (11, 36)]
    assert Layer.open(parts(tmp_path / "a", times)).acquired == ("ACQUISITIONDATETIME", date(2021, 7, 16))
    assert not caplog.records
    assert Layer.open(parts(tmp_path / "b", [times[0], {"DATE": "2021-07-19"}])).acquired is None
    assert "1.tif is of 2021-07-19 and" in caplog.text
    assert "0.tif of 2021-07-16" in caplog.text


def test_one_synthetic_file_makes_the_layer_synthetic_and_other_tags_need_to_be_alike(tmp_path: Path) -> None:
    layer = Layer.open(parts(tmp_path / "a", [{"A": "1", "B": "1"}, {"SYNTHETIC": "yes", "A": "1", "B": "2"}]))
    assert layer.synthetic
    assert layer.tags["A"] == "1"
    assert "B" not in layer.tags


def test_a_band_of_a_turned_picture_is_refused(tmp_path: Path) -> None:
    for name in "ab":
        path = write_geotiff(tmp_path / f"{name}.tif", np.ones((1, 4, 4), np.uint8), crs=None, transform=None)
        with rasterio.open(path, "r+") as file:
            file.update_tags(EXIF_Orientation="6")
    with pytest.raises(InputError, match="orientation"):
        Layer.open(f"{tmp_path}#bands")
