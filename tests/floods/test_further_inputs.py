"""Floods beside heights in other units and with gaps, and radar of other bands: a made-up river and a flood whose extent is exact."""

import json

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff

from deepnets4eo.floods import FloodOptions, map_flood
from deepnets4eo.rasters import Layer

SHAPE = (160, 160)
RIVER = np.zeros(SHAPE, bool)
RIVER[:, 20:40] = True
WET = RIVER.copy()
WET[50:110, 40:110] = True
FLOODED = WET & ~RIVER


def radar(water, seed):
    """VV and VH as linear power with speckle."""
    rng = np.random.default_rng(seed)
    pattern = 1 + 0.3 * np.sin(np.arange(160) / 17)[None] * np.cos(np.arange(160) / 23)[:, None]
    levels = ((0.08, 0.004), (0.02, 0.0008))
    bands = [np.where(water, wet, land * pattern) * rng.gamma(5, 1 / 5, SHAPE) for land, wet in levels]
    return np.array(bands, np.float32)


BEFORE, AFTER = radar(RIVER, 1), radar(WET, 2)


def written(path, values, names=(), unit="", nodata=None):
    write_geotiff(path, np.asarray(values), gsd=10.0, nodata=nodata)
    with rasterio.open(path, "r+") as file:
        for band, name in enumerate(names, start=1):
            file.set_band_description(band, name)
        if unit:
            file.units = (unit,) * file.count
    return str(path)


def flooded(tmp_path, before=BEFORE, after=AFTER, names=("VV", "VH"), **options):
    images = [written(tmp_path / name, values, names) for name, values in (("a.tif", before), ("b.tif", after))]
    map_flood([images[0]], images[1], tmp_path / "out", FloodOptions(**options))
    classes = Layer.open(tmp_path / "out" / "flood.tif", labels=True).read()[0][0]
    findings = json.loads((tmp_path / "out" / "summary.json").read_text())["findings"]
    return classes, {one["code"]: one for one in findings}


def agreement(classes):
    return ((classes == 2) & FLOODED).sum() / ((classes == 2) | FLOODED).sum()


@pytest.mark.parametrize(("unit", "metres"), [("", 1), ("ft", 0.3048), ("cm", 0.01), ("US_ft", 1200 / 3937)])
def test_heights_above_drainage_count_in_metres_whatever_their_unit(tmp_path, unit, metres):
    above = np.full(SHAPE, 10.0)
    above[:, 100:] = 30  # higher than 20 m: dry
    path = written(tmp_path / "hand.tif", (above / metres).astype(np.float32), unit=unit)
    classes, _ = flooded(tmp_path, above_drainage=path)
    assert agreement(np.where(above > 20, 2 * FLOODED, classes)) > 0.99
    assert not (classes[:, 100:] == 2).any()


@pytest.mark.parametrize("declared", [True, False])
def test_a_dem_that_is_void_over_water_hides_no_flood_and_says_how_much_it_does_not_know(tmp_path, declared):
    heights = np.full(SHAPE, 20, np.int16) + (np.arange(160) % 3).astype(np.int16)
    heights[WET] = -32768
    path = written(tmp_path / "dem.tif", heights, nodata=-32768 if declared else None)
    classes, findings = flooded(tmp_path, dem=path)
    assert agreement(classes) > 0.99
    assert not (classes == 255).any()
    share = int(findings["no_relief"]["message"].split("%")[0])
    assert share == pytest.approx(100 * WET.mean(), abs=1)
    assert findings["no_relief"]["severity"] == "caution"


def test_ground_without_a_height_above_drainage_is_a_caution_with_its_share(tmp_path):
    above = np.full(SHAPE, 5, np.float32)
    above[:80] = np.nan
    classes, findings = flooded(tmp_path, above_drainage=written(tmp_path / "hand.tif", above, nodata=np.nan))
    assert agreement(classes) > 0.99
    assert findings["no_drainage"]["message"].startswith("50% of the ground")
    assert findings["no_drainage"]["severity"] == "caution"


def quad(power):
    return np.stack(
        [power[0] * 1.2, power[1], power[1] * np.random.default_rng(5).gamma(5, 0.2, SHAPE), power[0]]
    ).astype(np.float32)


@pytest.mark.parametrize(
    ("names", "bands"),
    [
        (("HH", "HV", "VH", "VV"), quad),
        (
            ("Gamma0_VV", "Gamma0_VH", "localIncidenceAngle"),
            lambda power: np.append(power, np.full((1, *SHAPE), 38, np.float32), 0),
        ),
        (("Sigma0_VV", "Sigma0_VH", "Sigma0_VH/Sigma0_VV"), lambda power: np.append(power, power[1:] / power[:1], 0)),
    ],
)
def test_radar_of_several_bands_is_radar_by_their_names(tmp_path, names, bands):
    classes, _ = flooded(tmp_path, bands(BEFORE), bands(AFTER), names)
    assert agreement(classes) > 0.97


@pytest.mark.parametrize("fill", [0.0, -9999.0])
@pytest.mark.parametrize("declared", [False, True])
def test_a_part_without_data_in_one_polarisation_is_not_seen_and_no_water(tmp_path, fill, declared):
    after = AFTER.copy()
    after[1, 60:90] = fill
    images = [
        written(tmp_path / name, values, ("VV", "VH"), nodata=fill if declared else None)
        for name, values in (("a.tif", BEFORE), ("b.tif", after))
    ]
    map_flood([images[0]], images[1], tmp_path / "out", FloodOptions())
    classes = Layer.open(tmp_path / "out" / "flood.tif", labels=True).read()[0][0]
    assert (classes[60:90] == 255).all()
    seen = classes != 255
    assert ((classes == 2) & FLOODED).sum() / (((classes == 2) | FLOODED) & seen).sum() > 0.99
    findings = json.loads((tmp_path / "out" / "summary.json").read_text())["findings"]
    (named,) = (one for one in findings if one["code"] == "undeclared_nodata_in_band_post")
    assert f"{fill:g} only in VH (19% of its pixels)" in named["message"]
