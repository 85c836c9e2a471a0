"""Heights above ground, slope and normals of surfaces that can be checked by hand."""

import numpy as np
import pytest

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features import Feature, build_features
from deepnets4eo.baselines.features.height import GROUND_PX, HEIGHT, above_ground, spread
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.synthetic import City


def ramp(down: float, right: float, shape: tuple[int, int] = (40, 50), gsd_m: float | None = None) -> Bands:
    rows, cols = np.indices(shape)
    return Bands((300 + down * rows + right * cols)[None].astype(np.float32), ("dsm.height",), gsd_m)


def inner(name: str, bands: Bands) -> dict[str, np.ndarray]:
    (feature,) = build_features([name])
    assert isinstance(feature, Feature)
    columns = zip(feature.columns(bands), feature.compute(bands), strict=True)
    return {name: values[3:-3, 3:-3] for name, values in columns}


@pytest.mark.parametrize("gsd_m", [None, 0.5, 2.0])
def test_slope_and_normals_of_a_plane_follow_from_its_rise_per_metre(gsd_m):
    values = inner("height", ramp(0.3, -0.4, gsd_m=gsd_m))
    rise = 0.5 / (gsd_m or 1.0)
    assert np.allclose(values["slope"], np.degrees(np.arctan(rise)), atol=0.02)
    length = np.hypot(rise, 1)
    step = gsd_m or 1.0
    for name, expected in (("normal_right", 0.4 / step), ("normal_down", -0.3 / step), ("normal_up", 1.0)):
        assert np.allclose(values[name], expected / length, atol=1e-3), name
        assert np.array_equal(inner("normals", ramp(0.3, -0.4, gsd_m=gsd_m))[name], values[name])


def test_height_above_ground_is_taken_from_the_best_band_there_is():
    height, ground, given = (np.full((1, 8, 8), value, np.float32) for value in (50, 42, 3))
    everything = Bands(np.concatenate([height, ground, given]), ("dsm.height", "dtm.ground", "ndsm.ndsm"))
    assert (above_ground(everything) == 3).all()
    assert (above_ground(Bands(everything.values[:2], everything.names[:2])) == 8).all()
    assert (above_ground(Bands(height, ("dsm.height",))) == 0).all()
    alone = Bands(given, ("ndsm.ndsm",))
    assert (above_ground(alone) == 3).all()
    assert not HEIGHT.compute(alone)[1].any()


def test_without_ground_houses_stand_out_unless_they_are_wider_than_the_window():
    surface = np.full((1, 200, 200), 100, np.float32)
    surface[0, 20:60, 20:60] += 7
    surface[0, 100:180, 100:180] += 9
    above = above_ground(Bands(surface, ("dsm.height",)))
    assert above[40, 40] == 7
    assert GROUND_PX < 80
    assert above[140, 140] == 0


def test_a_tile_with_its_halo_gives_the_values_of_the_scene():
    city = City(3, (220, 200))
    bands = Bands(city.dsm[None].astype(np.float32), ("dsm.height",), 0.3)
    assert HEIGHT.halo_px == 64
    tile = HEIGHT.compute(bands.cut(Window(20, 10, 180, 170)))[:, 64:-64, 64:-64]
    assert np.allclose(tile, HEIGHT.compute(bands)[:, 84:136, 74:116], atol=2e-3)


def test_spread_far_above_the_sea_is_as_exact_as_at_its_level():
    rng = np.random.default_rng(0)
    low = rng.random((20, 20)).astype(np.float32)
    mean, lowest, highest, deviation, reach = spread(low, 2)
    window = low[8:13, 8:13]
    expected = (window.mean(), window.min(), window.max(), window.std(), np.ptp(window))
    found = (mean[10, 10], lowest[10, 10], highest[10, 10], deviation[10, 10], reach[10, 10])
    assert np.allclose(found, expected, atol=1e-5)
    assert np.allclose(spread(low + 4000, 2)[3], deviation, atol=1e-3)


def test_superpixels_have_the_spread_of_their_own_pixels():
    rng = np.random.default_rng(1)
    bands = Bands(rng.random((1, 20, 20)).astype(np.float32) * 9, ("ndsm.ndsm",))
    ids = rng.integers(-1, 4, (20, 20)).astype(np.int32)
    found = HEIGHT.pool(bands, ids, 5)
    names = HEIGHT.pooled_columns(bands)
    assert found.shape == (5, len(names))
    for number in range(4):
        own = bands.values[0][ids == number]
        values = dict(zip(names, found[number], strict=True))
        assert values["above_ground"] == pytest.approx(own.mean(), rel=1e-5)
        assert values["deviation"] == pytest.approx(own.std(), rel=1e-4)
        assert (values["lowest"], values["highest"]) == (own.min(), own.max())
    assert not found[4].any()


@pytest.mark.parametrize("name", ["height", "normals", "hsvdgr"])
def test_images_without_heights_are_refused(name):
    colours = Bands(np.zeros((3, 9, 9), np.float32), ("image.red", "image.green", "image.blue"))
    (feature,) = build_features([name])
    with pytest.raises(InputError, match="no band shows height"):
        feature.columns(colours)
    with pytest.raises(InputError, match="no band shows height"):
        feature.compute(colours)


@pytest.mark.parametrize("stride", [3, 8])
def test_values_at_sites_are_those_of_their_pixels(stride):
    bands = ramp(0.1, 0.2)
    dense = HEIGHT.compute(bands)
    first = stride // 2
    assert np.array_equal(HEIGHT.compute(bands, stride), dense[:, first::stride, first::stride])
    assert dense.dtype == np.float32
    assert np.isfinite(HEIGHT.compute(ramp(0, 0, (1, 1)))).all()
